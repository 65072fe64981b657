"""Back-splice junctions: reads that join the end of an exon to the start of an earlier one.

A circle is the genomic interval ``[start, end)`` between the two ends of a back-splice. A read
across it, seen along the genome's forward strand, aligns with its left part up to ``end`` and goes
on, with its right part, at ``start``. Two kinds of reads give evidence:

split reads
    The aligner placed both parts (primary and supplementary records with ``SA``).
realigned reads
    The aligner clipped the read, left it out, or placed it badly (`linear_cost`), but it shows the
    end of an annotated exon right before the beginning of the same or an earlier exon of the gene
    (`ringmark.exon_ends`).

Where bases at the two ends repeat, several positions of the junction explain a read equally well.
`place_junction` chooses one normal form: annotated splice sites first, then a splice signal, then
the fewest mismatches, then the leftmost.

References
----------
Memczak et al. 2013, Nature 495:333 (split reads at splice signals); Gao et al. 2015, Genome
Biology 16:4 (mates inside the circle).
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from operator import add, ne
from typing import Any, NamedTuple

import pysam

from ringmark.alignments import (
    DELETION,
    DIFFERENT,
    EQUAL,
    INSERTION,
    MATCH,
    SECONDARY,
    SKIP,
    SOFT_CLIP,
    SUPPLEMENTARY,
    USABLE_MAPPING_QUALITY,
    Cigar,
    SupplementaryAlignment,
    aligned_blocks,
    fragment_strand,
    parse_sa,
    query_span,
)
from ringmark.annotation import Annotation, Gene
from ringmark.exon_ends import MISMATCH_RATE, EndPair, ExonEnds
from ringmark.sequence import INTRON_SIGNALS, reverse_complement
from ringmark.tables import INTEGER, STRING, Table

#: Evidence for back-splice junctions in one library, one row a junction.
JUNCTIONS = Table(
    "back-splice junctions",
    {
        "chrom": STRING,
        "start": INTEGER,
        "end": INTEGER,
        "strand": STRING,
        "splice_motif": STRING,
        "split_reads": INTEGER,
        "realigned_reads": INTEGER,
    },
)

#: Bases around the aligner's break within which the junction may be moved.
PLACEMENT_RANGE = 12
#: Bases up to which a repeat at both ends of a circle is followed.
LONGEST_REPEAT = 100
#: Differences by which a circle must explain a read better than any linear alternative.
MARGIN = 3
#: What an intron that nobody annotated counts beside differences: a read that leaves the gene for a
#: copy of one of its exons (a paralogue, a retro-copy) has no other cost, and the ends of a circle
#: are the better explanation if they are annotated.
NOVEL_INTRON_COST = MARGIN
#: Gaps in an alignment from this length on are introns.
SHORTEST_INTRON = 20
#: Tag of the differences of an alignment; pysam finds it in half the time by bytes.
EDIT_DISTANCE: Any = b"NM"
#: Signals that are remembered: those of junctions whose reads lie together in a BAM.
REMEMBERED_SIGNALS = 5_000
#: Distance from a branch point to the 3' splice site, in nucleotides (Zhang 2013, Mol Cell 51:792).
BRANCH_POINT_RANGE = (10, 60)


@dataclass(frozen=True, slots=True)
class Junction:
    """A back-splice junction in its normal form.

    Attributes
    ----------
    start, end
        The circle's interval on the genome.
    strand
        Strand of the RNA by annotation or splice signal; ``.`` without either.
    motif
        Donor and acceptor dinucleotides in the RNA's sense, such as ``GT/AG``; ``lariat`` for a
        5' splice site joined to a branch point; ``none`` without a signal.
    annotated
        How many of the ends are annotated splice sites of that strand, 0 to 2.
    """

    chrom: str
    start: int
    end: int
    strand: str
    motif: str
    annotated: int


@dataclass(frozen=True)
class Limits:
    """What a back-splice must fulfil.

    Attributes
    ----------
    min_span, max_span
        Distance between the ends on the genome.
    min_anchor
        Nucleotides of a read on both sides of a counted junction, where its mate does not show the
        way.
    mate_tolerance
        Nucleotides by which a mate may start before the circle (the aligner's overhang).
    min_mapping_quality
        Of the better placed part of a split read.
    min_novel_anchor
        Nucleotides of both parts of a split read that shows a junction which is not annotated at
        both ends: where parts are shorter, more than one read in a thousand finds a splice signal
        within ``max_span`` by chance.
    """

    min_span: int = 50
    max_span: int = 200_000
    min_anchor: int = 4
    mate_tolerance: int = PLACEMENT_RANGE
    min_mapping_quality: int = USABLE_MAPPING_QUALITY
    min_novel_anchor: int = 12

    def allow(self, span: int) -> bool:
        """Return whether the ends of a circle may lie so far apart."""
        return self.min_span <= span <= self.max_span


@dataclass
class SpliceSites:
    """Annotated ends of exons by contig and strand, as left and right boundaries on the genome.

    A circle starts at a left boundary (an acceptor on ``+``, a donor on ``-``) and ends at a right
    one. Intron starts and ends serve the lariats.
    """

    left: Mapping[tuple[str, str], set[int]]
    right: Mapping[tuple[str, str], set[int]]
    introns: Mapping[tuple[str, str], Mapping[int, tuple[int, ...]]]

    @classmethod
    def of(cls, annotation: Annotation) -> SpliceSites:
        """Collect the splice sites of an annotation; intron keys are their 5' splice sites."""
        left, right = {}, {}
        for key, (acceptors, donors) in annotation.splice_sites.items():
            left[key], right[key] = (acceptors, donors) if key[1] == "+" else (donors, acceptors)
        introns: dict[tuple[str, str], dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        for gene in annotation.genes.values():
            for transcript in gene.transcripts:
                gaps = zip(
                    transcript.exons.ends[:-1].tolist(),
                    transcript.exons.starts[1:].tolist(),
                    strict=True,
                )
                for start, end in gaps:
                    five, three = (start, end) if gene.strand == "+" else (end, start)
                    introns[gene.chrom, gene.strand][five].add(three)
        frozen = {
            key: {five: tuple(sorted(threes)) for five, threes in found.items()}
            for key, found in introns.items()
        }
        return cls(left, right, frozen)

    def annotated(self, chrom: str, start: int, end: int, strand: str) -> int:
        """Return how many ends of a circle are annotated on a strand."""
        key = (chrom, strand)
        return (start in self.left.get(key, ())) + (end in self.right.get(key, ()))

    def annotated_ends(self, chrom: str, start: int, end: int, strand: str, motif: str) -> int:
        """Return the annotated ends of a junction; of a lariat its 5' splice site is one."""
        return 1 if motif == "lariat" else self.annotated(chrom, start, end, strand)

    @cached_property
    def intron_spans(self) -> Mapping[str, set[tuple[int, int]]]:
        """Contig to the starts and ends of its annotated introns, whatever their strand."""
        spans: dict[str, set[tuple[int, int]]] = defaultdict(set)
        for (chrom, strand), introns in self.introns.items():
            for five, threes in introns.items():
                spans[chrom].update(
                    (five, three) if strand == "+" else (three, five) for three in threes
                )
        return dict(spans)

    @cached_property
    def signal(self) -> Callable[[str, int, int, str, str, str], _Signal]:
        """`_read_signal` by these sites; it remembers, as many reads show the same junctions."""
        return lru_cache(maxsize=REMEMBERED_SIGNALS)(partial(_read_signal, self))

    def is_intron(self, chrom: str, start: int, end: int) -> bool:
        """Return whether an interval is an annotated intron of either strand."""
        return (start, end) in self.intron_spans.get(chrom, ())

    def is_lariat(self, chrom: str, start: int, end: int, strand: str) -> bool:
        """Return whether an interval runs from a 5' splice site to a possible branch point."""
        introns = self.introns.get((chrom, strand), {})
        near, far = BRANCH_POINT_RANGE
        if strand == "+":
            return any(near <= three - end <= far for three in introns.get(start, ()))
        return any(near <= start - three <= far for three in introns.get(end, ()))


def splice_motif(before: str, after: str) -> tuple[str, str]:
    """Return strand and motif of a back-splice by the bases flanking the circle.

    Parameters
    ----------
    before
        The two bases left of the circle's start on the genome's forward strand.
    after
        The two bases right of its end.

    Returns
    -------
    tuple of str
        ``("+", "GT/AG")`` and the like, or ``(".", "none")``.
    """
    # what follows a circle is where an intron begins, what precedes it where one ends
    return INTRON_SIGNALS.get((after, before), (".", "none"))


def annotated_junction(gene: Gene, start: int, end: int, genome: pysam.FastaFile) -> Junction:
    """Return the junction between two annotated ends of a gene's exons, with its motif."""
    strand, motif = splice_motif(
        str(genome.fetch(gene.chrom, max(start - 2, 0), start)).upper(),
        str(genome.fetch(gene.chrom, end, end + 2)).upper(),
    )
    name = motif if strand == gene.strand else "none"
    return Junction(gene.chrom, start, end, gene.strand, name, 2)


class _Part(NamedTuple):
    """One aligned part of a split read, along the genome's forward strand."""

    query_start: int
    query_end: int
    start: int
    end: int
    mapping_quality: int


def place_junction(
    sequence: str,
    left: tuple[int, int],
    right: tuple[int, int],
    chrom: str,
    genome: pysam.FastaFile,
    sites: SpliceSites,
    strand: str = ".",
) -> Junction | None:
    """Find the normal form of the back-splice that a read shows.

    Parameters
    ----------
    sequence
        The read along the genome's forward strand.
    left
        Where the left part ends: (position in the read, position on the genome), both exclusive.
    right
        Where the right part starts: (position in the read, position on the genome).
    chrom, genome, sites
        Where to look for splice signals.
    strand
        Strand of the RNA by the library's protocol; ``.`` where unknown.

    Returns
    -------
    Junction or None
        ``None`` if no position explains the read.

    Notes
    -----
    With the junction at position ``j`` of the read the circle ends at ``left[1] + j - left[0]`` and
    starts at ``right[1] + j - right[0]``. The positions that differ least from the read are found
    near the aligner's break and followed as far as the genome repeats. These are the choices, so
    that the result does not depend on where in a repeat the aligner broke the read; and every
    position within `PLACEMENT_RANGE` that has one mismatch more, if an end there is annotated.
    """
    placer = _Placer.of(sequence, left[1] - left[0], right[1] - right[0], chrom, genome)
    low = max(min(left[0], right[0]) - PLACEMENT_RANGE, 1)
    high = min(max(left[0], right[0]) + PLACEMENT_RANGE, len(sequence) - 1)
    if high < low:
        return None
    mismatches = placer.mismatches(low, high)
    best = min(mismatches)
    if best > max(1, MISMATCH_RATE * (high - low)):
        return None
    first = low + mismatches.index(best)
    last = high - mismatches[::-1].index(best)
    low = max(placer.repeat_start(first) - PLACEMENT_RANGE, 1)
    high = min(placer.repeat_end(last) + PLACEMENT_RANGE, len(sequence) - 1)
    mismatches = placer.mismatches(low, high)
    best = min(mismatches)
    choices = []
    for cut, wrong in enumerate(mismatches, start=low):
        start, end = cut + placer.start_offset, cut + placer.end_offset
        if wrong > best + 1 or start < 0:
            continue
        signal = sites.signal(chrom, start, end, *placer.flanks(cut), strand)
        # only for what somebody annotated: chance has a signal in reach too often
        if wrong > best and not signal.annotated:
            continue
        choices.append((_rank(signal), wrong, start, end, signal))
    if not choices:
        return None
    *_, start, end, signal = min(choices)
    return Junction(chrom, start, end, *signal)


#: Bases next to a junction that make its splice signal.
SIGNAL = 2


class _Placer(NamedTuple):
    """Compares a read with the genome on both sides of a junction at any position of the read.

    Attributes
    ----------
    end_offset, start_offset
        Position on the genome less position in the read, left and right of the junction.
    as_end, as_start
        The genome where the read would lie by either, and `SIGNAL` bases beyond both of its ends.
    """

    sequence: str
    end_offset: int
    start_offset: int
    as_end: str
    as_start: str

    @classmethod
    def of(
        cls, sequence: str, end_offset: int, start_offset: int, chrom: str, genome: pysam.FastaFile
    ) -> _Placer:
        """Read the genome, once for all comparisons of a read."""
        as_end, as_start = (
            _padded_bases(genome, chrom, offset - SIGNAL, offset + len(sequence) + SIGNAL)
            for offset in (end_offset, start_offset)
        )
        return cls(sequence, end_offset, start_offset, as_end, as_start)

    def sides(self, low: int, high: int) -> tuple[str, str]:
        """Return the genome in place of the bases ``[low, high)`` of the read, left and right."""
        own = slice(low + SIGNAL, high + SIGNAL)
        return self.as_end[own], self.as_start[own]

    def flanks(self, cut: int) -> tuple[str, str]:
        """Return the bases that flank the circle with a junction at ``cut``: before and after."""
        return self.as_start[cut : cut + SIGNAL], self.as_end[cut + SIGNAL : cut + 2 * SIGNAL]

    def mismatches(self, low: int, high: int) -> list[int]:
        """Return the mismatches of the read in ``[low, high)`` for a junction at low ... high."""
        window = self.sequence[low:high]
        as_end, as_start = self.sides(low, high)
        wrong_left = itertools.accumulate(map(ne, window, as_end), initial=0)
        wrong_right = list(itertools.accumulate(map(ne, window[::-1], as_start[::-1]), initial=0))
        return list(map(add, wrong_left, wrong_right[::-1]))

    def repeat_start(self, cut: int) -> int:
        """Return the leftmost junction that gives the same sequence as the one at ``cut``."""
        as_end, as_start = self.sides(cut - min(LONGEST_REPEAT, cut), cut)
        return cut - _common_prefix(as_end[::-1], as_start[::-1])

    def repeat_end(self, cut: int) -> int:
        """Return the rightmost junction that gives the same sequence as the one at ``cut``."""
        size = min(LONGEST_REPEAT, len(self.sequence) - cut)
        return cut + _common_prefix(*self.sides(cut, cut + size))


def _padded_bases(genome: pysam.FastaFile, chrom: str, start: int, end: int) -> str:
    """Return the genome in an interval, with N beyond the contig's ends."""
    inside = genome.fetch(chrom, max(start, 0), max(end, 0)).upper()
    before = "N" * (min(end, 0) - min(start, 0))
    return before + str(inside) + "N" * (end - start - len(before) - len(inside))


def _common_prefix(one: str, other: str) -> int:
    """Return how many letters two sequences share from their beginning on."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), len(one))


class _Signal(NamedTuple):
    """What tells a junction from others at places that explain a read as well (`Junction`)."""

    strand: str
    motif: str
    annotated: int


def _rank(signal: _Signal) -> int:
    """Order of preference among equally good positions; lower is better."""
    if signal.annotated == 2:
        return 0
    if signal.motif == "GT/AG":
        return 2 - signal.annotated
    return {"lariat": 3, "GC/AG": 4, "AT/AC": 4}.get(signal.motif, 5)


def _read_signal(
    sites: SpliceSites, chrom: str, start: int, end: int, before: str, after: str, strand: str
) -> _Signal:
    """Return strand, motif and annotation of the junction at a position."""
    signal_strand, motif = splice_motif(before, after)
    strands = ("+", "-") if strand == "." else (strand,)
    annotated = {side: sites.annotated(chrom, start, end, side) for side in strands}
    side = max(strands, key=lambda item: (annotated[item], item == signal_strand))
    if annotated[side] == 2:
        return _Signal(side, motif if side == signal_strand else "none", 2)
    if signal_strand != "." and signal_strand in strands:
        return _Signal(signal_strand, motif, annotated[signal_strand])
    for side in strands:
        if sites.is_lariat(chrom, start, end, side):
            return _Signal(side, "lariat", 1)
    return _Signal(strand, "none", 0)


def split_parts(read: pysam.AlignedSegment) -> list[_Part]:
    """Return the parts of a split read in order along the genome's forward strand.

    Empty if the parts lie on several contigs or strands: no back-splice.
    """
    own = SupplementaryAlignment(
        str(read.reference_name),
        read.reference_start,
        "-" if read.is_reverse else "+",
        tuple(read.cigartuples or ()),
        read.mapping_quality,
        0,
    )
    pieces = [own, *parse_sa(str(read.get_tag("SA")))]
    if any((piece.chrom, piece.strand) != (own.chrom, own.strand) for piece in pieces):
        return []
    parts = []
    for piece in pieces:
        blocks = aligned_blocks(piece.cigar, piece.start)
        # "+" keeps the genome's direction whatever the read's: the parts share one strand
        query_start, query_end = query_span(piece.cigar, "+")
        parts.append(
            _Part(query_start, query_end, blocks[0][0], blocks[-1][1], piece.mapping_quality)
        )
    return sorted(parts, key=lambda part: (part.query_start, part.query_end))


@dataclass
class Evidence:
    """Names of the fragments that show each junction, and what the filters removed.

    Attributes
    ----------
    split, realigned
        Junction to the names of fragments; a fragment counts once.
    removed
        Filter to the number of breaks of split reads that it removed.
    kept
        Breaks of split reads that show a junction.
    """

    split: dict[Junction, set[str]] = field(default_factory=lambda: defaultdict(set))
    realigned: dict[Junction, set[str]] = field(default_factory=lambda: defaultdict(set))
    removed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    kept: int = 0

    def rows(self) -> list[dict[str, object]]:
        """Return the rows of the `JUNCTIONS` table, sorted by place."""
        junctions = sorted(
            {*self.split, *self.realigned},
            key=lambda item: (item.chrom, item.start, item.end, item.strand),
        )
        return [
            {
                "chrom": junction.chrom,
                "start": junction.start,
                "end": junction.end,
                "strand": junction.strand,
                "splice_motif": junction.motif,
                "split_reads": len(self.split.get(junction, ())),
                "realigned_reads": len(
                    self.realigned.get(junction, set()) - self.split.get(junction, set())
                ),
            }
            for junction in junctions
        ]


#: The order in which reads are tested, for the filter log.
READ_FILTERS = (
    "low mapping quality",
    "not a back-splice of allowed span",
    "mate outside the circle",
    "junction not placed",
    "no splice signal",
    "strand unknown",
    "rare splice signal at sites nobody annotated",
    "short anchor at a site not annotated",
)


class JunctionFinder:
    """Finds the back-splice that a read shows, if any.

    Parameters
    ----------
    genome
        Open, indexed FASTA.
    annotation
        Genes, for splice sites.
    strandedness
        The library's: ``unstranded``, ``forward`` or ``reverse``.
    limits
        Bounds a back-splice must keep.
    """

    def __init__(
        self, genome: pysam.FastaFile, annotation: Annotation, strandedness: str, limits: Limits
    ) -> None:
        self.genome = genome
        self.sites = SpliceSites.of(annotation)
        self.strandedness = strandedness
        self.limits = limits
        self.ends = ExonEnds(annotation, genome, (limits.min_span, limits.max_span))
        self.evidence = Evidence()

    def add(self, read: pysam.AlignedSegment) -> bool:
        """Look at one primary record; return whether its alignment leaves it in doubt.

        Where the parts of a split read show no junction, its bases may.
        """
        is_split = read.has_tag("SA")
        cost = linear_cost(read, self.sites)
        if (cost < MARGIN and not is_split) or read.query_sequence is None:
            return False
        name = str(read.query_name)
        found = list(self._split_junctions(read)) if is_split else []
        self.evidence.kept += len(found)
        for junction in found:
            self.evidence.split[junction].add(name)
        if not found and cost >= MARGIN:
            for junction in self._realigned_junctions(read, cost):
                self.evidence.realigned[junction].add(name)
        return cost >= MARGIN

    def _split_junctions(self, read: pysam.AlignedSegment) -> Iterator[Junction]:
        parts = split_parts(read)
        for left, right in itertools.pairwise(parts):
            reason, junction = self._judge(read, left, right)
            if reason:
                self.evidence.removed[reason] += 1
            elif junction is not None:
                yield junction

    def _judge(
        self, read: pysam.AlignedSegment, left: _Part, right: _Part
    ) -> tuple[str, Junction | None]:
        """Return the filter that removes a pair of parts, or its junction."""
        limits = self.limits
        if max(left.mapping_quality, right.mapping_quality) < limits.min_mapping_quality:
            return "low mapping quality", None
        overlap = left.query_end - right.query_start
        span = left.end - right.start - overlap
        if right.start > left.start or not limits.allow(span):
            return "not a back-splice of allowed span", None
        if not mate_inside(read, right.start, left.end, limits.mate_tolerance):
            return "mate outside the circle", None
        strand = fragment_strand(read, self.strandedness)
        junction = place_junction(
            str(read.query_sequence),
            (left.query_end, left.end),
            (right.query_start, right.start),
            str(read.reference_name),
            self.genome,
            self.sites,
            strand,
        )
        if junction is None:
            return "junction not placed", None
        if junction.motif == "none" and junction.annotated < 2:
            return "no splice signal", None
        if junction.strand == ".":
            return "strand unknown", None
        if junction.annotated == 0 and junction.motif not in ("GT/AG", "lariat"):
            return "rare splice signal at sites nobody annotated", None
        shorter = min(left.query_end - left.query_start, right.query_end - right.query_start)
        certain = junction.annotated == 2 or junction.motif == "lariat"
        if not certain and shorter < limits.min_novel_anchor:
            return "short anchor at a site not annotated", None
        return "", junction

    def _realigned_junctions(self, read: pysam.AlignedSegment, cost: int) -> Iterator[Junction]:
        """Yield the junction of a pair of exon ends that explains a read by `MARGIN` better.

        A read that fits several pairs equally well says nothing about which.
        """
        found = {
            (pair.gene.gene_id, pair.start, pair.end): pair
            for sequence in senses(read, self.strandedness)
            for pair in self.ends.pairs(sequence)
        }
        places = {
            (pair.gene.chrom, pair.gene.strand, pair.start, pair.end) for pair in found.values()
        }
        if len(places) != 1:
            return
        pair = next(iter(found.values()))
        if pair.wrong + MARGIN > cost or self._is_astray(read, pair):
            return
        yield annotated_junction(pair.gene, pair.start, pair.end, self.genome)

    def _is_astray(self, read: pysam.AlignedSegment, pair: EndPair) -> bool:
        """Return whether a read lies in the circle, but its mate does not."""
        if read.is_unmapped or read.reference_name != pair.gene.chrom:
            return False
        if not pair.start <= read.reference_start < pair.end:
            return False
        return not mate_inside(read, pair.start, pair.end, self.limits.mate_tolerance)


def linear_cost(
    read: pysam.AlignedSegment, sites: SpliceSites, novel_intron: int = NOVEL_INTRON_COST
) -> int:
    """Return how badly the aligner explained a read: its differences and more.

    Clipped bases count one each, an intron that nobody annotated ``novel_intron``; of a read
    without a place every base counts.
    """
    cigar = read.cigartuples
    if cigar is None:
        return read.query_length
    cost: int = read.get_tag(EDIT_DISTANCE)  # type: ignore[assignment]
    if len(cigar) == 1:
        return cost
    place = read.reference_start
    introns = sites.intron_spans.get(str(read.reference_name), ())
    # the commonest operations first: most of these reads are spliced over an annotated intron
    for operation, length in cigar:
        if operation == MATCH:
            place += length
        elif operation == SKIP:
            if length >= SHORTEST_INTRON and (place, place + length) not in introns:
                cost += novel_intron
            place += length
        elif operation == SOFT_CLIP:
            cost += length
        elif operation in (DELETION, EQUAL, DIFFERENT):
            place += length
    return cost


#: Leaves out reads that are aligned in one piece with too few differences to be doubted: what
#: `linear_cost` says of them, for the millions of them at once, and by htslib.
DOUBTED_READS = f"filter=ncigar != 1 || [NM] >= {MARGIN}"


def senses(read: pysam.AlignedSegment, strandedness: str) -> tuple[str, ...]:
    """Return a read's bases in the sense of its RNA; both directions where that is not known."""
    shown = str(read.query_sequence)
    strand = fragment_strand(read, strandedness)
    if strand == ".":
        return shown, reverse_complement(shown)
    return (shown,) if strand == "+" else (reverse_complement(shown),)


#: A run of aligned bases: start and end on the genome, first base in the read.
Run = tuple[int, int, int]


def aligned_runs(cigar: Cigar, start: int) -> list[Run]:
    """Return the runs of an alignment without any gap.

    Parameters
    ----------
    start
        Leftmost aligned base, 0-based.
    """
    runs = []
    place, base = start, 0
    for operation, length in cigar:
        if operation in (MATCH, EQUAL, DIFFERENT):
            runs.append((place, place + length, base))
        if operation in (MATCH, EQUAL, DIFFERENT, DELETION, SKIP):
            place += length
        if operation in (MATCH, EQUAL, DIFFERENT, INSERTION, SOFT_CLIP):
            base += length
    return runs


def mate_points_back(read: pysam.AlignedSegment) -> bool:
    """Return whether the mate, where it is aligned, is on the same contig and the other strand."""
    if not read.is_paired or read.mate_is_unmapped:
        return True
    return read.next_reference_id == read.reference_id and read.mate_is_reverse != read.is_reverse


def mate_inside(read: pysam.AlignedSegment, start: int, end: int, tolerance: int) -> bool:
    """Return whether the mate, where it is aligned, starts inside a circle and points back.

    The mate's record is not at hand; its leftmost base is.
    """
    if not read.is_paired or read.mate_is_unmapped:
        return True
    return mate_points_back(read) and start - tolerance <= read.next_reference_start < end


def find_junctions(
    bam: pysam.AlignmentFile,
    genome: pysam.FastaFile,
    annotation: Annotation,
    strandedness: str,
    limits: Limits,
    doubted: Callable[[pysam.AlignedSegment], object],
) -> Evidence:
    """Collect the evidence for back-splice junctions in one BAM, in one pass.

    Parameters
    ----------
    bam
        BAM that keeps the contract of `ringmark.alignments`; of its reads `DOUBTED_READS` are
        enough.
    genome, annotation
        The reference it was aligned to.
    strandedness
        The library's strandedness; with ``unstranded`` the splice signal gives the strand.
    limits
        Bounds a back-splice must keep.
    doubted
        Is given every primary record with a `linear_cost` of `MARGIN` or more, in their order:
        those in which circles that other reads show may be looked for.
    """
    finder = JunctionFinder(genome, annotation, strandedness, limits)
    for read in bam.fetch(until_eof=True):
        if not read.flag & (SECONDARY | SUPPLEMENTARY) and finder.add(read):
            doubted(read)
    return finder.evidence

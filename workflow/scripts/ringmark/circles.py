"""Circles: what lies between the ends of a back-splice, and how often each library shows it.

The junctions of all libraries make one list of candidates. Each candidate is then counted in every
library by competition: the bases of a read beyond an end of the circle must continue at the other
end of the circle clearly better than they continue linearly, which is along the genome or over any
annotated intron at that end. Fragments are counted, by name, once a circle; a fragment that fits
several circles goes to the one it fits best.

References
----------
Zhang et al. 2020, Nature Communications 11:90 (counting on junction sequences); Vromman et al.
2023, Nature Methods 20:1159 (below five reads the precision of every tool falls).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pysam

from ringmark.alignments import aligned_blocks, aligned_introns, fragment_strand
from ringmark.annotation import Annotation, Gene, Transcript
from ringmark.backsplice import (
    MISMATCH_RATE,
    PLACEMENT_RANGE,
    Junction,
    Limits,
    SpliceSites,
    mate_inside,
)
from ringmark.intervals import Blocks
from ringmark.sequence import reverse_complement
from ringmark.tables import INTEGER, STRING, Table

#: Counts of the candidates in one library, one row a circle. Introns are ``start-end:fragments``.
CIRCLE_COUNTS = Table(
    "circle counts",
    {
        "circle": STRING,
        "back_splice": INTEGER,
        "linear_start": INTEGER,
        "linear_end": INTEGER,
        "distinct_positions": INTEGER,
        "spliced_introns": STRING,
        "retained_introns": STRING,
    },
)

#: Bases of a read beyond a circle's end that are compared with the alternatives.
COMPARED_BASES = 50
#: Mismatches by which the circle must explain a read better than any linear alternative.
MARGIN = 3
#: Fragments of a circle and library whose mates are looked up for what lies inside.
LOOKED_INSIDE = 50
#: Intron bases a read must cover before the intron counts as retained.
RETAINED_BASES = 10

#: From here on a circle can have high confidence (Vromman 2023).
HIGH_CONFIDENCE_READS = 5
#: The same for a circle of which an end is no annotated splice site: repeats and exons that nobody
#: annotated make such junctions too.
HIGH_CONFIDENCE_NOVEL_READS = 10
#: Different places in the reads at which the junction of such a circle must stand.
HIGH_CONFIDENCE_POSITIONS = 3


def circle_id(chrom: str, start: int, end: int, strand: str) -> str:
    """Return ``chrom:start-end:strand``."""
    return f"{chrom}:{start}-{end}:{strand}"


@dataclass(frozen=True)
class Circle:
    """A circle with its place in the annotation.

    Attributes
    ----------
    junction
        Its back-splice.
    gene
        Host gene: of the genes on its strand the one that shares most ends, then most exon.
    exons
        Blocks of the spliced circle on the genome, with the circle's strand.
    exon_count
        Annotated exons inside; 0 for a circle without any.
    kind
        ``exonic``, ``exon_intron``, ``intronic``, ``antisense`` or ``intergenic``.
    """

    junction: Junction
    gene: Gene | None
    exons: Blocks
    exon_count: int
    kind: str

    @property
    def name(self) -> str:
        """The circle's id."""
        junction = self.junction
        return circle_id(junction.chrom, junction.start, junction.end, junction.strand)

    def sequence(self, genome: pysam.FastaFile) -> str:
        """Return the spliced sequence from the back-splice acceptor on, in the RNA's sense."""
        forward = "".join(
            genome.fetch(self.junction.chrom, start, end).upper()
            for start, end in zip(self.exons.starts.tolist(), self.exons.ends.tolist(), strict=True)
        )
        return forward if self.junction.strand == "+" else reverse_complement(forward)


def build_circle(
    junction: Junction,
    annotation: Annotation,
    sites: SpliceSites,
    spliced: Mapping[tuple[int, int], int] | None = None,
    retained: Mapping[tuple[int, int], int] | None = None,
) -> Circle:
    """Place a junction in the annotation.

    Parameters
    ----------
    junction
        The back-splice.
    annotation, sites
        Genes and their splice sites.
    spliced, retained
        Introns that fragments of the circle splice over, or read into, with their numbers.
    """
    spliced, retained = spliced or {}, retained or {}
    start, end, strand = junction.start, junction.end, junction.strand
    whole = Blocks(np.array([start]), np.array([end]), strand)
    hosts = annotation.overlapping(junction.chrom, start, end, strand)
    if not hosts:
        opposite = annotation.overlapping(junction.chrom, start, end)
        kind = "antisense" if opposite else "intergenic"
        return Circle(junction, None, _cut(whole, spliced), 0, kind)
    gene = max(hosts, key=lambda host: (*_host_rank(host, start, end), host.gene_id))
    if sites.is_lariat(junction.chrom, start, end, strand) and junction.motif == "lariat":
        return Circle(junction, gene, whole, 0, "intronic")
    transcript = max(gene.transcripts, key=lambda item: _transcript_rank(item, start, end, spliced))
    inside = transcript.exons.clip(start, end)
    if len(inside.starts) == 0:
        inside = gene.union.clip(start, end)
    if len(inside.starts) == 0:
        return Circle(junction, gene, whole, 0, "intronic")
    starts, ends = inside.starts.copy(), inside.ends.copy()
    starts[0], ends[-1] = start, end
    kept = [
        (left, right)
        for left, right in zip(ends[:-1].tolist(), starts[1:].tolist(), strict=True)
        if is_retained((left, right), spliced, retained)
    ]
    filled = Blocks(*_fill(starts, ends, kept), strand)
    return Circle(junction, gene, filled, len(starts), "exon_intron" if kept else "exonic")


def _cut(whole: Blocks, introns: Mapping[tuple[int, int], int]) -> Blocks:
    """Take the introns that two or more fragments splice over out of an unannotated circle.

    Of introns that overlap the one with more fragments is taken.
    """
    blocks = whole
    for (start, end), count in sorted(introns.items(), key=lambda item: (-item[1], item[0])):
        inside = blocks.clip(start, end)
        if count >= 2 and inside.length == end - start:
            left, right = blocks.clip(0, start), blocks.clip(end, int(whole.ends[-1]))
            blocks = Blocks(
                np.concatenate([left.starts, right.starts]),
                np.concatenate([left.ends, right.ends]),
                whole.strand,
            )
    return blocks


def is_retained(
    intron: tuple[int, int],
    spliced: Mapping[tuple[int, int], int],
    retained: Mapping[tuple[int, int], int],
) -> bool:
    """Return whether fragments of a circle show an intron inside it as retained.

    Two fragments must read into it, and they must be at least as many as splice over it.
    """
    return retained.get(intron, 0) >= max(2, spliced.get(intron, 0))


def _fill(
    starts: np.ndarray, ends: np.ndarray, introns: Iterable[tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Join the blocks on both sides of the introns."""
    gone = set(introns)
    pairs = zip(ends[:-1].tolist(), starts[1:].tolist(), strict=True)
    open_gap = np.array([pair not in gone for pair in pairs], dtype=bool)
    return (
        starts[np.concatenate([[True], open_gap])],
        ends[np.concatenate([open_gap, [True]])],
    )


def _host_rank(gene: Gene, start: int, end: int) -> tuple[int, int]:
    ends = max(_shared_ends(item, start, end) for item in gene.transcripts)
    return ends, gene.union.clip(start, end).length


def _shared_ends(transcript: Transcript, start: int, end: int) -> int:
    return int(start in transcript.exons.starts) + int(end in transcript.exons.ends)


def _transcript_rank(
    transcript: Transcript, start: int, end: int, spliced: Mapping[tuple[int, int], int]
) -> tuple[int, int, int, int, str]:
    """Order transcripts by shared ends, then by the introns that reads of the circle show."""
    inside = transcript.exons.clip(start, end)
    introns = zip(inside.ends[:-1].tolist(), inside.starts[1:].tolist(), strict=True)
    seen = sum(spliced.get(intron, 0) for intron in introns)
    return (
        _shared_ends(transcript, start, end),
        seen,
        len(inside.starts),
        inside.length,
        transcript.transcript_id,
    )


@dataclass
class Tally:
    """What one library shows of one circle.

    Attributes
    ----------
    back_splice
        Fragment to (mismatches, compared bases) of its best read across the junction.
    positions
        Places in the reads at which the junction stands, with their strand.
    linear_start, linear_end
        Fragments that run linearly over the circle's start and end.
    spliced, retained
        Introns inside to the number of fragments.
    """

    back_splice: dict[str, tuple[int, int]] = field(default_factory=dict)
    positions: dict[str, tuple[int, bool]] = field(default_factory=dict)
    linear_start: set[str] = field(default_factory=set)
    linear_end: set[str] = field(default_factory=set)
    spliced: Counter[tuple[int, int]] = field(default_factory=Counter)
    retained: Counter[tuple[int, int]] = field(default_factory=Counter)


class CircleCounter:
    """Counts candidates in one BAM.

    Parameters
    ----------
    bam
        Indexed BAM that keeps the contract of `ringmark.alignments`.
    genome, annotation
        The reference.
    strandedness
        The library's.
    limits
        Anchors and tolerances.
    """

    def __init__(
        self,
        bam: pysam.AlignmentFile,
        genome: pysam.FastaFile,
        annotation: Annotation,
        strandedness: str,
        limits: Limits,
    ) -> None:
        self.bam = bam
        self.genome = genome
        self.annotation = annotation
        self.strandedness = strandedness
        self.limits = limits

    def count(self, circles: Sequence[Circle]) -> dict[str, Tally]:
        """Return the tally of every circle, in their order."""
        tallies = {circle.name: self._tally(circle) for circle in circles}
        _give_to_best(tallies)
        for circle in circles:
            self._look_inside(circle, tallies[circle.name])
        return tallies

    def _tally(self, circle: Circle) -> Tally:
        tally = Tally()
        for side in ("start", "end"):
            self._scan_end(circle, side, tally)
        tally.linear_start -= set(tally.back_splice)
        tally.linear_end -= set(tally.back_splice)
        return tally

    def _scan_end(self, circle: Circle, side: str, tally: Tally) -> None:
        """Look at all reads over one end of a circle."""
        junction = circle.junction
        boundary = junction.start if side == "start" else junction.end
        beyond = self._continuations(circle, side)
        linear = tally.linear_start if side == "start" else tally.linear_end
        low = max(boundary - PLACEMENT_RANGE, 0)
        length = self.genome.get_reference_length(junction.chrom)
        for read in self.bam.fetch(junction.chrom, low, min(boundary + PLACEMENT_RANGE, length)):
            if read.is_unmapped or read.is_secondary or read.query_sequence is None:
                continue
            if fragment_strand(read, self.strandedness) not in (junction.strand, "."):
                continue
            name = str(read.query_name)
            if not read.is_supplementary and self._runs_linearly(read, boundary):
                linear.add(name)
                continue
            found = self._crosses(read, circle, side, boundary, beyond)
            if found and found < tally.back_splice.get(name, (COMPARED_BASES, 0)):
                tally.back_splice[name] = found
                tally.positions[name] = (_left_clip(read), read.is_reverse)

    def _runs_linearly(self, read: pysam.AlignedSegment, boundary: int) -> bool:
        if read.mapping_quality < self.limits.min_mapping_quality:
            return False
        anchor = self.limits.min_anchor
        blocks = aligned_blocks(read.cigartuples or (), read.reference_start)
        left = sum(min(end, boundary) - start for start, end in blocks if start < boundary)
        right = sum(end - max(start, boundary) for start, end in blocks if end > boundary)
        if left < anchor or right < anchor:
            return False
        return any(start <= boundary <= end for start, end in blocks)

    def _continuations(self, circle: Circle, side: str) -> tuple[str, list[str]]:
        """Return how a read goes on beyond an end: round the circle, or linearly.

        Sequences read away from the boundary: reversed to the left of a circle's start.
        """
        junction = circle.junction
        exons = Blocks(circle.exons.starts, circle.exons.ends, "+")
        size = min(COMPARED_BASES, exons.length)
        if side == "start":
            round_circle = self._bases(
                junction.chrom, exons.slice(exons.length - size, exons.length)
            )
            linear = [self._stretch(junction.chrom, junction.start, "left")]
        else:
            round_circle = self._bases(junction.chrom, exons.slice(0, size))
            linear = [self._stretch(junction.chrom, junction.end, "right")]
        for block in self._linear_neighbours(circle, side):
            linear.append(self._bases(junction.chrom, block))
        if side == "start":
            return round_circle[::-1], [item[::-1] for item in linear]
        return round_circle, linear

    def _linear_neighbours(self, circle: Circle, side: str) -> Iterator[Blocks]:
        """Yield the spliced stretches that annotated introns join to an end of the circle."""
        junction = circle.junction
        seen = set()
        for gene in self.annotation.overlapping(
            junction.chrom, junction.start - 1, junction.end + 1, junction.strand
        ):
            for transcript in gene.transcripts:
                exons = Blocks(transcript.exons.starts, transcript.exons.ends, "+")
                if side == "start":
                    index = int(np.searchsorted(exons.starts, junction.start))
                    if index == len(exons.starts) or exons.starts[index] != junction.start:
                        continue
                    offset = int(exons.offsets[index])
                    block = exons.slice(max(offset - COMPARED_BASES, 0), offset)
                else:
                    index = int(np.searchsorted(exons.ends, junction.end))
                    if index == len(exons.ends) or exons.ends[index] != junction.end:
                        continue
                    offset = int(exons.offsets[index] + exons.ends[index] - exons.starts[index])
                    block = exons.slice(offset, min(offset + COMPARED_BASES, exons.length))
                key = (tuple(block.starts), tuple(block.ends))
                if len(block.starts) and key not in seen:
                    seen.add(key)
                    yield block

    def _bases(self, chrom: str, blocks: Blocks) -> str:
        return "".join(
            self.genome.fetch(chrom, start, end).upper()
            for start, end in zip(blocks.starts.tolist(), blocks.ends.tolist(), strict=True)
        )

    def _stretch(self, chrom: str, boundary: int, direction: str) -> str:
        if direction == "left":
            return self.genome.fetch(chrom, max(boundary - COMPARED_BASES, 0), boundary).upper()
        return self.genome.fetch(chrom, boundary, boundary + COMPARED_BASES).upper()

    def _crosses(
        self,
        read: pysam.AlignedSegment,
        circle: Circle,
        side: str,
        boundary: int,
        beyond: tuple[str, list[str]],
    ) -> tuple[int, int] | None:
        """Return mismatches and (negative) compared bases of a read that crosses the junction."""
        cigar = read.cigartuples or ()
        sequence = str(read.query_sequence)
        if side == "start":
            distance = boundary - read.reference_start
            position = _left_clip(read) + distance
            tail = sequence[: max(position, 0)][::-1]
        else:
            distance = int(read.reference_end or 0) - boundary
            position = len(sequence) - _right_clip(read) - distance
            tail = sequence[max(position, 0) :]
        anchor = self.limits.min_anchor
        if abs(distance) > PLACEMENT_RANGE or len(tail) < anchor:
            return None
        if len(sequence) - len(tail) < anchor or not cigar:
            return None
        junction = circle.junction
        if not mate_inside(read, junction.start, junction.end, self.limits.mate_tolerance):
            return None
        round_circle, linear = beyond
        compared = min(len(tail), len(round_circle))
        mismatches = _mismatches(tail, round_circle, compared)
        if compared < anchor or mismatches > MISMATCH_RATE * compared:
            return None
        if any(
            _mismatches(tail, item, min(compared, len(item))) < mismatches + MARGIN
            for item in linear
            if len(item) >= anchor
        ):
            return None
        return mismatches, -compared

    def _look_inside(self, circle: Circle, tally: Tally) -> None:
        """Collect the introns that a circle's fragments splice over or read into."""
        gaps = list(
            zip(circle.exons.ends[:-1].tolist(), circle.exons.starts[1:].tolist(), strict=True)
        )
        names = set(sorted(tally.back_splice)[:LOOKED_INSIDE])
        spliced: dict[tuple[int, int], set[str]] = defaultdict(set)
        retained: dict[tuple[int, int], set[str]] = defaultdict(set)
        for read in self._records_of(circle, names):
            name = str(read.query_name)
            blocks = aligned_blocks(read.cigartuples or (), read.reference_start)
            for intron in aligned_introns(read.cigartuples or (), read.reference_start):
                if circle.junction.start < intron[0] and intron[1] < circle.junction.end:
                    spliced[intron].add(name)
            for gap in gaps:
                inside = sum(max(min(end, gap[1]) - max(start, gap[0]), 0) for start, end in blocks)
                if inside >= min(RETAINED_BASES, gap[1] - gap[0]):
                    retained[gap].add(name)
        tally.spliced = Counter({key: len(value) for key, value in spliced.items()})
        tally.retained = Counter({key: len(value) for key, value in retained.items()})

    def _records_of(self, circle: Circle, names: set[str]) -> Iterator[pysam.AlignedSegment]:
        """Yield the records of fragments at a circle's ends, and their mates inside it."""
        junction = circle.junction
        mates: set[tuple[int, str]] = set()
        for boundary in (junction.start, junction.end - 1):
            for read in self.bam.fetch(junction.chrom, boundary, boundary + 1):
                if read.query_name not in names:
                    continue
                yield read
                if read.is_paired and not read.mate_is_unmapped:
                    mates.add((read.next_reference_start, str(read.query_name)))
        for place, name in sorted(mates):
            for read in self.bam.fetch(junction.chrom, place, place + 1):
                if read.query_name == name and read.reference_start == place:
                    yield read


def _left_clip(read: pysam.AlignedSegment) -> int:
    return int(read.query_alignment_start)


def _right_clip(read: pysam.AlignedSegment) -> int:
    return int(read.query_length - read.query_alignment_end)


def _mismatches(first: str, second: str, length: int) -> int:
    return sum(a != b for a, b in zip(first[:length], second[:length], strict=True))


def _give_to_best(tallies: Mapping[str, Tally]) -> None:
    """Leave every fragment with the circle that it fits best; the first of equals keeps it."""
    best: dict[str, tuple[int, int, str]] = {}
    for name, tally in tallies.items():
        for fragment, (mismatches, compared) in tally.back_splice.items():
            score = (mismatches, compared, name)
            if fragment not in best or score[:2] < best[fragment][:2]:
                best[fragment] = score
    for name, tally in tallies.items():
        for fragment in [item for item in tally.back_splice if best[item][2] != name]:
            del tally.back_splice[fragment]
            del tally.positions[fragment]


def counts_row(name: str, tally: Tally) -> dict[str, object]:
    """Return a tally as a row of `CIRCLE_COUNTS`."""
    return {
        "circle": name,
        "back_splice": len(tally.back_splice),
        "linear_start": len(tally.linear_start),
        "linear_end": len(tally.linear_end),
        "distinct_positions": len(set(tally.positions.values())),
        "spliced_introns": format_introns(tally.spliced),
        "retained_introns": format_introns(tally.retained),
    }


def format_introns(introns: Mapping[tuple[int, int], int]) -> str:
    """Write introns as ``start-end:fragments`` joined by commas, sorted; empty if none."""
    return ",".join(f"{start}-{end}:{count}" for (start, end), count in sorted(introns.items()))


def parse_introns(text: str) -> Counter[tuple[int, int]]:
    """Read what `format_introns` wrote."""
    introns: Counter[tuple[int, int]] = Counter()
    for item in filter(None, text.split(",")):
        place, count = item.split(":")
        start, end = place.split("-")
        introns[int(start), int(end)] += int(count)
    return introns


def is_high_confidence(junction: Junction, reads: int, positions: int) -> bool:
    """Return whether a circle is told with high confidence.

    Two annotated ends need five fragments (below that the precision of every published tool falls).
    Other junctions need ten, and a GT/AG signal or the lariat of an annotated intron. Either must
    show the junction at three or more places of a read, which copies of one molecule do not.
    """
    if positions < HIGH_CONFIDENCE_POSITIONS:
        return False
    if junction.annotated == 2:
        return reads >= HIGH_CONFIDENCE_READS
    return junction.motif in ("GT/AG", "lariat") and reads >= HIGH_CONFIDENCE_NOVEL_READS

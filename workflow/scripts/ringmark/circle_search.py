"""Reads of circles that the aligner explained linearly, elsewhere or badly, or not at all.

A read over a back-splice is often placed whole, with a few differences or an odd gap, on a
paralogue, on a retro-copy or on the neighbouring copy of a duplicated exon. Where an alignment
costs `MARGIN` differences or more (`ringmark.backsplice.linear_cost`), the bases around the
candidates' junctions are looked for in the read. Where they are found, the read is compared with
the circle base by base, and then its mate. The fragment crosses the circle if that leaves `MARGIN`
differences fewer than the aligner's places of both mates together do.

Sequences are along the genome's forward strand: the left part of a read ends at the circle's end,
the right part begins at its start.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pysam

from ringmark.alignments import aligned_blocks, fragment_strand
from ringmark.annotation import Annotation
from ringmark.backsplice import (
    MARGIN,
    NOVEL_INTRON_COST,
    Junction,
    Limits,
    SpliceSites,
    linear_cost,
    senses,
)
from ringmark.circles import Circle
from ringmark.exon_ends import MISMATCH_RATE
from ringmark.intervals import merge
from ringmark.sequence import mismatches, reverse_complement

#: Length of the pieces of a junction that are looked for in reads.
SEED = 12
#: How many bases of a piece lie before the junction, for each of its pieces.
SEED_CUTS = (6, 4, 8)
#: Bases of a circle on each side of its junction that a read is compared with.
CONTEXT = 300
#: Spliced length up to which a mate is looked for all over a circle.
LONGEST_CIRCLE = 10_000
#: Distance between the places of a mate at which it is looked up in a circle.
PROBE_STEP = 8
#: Records that begin within so many bases of each other are fetched together.
FETCHED_TOGETHER = 100


#: Sorts circles that fit a fragment equally well.
Preference = tuple[bool, int, int, int, int]


def preference(circle: Circle, evidence: int, annotation: Annotation, alone: int = 0) -> Preference:
    """Return what comes first among circles that fit a fragment equally well.

    Last come circles that reach beyond every gene of their strand: a paralogue is the likelier
    reason. Then more annotated ends, more fragments that fit no other circle, more evidence and the
    shorter span decide.

    Parameters
    ----------
    evidence
        How many reads of the study led to the circle.
    alone
        Fragments of the library that fit this circle better than any other one.
    """
    junction = circle.junction
    apart = not any(
        gene.start <= junction.start and junction.end <= gene.end
        for gene in annotation.overlapping(
            junction.chrom, junction.start, junction.end, junction.strand
        )
    )
    return apart, -junction.annotated, -alone, -evidence, junction.end - junction.start


@dataclass(frozen=True, slots=True)
class Fit:
    """How a read fits a circle.

    Attributes
    ----------
    edits
        Bases of the read that differ from the circle.
    before, after
        Bases of the read from the junction on, towards the left and towards the right.
    along
        Whether the read, as it was sequenced, runs along the RNA.
    """

    edits: int
    before: str
    after: str
    along: bool

    @property
    def cut(self) -> int:
        """First base of the read after the junction, along the genome's forward strand."""
        return len(self.before)

    @property
    def anchor(self) -> int:
        """Bases on the shorter side of the junction."""
        return min(len(self.before), len(self.after))


@dataclass(frozen=True, slots=True)
class Found:
    """A fragment that goes round a circle although the aligner placed it elsewhere.

    Attributes
    ----------
    circle
        Number of the circle.
    place
        Place of the junction in the read, and whether the read is on the reverse strand.
    anchor
        Bases on the shorter side of the junction, of the read that has most.
    shared
        Whether it fits another circle as well.
    """

    circle: int
    place: tuple[int, bool]
    anchor: int
    shared: bool = False


@dataclass(slots=True)
class _Suspect:
    """A fragment of which a read fits circles better than its alignment.

    Attributes
    ----------
    fits
        Is it the second mate, to circles with the fit of this mate.
    regions
        Where the records of the fragment lie: contig and position; ``None`` without.
    """

    fits: dict[bool, dict[int, Fit]] = field(default_factory=dict)
    regions: set[tuple[str, int] | None] = field(default_factory=set)


class CircleSearch:
    """Looks for circles in reads by the bases around the junctions.

    Parameters
    ----------
    circles
        All candidates of the study.
    annotation, genome, sites
        The reference.
    strandedness
        The library's.
    limits
        Anchors and tolerances.
    is_linear
        Whether linear RNA at the ends of a circle (its number) rivals it for the bases of a read
        before (backwards) and after the junction.
    """

    def __init__(
        self,
        circles: Sequence[Circle],
        annotation: Annotation,
        genome: pysam.FastaFile,
        sites: SpliceSites,
        strandedness: str,
        limits: Limits,
        is_linear: Callable[[int, str, str], bool],
    ) -> None:
        self.is_linear = is_linear
        self.circles = circles
        self.annotation = annotation
        self.genome = genome
        self.sites = sites
        self.strandedness = strandedness
        self.limits = limits
        self.suspects: dict[str, _Suspect] = defaultdict(_Suspect)
        self.seeds: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._contexts = lru_cache(maxsize=20_000)(self._read_contexts)
        for number, circle in enumerate(circles):
            self._add_seeds(number, circle)
        #: Circles that share a piece of their junction with another one.
        self.alike = {
            number for found in self.seeds.values() if len(found) > 1 for number, _ in found
        }

    def _add_seeds(self, number: int, circle: Circle) -> None:
        """Index the pieces of a junction in the sense of the circle's RNA."""
        junction = circle.junction
        for cut in SEED_CUTS:
            rest = SEED - cut
            left = self.genome.fetch(junction.chrom, max(junction.end - cut, 0), junction.end)
            right = self.genome.fetch(junction.chrom, junction.start, junction.start + rest)
            seed = (left + right).upper()
            if junction.strand == "-":
                self.seeds[reverse_complement(seed)].append((number, rest))
            else:
                self.seeds[seed].append((number, cut))

    def look(self, read: pysam.AlignedSegment) -> None:
        """Look for circles in one primary record, if its alignment leaves room for them."""
        if linear_cost(read, self.sites) < MARGIN or read.query_sequence is None:
            return
        seeds = self.seeds
        fits: dict[int, Fit] = {}
        for sequence in senses(read, self.strandedness):
            hits = [
                place
                for place in range(len(sequence) - SEED + 1)
                if sequence[place : place + SEED] in seeds
            ]
            places = {
                (number, place + cut): None
                for place in hits
                for number, cut in seeds[sequence[place : place + SEED]]
            }
            for number, cut in places:
                fit = self._fit(number, sequence, cut, along=_runs_along(read, sequence))
                if fit and (number not in fits or fit.edits < fits[number].edits):
                    fits[number] = fit
        if not fits:
            return
        suspect = self.suspects[str(read.query_name)]
        suspect.fits[read.is_read2] = fits
        suspect.regions |= _regions(read)

    def _fit(self, number: int, sequence: str, cut: int, *, along: bool) -> Fit | None:
        """Compare a read, in the sense of its RNA, with a circle whose junction it has at a cut."""
        if self.circles[number].junction.strand == "-":
            sequence, cut = reverse_complement(sequence), len(sequence) - cut
        left, right = sequence[:cut][::-1], sequence[cut:]
        if min(len(left), len(right)) < self.limits.min_anchor:
            return None
        befores, afters = self._contexts(number)
        edits = 0
        for shown, contexts in ((left, befores), (right, afters)):
            wrong = min(_differences(shown, context) for context in contexts)
            if wrong > MISMATCH_RATE * len(shown):
                return None
            edits += wrong
        return Fit(edits, left, right, along)

    def _read_contexts(self, number: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return what reads show before (backwards) and after a circle's junction, on its paths."""
        junction = self.circles[number].junction
        befores: dict[str, None] = {}
        afters: dict[str, None] = {}
        for path in paths(self.circles[number], self.annotation):
            first, last = path[0][0] == junction.start, path[-1][1] == junction.end
            # a path of the whole circle is followed round and round
            turns = -(-CONTEXT // _length(path)) if first and last else 1
            if first:
                bases = joined_bases(self.genome, junction.chrom, path, "left", CONTEXT)
                afters[(bases * turns)[:CONTEXT]] = None
            if last:
                bases = joined_bases(self.genome, junction.chrom, path, "right", CONTEXT)
                befores[(bases * turns)[::-1][:CONTEXT]] = None
        return tuple(befores), tuple(afters)

    def resolve(
        self,
        bam: pysam.AlignmentFile,
        taken: Container[str],
        preferences: Sequence[Preference],
    ) -> dict[str, Found]:
        """Return the suspected fragments that go round a circle, by name.

        Parameters
        ----------
        bam
            The BAM whose records have been looked at, to read their mates.
        taken
            Names of fragments that are settled already.
        preferences
            Of each circle, to decide between those that fit equally well (`preference`).
        """
        open_cases = {
            name: suspect
            for name, suspect in self.suspects.items()
            if name not in taken and self._unrivalled(suspect)
        }
        reads: dict[str, list[pysam.AlignedSegment]] = defaultdict(list)
        for read in _fetch(bam, open_cases):
            # a mate without bases says nothing for or against a circle
            if read.query_sequence is not None:
                reads[str(read.query_name)].append(read)
        found = {}
        for name, suspect in open_cases.items():
            best = self._best(suspect, reads[name], preferences)
            if best is not None:
                found[name] = best
        return found

    def _unrivalled(self, suspect: _Suspect) -> list[int]:
        """Return the circles that linear RNA does not rival for all reads that fit them."""
        fits: dict[int, list[Fit]] = defaultdict(list)
        for found in suspect.fits.values():
            for number, fit in found.items():
                fits[number].append(fit)
        return [
            number
            for number, own in fits.items()
            if not all(self.is_linear(number, fit.before, fit.after) for fit in own)
        ]

    def _best(
        self,
        suspect: _Suspect,
        reads: Sequence[pysam.AlignedSegment],
        preferences: Sequence[Preference],
    ) -> Found | None:
        """Return the circle that all reads of a fragment fit better than their alignments."""
        choices = []
        for number in self._unrivalled(suspect):
            circular = self._circular_cost(number, suspect, reads)
            linear = sum(self._linear_cost(number, read) for read in reads)
            if circular is not None and linear >= circular + MARGIN:
                choices.append((circular, preferences[number], number))
        if not choices:
            return None
        cost, _, number = min(choices)
        shared = sum(choice[0] == cost for choice in choices) > 1
        second = min(mate for mate, fits in suspect.fits.items() if number in fits)
        reverse = next(read.is_reverse for read in reads if read.is_read2 == second)
        anchor = max(fits[number].anchor for fits in suspect.fits.values() if number in fits)
        return Found(number, (suspect.fits[second][number].cut, reverse), anchor, shared)

    def _linear_cost(self, number: int, read: pysam.AlignedSegment) -> int:
        """Return how badly the aligner explained a read, where a circle is the alternative.

        An intron that nobody annotated is no worse than a circle with ends that nobody annotated.
        """
        annotated = self.circles[number].junction.annotated == 2
        return linear_cost(read, self.sites, NOVEL_INTRON_COST if annotated else 0)

    def _circular_cost(
        self, number: int, suspect: _Suspect, reads: Sequence[pysam.AlignedSegment]
    ) -> int | None:
        """Return the differences of all reads of a fragment from a circle, if they fit it."""
        fits = {mate: found[number] for mate, found in suspect.fits.items() if number in found}
        if len(fits) == 2 and fits[False].along == fits[True].along:
            return None
        total = 0
        for read in reads:
            fit = fits.get(read.is_read2)
            edits = fit.edits if fit else self._inside(number, read, fits[not read.is_read2])
            if edits is None:
                return None
            total += edits
        return total

    def _inside(self, number: int, read: pysam.AlignedSegment, other: Fit) -> int | None:
        """Return the differences of the mate of a read that crosses a circle, if it lies in it."""
        junction = self.circles[number].junction
        # a circle may be spliced in a way that nobody annotated
        if linear_cost(read, self.sites, 0) < MARGIN and self._may_be_of(read, junction):
            blocks = aligned_blocks(read.cigartuples or (), read.reference_start)
            if junction.start <= blocks[0][0] and blocks[-1][1] <= junction.end:
                return self._linear_cost(number, read)
        choices = [
            wrong
            for sequence in senses(read, self.strandedness)
            if _runs_along(read, sequence) != other.along
            for wrong in self._probe(number, sequence)
        ]
        best = min(choices, default=None)
        size = read.query_length
        return best if best is not None and best <= MISMATCH_RATE * size else None

    def _may_be_of(self, read: pysam.AlignedSegment, junction: Junction) -> bool:
        """Return whether a read has a circle's contig and strand, and its mate points back."""
        if read.reference_name != junction.chrom:
            return False
        if fragment_strand(read, self.strandedness) not in (junction.strand, "."):
            return False
        if not read.is_paired or read.mate_is_unmapped:
            return True
        elsewhere = read.next_reference_id != read.reference_id
        return elsewhere or read.mate_is_reverse != read.is_reverse

    def _probe(self, number: int, sequence: str) -> Iterator[int]:
        """Yield the differences of a read from a circle where pieces of both agree."""
        strand = self.circles[number].junction.strand
        shown = sequence if strand == "+" else reverse_complement(sequence)
        for turn, length in self._turns(number, len(shown)):
            offsets = set()
            for place in range(0, len(shown) - SEED + 1, PROBE_STEP):
                offset = turn.find(shown[place : place + SEED])
                if offset >= 0:
                    offsets.add((offset - place) % length)
            for offset in sorted(offsets):
                yield _differences(shown, turn[offset:])

    def _turns(self, number: int, size: int) -> Iterator[tuple[str, int]]:
        """Yield the paths of a whole circle, followed round until any read has its place.

        With each comes the length of one turn.
        """
        circle = self.circles[number]
        junction = circle.junction
        for path in paths(circle, self.annotation):
            whole = path[0][0] == junction.start and path[-1][1] == junction.end
            length = _length(path)
            if whole and length <= LONGEST_CIRCLE:
                bases = joined_bases(self.genome, junction.chrom, path, "left", length)
                yield bases * (2 + size // length), length


def _runs_along(read: pysam.AlignedSegment, sequence: str) -> bool:
    """Return whether a read as sequenced runs along the RNA in whose sense its bases are given."""
    return (sequence == read.query_sequence) != read.is_reverse


def paths(circle: Circle, annotation: Annotation) -> list[list[tuple[int, int]]]:
    """Return the ways reads may take through a circle, as blocks on the genome.

    These are the genome itself (a retained intron, or no annotation) and the exons of every
    transcript of its strand; these need not reach the circle's ends.
    """
    junction = circle.junction
    start, end = junction.start, junction.end
    found = [[(start, end)]]
    for gene in annotation.overlapping(junction.chrom, start, end, junction.strand):
        for transcript in gene.transcripts:
            inside = transcript.exons.clip(start, end)
            path = list(zip(inside.starts.tolist(), inside.ends.tolist(), strict=True))
            if path and path not in found:
                found.append(path)
    return found


def joined_bases(
    genome: pysam.FastaFile, chrom: str, path: Sequence[tuple[int, int]], end: str, size: int
) -> str:
    """Return up to ``size`` bases of joined blocks at their ``left`` or ``right`` end."""
    pieces = []
    for left, right in path if end == "left" else reversed(path):
        used = min(right - left, size)
        first = left if end == "left" else right - used
        pieces.append(str(genome.fetch(chrom, first, first + used)).upper())
        size -= used
        if size == 0:
            break
    return "".join(pieces if end == "left" else reversed(pieces))


def _length(path: Sequence[tuple[int, int]]) -> int:
    return sum(right - left for left, right in path)


def _differences(shown: str, expected: str) -> int:
    """Count mismatches; bases of the read beyond the expected ones count too."""
    return mismatches(shown, expected) + max(len(shown) - len(expected), 0)


def _regions(read: pysam.AlignedSegment) -> set[tuple[str, int] | None]:
    """Return where a read's record and its mate's lie."""
    places: set[tuple[str, int] | None] = set()
    own = read.reference_name
    places.add(None if own is None else (own, read.reference_start))
    if read.is_paired:
        other = read.next_reference_name
        places.add(None if other is None else (other, read.next_reference_start))
    return places


def _fetch(
    bam: pysam.AlignmentFile, suspects: dict[str, _Suspect]
) -> Iterator[pysam.AlignedSegment]:
    """Yield the primary records of fragments."""
    places: dict[str, set[int]] = defaultdict(set)
    unplaced = False
    for suspect in suspects.values():
        for region in suspect.regions:
            if region is None:
                unplaced = True
            else:
                places[region[0]].add(region[1])
    for chrom, positions in sorted(places.items()):
        firsts = np.array(sorted(positions))
        # a deep place is read once, and not again for every record that begins there
        regions = merge(firsts, firsts + FETCHED_TOGETHER)
        for start, end in zip(*(item.tolist() for item in regions), strict=True):
            for read in bam.fetch(chrom, start, end):
                if start <= read.reference_start < end and _is_primary(read, suspects):
                    yield read
    if unplaced:
        bam.reset()
        for read in bam.fetch("*"):
            if _is_primary(read, suspects):
                yield read


def _is_primary(read: pysam.AlignedSegment, suspects: dict[str, _Suspect]) -> bool:
    return read.query_name in suspects and not (read.is_secondary or read.is_supplementary)

"""Counting the circles of one contig: every read over an end of a circle is fought for.

- A read crosses a back-splice if a way round a circle explains it, and does so by `MARGIN`
  mismatches better than every linear way and than the aligner's own linear placement of the tail
  (but for a few bases behind an intron that nobody annotated, which fit somewhere by chance).
  The same must hold seen from the circle's other end, for the bases on the inner side (where an
  exon is duplicated in tandem, only one end tells the linear splice from the back-splice).
- Otherwise it runs linearly over the boundary, if a linear way explains it or the aligner placed
  the tail linearly. Where it enters the end of a circle from an exon outside, the tail counts for
  that end too, so that reads the aligner clipped are seen from both sides, as back-splices are.

Both need ``min_anchor`` bases on each side of the boundary; of a tail shorter than `CERTAIN_ANCHOR`
either must fit by the margin better than whatever leads elsewhere. Fewer bases, and any better fit,
are enough where the mate shows the way: where it lies inside the circle and the two point away from
each other, or beyond the boundary.

Fragments are counted, by name. One that fits several circles goes to the one it fits best; of
equals, to the one that comes first (`ringmark.circle_search.preference`). It is dropped where its
mate lies outside of the circle, points the wrong way, or runs out of the circle in a way that the
circle does not explain.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pysam

from ringmark.alignments import (
    aligned_introns,
    blocks_and_introns,
    fragment_strand,
    records_over,
)
from ringmark.backsplice import (
    MARGIN,
    PLACEMENT_RANGE,
    SHORTEST_INTRON,
    Limits,
    Run,
    SpliceSites,
    aligned_runs,
    mate_inside,
    mate_points_back,
)
from ringmark.circle_search import Preference
from ringmark.circle_ways import (
    CERTAIN_ANCHOR,
    COMPARED_BASES,
    Boundary,
    Contest,
    Key,
    Twins,
    Way,
    agreeing_way,
    compete,
    cut_read,
    is_of,
)
from ringmark.circles import Circle
from ringmark.sequence import mismatches

#: Distance by which a read that points away from its mate must lie from it.
MATE_DISTANCE = 10
#: Intron bases a read must cover before the intron counts as retained.
RETAINED_BASES = 10

#: Contests that a counter remembers: reads come in the order of their places, and many agree.
REMEMBERED_CONTESTS = 2_000

#: Why reads whose bases beyond an end go on round a circle do not cross it, in the order tested.
READ_FILTERS = (
    "linear RNA explains the read as well",
    "the aligner's place explains it as well",
    "linear RNA explains its other part as well",
    "mate on another contig or strand",
)
#: Why fragments that cross a circle are not counted.
MATE_FILTER = "mate does not fit the circle"


@dataclass
class Tally:
    """What one library shows of one circle.

    Attributes
    ----------
    back_splice
        Names of the fragments across the junction.
    positions
        Places of the junction in their reads, with the strand of the read.
    shared
        Fragments that fit another circle as well.
    anchored
        Fragments of which a read has `CERTAIN_ANCHOR` bases on both sides of the junction.
    closer
        Reads that fit the circle better than linear RNA, but not by the margin.
    linear_start, linear_end
        Fragments that run linearly over the circle's start and end.
    spliced, retained
        Introns inside to the number of fragments.
    """

    back_splice: set[str] = field(default_factory=set)
    positions: set[tuple[int, bool]] = field(default_factory=set)
    shared: int = 0
    anchored: int = 0
    closer: int = 0
    linear_start: int = 0
    linear_end: int = 0
    spliced: Counter[tuple[int, int]] = field(default_factory=Counter)
    retained: Counter[tuple[int, int]] = field(default_factory=Counter)


class _Touch(NamedTuple):
    """A read at a boundary.

    Attributes
    ----------
    runs
        Its aligned runs.
    cut, short
        Of `cut_read`.
    tail, inner
        Its bases beyond the boundary, and on the inner side as far as they are aligned, both in the
        order away from the boundary.
    """

    boundary: Boundary
    runs: Sequence[Run]
    cut: int
    short: int
    tail: str
    inner: str

    @property
    def sides(self) -> tuple[str, str]:
        """Bases before the junction of a circle, backwards, and after it."""
        if self.boundary.side == "left":
            return self.tail, self.inner
        return self.inner, self.tail


class _Crossing(NamedTuple):
    """What the best read of a fragment shows of a circle.

    Attributes
    ----------
    edits
        Differences between the read and the circle.
    astray
        Whether the mate starts outside of the circle.
    mates
        Mates that are aligned, this one included.
    start
        Where the record begins.
    place
        Place of the junction in the read, and whether the read is on the reverse strand.
    anchor
        Bases on the shorter side of the junction.
    """

    edits: int
    astray: bool
    mates: int
    start: int
    place: tuple[int, bool]
    anchor: int

    @property
    def rank(self) -> tuple[int, bool, int, bool]:
        """Sorts the records of a fragment, best first, whatever their order in the BAM."""
        return self.edits, self.astray, self.start, self.place[1]


@dataclass(slots=True)
class _Inside:
    """What the records of a fragment show of its circle.

    Attributes
    ----------
    mates
        Mates (is it the second one) that have an alignment in the circle.
    leaves
        Whether a mate runs out of the circle.
    spliced, retained
        Introns that the fragment splices over, and that it reads into.
    """

    mates: set[bool] = field(default_factory=set)
    leaves: bool = False
    spliced: set[tuple[int, int]] = field(default_factory=set)
    retained: set[tuple[int, int]] = field(default_factory=set)


#: Sorts the circles of a contig by how well a fragment fits them; the last item is the number.
_Rank = tuple[int, bool, Preference, int]


class ContigCounter:
    """Counts the circles of one contig."""

    def __init__(
        self,
        bam: pysam.AlignmentFile,
        genome: pysam.FastaFile,
        circles: Sequence[Circle],
        boundaries: Sequence[Boundary],
        twins: Sequence[Twins],
        sites: SpliceSites,
        strandedness: str,
        limits: Limits,
    ) -> None:
        self.bam = bam
        self.genome = genome
        self.chrom = circles[0].junction.chrom
        self.circles = circles
        self.numbers = {circle.name: number for number, circle in enumerate(circles)}
        self.sites = sites
        self.boundaries = boundaries
        self.twins = twins
        self.places = [boundary.position for boundary in boundaries]
        #: The first boundary that records yet to come may touch.
        self.first = 0
        self.by_key = {boundary.key: boundary for boundary in boundaries}
        self.ways_of: dict[tuple[Key, int], tuple[Way, ...]] = {}
        self.contest = lru_cache(maxsize=REMEMBERED_CONTESTS)(self._compete)
        self.linear_margin = lru_cache(maxsize=REMEMBERED_CONTESTS)(self._linear_margin)
        self.strandedness = strandedness
        self.limits = limits
        self.crossings: dict[str, dict[int, _Crossing]] = defaultdict(dict)
        #: Reads that a circle explains, whether or not they cross it for certain.
        self.explained: set[int] = set()
        #: Fragments that run over an end, by a number for their name, as often as reads show it.
        self.linear: dict[tuple[Key, str], array[int]] = defaultdict(lambda: array("Q"))
        #: Filter to the number of reads (or fragments) that it removed.
        self.removed: Counter[str] = Counter()
        self.crossing_reads = 0
        #: Circles whose junctions read like those of others.
        self.alike: frozenset[int] = frozenset()
        #: Circle to the reads that fit it better than linear RNA, but not by the margin.
        self.closer: Counter[int] = Counter()

    def look(self, read: pysam.AlignedSegment, end: int) -> bool:
        """Judge a record at every boundary that it touches; return whether it crosses a circle.

        Parameters
        ----------
        end
            Where its alignment ends on the genome.
        """
        places, start = self.places, read.reference_start
        # records come in the order of their places
        first = self.first
        while first < len(places) and places[first] < start - PLACEMENT_RANGE:
            first += 1
        self.first = first
        last = end + PLACEMENT_RANGE
        crossings = self.crossing_reads
        if first < len(places) and places[first] <= last and read.query_sequence is not None:
            self._look(read, first, last)
        return self.crossing_reads > crossings

    def _look(self, read: pysam.AlignedSegment, first: int, last: int) -> None:
        runs = aligned_runs(read.cigartuples or (), read.reference_start)
        sequence = str(read.query_sequence)
        strand = fragment_strand(read, self.strandedness)
        anchor = self.limits.min_anchor
        for number in range(first, len(self.places)):
            boundary = self.boundaries[number]
            if boundary.position > last:
                break
            found = cut_read(runs, boundary.position, boundary.side)
            if found is None:
                continue
            cut, short = found
            if boundary.side == "left":
                tail, inner = sequence[:cut][::-1], sequence[cut : read.query_alignment_end]
            else:
                tail = sequence[cut:]
                inner = sequence[read.query_alignment_start : cut][::-1]
            if tail and len(inner) - short >= anchor:
                touch = _Touch(boundary, runs, cut, short, tail, inner)
                self._judge(read, touch, strand)

    def _judge(self, read: pysam.AlignedSegment, touch: _Touch, strand: str) -> None:
        """Let the ways beyond a boundary compete for a read."""
        boundary = touch.boundary
        anchor = self.limits.min_anchor
        head = touch.tail[:COMPARED_BASES]
        certain = len(touch.tail) >= max(CERTAIN_ANCHOR, anchor)
        agreeing = agreeing_way(boundary.ways, head, strand)
        if agreeing is not None:
            # the most reads by far, and no circle wins them
            if agreeing.ends and (certain or self._is_clearly_linear(read, touch, strand)):
                self._note_linear(read, agreeing.ends, strand)
            return
        contest = self.contest(boundary.key, head, strand)
        if contest.rounds:
            name, is_second = str(read.query_name), read.is_read2
            self.explained.update(_number_of(name, is_second, item) for item in contest.rounds)
            reason = self._go_round(read, touch, contest, strand)
            if not reason:
                self.crossing_reads += 1
                return
            if certain:
                self.removed[reason] += 1
            if reason in READ_FILTERS[2:]:
                return
        if not certain and not self._is_clearly_linear(read, touch, strand):
            return
        if contest.is_linear:
            keys = contest.passed
        elif _outside(self._believed(touch), boundary) >= anchor:
            keys = boundary.ways[0].ends
        else:
            return
        self._note_linear(read, keys, strand)

    def _note_linear(self, read: pysam.AlignedSegment, keys: Iterable[Key], strand: str) -> None:
        """Note that a fragment runs linearly over some ends of circles."""
        fragment = _number_of(str(read.query_name))
        for key in keys:
            self.linear[key, strand].append(fragment)

    def _is_clearly_linear(self, read: pysam.AlignedSegment, touch: _Touch, strand: str) -> bool:
        """Return whether a short tail goes on linearly: the mirror image of what makes it round.

        It must fit by the margin better than any way that leads elsewhere, or better at all where
        the mate lies beyond the boundary.
        """
        boundary, tail = touch.boundary, touch.tail
        margin = self.linear_margin(boundary.key, tail, strand)
        if len(tail) >= self.limits.min_anchor and margin >= MARGIN:
            return True
        mate = read.next_reference_start
        beyond = mate >= boundary.position if boundary.side == "right" else mate < boundary.position
        return margin >= 1 and beyond and self._pairs_up(read, touch)

    def _linear_margin(self, key: Key, tail: str, strand: str) -> int:
        """Return by how much the best linear ways fit a tail better than what leads elsewhere."""
        contest = self.contest(key, tail[:COMPARED_BASES], strand)
        rivals = [
            mismatches(tail, way.bases)
            for way in self.by_key[key].ways
            if is_of(way, strand) and not set(way.ends) & set(contest.passed)
        ]
        return min(rivals, default=len(tail)) - contest.linear

    def _pairs_up(self, read: pysam.AlignedSegment, touch: _Touch) -> bool:
        """Return whether the fragment goes on beyond the boundary, and the mate is aligned."""
        if not read.is_paired or read.mate_is_unmapped or not mate_points_back(read):
            return False
        return read.is_reverse == (touch.boundary.side == "left")

    def _mate_across(self, read: pysam.AlignedSegment, touch: _Touch, circle: int) -> bool:
        """Return whether the mate lies where only the way round a circle leads."""
        junction = self.circles[circle].junction
        mate = read.next_reference_start
        back = read.reference_start - mate if not read.is_reverse else mate - read.reference_start
        inside = junction.start - self.limits.mate_tolerance <= mate < junction.end
        return inside and back >= MATE_DISTANCE and self._pairs_up(read, touch)

    def _go_round(
        self, read: pysam.AlignedSegment, touch: _Touch, contest: Contest, strand: str
    ) -> str:
        """Note the circles that a read crosses, or return the filter that removes it."""
        size = len(touch.tail)
        rounds: Sequence[int] = contest.rounds
        margin = MARGIN
        if size < max(CERTAIN_ANCHOR, self.limits.min_anchor):
            across = [circle for circle in rounds if self._mate_across(read, touch, circle)]
            if across:
                rounds, margin = across, 1
            elif size < self.limits.min_anchor:
                return READ_FILTERS[0]
        if contest.linear < contest.circular + margin:
            if contest.linear > contest.circular and size >= CERTAIN_ANCHOR:
                self.closer.update(rounds)
            return READ_FILTERS[0]
        placed, wrong = self._own_placement(read, touch)
        if wrong + size - placed < contest.circular + margin:
            return READ_FILTERS[1]
        rounds = [
            circle
            for circle in rounds
            if self._other_end(circle, touch.boundary, touch.inner, strand)
            and not self.twins[circle].explain(*touch.sides)
        ]
        if not rounds:
            return READ_FILTERS[2]
        if not mate_points_back(read):
            return READ_FILTERS[3]
        edits = int(read.get_tag("NM")) - wrong + contest.circular
        self._cross(read, rounds, edits + self._short_edits(read, touch), touch)
        return ""

    def _compete(self, key: Key, head: str, strand: str, circle: int | None = None) -> Contest:
        """Compare the first bases of a tail with all ways, or the linear and those of a circle."""
        ways = self.by_key[key].ways if circle is None else self._ways_of(key, circle)
        return compete(ways, head, strand)

    def _ways_of(self, key: Key, circle: int) -> tuple[Way, ...]:
        """Return the linear ways at a boundary and those round one circle."""
        known = self.ways_of.get((key, circle))
        if known is None:
            known = tuple(way for way in self.by_key[key].ways if way.circle in (-1, circle))
            self.ways_of[key, circle] = known
        return known

    def _other_end(self, circle: int, boundary: Boundary, inner: str, strand: str) -> bool:
        """Return whether no linear way at a circle's other end rivals it for the inner bases."""
        junction = self.circles[circle].junction
        end = (junction.end, "right") if boundary.side == "left" else (junction.start, "left")
        contest = self.contest(end, inner[:COMPARED_BASES], strand, circle)
        return contest.is_round or not contest.is_linear

    def is_linear(self, circle: Circle, before: str, after: str) -> bool:
        """Return whether linear RNA rivals a circle for a read.

        Parameters
        ----------
        before, after
            Bases of the read from the junction on, towards the left and towards the right.
        """
        number = self.numbers[circle.name]
        if self.twins[number].explain(before, after):
            return True
        junction = circle.junction
        contests = [
            compete(self._ways_of(key, number), tail, junction.strand)
            for tail, key in sorted(
                [(before, (junction.start, "left")), (after, (junction.end, "right"))],
                key=lambda item: len(item[0]),
            )
        ]
        shorter, longer = contests
        return not shorter.is_round or (longer.is_linear and not longer.is_round)

    def _own_placement(self, read: pysam.AlignedSegment, touch: _Touch) -> tuple[int, int]:
        """Return how many bases of the tail the aligner placed, and their mismatches."""
        placed = wrong = 0
        if _stops_before(touch):
            return placed, wrong
        sequence = str(read.query_sequence)
        for start, end, base in self._believed(touch):
            if touch.boundary.side == "left":
                left, right = start, min(end, start + touch.cut - base)
            else:
                left, right = max(start, start + touch.cut - base), end
            if right <= left:
                continue
            shown = sequence[base + left - start : base + right - start]
            wrong += mismatches(shown, self.genome.fetch(self.chrom, left, right).upper())
            placed += right - left
        return placed, wrong

    def _believed(self, touch: _Touch) -> Sequence[Run]:
        """Return the runs of a read without an end that chance may have put behind an intron.

        That is, fewer than ``min_novel_anchor`` bases of the tail behind one nobody annotated.
        """
        step = 1 if touch.boundary.side == "left" else -1
        runs = touch.runs[::step]
        first = bases = 0
        for number, (outer, inner) in enumerate(pairwise(runs), start=1):
            bases += outer[1] - outer[0]
            if bases >= self.limits.min_novel_anchor:
                break
            left, right = sorted((outer, inner))
            is_long = right[0] - left[1] >= SHORTEST_INTRON
            if is_long and not self.sites.is_intron(self.chrom, left[1], right[0]):
                first = number
        return runs[first:][::step]

    def _short_edits(self, read: pysam.AlignedSegment, touch: _Touch) -> int:
        """Return the mismatches between the end of an alignment and the boundary beyond it."""
        cut, short, boundary = touch.cut, touch.short, touch.boundary
        if short == 0:
            return 0
        sequence = str(read.query_sequence)
        if boundary.side == "left":
            return mismatches(sequence[cut : cut + short], boundary.inner[:short])
        return mismatches(sequence[cut - short : cut], boundary.inner[-short:])

    def _cross(
        self, read: pysam.AlignedSegment, rounds: Sequence[int], edits: int, touch: _Touch
    ) -> None:
        """Note that a read crosses the back-splices of some circles."""
        anchor = min(len(touch.tail), len(touch.inner) - touch.short)
        found = self.crossings[str(read.query_name)]
        mates = 2 if read.is_paired and not read.mate_is_unmapped else 1
        for number in rounds:
            junction = self.circles[number].junction
            astray = not mate_inside(read, junction.start, junction.end, self.limits.mate_tolerance)
            place = touch.cut, read.is_reverse
            seen = _Crossing(edits, astray, mates, read.reference_start, place, anchor)
            known = found.get(number)
            if known is not None:
                best = min(known, seen, key=lambda item: item.rank)
                seen = best._replace(anchor=max(known.anchor, seen.anchor))
            found[number] = seen

    def tally(self, preferences: Sequence[Preference]) -> list[Tally]:
        """Return the back-splice fragments of every circle and what they show.

        What the counter remembers of single fragments is given up for that.
        """
        owners = {name: self.best(name, preferences)[-1] for name in self.crossings}
        tallies = [Tally(closer=self.closer[number]) for number in range(len(self.circles))]
        for name, inside in self._look_inside(owners).items():
            crossing = self.crossings[name][owners[name]]
            if inside.leaves or len(inside.mates) < crossing.mates:
                self.removed[MATE_FILTER] += 1
                continue
            tally = tallies[owners[name]]
            tally.back_splice.add(name)
            tally.shared += self._is_shared(name, owners[name])
            tally.anchored += crossing.anchor >= CERTAIN_ANCHOR
            tally.positions.add(crossing.place)
            tally.spliced.update(inside.spliced)
            tally.retained.update(inside.retained)
        self.crossings.clear()
        self.explained.clear()
        return tallies

    def read_introns(self, tallies: Sequence[Tally]) -> None:
        """Count the introns inside circles without a host gene in all fragments of their strand.

        No linear RNA is known there, so all reads inside may be the circle's.
        """
        for circle, tally in zip(self.circles, tallies, strict=True):
            if circle.gene is not None or not tally.back_splice:
                continue
            start, end = circle.junction.start, circle.junction.end
            names: dict[tuple[int, int], set[str]] = defaultdict(set)
            for read in self.bam.fetch(self.chrom, start, end):
                if read.is_secondary or not read.has_tag("XS"):
                    continue
                if read.get_tag("XS") == circle.junction.strand:
                    for intron in aligned_introns(read.cigartuples or (), read.reference_start):
                        if start < intron[0] and intron[1] < end:
                            names[intron].add(str(read.query_name))
            tally.spliced = Counter({intron: len(found) for intron, found in names.items()})

    def count_linear(self, tallies: Sequence[Tally]) -> None:
        """Add the linear fragments at both ends of every circle."""
        for circle, tally in zip(self.circles, tallies, strict=True):
            tally.linear_start = self._count_linear(circle, "left", tally)
            tally.linear_end = self._count_linear(circle, "right", tally)

    def _count_linear(self, circle: Circle, side: str, tally: Tally) -> int:
        """Count the fragments that run linearly over an end of a circle."""
        junction = circle.junction
        key = (junction.start if side == "left" else junction.end, side)
        reads = [self.linear.get((key, strand), ()) for strand in (junction.strand, ".")]
        fragments = np.unique(np.concatenate([np.array(item, np.uint64) for item in reads]))
        own = np.array([_number_of(name) for name in sorted(tally.back_splice)], np.uint64)
        return int(np.isin(fragments, own, invert=True).sum())

    def best(self, name: str, preferences: Sequence[Preference]) -> _Rank:
        """Return the rank of the circle that a fragment fits best."""
        return min(
            (crossing.edits, crossing.astray, preferences[number], number)
            for number, crossing in self.crossings[name].items()
        )

    def is_doubtful(self, name: str) -> bool:
        """Return whether another circle than those a fragment crosses so far may be meant.

        That is, if it crosses several or one that reads like another, its mate lies outside, or it
        differs by the margin.
        """
        found = self.crossings.get(name, {})
        return len(found) > 1 or any(
            crossing.astray or crossing.edits >= MARGIN or number in self.alike
            for number, crossing in found.items()
        )

    def forget(self, names: Iterable[str]) -> None:
        """Give up fragments that have been settled otherwise."""
        for name in names:
            self.crossings.pop(name, None)

    def count_alone(self) -> list[int]:
        """Return how many fragments fit each circle better than any other one."""
        counts = [0] * len(self.circles)
        for found in self.crossings.values():
            ranks = {number: crossing.rank for number, crossing in found.items()}
            best = min(ranks.values())
            first = [number for number, rank in ranks.items() if rank == best]
            if len(first) == 1:
                counts[first[0]] += 1
        return counts

    def _is_shared(self, name: str, owner: int) -> bool:
        """Return whether a fragment fits another circle as well as its owner."""
        best = self.crossings[name][owner]
        return any(
            (other.edits, other.astray) == (best.edits, best.astray)
            for number, other in self.crossings[name].items()
            if number != owner
        )

    def _look_inside(self, owners: Mapping[str, int]) -> dict[str, _Inside]:
        """Read what the fragments of circles show inside them."""
        found: dict[str, _Inside] = defaultdict(_Inside)
        gaps = {number: self.circles[number].exons.gaps for number in set(owners.values())}
        for read in self._records(owners):
            name = str(read.query_name)
            number = owners[name]
            circle, inside = self.circles[number], found[name]
            start, end = circle.junction.start, circle.junction.end
            blocks, introns = blocks_and_introns(read.cigartuples or (), read.reference_start)
            own = _covered(blocks, start, end)
            if own:
                inside.mates.add(read.is_read2)
            if not read.is_supplementary:
                outside = sum(right - left for left, right in blocks) - own
                explained = _number_of(name, read.is_read2, number) in self.explained
                inside.leaves |= outside > PLACEMENT_RANGE and not explained
            inside.spliced.update(
                intron for intron in introns if start < intron[0] and intron[1] < end
            )
            inside.retained.update(
                gap
                for gap in gaps[number]
                if _covered(blocks, *gap) >= min(RETAINED_BASES, gap[1] - gap[0])
            )
        return found

    def _records(self, owners: Mapping[str, int]) -> Iterator[pysam.AlignedSegment]:
        """Yield the records of fragments, from the spans of their circles."""
        junctions = [self.circles[number].junction for number in sorted(set(owners.values()))]
        spans = [(item.start - PLACEMENT_RANGE, item.end + PLACEMENT_RANGE) for item in junctions]
        for read in records_over(self.bam, self.chrom, spans, owners):
            if not (read.is_unmapped or read.is_secondary):
                yield read


def _number_of(*facts: object) -> int:
    """Return a number of 64 bits for a read or fragment, to remember many of them in little room.

    It holds within a run of the program. Two of a million fragments get the same one in one of
    ten million libraries.
    """
    return hash(facts) & 0xFFFF_FFFF_FFFF_FFFF


def _stops_before(touch: _Touch) -> bool:
    """Return whether no base of the tail is aligned."""
    if touch.boundary.side == "left":
        return touch.runs[0][2] >= touch.cut
    start, end, base = touch.runs[-1]
    return base + end - start <= touch.cut


def _outside(runs: Sequence[Run], boundary: Boundary) -> int:
    """Return how many aligned bases of a read lie beyond a boundary."""
    if boundary.side == "left":
        return sum(max(min(end, boundary.position) - start, 0) for start, end, _ in runs)
    return sum(max(end - max(start, boundary.position), 0) for start, end, _ in runs)


def _covered(blocks: Sequence[tuple[int, int]], start: int, end: int) -> int:
    """Return the bases of blocks inside an interval."""
    return sum(max(min(right, end) - max(left, start), 0) for left, right in blocks)

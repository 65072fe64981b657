"""Counting candidate circles in one library: every read over an end is fought for.

An end of a circle is a boundary. A read with bases aligned on the inner side of a boundary goes on
beyond it in one of several ways: round the circle, along the genome, or over an annotated intron.
The bases beyond (the tail) are compared with each of them. A way explains a read if not more than
`MISMATCH_RATE` of the compared bases differ.

- The read crosses a back-splice if a way round a circle explains it, and does so by `MARGIN`
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
circle does not explain. Fragments that no boundary gives to a circle, or that are in doubt, are
settled by the bases of the candidates' junctions (`ringmark.circle_search`).

The BAM is read once for boundaries and junctions and, where circles were seen, once more for what
lies inside them.

References
----------
Zhang et al. 2020, Nature Communications 11:90 (counting on junction sequences).
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
    SECONDARY,
    SUPPLEMENTARY,
    aligned_introns,
    blocks_and_introns,
    fragment_strand,
)
from ringmark.annotation import Annotation, Gene
from ringmark.backsplice import (
    MARGIN,
    PLACEMENT_RANGE,
    SHORTEST_INTRON,
    Limits,
    Run,
    SpliceSites,
    aligned_runs,
    linear_cost,
    mate_inside,
    mate_points_back,
)
from ringmark.circle_search import CircleSearch, Preference, joined_bases, paths, preference
from ringmark.circles import Circle
from ringmark.errors import InputError
from ringmark.exon_ends import MISMATCH_RATE, longest
from ringmark.intervals import merge
from ringmark.sequence import mismatches
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
        "shared_fragments": INTEGER,
        "anchored_fragments": INTEGER,
        "closer_reads": INTEGER,
        "spliced_introns": STRING,
        "retained_introns": STRING,
    },
)

#: Bases of a tail that are compared with the ways.
COMPARED_BASES = 50
#: A way that differs in more than so many of the first bases of a tail is not looked at further: it
#: neither explains the tail nor rivals one that does.
COARSE_BASES, COARSE_MISMATCHES = 16, 8
#: Bases on both sides of a junction from which on a fragment counts for the confidence.
CERTAIN_ANCHOR = 8
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

#: Position and side (``left``, ``right``) on which the tail of a read lies.
_Key = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Way:
    """A way on which reads go on beyond a boundary.

    Attributes
    ----------
    bases
        What such a read shows, in the order away from the boundary.
    strand
        Strand of the RNA that goes this way; ``.`` for the genome itself.
    circle
        Number of the circle that it goes round; -1 for a linear way.
    ends
        Ends of circles that it runs over linearly.
    """

    bases: str
    strand: str
    circle: int
    ends: tuple[_Key, ...]


@dataclass(frozen=True, slots=True)
class Boundary:
    """A boundary between aligned bases and a tail.

    Attributes
    ----------
    position, side
        The tail lies to the ``left`` of the position, or from it on to the ``right``.
    inner
        `PLACEMENT_RANGE` bases of the genome on the other side, in the genome's order.
    ways
        Linear ones first.
    """

    position: int
    side: str
    inner: str
    ways: tuple[Way, ...]

    @property
    def key(self) -> _Key:
        """Position and side."""
        return self.position, self.side


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


class BoundaryBuilder:
    """Finds the boundaries of the circles of one contig, and the ways beyond them.

    Parameters
    ----------
    chrom
        The contig.
    genome, annotation
        The reference.
    """

    def __init__(self, chrom: str, genome: pysam.FastaFile, annotation: Annotation) -> None:
        self.chrom = chrom
        self.length = genome.get_reference_length(chrom)
        self.genome = genome
        self.annotation = annotation
        self._exons: dict[str, list[list[tuple[int, int]]]] = {}

    def build(self, circles: Sequence[Circle]) -> list[Boundary]:
        """Return the boundaries in order of place.

        Beside the circles' own ends these are the exon ends outside from which annotated introns
        lead to them, and the exon ends at the 5' splice sites of lariats.
        """
        ends: dict[_Key, tuple[_Key, ...]] = {}
        for circle in circles:
            start, end = (circle.junction.start, "left"), (circle.junction.end, "right")
            ends.setdefault(start, (start,))
            ends.setdefault(end, (end,))
        for circle in circles:
            if circle.junction.motif == "lariat":
                # linear RNA leaves from the exon that lies outside
                five, exon_side = (circle.junction.start, "left"), "right"
                if circle.junction.strand == "-":
                    five, exon_side = (circle.junction.end, "right"), "left"
                known = ends.get((five[0], exon_side), ())
                ends[five[0], exon_side] = tuple(dict.fromkeys((*known, five)))
        linear = {key: list(self._linear_ways(key, ends)) for key in ends}
        outside = {far for ways in linear.values() for _, far in ways if far is not None}
        for key in sorted(outside - set(ends)):
            linear[key] = list(self._linear_ways(key, ends))
        ways = {key: dict.fromkeys(way for way, _ in found) for key, found in linear.items()}
        for number, circle in enumerate(circles):
            for key, bases in self._round_ways(circle):
                ways[key][Way(bases, circle.junction.strand, number, ())] = None
        return [
            Boundary(position, side, self._inner(position, side), tuple(ways[position, side]))
            for position, side in sorted(ways)
        ]

    def _linear_ways(
        self, key: _Key, ends: Mapping[_Key, tuple[_Key, ...]]
    ) -> Iterator[tuple[Way, _Key | None]]:
        """Yield the linear ways beyond a boundary, with the boundary on the far side of introns."""
        position, side = key
        own = ends.get(key, ())
        beyond = (0, position) if side == "left" else (position, self.length)
        yield Way(self._read([beyond], side), ".", -1, own), None
        for gene in self.annotation.overlapping(self.chrom, position - 1, position + 1):
            for exons in self._transcripts(gene):
                edge = [end if side == "right" else start for start, end in exons]
                if position not in edge:
                    continue
                index = edge.index(position)
                rest = exons[index + 1 :] if side == "right" else exons[:index]
                if not rest:
                    continue
                far = (rest[0][0], "left") if side == "right" else (rest[-1][1], "right")
                passed = (*own, *ends.get(far, ()))
                yield Way(self._read(rest, side), gene.strand, -1, passed), far

    def _round_ways(self, circle: Circle) -> Iterator[tuple[_Key, str]]:
        """Yield what reads show that go round a circle: beyond its end, and beyond its start."""
        start, end = circle.junction.start, circle.junction.end
        found = paths(circle, self.annotation)
        firsts = [self._read(path, "right") for path in found if path[0][0] == start]
        lasts = [self._read(path, "left") for path in found if path[-1][1] == end]
        # a transcript that ends a few bases inside the circle explains any tail that begins so
        yield from (((end, "right"), bases) for bases in longest([*dict.fromkeys(firsts)]))
        yield from (((start, "left"), bases) for bases in longest([*dict.fromkeys(lasts)]))

    def _transcripts(self, gene: Gene) -> list[list[tuple[int, int]]]:
        """Return the exons of a gene's transcripts, as pairs of integers."""
        if gene.gene_id not in self._exons:
            self._exons[gene.gene_id] = [
                list(zip(item.exons.starts.tolist(), item.exons.ends.tolist(), strict=True))
                for item in gene.transcripts
            ]
        return self._exons[gene.gene_id]

    def _read(self, blocks: Sequence[tuple[int, int]], side: str) -> str:
        """Return up to `COMPARED_BASES` of joined blocks, from their left or right end away."""
        if side == "right":
            return joined_bases(self.genome, self.chrom, blocks, "left", COMPARED_BASES)
        return joined_bases(self.genome, self.chrom, blocks, "right", COMPARED_BASES)[::-1]

    def _inner(self, position: int, side: str) -> str:
        if side == "right":
            first = max(position - PLACEMENT_RANGE, 0)
            return self.genome.fetch(self.chrom, first, position).upper()
        return self.genome.fetch(self.chrom, position, position + PLACEMENT_RANGE).upper()


def cut_read(runs: Sequence[Run], position: int, side: str) -> tuple[int, int] | None:
    """Find where a boundary cuts a read.

    Returns
    -------
    tuple of int or None
        First base of the read to the right of the boundary, and how many bases next to it are not
        aligned because the alignment stops short, at most `PLACEMENT_RANGE`. ``None`` if the read
        has no aligned base there.
    """
    if side == "left":
        short = runs[0][0] - position
        if 0 < short <= PLACEMENT_RANGE:
            return (runs[0][2] - short, short) if runs[0][2] >= short else None
        for start, end, base in runs:
            if start <= position < end:
                return base + position - start, 0
        return None
    short = position - runs[-1][1]
    if 0 < short <= PLACEMENT_RANGE:
        return runs[-1][2] + position - runs[-1][0], short
    for start, end, base in runs:
        if start < position <= end:
            return base + position - start, 0
    return None


class Contest(NamedTuple):
    """How well the ways beyond a boundary explain a tail.

    Attributes
    ----------
    linear, circular
        Fewest mismatches of a linear way, and of a way round a circle that explains the tail.
    passed
        Ends of circles that the best linear ways run over.
    rounds
        Circles that explain the tail best.
    is_linear
        Whether a linear way explains it.
    """

    linear: int
    circular: int
    passed: tuple[_Key, ...]
    rounds: tuple[int, ...]
    is_linear: bool

    @property
    def is_round(self) -> bool:
        """Whether a circle explains the tail by the margin better than every linear way."""
        return bool(self.rounds) and self.linear >= self.circular + MARGIN


def _is_of(way: Way, strand: str) -> bool:
    """Return whether RNA of a strand, ``.`` if unknown, may go a way."""
    return way.strand == strand or "." in (way.strand, strand)


def _agreeing_way(ways: Sequence[Way], head: str, strand: str) -> Way | None:
    """Return the first linear way that agrees with all bases compared, as most reads have one."""
    for way in ways:
        if way.circle >= 0:
            return None
        agrees = way.bases.startswith(head) or (
            len(way.bases) >= CERTAIN_ANCHOR and head.startswith(way.bases)
        )
        if agrees and _is_of(way, strand):
            return way
    return None


def compete(ways: Sequence[Way], tail: str, strand: str) -> Contest:
    """Compare a tail with the ways beyond a boundary, linear ones first.

    Parameters
    ----------
    tail
        Bases of the read in the order away from the boundary.
    strand
        Strand of the RNA; ``.`` where unknown.

    Notes
    -----
    A way that ends after fewer than `CERTAIN_ANCHOR` bases of a longer tail, as at the end of a
    transcript that is cut short, is left out: so few fit by chance.
    """
    head = tail[:COMPARED_BASES]
    agreeing = _agreeing_way(ways, head, strand)
    if agreeing is not None:
        return Contest(0, len(head) + MARGIN, agreeing.ends, (), is_linear=True)
    least = min(len(head), CERTAIN_ANCHOR)
    linear = circular = len(head) + MARGIN
    passed: tuple[_Key, ...] = ()
    rounds: list[int] = []
    is_linear = False
    for way in ways:
        compared = min(len(head), len(way.bases))
        if compared < least or not _is_of(way, strand):
            continue
        if mismatches(head[:COARSE_BASES], way.bases) > COARSE_MISMATCHES:
            continue
        wrong = mismatches(head, way.bases)
        explains = wrong <= MISMATCH_RATE * compared
        if way.circle < 0:
            if wrong < linear:
                linear, passed, is_linear = wrong, (), False
            if wrong == linear:
                passed += tuple(key for key in way.ends if key not in passed)
                is_linear |= explains
        elif explains:
            if wrong < circular:
                circular, rounds = wrong, []
            if wrong == circular and way.circle not in rounds:
                rounds.append(way.circle)
    return Contest(linear, circular, passed, tuple(rounds), is_linear)


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


class _ContigCounter:
    """Counts the circles of one contig."""

    def __init__(
        self,
        bam: pysam.AlignmentFile,
        genome: pysam.FastaFile,
        circles: Sequence[Circle],
        boundaries: Sequence[Boundary],
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
        self.places = [boundary.position for boundary in boundaries]
        #: The first boundary that records yet to come may touch.
        self.first = 0
        self.beyond = genome.get_reference_length(self.chrom) + PLACEMENT_RANGE
        #: Records that end before this place touch no boundary.
        self.next = 0
        self.by_key = {boundary.key: boundary for boundary in boundaries}
        self.ways_of: dict[tuple[_Key, int], tuple[Way, ...]] = {}
        self.contest = lru_cache(maxsize=REMEMBERED_CONTESTS)(self._compete)
        self.linear_margin = lru_cache(maxsize=REMEMBERED_CONTESTS)(self._linear_margin)
        self.strandedness = strandedness
        self.limits = limits
        self.crossings: dict[str, dict[int, _Crossing]] = defaultdict(dict)
        #: Reads that a circle explains, whether or not they cross it for certain.
        self.explained: set[int] = set()
        #: Fragments that run over an end, by a number for their name, as often as reads show it.
        self.linear: dict[tuple[_Key, str], array[int]] = defaultdict(lambda: array("Q"))
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
        if first == len(places):
            self.next = self.beyond
            return False
        self.next = places[first] - PLACEMENT_RANGE
        last = end + PLACEMENT_RANGE
        crossings = self.crossing_reads
        if places[first] <= last and read.query_sequence is not None:
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
        agreeing = _agreeing_way(boundary.ways, head, strand)
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

    def _note_linear(self, read: pysam.AlignedSegment, keys: Iterable[_Key], strand: str) -> None:
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

    def _linear_margin(self, key: _Key, tail: str, strand: str) -> int:
        """Return by how much the best linear ways fit a tail better than what leads elsewhere."""
        contest = self.contest(key, tail[:COMPARED_BASES], strand)
        rivals = [
            mismatches(tail, way.bases)
            for way in self.by_key[key].ways
            if _is_of(way, strand) and not set(way.ends) & set(contest.passed)
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
        ]
        if not rounds:
            return READ_FILTERS[2]
        if not mate_points_back(read):
            return READ_FILTERS[3]
        edits = int(read.get_tag("NM")) - wrong + contest.circular
        self._cross(read, rounds, edits + self._short_edits(read, touch), touch)
        return ""

    def _compete(self, key: _Key, head: str, strand: str, circle: int | None = None) -> Contest:
        """Compare the first bases of a tail with all ways, or the linear and those of a circle."""
        ways = self.by_key[key].ways if circle is None else self._ways_of(key, circle)
        return compete(ways, head, strand)

    def _ways_of(self, key: _Key, circle: int) -> tuple[Way, ...]:
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
        gaps = {number: _gaps(self.circles[number]) for number in set(owners.values())}
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
        if not owners:
            return
        spans = [self.circles[number].junction for number in sorted(set(owners.values()))]
        regions = merge(
            np.array([max(item.start - PLACEMENT_RANGE, 0) for item in spans]),
            np.array([item.end + PLACEMENT_RANGE for item in spans]),
        )
        length = self.genome.get_reference_length(self.chrom)
        for start, end in zip(*(item.tolist() for item in regions), strict=True):
            for read in self.bam.fetch(self.chrom, start, min(end, length)):
                if read.query_name in owners and not (read.is_unmapped or read.is_secondary):
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


def _gaps(circle: Circle) -> list[tuple[int, int]]:
    """Return what lies between the exons of a circle."""
    starts, ends = circle.exons.starts.tolist(), circle.exons.ends.tolist()
    return list(zip(ends[:-1], starts[1:], strict=True))


def _covered(blocks: Sequence[tuple[int, int]], start: int, end: int) -> int:
    """Return the bases of blocks inside an interval."""
    return sum(max(min(right, end) - max(left, start), 0) for left, right in blocks)


@dataclass(frozen=True)
class LibraryCounts:
    """The circles of one library.

    Attributes
    ----------
    tallies
        Circle id to its tally, in the order of the circles.
    removed
        Filter (of `READ_FILTERS`, and `MATE_FILTER`) to the reads, or fragments, that it removed.
    crossing_reads
        Reads that passed `READ_FILTERS`.
    """

    tallies: dict[str, Tally]
    removed: Counter[str]
    crossing_reads: int

    def filter_rows(self) -> list[dict[str, object]]:
        """Return the filter log of the counting."""
        rows: list[dict[str, object]] = []
        kept = self.crossing_reads + sum(self.removed[name] for name in READ_FILTERS)
        for name in READ_FILTERS:
            kept -= self.removed[name]
            rows.append(_filter_row("reads round a circle", name, self.removed[name], kept))
        kept = sum(len(tally.back_splice) for tally in self.tallies.values())
        rows.append(_filter_row("fragments", MATE_FILTER, self.removed[MATE_FILTER], kept))
        return rows


def _filter_row(step: str, name: str, removed: int, kept: int) -> dict[str, object]:
    return {"step": step, "filter": name, "removed": removed, "kept": kept}


def count_circles(
    bam: pysam.AlignmentFile,
    genome: pysam.FastaFile,
    annotation: Annotation,
    sites: SpliceSites,
    circles: Sequence[Circle],
    evidence: Sequence[int],
    strandedness: str,
    limits: Limits,
) -> LibraryCounts:
    """Count circles in one library.

    Parameters
    ----------
    bam
        Indexed BAM that keeps the contract of `ringmark.alignments`.
    genome, annotation, sites
        The reference.
    circles
        Candidates of the study, each once.
    evidence
        How many reads of the study led to each, to decide between circles that a fragment fits
        equally well.
    strandedness
        The library's.
    limits
        Anchors and tolerances.

    Raises
    ------
    InputError
        If a circle, of another library then, lies on a contig that the BAM does not list.
    """
    if not circles:
        return LibraryCounts({}, Counter(), 0)
    foreign = sorted({circle.junction.chrom for circle in circles} - set(bam.references))
    if foreign:
        raise InputError(
            f"{bam.filename.decode()}: does not list {', '.join(foreign)} in its header, where "
            "other libraries show circles",
            "align all libraries to one genome",
        )
    counters: dict[str, _ContigCounter] = {}
    numbers: dict[str, list[int]] = defaultdict(list)
    for number, circle in enumerate(circles):
        numbers[circle.junction.chrom].append(number)
    for chrom, own in numbers.items():
        of_contig = [circles[number] for number in own]
        boundaries = BoundaryBuilder(chrom, genome, annotation).build(of_contig)
        counters[chrom] = _ContigCounter(
            bam, genome, of_contig, boundaries, sites, strandedness, limits
        )

    def is_linear(number: int, before: str, after: str) -> bool:
        counter = counters[circles[number].junction.chrom]
        return counter.is_linear(circles[number], before, after)

    search = CircleSearch(circles, annotation, genome, sites, strandedness, limits, is_linear)
    for chrom, counter in counters.items():
        own = numbers[chrom]
        counter.alike = frozenset(
            place for place, number in enumerate(own) if number in search.alike
        )
    doubtful = _scan(bam, counters, search)
    alone = {
        number: count
        for chrom, counter in counters.items()
        for number, count in zip(numbers[chrom], counter.count_alone(), strict=True)
    }
    preferences = [
        preference(circle, reads, annotation, alone[number])
        for number, (circle, reads) in enumerate(zip(circles, evidence, strict=True))
    ]
    own_preferences = {chrom: [preferences[n] for n in own] for chrom, own in numbers.items()}
    _keep_one_contig(counters, own_preferences)
    crossing = {name for counter in counters.values() for name in counter.crossings}
    settled = search.resolve(
        bam, (search.suspects.keys() - crossing) | (crossing - doubtful), preferences
    )
    for counter in counters.values():
        counter.forget(settled)
    tallies = [Tally() for _ in circles]
    for chrom, counter in counters.items():
        for number, tally in zip(
            numbers[chrom], counter.tally(own_preferences[chrom]), strict=True
        ):
            tallies[number] = tally
    # whom the search refused once it would refuse again
    taken = {name for tally in tallies for name in tally.back_splice} | (crossing & doubtful)
    for name, found in {**settled, **search.resolve(bam, taken, preferences)}.items():
        tallies[found.circle].back_splice.add(name)
        tallies[found.circle].positions.add(found.place)
        tallies[found.circle].anchored += found.anchor >= CERTAIN_ANCHOR
        tallies[found.circle].shared += found.shared
    for chrom, counter in counters.items():
        own_tallies = [tallies[number] for number in numbers[chrom]]
        counter.read_introns(own_tallies)
        counter.count_linear(own_tallies)
    removed = sum((counter.removed for counter in counters.values()), Counter())
    return LibraryCounts(
        {circle.name: tallies[number] for number, circle in enumerate(circles)},
        removed,
        sum(counter.crossing_reads for counter in counters.values()),
    )


def _scan(
    bam: pysam.AlignmentFile, counters: Mapping[str, _ContigCounter], search: CircleSearch
) -> set[str]:
    """Show all records to the counters of their contigs, and those that remain to the search.

    Returns
    -------
    set of str
        Fragments that cross circles, but of which the search has the last word.
    """
    doubtful: set[str] = set()
    chrom, counter = -1, None
    for read in bam.fetch(until_eof=True):
        flag = read.flag
        if flag & SECONDARY:
            continue
        if read.reference_id != chrom:
            chrom, counter = read.reference_id, counters.get(str(read.reference_name))
        end = read.reference_end
        # most reads lie between two boundaries
        if counter and end and end >= counter.next and counter.look(read, end):
            if not counter.is_doubtful(str(read.query_name)):
                continue
            doubtful.add(str(read.query_name))
        if not flag & SUPPLEMENTARY and linear_cost(read, search.sites) >= MARGIN:
            search.look(read)
    return doubtful


def _keep_one_contig(
    counters: Mapping[str, _ContigCounter], preferences: Mapping[str, Sequence[Preference]]
) -> None:
    """Leave every fragment to the contig with the circle that it fits best.

    The parts of a split read may lie on two contigs, and each at an end of another circle.
    """
    keepers: dict[str, str] = {}
    for chrom, counter in counters.items():
        for name in list(counter.crossings):
            other = keepers.setdefault(name, chrom)
            if other == chrom:
                continue
            rivals = [
                (counters[item].best(name, preferences[item])[:-1], place, item)
                for place, item in enumerate((other, chrom))
            ]
            keepers[name], loser = min(rivals)[-1], max(rivals)[-1]
            del counters[loser].crossings[name]


def counts_row(name: str, tally: Tally) -> dict[str, object]:
    """Return a tally as a row of `CIRCLE_COUNTS`."""
    return {
        "circle": name,
        "back_splice": len(tally.back_splice),
        "linear_start": tally.linear_start,
        "linear_end": tally.linear_end,
        "distinct_positions": len(tally.positions),
        "shared_fragments": tally.shared,
        "anchored_fragments": tally.anchored,
        "closer_reads": tally.closer,
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

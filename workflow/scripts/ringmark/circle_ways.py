"""The ways on which reads go on beyond the ends of circles, and how well they explain a read.

An end of a circle is a boundary. A read with bases aligned on the inner side of a boundary goes on
beyond it in one of several ways: round the circle, along the genome, or over an annotated intron.
The bases beyond (the tail) are compared with each of them. A way explains a read if not more than
`MISMATCH_RATE` of the compared bases differ.

References
----------
Zhang et al. 2020, Nature Communications 11:90 (counting on junction sequences).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pysam

from ringmark.annotation import Annotation, Gene
from ringmark.backsplice import MARGIN, PLACEMENT_RANGE, Run
from ringmark.circle_search import joined_bases, paths
from ringmark.circles import Circle, lookalikes
from ringmark.exon_ends import MISMATCH_RATE, longest
from ringmark.sequence import mismatches

#: Bases of a tail that are compared with the ways.
COMPARED_BASES = 50
#: A way that differs in more than so many of the first bases of a tail is not looked at further: it
#: neither explains the tail nor rivals one that does.
COARSE_BASES, COARSE_MISMATCHES = 16, 8
#: Bases on both sides of a junction from which on a fragment counts for the confidence.
CERTAIN_ANCHOR = 8
#: Position and side (``left``, ``right``) on which the tail of a read lies.
Key = tuple[int, str]


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
    ends: tuple[Key, ...]


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
    def key(self) -> Key:
        """Position and side."""
        return self.position, self.side


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
        ends: dict[Key, tuple[Key, ...]] = {}
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
        self, key: Key, ends: Mapping[Key, tuple[Key, ...]]
    ) -> Iterator[tuple[Way, Key | None]]:
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

    def _round_ways(self, circle: Circle) -> Iterator[tuple[Key, str]]:
        """Yield what reads show that go round a circle: beyond its end, and beyond its start."""
        start, end = circle.junction.start, circle.junction.end
        found = paths(circle, self.annotation)
        firsts = [self._read(path, "right") for path in found if path[0][0] == start]
        lasts = [self._read(path, "left") for path in found if path[-1][1] == end]
        # a transcript that ends a few bases inside the circle explains any tail that begins so
        yield from (((end, "right"), bases) for bases in longest([*dict.fromkeys(firsts)]))
        yield from (((start, "left"), bases) for bases in longest([*dict.fromkeys(lasts)]))

    def twins(self, circle: Circle) -> Twins:
        """Return the linear RNA that a circle can be taken for, wherever its reads are placed."""
        junction, gene = circle.junction, circle.gene
        if gene is None or junction.annotated < 2:
            return Twins()
        starts = {junction.start, *lookalikes(gene, "start", junction, self.genome)}
        ends = {junction.end, *lookalikes(gene, "end", junction, self.genome)}
        linear = {
            (self._read(exons[:number], "left"), self._read(exons[number:], "right")): None
            for exons in self._transcripts(gene)
            for number in range(1, len(exons))
            if exons[number - 1][1] in ends and exons[number][0] in starts
        }
        if not linear:
            return Twins()
        round_ways = list(self._round_ways(circle))
        befores = tuple(bases for (_, side), bases in round_ways if side == "left")
        afters = tuple(bases for (_, side), bases in round_ways if side == "right")
        return Twins(tuple(linear), befores, afters)

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


@dataclass(frozen=True, slots=True)
class Twins:
    """Linear RNA whose splice sites look like the ends of a circle, and the circle itself.

    Each is given by what reads show before its junction, backwards, and after it. An aligner may
    place the parts of a linear read at the ends of the circle, where no linear way leads on.

    Attributes
    ----------
    linear
        Of each annotated intron between such splice sites; most circles have none.
    befores, afters
        Of the circle, on its paths.
    """

    linear: tuple[tuple[str, str], ...] = ()
    befores: tuple[str, ...] = ()
    afters: tuple[str, ...] = ()

    def explain(self, before: str, after: str) -> bool:
        """Return whether linear RNA explains a read as well as the circle does."""
        if not self.linear:
            return False
        before, after = before[:COMPARED_BASES], after[:COMPARED_BASES]
        circular = min(mismatches(before, own) for own in self.befores)
        circular += min(mismatches(after, own) for own in self.afters)
        return any(
            mismatches(before, left) + mismatches(after, right) <= circular
            for left, right in self.linear
        )


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
    passed: tuple[Key, ...]
    rounds: tuple[int, ...]
    is_linear: bool

    @property
    def is_round(self) -> bool:
        """Whether a circle explains the tail by the margin better than every linear way."""
        return bool(self.rounds) and self.linear >= self.circular + MARGIN


def is_of(way: Way, strand: str) -> bool:
    """Return whether RNA of a strand, ``.`` if unknown, may go a way."""
    return way.strand == strand or "." in (way.strand, strand)


def agreeing_way(ways: Sequence[Way], head: str, strand: str) -> Way | None:
    """Return the first linear way that agrees with all bases compared, as most reads have one."""
    for way in ways:
        if way.circle >= 0:
            return None
        agrees = way.bases.startswith(head) or (
            len(way.bases) >= CERTAIN_ANCHOR and head.startswith(way.bases)
        )
        if agrees and is_of(way, strand):
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
    agreeing = agreeing_way(ways, head, strand)
    if agreeing is not None:
        return Contest(0, len(head) + MARGIN, agreeing.ends, (), is_linear=True)
    least = min(len(head), CERTAIN_ANCHOR)
    linear = circular = len(head) + MARGIN
    passed: tuple[Key, ...] = ()
    rounds: list[int] = []
    is_linear = False
    for way in ways:
        compared = min(len(head), len(way.bases))
        if compared < least or not is_of(way, strand):
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

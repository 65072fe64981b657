"""True counts of a simulated library: what an error-free counter would find in its reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ringmark.intervals import IntArray
from ringmark.simulate_circles import Circle
from ringmark.simulate_expression import Library
from ringmark.simulate_molecules import CIRCULAR, LINEAR, Pool
from ringmark.simulate_parameters import SimulationParameters
from ringmark.simulate_reads import Fragments

#: Anchors, in nt on each side of a junction in one read, that the counts are made for.
ANCHORS = {"": 1, "_anchor8": 8}


@dataclass(frozen=True)
class Reads:
    """Where the reads of fragments lie.

    Attributes
    ----------
    bounds
        Pairs of start and end in the pool, one pair a mate, each of shape (fragments,).
    """

    bounds: tuple[tuple[IntArray, IntArray], ...]

    @classmethod
    def of(cls, fragments: Fragments, library: Library, read_length: int) -> Reads:
        """Return the reads of a library's fragments; a single read is read 1."""
        starts, ends = fragments.starts, fragments.starts + fragments.lengths
        size = np.minimum(fragments.lengths, read_length)
        if library.layout == "single":
            left = np.where(fragments.sense, starts, ends - size)
            return cls(((left, left + size),))
        return cls(((starts, starts + size), (ends - size, ends)))


def crossing(pool: Pool, fragments: Fragments, reads: Reads, anchor: int) -> npt.NDArray[np.bool_]:
    """Tell which fragments have a read with ``anchor`` nt on each side of a back-splice.

    Returns
    -------
    numpy.ndarray
        Shape (fragments,); false for fragments of linear molecules.
    """
    turn = pool.lengths[fragments.molecules]
    origin = pool.starts[fragments.molecules]
    crosses = np.zeros(len(turn), dtype=bool)
    for left, right in reads.bounds:
        first = -(-(left - origin + anchor) // turn) * turn
        crosses |= first <= right - origin - anchor
    return crosses & (pool.kinds[fragments.molecules] == CIRCULAR)


@dataclass(frozen=True)
class _Letters:
    """Letters of the pool at places of interest.

    Attributes
    ----------
    hits, places
        Pool positions and their genomic positions.
    forward
        Whether each is of a molecule of the forward strand.
    first, last
        Whether each is the first or last letter of its molecule.
    """

    hits: IntArray
    places: npt.NDArray[np.int32]
    forward: npt.NDArray[np.bool_]
    first: npt.NDArray[np.bool_]
    last: npt.NDArray[np.bool_]

    @classmethod
    def at(cls, pool: Pool, places: IntArray) -> _Letters:
        hits = np.flatnonzero(np.isin(pool.genome_positions, places))
        molecules = np.searchsorted(pool.starts, hits, side="right") - 1
        return cls(
            hits,
            pool.genome_positions[hits],
            pool.forward[molecules],
            hits == pool.starts[molecules],
            hits == pool.ends[molecules] - 1,
        )

    def boundaries(self, place: int, forward: bool, *, before: bool) -> IntArray:
        """Return the pool positions of the boundaries before or after a genomic place."""
        edge = self.first if before else self.last
        found = self.hits[(self.places == place) & (self.forward == forward) & ~edge]
        return found if before else found + 1


def linear_boundaries(pool: Pool, circles: list[Circle]) -> tuple[list[IntArray], list[IntArray]]:
    """Find where molecules run linearly through, or are spliced at, the ends of circles.

    Returns
    -------
    tuple of list
        For each circle the pool positions just behind a boundary at its acceptor, and at its
        donor. Back-splices, of other circles at the same end too, are left out.
    """
    edges = [edge for circle in circles for edge in (circle.start, circle.end)]
    places = np.array(edges, dtype=np.int64)
    letters = _Letters.at(pool, np.concatenate([places - 1, places]))
    sides: tuple[list[IntArray], list[IntArray]] = ([], [])
    for circle in circles:
        forward = circle.strand == "+"
        inner = (circle.start, circle.end - 1) if forward else (circle.end - 1, circle.start)
        outer = (circle.start - 1, circle.end) if forward else (circle.end, circle.start - 1)
        for side, before in ((0, True), (1, False)):
            found = np.concatenate(
                [
                    letters.boundaries(inner[side], forward, before=before),
                    letters.boundaries(outer[side], forward, before=not before),
                ]
            )
            left, right = pool.genome_positions[found - 1], pool.genome_positions[found]
            onwards = left < right if forward else right < left
            sides[side].append(np.unique(found[onwards]))
    return sides


def _through(
    positions: IntArray,
    order: IntArray,
    starts: IntArray,
    reads: Reads,
    longest: int,
    anchor: int,
) -> int:
    """Count the fragments with a read through any of some pool positions.

    Parameters
    ----------
    order, starts
        Fragments by start, and their sorted starts.
    """
    found: list[IntArray] = [np.empty(0, np.int64)]
    for position in positions.tolist():
        first = np.searchsorted(starts, position - longest, side="left")
        last = np.searchsorted(starts, position, side="right")
        near = order[first:last]
        crosses = np.zeros(len(near), dtype=bool)
        for left, right in reads.bounds:
            crosses |= (left[near] + anchor <= position) & (position <= right[near] - anchor)
        found.append(near[crosses])
    return len(np.unique(np.concatenate(found)))


def true_counts(
    pool: Pool,
    fragments: Fragments,
    library: Library,
    boundaries: tuple[list[IntArray], list[IntArray]],
    genes: int,
    parameters: SimulationParameters,
) -> dict[str, IntArray]:
    """Count the fragments of genes, back-splices and linear ends of circles in one library.

    Returns
    -------
    dict
        ``gene_counts`` (genes,), ``bsj_counts`` and ``linear_counts`` (circles,), the latter two
        for every anchor of `ANCHORS`. Linear counts are the mean of both ends.
    """
    circles = len(boundaries[0])
    linear = pool.kinds[fragments.molecules] == LINEAR
    owners = pool.genes[fragments.molecules[linear]]
    counts = {"gene_counts": np.bincount(owners, minlength=genes)}
    reads = Reads.of(fragments, library, parameters.read_length)
    order = np.argsort(fragments.starts, kind="stable")
    starts = fragments.starts[order]
    for suffix, anchor in ANCHORS.items():
        crosses = crossing(pool, fragments, reads, anchor)
        owners = pool.circles[fragments.molecules[crosses]]
        counts[f"bsj_counts{suffix}"] = np.bincount(owners, minlength=circles)
        ends = [
            [
                _through(positions, order, starts, reads, parameters.longest_fragment, anchor)
                for positions in side
            ]
            for side in boundaries
        ]
        mean = np.array(ends, dtype=np.float64).reshape(2, circles).mean(axis=0)
        counts[f"linear_counts{suffix}"] = np.rint(mean).astype(np.int64)
    return counts

"""Circles of genes in which exons are duplicated in tandem.

Where exon A is followed by a copy A', different molecules show the same bases at a junction, and no
single fragment tells which it is from. How many fragments cross the neighbouring junctions does,
because a molecule is crossed about as often at one of its junctions as at the next. Both questions
are settled for the study as a whole, from the counts of all libraries.

A or A'?
    A circle may end with A or with A'. The longer one also holds the junction of A and A' inside,
    so that junction is crossed more often than the next one outside: by as many fragments as the
    circle has. Where the surplus is more than half of the fragments that fit both circles these
    are the longer one's, else the shorter one's (`share_ends`). The same holds for circles that
    begin with A or A'.

A circle, or linear RNA?
    The end of A before the beginning of A is a circle of A alone; the end of A before the beginning
    of A' is linear RNA. Counting leaves such fragments to linear RNA. Where they are more than the
    junctions before A and behind A' let expect, the surplus is the circle's (`add_surplus`). It is
    an estimate of how many there are, not of which.

The larger of the two neighbouring junctions is what is expected, because transcripts may begin or
end in the copies. Fragments of other circles are allowed for at each of the junctions. A surplus
counts if it is `LEAST_SCORE` standard deviations above nothing, with the noise of counting and with
`UNEVENNESS` of coverage along a transcript; `SUPPORTED_SCORE` are enough where reads show a base of
the circle and not of linear RNA. Such reads alone are not, as a variant of the genome gives them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pysam

from ringmark.annotation import Annotation, Gene
from ringmark.backsplice import Junction, Limits, annotated_junction
from ringmark.circles import (
    LOOKALIKE_MISMATCHES,
    alternatives,
    end_bases,
    inner_ends,
    name_of,
)

#: Standard deviations from which on a surplus of fragments is believed.
LEAST_SCORE = 4.0
#: The same where so many reads are closer to the circle than to linear RNA.
SUPPORTED_SCORE, SUPPORTING_READS = 2.5, 5
#: Standard deviation of the coverage of one junction relative to its neighbour's.
UNEVENNESS = 0.25

Numbers = npt.NDArray[np.int64]


class Copies(NamedTuple):
    """The circles of two neighbouring copies, each by itself.

    Attributes
    ----------
    left, right
        Of the left and the right copy on the genome; an annotated intron leads from the end of the
        one to the start of the other.
    """

    left: Junction
    right: Junction


def _alike(gene: Gene, side: str, genome: pysam.FastaFile) -> dict[int, list[int]]:
    """Return the starts, or ends, of a gene's inner exons with the others that look like them."""
    places = sorted(inner_ends(gene, side))
    bases = [end_bases(genome, gene.chrom, side, place) for place in places]
    if len(places) < 2 or len({len(item) for item in bases}) > 1:
        return {}
    letters = np.array([list(item.encode()) for item in bases], dtype=np.uint8)
    found: dict[int, list[int]] = {}
    for number, own in enumerate(letters):
        close = np.flatnonzero((letters != own).sum(axis=1) <= LOOKALIKE_MISMATCHES)
        others = [places[other] for other in close.tolist() if other != number]
        if others:
            found[places[number]] = others
    return found


def find_copies(annotation: Annotation, genome: pysam.FastaFile, limits: Limits) -> list[Copies]:
    """Return the neighbouring copies of an annotation whose circles read like linear RNA.

    Parameters
    ----------
    annotation, genome
        The reference.
    limits
        Both circles of a pair must have an allowed span.
    """
    found: dict[Copies, None] = {}
    for gene in annotation.genes.values():
        starts = _alike(gene, "start", genome)
        if starts:
            found |= dict.fromkeys(_copies_of(gene, starts, _alike(gene, "end", genome), genome))
    return [pair for pair in found if all(limits.allow(one.end - one.start) for one in pair)]


def _copies_of(
    gene: Gene,
    starts: Mapping[int, Sequence[int]],
    ends: Mapping[int, Sequence[int]],
    genome: pysam.FastaFile,
) -> Iterator[Copies]:
    """Yield the nearest copies on both sides of each intron of a gene."""
    introns = {intron for item in gene.transcripts for intron in item.exons.gaps}
    for left_end, right_start in sorted(introns):
        left_start = max((s for s in starts.get(right_start, ()) if s < left_end), default=None)
        right_end = min((e for e in ends.get(left_end, ()) if e > right_start), default=None)
        if left_start is not None and right_end is not None:
            yield Copies(
                annotated_junction(gene, left_start, left_end, genome),
                annotated_junction(gene, right_start, right_end, genome),
            )


@dataclass
class StudyCounts:
    """Counts of the candidates of a study, as circles x libraries.

    Attributes
    ----------
    back_splice, anchored, shared
        Fragments over the junctions; of these those with long anchors, and those that fit another
        circle as well.
    linear_start, linear_end
        Fragments that run linearly over the starts and the ends.
    closer
        Reads that fit a circle better than linear RNA, but not by the margin.
    estimated
        Circle to the fragments among ``back_splice`` that are an estimate.
    """

    back_splice: pd.DataFrame
    anchored: pd.DataFrame
    shared: pd.DataFrame
    linear_start: pd.DataFrame
    linear_end: pd.DataFrame
    closer: pd.DataFrame
    estimated: dict[str, int] = field(default_factory=dict)

    def linear(self, side: str) -> pd.DataFrame:
        """Return the linear fragments at the ``start`` or ``end`` of the circles."""
        return self.linear_start if side == "start" else self.linear_end

    def move_shared(self, loser: str, winner: str) -> None:
        """Give the fragments of a circle that fit another one as well to that one."""
        moved = self.shared.loc[loser].copy()
        kept = self.back_splice.loc[loser] - moved
        anchored = (self.anchored.loc[loser] - kept).clip(lower=0)
        for table, change in (
            (self.back_splice, moved),
            (self.shared, moved),
            (self.anchored, anchored),
        ):
            table.loc[loser] -= change
            table.loc[winner] += change


def circles_with_a_common_end(
    junctions: Sequence[Junction], annotation: Annotation, genome: pysam.FastaFile
) -> list[tuple[Junction, Junction]]:
    """Return the pairs of circles, shorter and longer, that differ in one end that looks alike."""
    known = {name_of(junction): junction for junction in junctions}
    found = [
        (junction, other)
        for junction in junctions
        if junction.annotated == 2
        for other in alternatives(junction, annotation, genome)
        if name_of(other) in known
        and (junction.start == other.start) != (junction.end == other.end)
    ]
    return [pair for pair in found if pair[0].end - pair[0].start < pair[1].end - pair[1].start]


def share_ends(counts: StudyCounts, pairs: Iterable[tuple[Junction, Junction]]) -> None:
    """Give fragments that fit two circles with one common end to the likelier one, in place.

    Parameters
    ----------
    counts
        Of the study.
    pairs
        Shorter and longer circle, whose other ends look alike.
    """
    for inner, outer in pairs:
        side = "end" if inner.start == outer.start else "start"
        linear = counts.linear(side)
        both = int(counts.shared.loc[[name_of(inner), name_of(outer)]].to_numpy().sum())
        surplus = int((linear.loc[name_of(inner)] - linear.loc[name_of(outer)]).sum())
        if both:
            order = (name_of(inner), name_of(outer))
            counts.move_shared(*(order if 2 * surplus > both else order[::-1]))


def add_surplus(
    counts: StudyCounts, copies: Iterable[Copies], junctions: Sequence[Junction]
) -> None:
    """Add the estimated fragments of circles that read like linear RNA, in place.

    Parameters
    ----------
    counts
        Of the study.
    copies
        Pairs of circles; what is found goes to the one that more reads are closer to.
    junctions
        All candidates, in the order of the counts.
    """
    pairs = list(copies)
    own = {name_of(junction) for pair in pairs for junction in pair}
    total = counts.back_splice.sum(axis=1)
    others: dict[tuple[str, str], list[Junction]] = defaultdict(list)
    for junction in junctions:
        if name_of(junction) not in own and total[name_of(junction)]:
            others[junction.chrom, junction.strand].append(junction)
    for pair in pairs:
        left, right = name_of(pair.left), name_of(pair.right)
        closer = {name: int(counts.closer.loc[name].sum()) for name in (left, right)}
        name, side = (right, "start") if closer[right] > closer[left] else (left, "end")
        least = SUPPORTED_SCORE if closer[name] >= SUPPORTING_READS else LEAST_SCORE
        surplus, score = _surplus(counts, pair, others[pair.left.chrom, pair.left.strand])
        if score < least:
            continue
        counts.back_splice.loc[name] += surplus
        counts.shared.loc[name] += surplus
        linear = counts.linear(side)
        linear.loc[name] = (linear.loc[name] - surplus).clip(lower=0)
        counts.estimated[name] = counts.estimated.get(name, 0) + int(surplus.sum())


def _surplus(
    counts: StudyCounts, pair: Copies, others: Sequence[Junction]
) -> tuple[Numbers, float]:
    """Return the fragments beyond what linear RNA and other circles let expect, by library.

    And by how many standard deviations they are more than none in the study. The other circles are
    of the same contig and strand.
    """
    left, right = name_of(pair.left), name_of(pair.right)
    between = (counts.linear_end.loc[left] + counts.linear_start.loc[right]).to_numpy() / 2
    sides = []
    for place, linear in (
        (pair.left.start, counts.linear_start.loc[left]),
        (pair.right.end, counts.linear_end.loc[right]),
    ):
        inside, outside = _other_circles(counts, pair, place, others)
        sides.append((linear.to_numpy() + inside - outside, linear.to_numpy() + inside + outside))
    expected, noise = max(sides, key=lambda side: side[0].sum())
    surplus = between - expected
    variance = between.sum() + noise.sum() + (UNEVENNESS * max(expected.sum(), 0)) ** 2
    score = float(surplus.sum() / np.sqrt(max(variance, 1)))
    return np.maximum(np.rint(surplus), 0).astype(np.int64), score


def _other_circles(
    counts: StudyCounts, pair: Copies, place: int, others: Sequence[Junction]
) -> tuple[Numbers, Numbers]:
    """Return the fragments of other circles that cross the junction between two copies alone.

    And those that cross the neighbouring junction, at a place, alone; both by library.
    """
    between = np.zeros(counts.back_splice.shape[1], dtype=np.int64)
    beside = between.copy()
    for junction in others:
        over_copies = junction.start < pair.left.end and junction.end > pair.right.start
        over_place = junction.start < place < junction.end
        if over_copies != over_place:
            own = counts.back_splice.loc[name_of(junction)].to_numpy()
            between, beside = between + over_copies * own, beside + over_place * own
    return between, beside

r"""What besides its methyl groups moves the counts of a peak: gene, circles, neighbouring peaks.

The gene of a peak tells how many input fragments it should have (`ringmark.input_levels`). And
where the IP of a peak changes against its input, the methyl groups need not have changed: the peak
may lie on a circle that carries them and has become a larger part of the RNA there, or beside
another peak whose fragments reach into it.

Fragments of circles
--------------------
``b`` fragments cross the back-splice of a circle of ``L`` nt. Of fragments of ``F`` nt, circles as
long as they or shorter are crossed by all, others by ``F / L`` of them, and a part of ``u`` nt is
overlapped by ``(F + u) / L`` of all, at most all. Besides the error of counting, such a number is
taken to be right to `CIRCLE_ERROR` of itself.

What circles explain
--------------------
With shares ``s_i`` of the input fragments at a peak, of each circle there and of linear RNA, each
enriched ``e_i``-fold, the peak is enriched ``sum(s_i e_i)``-fold. If no ``e_i`` changes, the peak
still changes by

    log(sum(s_i' e_i) / sum(s_i e_i))

Only the mean of the ``e_i``, the peak's own enrichment, is known; each lies between 1, no methyl
group, and what the most enriched peaks show, or what the largest part of this one would have were
it all its own. The largest and smallest change under these bounds has the highest ``e_i`` where
shares grow most: the problem of the fractional knapsack.

What neighbours explain
-----------------------
Of the fragments over the summit of one peak, a share reaches into the next one, known from the
lengths of fragments. The excess over background of all peaks of a molecule is what their own sites
and those of the others make; solved for the former (non-negative least squares), it says how much
of a peak is its neighbours', and by how much a change of theirs moves it.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import nnls
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from ringmark.bins import BinLayout, Coverage
from ringmark.input_levels import InputLevels, Levels, Sources, estimate_input, ratio
from ringmark.intervals import Blocks, IntArray
from ringmark.summits import fragment_length, site_shape

Array = npt.NDArray[np.float64]

#: Relative error of what the back-splice fragments of a circle say of its other fragments.
CIRCLE_ERROR = 0.5
#: The highest enrichment of a molecule is this quantile of the enrichments of peaks.
HIGHEST = 0.99
_PSEUDO_COUNT = 0.5
_TINY = 1e-9


@dataclass(frozen=True)
class PeakContext:
    """Gene, circles and neighbours of every peak, by input library.

    Attributes
    ----------
    peaks
        Ids, in the order of the rows of all arrays.
    libraries
        Inputs, in the order of the columns.
    own
        Fragments of each peak, shape (peaks, inputs).
    gene, gene_variance
        Linear fragments of each peak's gene, 0 if the peak is in an intron, and the variance of
        that number; same shape.
    circles
        Fragments of each circle at each peak, for every peak of shape (circles, inputs).
    circle_variance
        Variance of their sum, shape (peaks, inputs).
    exonic
        Which peaks are not in introns, shape (peaks,).
    neighbours
        Pairs of peaks and of which others' excess reaches into them, shape (2, pairs).
    reach
        What share of the other's excess, relative to background, does; shape (pairs,).
    """

    peaks: pd.Index
    libraries: tuple[str, ...]
    own: Array
    gene: Array
    gene_variance: Array
    circles: tuple[Array, ...]
    circle_variance: Array
    exonic: npt.NDArray[np.bool_]
    neighbours: IntArray
    reach: Array

    def input_levels(self, levels: Levels) -> InputLevels:
        """Estimate the input fragments of every peak from its own and its gene's."""
        circular = np.array([part.sum(axis=0) for part in self.circles]).reshape(self.own.shape)
        sources = Sources(self.own, self.gene, self.gene_variance, circular, self.circle_variance)
        return estimate_input(sources, levels)

    def explained(self, enrichment: tuple[Array, Array], levels: Levels) -> tuple[Array, Array]:
        """Return the changes of enrichment that circles and neighbouring peaks explain.

        Parameters
        ----------
        enrichment
            Fold enrichment over background of each peak, in the test and the reference level.
        levels
            Columns of the inputs of each level.

        Returns
        -------
        tuple of numpy.ndarray
            Lowest, at most 0, and highest, at least 0, natural log, shape (peaks,).
        """
        low, high = self._explained_by_circles(enrichment, levels)
        change = self._explained_by_neighbours(*enrichment)
        return low + np.minimum(change, 0.0), high + np.maximum(change, 0.0)

    def _explained_by_circles(
        self, enrichment: tuple[Array, Array], levels: Levels
    ) -> tuple[Array, Array]:
        low, high = np.zeros(len(self.own)), np.zeros(len(self.own))
        if not self.exonic.any():
            return low, high
        highest = float(np.quantile(np.concatenate(enrichment)[np.tile(self.exonic, 2)], HIGHEST))
        fold = np.sqrt(enrichment[0] * enrichment[1])
        for peak, parts in enumerate(self.circles):
            if parts.any():
                shares = _shares(self.own[peak], parts, levels)
                low[peak], high[peak] = _extremes(shares, float(fold[peak]), highest)
        return low, high

    def _explained_by_neighbours(self, test: Array, reference: Array) -> Array:
        first, second = self.neighbours
        shares = csr_array((self.reach, (first, second)), shape=(len(self.own), len(self.own)))
        raised = [shares @ _own_excess(shares, level - 1) for level in (test, reference)]
        base = np.maximum(np.minimum(test - raised[0], reference - raised[1]), 1.0)
        return np.log((base + raised[0]) / (base + raised[1]))


@dataclass(frozen=True)
class GeneFragments:
    """What is to be known of an input besides the fragments of its peaks.

    Attributes
    ----------
    totals
        Fragments of each gene of the layout, shape (genes,).
    lengths
        Number of fragments by length in nucleotides.
    stranded
        Whether the strand of fragments is known.
    """

    totals: IntArray
    lengths: IntArray
    stranded: bool

    @classmethod
    def of(cls, coverage: Coverage) -> GeneFragments:
        """Keep of the coverage of a library the little that is needed."""
        known = coverage.strandedness != "unstranded"
        return cls(coverage.gene_totals, coverage.lengths, known)


def peak_context(
    peaks: pd.DataFrame,
    counts: pd.DataFrame,
    layout: BinLayout,
    libraries: Mapping[str, GeneFragments],
    circles: Mapping[str, tuple[str, Blocks]],
    back_splices: pd.DataFrame,
) -> PeakContext:
    """Gather what moves the counts of peaks besides their methyl groups.

    Parameters
    ----------
    peaks
        Table of peaks (`ringmark.tables.PEAKS`), index: peaks.
    counts
        Fragments of each peak in the inputs, shape (peaks, inputs).
    layout
        Genes, of which all peaks are.
    libraries
        Every input.
    circles
        Contig and blocks of each circle.
    back_splices
        Fragments across the back-splice of each circle, shape (circles, inputs).
    """
    inputs = [libraries[name] for name in counts.columns]
    length = fragment_length(inputs)
    stranded = all(item.stranded for item in inputs)
    found = _Circles(circles, back_splices[list(counts.columns)], length, stranded)
    order = {gene.gene_id: number for number, gene in enumerate(layout.genes)}
    numbers = np.array([order[name] for name in peaks["gene_id"]], dtype=np.int64)
    regions = [
        (row.chrom, Blocks.from_bed(row.start, row.block_sizes, row.block_starts, row.strand))
        for row in peaks.itertuples()
    ]
    own = counts.to_numpy(dtype=np.float64)
    exonic = (peaks["region"] != "intron").to_numpy(dtype=bool)
    totals = np.column_stack([item.totals for item in inputs])[numbers].astype(np.float64)
    on_genes = {
        number: found.at(layout.genes[number].chrom, layout.genes[number].union)
        for number in set(numbers.tolist())
    }
    on_peaks = [found.at(chrom, blocks) for chrom, blocks in regions]
    on_gene = np.array([on_genes[number][0].sum(axis=0) for number in numbers.tolist()])
    errors = np.array([on_genes[number][1] for number in numbers.tolist()])
    molecules = [
        _molecule(layout.genes[number].union, spliced)
        for number, spliced in zip(numbers.tolist(), exonic.tolist(), strict=True)
    ]
    neighbours, reach = _neighbours(
        molecules,
        np.where(exonic, numbers, numbers + len(layout.genes)),
        [blocks for _, blocks in regions],
        peaks["summit"].to_numpy(dtype=np.int64),
        site_shape(inputs, 1),
        length,
    )
    return PeakContext(
        peaks.index,
        tuple(counts.columns),
        own,
        np.where(exonic[:, None], totals - on_gene.reshape(totals.shape), 0.0),
        totals + errors.reshape(totals.shape),
        tuple(parts for parts, _ in on_peaks),
        np.array([variance for _, variance in on_peaks]).reshape(totals.shape),
        exonic,
        neighbours,
        reach,
    )


def _molecule(exons: Blocks, spliced: bool) -> Blocks:
    """Return the RNA that a peak in exons, or in an intron, of a gene is on."""
    return exons if spliced else Blocks(exons.starts[:1], exons.ends[-1:], exons.strand)


class _Circles:
    """Circles by where they lie, and what their back-splice fragments say of their others."""

    def __init__(
        self,
        circles: Mapping[str, tuple[str, Blocks]],
        counts: pd.DataFrame,
        length: float,
        stranded: bool,
    ) -> None:
        self.length = length
        self.stranded = stranded
        values = counts.to_numpy(dtype=np.float64)
        rows = {str(name): row for row, name in enumerate(counts.index)}
        self.none = np.zeros((0, values.shape[1]))
        places: dict[tuple[str, str], list[tuple[Blocks, Array]]] = defaultdict(list)
        for name, (chrom, blocks) in circles.items():
            if name in rows and values[rows[name]].any():
                places[chrom, self._strand(blocks)].append((blocks, values[rows[name]]))
        self.places = places
        self.bounds = {
            key: np.array([(blocks.starts[0], blocks.ends[-1]) for blocks, _ in items]).T
            for key, items in places.items()
        }

    def _strand(self, blocks: Blocks) -> str:
        return blocks.strand if self.stranded else "."

    def at(self, chrom: str, blocks: Blocks) -> tuple[Array, Array]:
        """Return the fragments of each circle over some blocks, and the variance of their sum."""
        key = (chrom, self._strand(blocks))
        parts, variance = [], np.zeros(self.none.shape[1])
        if key in self.places:
            starts, ends = self.bounds[key]
            near = (starts < blocks.ends[-1]) & (ends > blocks.starts[0])
            for number in np.flatnonzero(near).tolist():
                circle, crossing = self.places[key][number]
                factor = self._fragments_a_crossing(circle, circle.overlap(blocks))
                parts.append(factor * crossing)
                variance += factor**2 * (crossing + (CIRCLE_ERROR * crossing) ** 2)
        return np.array(parts).reshape(-1, self.none.shape[1]), variance

    def _fragments_a_crossing(self, circle: Blocks, overlap: int) -> float:
        """Fragments of a circle that overlap a part of it, for each that crosses the junction."""
        if not overlap:
            return 0.0
        here = min((self.length + overlap) / circle.length, 1.0)
        return max(circle.length / self.length, 1.0) * here


def _neighbours(
    molecules: Sequence[Blocks],
    numbers: IntArray,
    regions: Sequence[Blocks],
    summits: IntArray,
    shape: Array,
    length: float,
) -> tuple[IntArray, Array]:
    """Return pairs of peaks of one molecule that share fragments, and how much of the excess.

    Molecules are told apart by their numbers.
    """
    spans = np.array([_span(gene, blocks) for gene, blocks in zip(molecules, regions, strict=True)])
    places = np.array(
        [int(gene.to_spliced(np.array([x]))[0]) for gene, x in zip(molecules, summits, strict=True)]
    )
    pairs, reach = [], []
    for first, second in _pairs_within(numbers):
        start, end = spans[first]
        distance = int(max(start - places[second], places[second] - end + 1, 0))
        if distance < len(shape) and shape[distance] > 0:
            widths = [spans[peak][1] - spans[peak][0] + length for peak in (second, first)]
            pairs.append((first, second))
            reach.append(float(shape[distance]) * widths[0] / widths[1])
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T, np.array(reach, dtype=np.float64)


def _span(gene: Blocks, blocks: Blocks) -> tuple[int, int]:
    """Return the spliced interval of a peak on its gene."""
    ends = np.sort(gene.to_spliced(np.array([blocks.starts[0], blocks.ends[-1] - 1])))
    return int(ends[0]), int(ends[1]) + 1


def _pairs_within(numbers: IntArray) -> Iterator[tuple[int, int]]:
    """Yield all ordered pairs of different positions that hold the same number."""
    members = defaultdict(list)
    for position, number in enumerate(numbers.tolist()):
        members[number].append(position)
    for group in members.values():
        yield from itertools.permutations(group, 2)


def _own_excess(shares: csr_array, excess: Array) -> Array:
    """Return the excess over background that the sites of each peak itself make, (peaks,)."""
    own = np.maximum(excess, 0.0)
    number, group = connected_components(shares, directed=False)
    sizes = np.bincount(group, minlength=number)
    for label in np.flatnonzero(sizes > 1).tolist():
        peaks = np.flatnonzero(group == label)
        mixing = np.eye(len(peaks)) + shares[peaks][:, peaks].toarray()
        own[peaks] = nnls(mixing, own[peaks])[0]
    return own


def _shares(own: Array, parts: Array, levels: Levels) -> tuple[Array, Array]:
    """Return the shares of circles and, last, of linear RNA at a peak in each level.

    Where circles seem to have more fragments than there are, all are scaled down, in both levels
    alike.
    """
    counted = [
        (parts[:, columns].sum(axis=1), own[columns].sum() + _PSEUDO_COUNT) for columns in levels
    ]
    scale = min(1.0, *(total / max(part.sum(), _TINY) for part, total in counted))
    shares = [scale * part / total for part, total in counted]
    one, other = (np.append(share, max(1 - share.sum(), 0.0)) for share in shares)
    return one, other


def _extremes(
    shares: tuple[Array, Array], enrichment: float, highest: float
) -> tuple[float, float]:
    """Return the lowest and highest log change of a peak by the shares of its molecules alone."""
    test, reference = shares
    mean = (test + reference) / 2
    excess = max(enrichment - 1, 0.0)
    most = max(highest - 1, excess / float(mean.max()))
    changes = [0.0]
    for growth in (test - reference, reference - test):
        folds = np.ones(len(mean))
        left = excess
        for part in np.argsort(-ratio(growth, mean), kind="stable").tolist():
            if mean[part] > 0:
                added = min(left, most * mean[part])
                folds[part] += added / mean[part]
                left -= added
        changes.append(float(np.log((test @ folds) / (reference @ folds))))
    return min(changes), max(changes)

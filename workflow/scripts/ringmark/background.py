"""The ratio of IP over input where nothing is methylated, and how much it scatters.

In pair ``p`` of an IP and its input, bins of gene ``g`` without m6A have a log ratio of IP to input
fragments ``a[p, g]``: the global log ratio of the pair, plus a deviation of the gene that all pairs
share (an antibody does not drag along every RNA equally), plus one of the gene in this pair.

The global ratio starts at the mode of the log ratios of bins, which stays on background even where
peaks hold most fragments of the IP. Everything is then refined in turns on the bins that are
further than a fragment's length from any bin that looks enriched.

Deviations are shrunken as normal variables whose variance is what genes show beyond counting error,
so that a gene with few reads borrows the global ratio. So does a short gene that is all peak: it
has no background bin. Upwards a deviation is limited to `DEVIATION_LIMIT` standard deviations, lest
a peak pass for background. Only where a long gene (four fragments or more) looks enriched nearly
everywhere is its least enriched quarter taken for background.

What looks enriched is judged with a fixed small over-dispersion: were it judged with the estimated
one, weak peaks would raise the estimate, and thus be taken for background even more. The estimate
is the over-dispersion with which background counts below their expectation, which peaks do not
reach, scatter as they should. Since the expectation is given, one pair is enough for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from ringmark.betabinomial import likelihood_ratio_test
from ringmark.bins import BinLayout
from ringmark.intervals import IntArray

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: A gene's background lies at most this many standard deviations above the global one.
DEVIATION_LIMIT = 2.0
#: Over-dispersion where there is too little background to estimate it, and to find background.
FALLBACK_DISPERSION = 0.01
#: Standard deviation of the genes' background where too few genes tell it.
FALLBACK_DEVIATION = 0.2

#: A bin this many standard deviations up is no background, nor is what lies around it.
_ENRICHED = 2.5
_ROUNDS = 5
#: Over-dispersion is estimated on up to so many counts ...
_DISPERSION_BINS = 4000
#: ... of at least so many fragments, IP and input.
_DISPERSION_FRAGMENTS = 10
_CHI_SQUARED_MEDIAN = 0.4549


@dataclass(frozen=True)
class Background:
    """Log ratios (natural) of IP over input where nothing is methylated.

    Attributes
    ----------
    log_ratio
        Of each pair, shape (pairs,).
    gene_log_ratio
        Of each gene in each pair, shape (genes, pairs).
    dispersion
        Intra-class correlation of the fragments of a bin.
    is_background
        Bins further than a fragment from any that looks enriched, shape (bins,).
    """

    log_ratio: Array
    gene_log_ratio: Array
    dispersion: float
    is_background: Mask


def estimate_background(
    ip: IntArray, inputs: IntArray, layout: BinLayout, fragment_length: float
) -> Background:
    """Estimate the ratio of IP over input on background, of every pair and gene.

    Parameters
    ----------
    ip, inputs
        Fragments of each bin in each pair, shape (bins, pairs).
    fragment_length
        Mean length of the fragments, nucleotides.
    """
    totals = ip + inputs
    reach = int(np.ceil(fragment_length / layout.width))
    overlap = fragment_length / layout.width + 1
    log_ratio = np.array([_mode(ip[:, pair], inputs[:, pair]) for pair in range(ip.shape[1])])
    gene_log_ratio = np.tile(log_ratio, (len(layout.genes), 1))
    is_background = np.ones(layout.bins, dtype=bool)
    for _ in range(_ROUNDS):
        offset = gene_log_ratio[layout.gene_of_bin]
        statistic, _ = signed_root(ip, totals, offset, FALLBACK_DISPERSION)
        enriched = bins_within(statistic > _ENRICHED, layout.bin_offsets, reach)
        is_background = _with_lowest_quarter(~enriched, ip, inputs, layout, reach)
        successes = _sum_genes(ip * is_background[:, None], layout)
        trials = _sum_genes(totals * is_background[:, None], layout)
        if (successes.sum(axis=0) > 0).all() and (trials > successes).any():
            log_ratio = np.log(successes.sum(axis=0) / (trials - successes).sum(axis=0).clip(1))
        gene_log_ratio = _gene_ratios(successes, trials, log_ratio, overlap)
    dispersion = _dispersion(ip, totals, gene_log_ratio[layout.gene_of_bin], is_background)
    return Background(log_ratio, gene_log_ratio, dispersion, is_background)


def _mode(ip: IntArray, inputs: IntArray) -> float:
    """Return the commonest log ratio of the bins of a pair, weighted by input."""
    enough = ip + inputs >= 10
    if enough.sum() < 20:
        return float(np.log((ip.sum() + 0.5) / (inputs.sum() + 0.5)))
    ratios = np.log((ip[enough] + 0.5) / (inputs[enough] + 0.5))
    weights = inputs[enough] + 0.5
    weights = np.minimum(weights, np.quantile(weights, 0.9))
    edges = np.linspace(ratios.min() - 1, ratios.max() + 1, 401)
    histogram, _ = np.histogram(ratios, edges, weights=weights)
    middles = (edges[1:] + edges[:-1]) / 2
    kernel = np.exp(-0.5 * ((middles[:, None] - middles[None, :]) / 0.25) ** 2)
    return float(middles[np.argmax(kernel @ histogram)])


def _sum_genes(values: IntArray, layout: BinLayout) -> IntArray:
    """Sum rows (bins) over genes, shape (genes, columns)."""
    sums = np.concatenate([np.zeros((1, values.shape[1]), np.int64), np.cumsum(values, axis=0)])
    return sums[layout.bin_offsets[1:]] - sums[layout.bin_offsets[:-1]]


def bins_within(marked: Mask, offsets: IntArray, reach: int) -> Mask:
    """Return the bins at most ``reach`` bins from a marked one of the same gene."""
    sums = np.concatenate([[0], np.cumsum(marked)])
    sizes = np.diff(offsets)
    place = np.arange(len(marked))
    low = np.maximum(place - reach, np.repeat(offsets[:-1], sizes))
    high = np.minimum(place + reach + 1, np.repeat(offsets[1:], sizes))
    return sums[high] > sums[low]


def _with_lowest_quarter(
    is_background: Mask, ip: IntArray, inputs: IntArray, layout: BinLayout, reach: int
) -> Mask:
    """Give long genes without background bins the quarter of them that is least enriched."""
    counted = (ip + inputs).sum(axis=1)
    left = _sum_genes((counted * is_background)[:, None], layout)[:, 0]
    total = _sum_genes(counted[:, None], layout)[:, 0]
    bins = np.diff(layout.bin_offsets)
    result = is_background.copy()
    for gene in np.flatnonzero((left < 0.1 * total) & (bins >= 4 * reach)):
        own = slice(*layout.bin_offsets[gene : gene + 2])
        ratio = (ip[own].sum(axis=1) + 0.5) / (inputs[own].sum(axis=1) + 0.5)
        seen = counted[own] > 0
        result[own] = seen & (ratio <= np.quantile(ratio[seen], 0.25))
    return result


def _gene_ratios(successes: IntArray, trials: IntArray, log_ratio: Array, overlap: float) -> Array:
    """Return each gene's log ratio in each pair from its background bins, shrunken.

    ``overlap`` is the number of bins in which a fragment is counted.
    """
    shared, limit = _deviation(successes, trials, log_ratio[None, :], overlap)
    base = log_ratio + np.minimum(shared, limit)[:, None]
    result = base.copy()
    for pair in range(len(log_ratio)) if len(log_ratio) > 1 else ():
        own = slice(pair, pair + 1)
        deviation, bound = _deviation(successes[:, own], trials[:, own], base[:, own], overlap)
        result[:, pair] += np.minimum(deviation, bound)
    return result


def _deviation(
    successes: IntArray, trials: IntArray, base: Array, overlap: float
) -> tuple[Array, float]:
    """Return each gene's shrunken deviation from ``base`` and the largest that is credible."""
    deviation = np.zeros(len(successes))
    for _ in range(25):
        mean = expit(base + deviation[:, None])
        information = (trials * mean * (1 - mean)).sum(axis=1)
        gain = (successes - trials * mean).sum(axis=1) / (information + 0.25)
        deviation = np.clip(deviation + np.clip(gain, -1, 1), -6, 6)
    variance = overlap / np.maximum(information, 1e-9)
    prior = _prior_variance(deviation, variance)
    return deviation * prior / (prior + variance), DEVIATION_LIMIT * float(np.sqrt(prior))


def _prior_variance(deviation: Array, variance: Array) -> float:
    """Return the variance between genes that counting error does not explain.

    It makes the median of the standardised squared deviations that of a chi-squared variable,
    which a few genes full of peaks do not move.
    """
    known = variance < 1
    if known.sum() < 10:
        return FALLBACK_DEVIATION**2
    squared, error = deviation[known] ** 2, variance[known]
    low, high = 0.0, 4.0
    if np.median(squared / error) <= _CHI_SQUARED_MEDIAN:
        return 1e-8
    for _ in range(40):
        middle = (low + high) / 2
        if np.median(squared / (middle + error)) > _CHI_SQUARED_MEDIAN:
            low = middle
        else:
            high = middle
    return high


def _dispersion(ip: IntArray, totals: IntArray, offset: Array, is_background: Mask) -> float:
    """Return the dispersion with which counts below their expectation scatter as they should.

    Counts above are left out, since sites too weak to be seen raise them. Each pair of each bin
    counts for itself.
    """
    pair_totals = np.where(is_background[:, None] & (ip < totals * expit(offset)), totals, 0)
    bins, pairs = np.nonzero(pair_totals >= _DISPERSION_FRAGMENTS)
    if len(bins) < 30:
        return FALLBACK_DISPERSION
    chosen = slice(None, None, max(1, len(bins) // _DISPERSION_BINS))
    bins, pairs = bins[chosen], pairs[chosen]
    chosen_ip, chosen_totals = ip[bins, pairs][:, None], totals[bins, pairs][:, None]
    chosen_offset = offset[bins, pairs][:, None]
    low, high = 0.0, 0.5
    for _ in range(12):
        middle = (low + high) / 2
        root, _ = signed_root(chosen_ip, chosen_totals, chosen_offset, middle)
        if (root**2).mean() > 1:
            low = middle
        else:
            high = middle
    return low


def signed_root(
    ip: IntArray, totals: IntArray, offset: Array, dispersion: float
) -> tuple[Array, Array]:
    """Test rows of counts against given log odds.

    Parameters
    ----------
    ip, totals
        Fragments of the IP, and of IP and input; shape (rows, pairs).
    offset
        Log odds expected of background, shape (rows, pairs).

    Returns
    -------
    root, information : numpy.ndarray
        Signed root of the likelihood ratio of more or less IP than expected, and the information
        on the log odds; shape (rows,) each.
    """
    test = likelihood_ratio_test(
        ip, totals, np.ones((ip.shape[1], 1)), 0, offset, dispersion, alternative="greater"
    )
    root = np.sqrt(np.nan_to_num(test.stat)) * np.sign(np.nan_to_num(test.log2FoldChange))
    mean = expit(offset)
    weight = totals * mean * (1 - mean) / (1 + (totals - 1).clip(0) * dispersion)
    return root, weight.sum(axis=1)

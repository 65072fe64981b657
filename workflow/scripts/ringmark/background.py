"""The ratio of IP over input where nothing is methylated, and how much it scatters.

In pair ``p`` of an IP and its input, bins of gene ``g`` without m6A have a log ratio of IP to input
fragments ``a[p, g]``: the global log ratio of the pair, plus a deviation of the gene that all pairs
share (an antibody does not drag along every RNA equally), plus one of the gene in this pair.

The global ratio starts at the mode of the log ratios of bins, which stays on background even where
peaks hold most fragments of the IP. Everything is then refined in turns on the bins that are
further than a fragment's length from any bin that looks enriched.

The introns of a gene have a background of their own, one for all of them: their RNA is not the
spliced one. What is said of a gene here is true of them too (a *pool* of ``ringmark.bins``).

Deviations start at the lower quartile of a gene's bins, each weighing as much as its input: where
bins weigh as much as all their fragments, the typical bin of a methylated gene is one of its peaks.
They are shrunken as normal variables whose variance is what genes show beyond counting error, so
that a gene with few reads borrows the global ratio. So does a short gene that is all peak: it has
no background bin. Upwards a deviation is limited to `DEVIATION_LIMIT` standard deviations, lest a
peak pass for background, except where it rests on background bins that are worth two fragments'
lengths.

What looks enriched is judged with a fixed small over-dispersion: were it judged with the estimated
one, weak peaks would raise the estimate, and thus be taken for background even more. The estimate
is the over-dispersion with which background counts below their expectation, which peaks do not
reach, scatter as they should. Since the expectation is given, one pair is enough for it. For it,
IPs that share an input are summed, as they are tested (``ringmark.peaks``). For the ratio they are
not: there it is better to take a bin too many for enriched than sites for background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from ringmark.betabinomial import likelihood_ratio_test, log_likelihood_at
from ringmark.bins import BinLayout
from ringmark.intervals import IntArray

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Groups = Sequence[Sequence[int]]

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
#: Distance of the quartiles of a normal variable from its mean, standard deviations.
_QUARTILE = 0.6745
#: Variance of a quartile of normal variables over that of their mean.
_QUARTILE_VARIANCE = 1.857


@dataclass(frozen=True)
class Background:
    """Log ratios (natural) of IP over input where nothing is methylated.

    Attributes
    ----------
    log_ratio
        Of each pair, shape (pairs,).
    gene_log_ratio
        Of each gene in each pair, shape (pools, pairs).
    gene_error
        Standard deviation, natural log, of what is not known of a gene's deviation, shape (pools,):
        that between genes for one that tells nothing.
    deviation
        Standard deviation of the genes' deviations, natural log.
    dispersion
        Intra-class correlation of the fragments of a bin.
    is_background
        Bins further than a fragment from any that looks enriched, shape (bins,).
    """

    log_ratio: Array
    gene_log_ratio: Array
    gene_error: Array
    deviation: float
    dispersion: float
    is_background: Mask


def independent(
    ip: IntArray, inputs: IntArray, offset: Array, shared: Groups
) -> tuple[IntArray, IntArray, Array]:
    """Sum the IPs that share an input; return IP, input and log odds of each group of pairs.

    Parameters
    ----------
    ip, inputs, offset
        Fragments, and log odds expected of background, shape (rows, pairs).
    shared
        Pairs grouped by their input, as numbers of columns.
    """
    if all(len(group) == 1 for group in shared):
        return ip, inputs, offset
    groups = [list(group) for group in shared]
    return (
        np.stack([ip[:, group].sum(axis=1) for group in groups], axis=1),
        np.stack([inputs[:, group[0]] for group in groups], axis=1),
        np.stack([np.log(np.exp(offset[:, group]).sum(axis=1)) for group in groups], axis=1),
    )


def estimate_background(
    ip: IntArray,
    inputs: IntArray,
    layout: BinLayout,
    fragment_length: float,
    shared: Groups | None = None,
) -> Background:
    """Estimate the ratio of IP over input on background, of every pair and gene.

    Parameters
    ----------
    ip, inputs
        Fragments of each bin in each pair, shape (bins, pairs).
    fragment_length
        Mean length of the fragments, nucleotides.
    shared
        Pairs grouped by their input, as numbers of columns; ``None``: each has its own.
    """
    if shared is None:
        shared = [[pair] for pair in range(ip.shape[1])]
    totals = ip + inputs
    reach = int(np.ceil(fragment_length / layout.width))
    overlap = fragment_length / layout.width + 1
    log_ratio = np.array([_mode(ip[:, pair], inputs[:, pair]) for pair in range(ip.shape[1])])
    start = _typical_deviation(ip, inputs, log_ratio, layout, fragment_length)
    gene_log_ratio = log_ratio + start[:, None]
    is_background = np.ones(layout.bins, dtype=bool)
    for _ in range(_ROUNDS):
        offset = gene_log_ratio[layout.pool_of_bin]
        enriched = bins_within(_looks_enriched(ip, inputs, offset), layout.bin_offsets, reach)
        is_background = ~enriched
        successes = _sum_genes(ip * is_background[:, None], layout)
        trials = _sum_genes(totals * is_background[:, None], layout)
        if (successes.sum(axis=0) > 0).all() and (trials > successes).any():
            log_ratio = np.log(successes.sum(axis=0) / (trials - successes).sum(axis=0).clip(1))
        known = _sum_genes(is_background[:, None] * 1, layout)[:, 0] >= 2 * reach
        gene_log_ratio, deviations = gene_ratios(successes, trials, log_ratio, overlap, known)
    own_ip, own_inputs, offset = independent(ip, inputs, gene_log_ratio[layout.pool_of_bin], shared)
    enriched = bins_within(_looks_enriched(own_ip, own_inputs, offset), layout.bin_offsets, reach)
    dispersion = background_dispersion(own_ip, own_ip + own_inputs, offset, ~enriched)
    return Background(
        log_ratio, gene_log_ratio, deviations.error, deviations.prior, dispersion, is_background
    )


def _looks_enriched(ip: IntArray, inputs: IntArray, offset: Array) -> Mask:
    """Return which bins are `_ENRICHED` standard deviations up, shape (bins,).

    The score, which costs little, tells the many that are not by far. Of the others, those that the
    likelihood at a rough enrichment tells already need no better one.
    """
    totals, mean = ip + inputs, expit(offset)
    factor = 1 + (totals - 1).clip(0) * FALLBACK_DISPERSION
    score = ((ip - totals * mean) / factor).sum(axis=1)
    information = (totals * mean * (1 - mean) / factor).sum(axis=1)
    rows = np.flatnonzero(score > _ENRICHED / 2 * np.sqrt(information))
    expected = (totals * mean)[rows].sum(axis=1)
    seen, most = ip[rows].sum(axis=1), totals[rows].sum(axis=1)
    shift = np.log((seen + 0.5) / (most - seen + 0.5)) - np.log(expected / (most - expected))
    null, rough = (
        log_likelihood_at(ip[rows], totals[rows], log_odds, FALLBACK_DISPERSION)
        for log_odds in (offset[rows], offset[rows] + shift[:, None])
    )
    enriched = np.zeros(len(ip), dtype=bool)
    enriched[rows] = (shift > 0) & (2 * (rough - null) > _ENRICHED**2)
    rows = rows[~enriched[rows]]
    root, _ = signed_root(ip[rows], totals[rows], offset[rows], FALLBACK_DISPERSION)
    enriched[rows] = root > _ENRICHED
    return enriched


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
    return sums[layout.pool_offsets[1:]] - sums[layout.pool_offsets[:-1]]


def bins_within(marked: Mask, offsets: IntArray, reach: int) -> Mask:
    """Return the bins at most ``reach`` bins from a marked one of the same gene."""
    sums = np.concatenate([[0], np.cumsum(marked)])
    sizes = np.diff(offsets)
    place = np.arange(len(marked))
    low = np.maximum(place - reach, np.repeat(offsets[:-1], sizes))
    high = np.minimum(place + reach + 1, np.repeat(offsets[1:], sizes))
    return sums[high] > sums[low]


def _typical_deviation(
    ip: IntArray, inputs: IntArray, log_ratio: Array, layout: BinLayout, fragment_length: float
) -> Array:
    """Return the deviation of each gene from the global ratio, to start from.

    At least a quarter of a gene, by its input, is taken to be background. The lower quartile of
    bins that scatter by nothing but counting lies `_QUARTILE` standard deviations below their
    middle, so it is looked for among bins that are raised by as much. A gene of less than four
    fragments' lengths, two of which a site raises, says nothing.
    """
    expected, observed = inputs @ np.exp(log_ratio), ip.sum(axis=1)
    seen = inputs.sum(axis=1)
    noise = np.sqrt(1 / (observed + 0.5) + 1 / (seen + 0.5))
    ratio = np.log((observed + 0.5) / (expected + 0.5)) + _QUARTILE * noise
    deviation = _weighted_quantile(ratio, seen, np.full(len(layout.pool_lengths), 0.25), layout)
    deviation[layout.pool_lengths < 4 * fragment_length] = 0.0
    mean = expit(log_ratio)
    information = _sum_genes(ip + inputs, layout) @ (mean * (1 - mean))
    overlap = fragment_length / layout.width + 1
    variance = overlap * _QUARTILE_VARIANCE / np.maximum(information, 1e-9)
    prior = _prior_variance(deviation, variance)
    return deviation * prior / (prior + variance)


def _weighted_quantile(
    values: Array, weights: IntArray, quantile: Array, layout: BinLayout
) -> Array:
    """Return a quantile of the bins of each gene; 0 for a gene without weight."""
    order = np.lexsort((values, layout.pool_of_bin))
    sums = np.cumsum(weights[order])
    before = np.concatenate([[0], sums])[layout.pool_offsets[:-1]]
    total = _sum_genes(weights[:, None], layout)[:, 0]
    place = np.searchsorted(sums, before + quantile * total, side="right")
    place = np.minimum(place, np.maximum(layout.pool_offsets[1:] - 1, 0))
    found = np.zeros(len(layout.pool_lengths))
    found[total > 0] = values[order][place[total > 0]]
    return found


@dataclass(frozen=True)
class Deviations:
    """How far the background of genes lies from the global one, natural log.

    Attributes
    ----------
    shrunken
        Of each gene, towards 0; shape (genes,).
    error
        Its standard deviation given the counts, shape (genes,).
    prior
        Standard deviation between genes.
    """

    shrunken: Array
    error: Array
    prior: float


def gene_ratios(
    successes: IntArray, trials: IntArray, log_ratio: Array, overlap: float, known: Mask
) -> tuple[Array, Deviations]:
    """Return each gene's log ratio in each pair from its background bins, shrunken.

    Parameters
    ----------
    successes, trials
        Fragments of IP, and of IP and input, in background bins; shape (genes, pairs).
    overlap
        Number of bins in which a fragment is counted.
    known
        Genes with so many background bins that their deviation need not be limited.

    Returns
    -------
    tuple
        Log ratios, shape (genes, pairs), and the deviations that all pairs share.
    """
    shared = _deviations(successes, trials, log_ratio[None, :], overlap)
    base = log_ratio + _credible(shared, known)[:, None]
    result = base.copy()
    for pair in range(len(log_ratio)) if len(log_ratio) > 1 else ():
        own = slice(pair, pair + 1)
        deviations = _deviations(successes[:, own], trials[:, own], base[:, own], overlap)
        result[:, pair] += _credible(deviations, known)
    return result, shared


def _credible(deviations: Deviations, known: Mask) -> Array:
    """Return the deviations, limited where a gene is not known well."""
    limit = DEVIATION_LIMIT * deviations.prior
    return np.where(known, deviations.shrunken, np.minimum(deviations.shrunken, limit))


def _deviations(successes: IntArray, trials: IntArray, base: Array, overlap: float) -> Deviations:
    """Estimate how far each gene deviates from ``base``, shape (genes, pairs)."""
    deviation = np.zeros(len(successes))
    for _ in range(25):
        mean = expit(base + deviation[:, None])
        information = (trials * mean * (1 - mean)).sum(axis=1)
        gain = (successes - trials * mean).sum(axis=1) / (information + 0.25)
        deviation = np.clip(deviation + np.clip(gain, -1, 1), -6, 6)
    variance = overlap / np.maximum(information, 1e-9)
    prior = _prior_variance(deviation, variance)
    share = prior / (prior + variance)
    return Deviations(deviation * share, np.sqrt(share * variance), float(np.sqrt(prior)))


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


def background_dispersion(
    ip: IntArray, totals: IntArray, offset: Array, is_background: Mask
) -> float:
    """Return the dispersion with which counts below their expectation scatter as they should.

    Counts above are left out, since sites too weak to be seen raise them. Each pair of each bin
    counts for itself.

    Parameters
    ----------
    ip, totals
        Fragments of the IP, and of IP and input, in each bin; shape (bins, pairs).
    offset
        Log odds expected of background, shape (bins, pairs).
    is_background
        Bins to use, shape (bins,).
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

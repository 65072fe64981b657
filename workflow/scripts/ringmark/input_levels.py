"""Input fragments of peaks, told by their own counts and by those of their genes.

A peak of a weak gene holds few input fragments, and IP over input is no surer than they are. Its
gene holds many more: they tell how many the peak should have.

In each level of the contrast a peak has ``N`` input fragments, and its gene and circles lead to
expect ``M = w R + C``: ``R`` are the gene's fragments outside the peak that are not of circles,
``w`` is the peak's ratio to them over both levels, ``C`` are the fragments of circles at the peak.
The level's true share of the gene may differ, by alternative exons or ends of transcripts. So the
log ratio of the levels' rates is

    L = log(M_test / M_reference) + u

with ``u`` from a mixture of normal distributions around 0 of standard deviations `SHIFTS`. What
share of the peaks each of them holds is learnt from all peaks (Stephens 2017, Biostatistics
18:275): where shares rarely differ, the gene is believed; a peak whose own fragments say that its
share does differ is told little by its gene. Mean and variance of ``L``, given ``N``, make the
rates of the levels, and as many fragments as would be as sure. What a level has is dealt out to
its libraries as their own fragments and their genes' tell; how much the peak's share of its gene
differs between the libraries of a level is known from its intra-class correlation
(`ringmark.betabinomial`).

A peak that covers its gene keeps its own fragments, and so does one in an intron: how much of a
gene is unspliced is not known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringmark import betabinomial
from ringmark.intervals import IntArray

Array = NDArray[np.float64]
#: Columns of the inputs of the test and of the reference level.
Levels = tuple[IntArray, IntArray]

#: Standard deviations, natural log, by which shares of peaks of their genes differ between levels.
SHIFTS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_PSEUDO_COUNT = 0.5
_TINY = 1e-9
_ROUNDS = 100


@dataclass(frozen=True)
class InputLevels:
    """Input fragments of peaks and how sure they are; arrays of shape (peaks, inputs).

    Attributes
    ----------
    rate
        Estimated input fragments.
    fragments
        So many counted fragments would be as sure.
    """

    rate: Array
    fragments: Array

    @property
    def log_ratio(self) -> Array:
        """Natural log of rate over fragments; 0 where there are none."""
        known = (self.rate > 0) & (self.fragments > 0)
        ratio = np.divide(self.rate, self.fragments, out=np.ones_like(self.rate), where=known)
        return np.log(ratio)


@dataclass(frozen=True)
class Sources:
    """What tells the input fragments of peaks; all arrays of shape (peaks, inputs).

    Attributes
    ----------
    own
        Fragments of each peak.
    gene, gene_variance
        Linear fragments of its gene, and the variance of that number.
    circles, circle_variance
        The same of circles at the peak.
    """

    own: Array
    gene: Array
    gene_variance: Array
    circles: Array
    circle_variance: Array


@dataclass(frozen=True)
class _Expected:
    """What gene and circles lead to expect of the input of peaks, by library.

    ``spread`` is the relative variance, between libraries of a level, of the ratio to it, (peaks,).
    """

    mean: Array
    variance: Array
    spread: Array


def estimate_input(sources: Sources, levels: Levels) -> InputLevels:
    """Estimate the input fragments of every peak from its own and its gene's.

    Returns
    -------
    InputLevels
        For all libraries; those of no level keep their own.
    """
    own, used = sources.own, np.concatenate(levels)
    linear = np.maximum(own - sources.circles, 0.0)
    gene = np.maximum(sources.gene, linear)
    rest = gene - linear
    factor = ratio(linear[:, used].sum(axis=1), rest[:, used].sum(axis=1))[:, None]
    mean = factor * rest + sources.circles
    variance = factor**2 * sources.gene_variance + sources.circle_variance
    told = (rest[:, used].sum(axis=1) > 0) & (own[:, used].sum(axis=1) > 0)
    for columns in levels:
        told &= mean[:, columns].sum(axis=1) > 0
    rate, fragments = own.copy(), own.copy()
    if told.any():
        rows = np.flatnonzero(told)
        spread = _spread(linear[rows], gene[rows], levels)
        expected = _Expected(mean[rows], variance[rows], spread)
        rate[rows], fragments[rows] = _estimate(own[rows], expected, levels)
    return InputLevels(rate, fragments)


def _estimate(own: Array, expected: _Expected, levels: Levels) -> tuple[Array, Array]:
    """Return the rates of peaks, and how many fragments would be as sure; (peaks, inputs)."""
    counted, mean, variance = (
        np.stack([values[:, columns].sum(axis=1) for columns in levels])
        for values in (own, expected.mean, expected.variance)
    )
    prior = np.log(mean[0] / mean[1])
    seen = counted + _PSEUDO_COUNT
    shift, error = _shrink(
        np.log(seen[0] / seen[1]) - prior, (1 / seen).sum(axis=0), (variance / mean**2).sum(axis=0)
    )
    odds = np.exp(prior + shift)
    totals = counted.sum(axis=0) * np.stack([odds / (1 + odds), 1 / (1 + odds)])
    sureness = (1 / totals).sum(axis=0) / error
    rate, fragments = own.copy(), own.copy()
    for columns, total, average in zip(levels, totals, mean, strict=True):
        scaled = expected.mean[:, columns] * (total / average)[:, None]
        relative = expected.spread[:, None] + ratio(
            expected.variance[:, columns], expected.mean[:, columns] ** 2
        )
        shape = ratio(np.ones_like(relative), relative)
        part = (own[:, columns] + shape) / (1 + ratio(shape, scaled))
        part *= (total / np.maximum(part.sum(axis=1), _TINY))[:, None]
        rate[:, columns], fragments[:, columns] = part, part * sureness[:, None]
    return rate, fragments


def _shrink(shift: Array, own: Array, gene: Array) -> tuple[Array, Array]:
    """Return mean and variance of the log ratio of levels, less what the gene leads to expect.

    Parameters
    ----------
    shift
        As counted, (peaks,).
    own, gene
        Variances of the counted log ratio and of the expected one.
    """
    prior = np.array(SHIFTS)[None, :] ** 2 + gene[:, None]
    total = prior + own[:, None]
    likelihood = np.exp(-0.5 * shift[:, None] ** 2 / total) / np.sqrt(total)
    weights = np.full(len(SHIFTS), 1 / len(SHIFTS))
    for _ in range(_ROUNDS):
        member = likelihood * weights
        member /= np.maximum(member.sum(axis=1, keepdims=True), 1e-300)
        # one peak more in each part: few peaks leave the mixture broad
        weights = (member.sum(axis=0) + 1) / (len(shift) + len(SHIFTS))
    means = shift[:, None] * prior / total
    mean = (member * means).sum(axis=1)
    second = (member * (prior * own[:, None] / total + means**2)).sum(axis=1)
    return mean, np.maximum(second - mean**2, _TINY)


def _spread(linear: Array, gene: Array, levels: Levels) -> Array:
    """Return the relative variance, between libraries, of a peak's ratio to its gene, (peaks,).

    0 where no level has two libraries: nothing then depends on it.
    """
    columns = np.concatenate(levels)
    design = np.ones((len(columns), 2))
    design[len(levels[0]) :, 1] = 0.0
    rho = betabinomial.estimate_dispersion(linear[:, columns], gene[:, columns], design)
    share = ratio(linear.sum(axis=1), gene.sum(axis=1))
    return np.nan_to_num(rho) * ratio(1 - share, share)


def ratio(over: Array, under: Array) -> Array:
    """Divide; 0 where there is nothing to divide by."""
    return np.divide(over, under, out=np.zeros_like(over), where=under > _TINY)

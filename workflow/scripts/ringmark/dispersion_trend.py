r"""How the dispersion of rare counts follows their mean.

Counts of a feature are negative binomial with variance ``mu + alpha mu^2``. DESeq2 (Love 2014,
Genome Biology 15:550) fits ``alpha = a + b / mean`` to the dispersions of single features, and
leaves out those whose estimate is 0. Of rare features, like most circles, more than half have no
more variance than counting alone makes, by chance; what is left is far above the truth, and their
tests find nothing. Here ``a`` and ``b`` are those of the highest likelihood of the counts
themselves: the sum over features of the Cox-Reid adjusted profile likelihood (McCarthy 2012,
Nucleic Acids Research 40:4288), in which a feature without any extra variance has as much to say as
one with a lot of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize
from scipy.special import gammaln

Array = NDArray[np.float64]

#: Dispersions at which likelihoods are computed; they are interpolated between them.
DISPERSIONS: Array = np.geomspace(1e-4, 10, 46)
#: Features with a lower mean say next to nothing, and their fitted means are too uncertain.
LEAST_MEAN = 2.0

# Starting points of the search: dispersion of frequent features, and what a mean of 1 adds.
_STARTS = ((0.02, 0.01), (0.02, 1.0), (0.2, 0.01), (0.2, 1.0))


def dispersion_trend(counts: Array, fitted: Array, design: Array, means: Array) -> Array:
    """Return the dispersion that the mean of each feature leads to expect.

    Parameters
    ----------
    counts, fitted
        Counts and what the design explains of them, shape (features, libraries).
    design
        Shape (libraries, coefficients).
    means
        Mean of the normalised counts, above 0, shape (features,).

    Returns
    -------
    numpy.ndarray
        Shape (features,), within `DISPERSIONS`; NaN without any feature.
    """
    if not len(means):
        return np.empty(0)
    chosen = means >= LEAST_MEAN if (means >= LEAST_MEAN).any() else np.ones(len(means), bool)
    own, grid = means[chosen], np.log(DISPERSIONS)
    pieces = CubicSpline(grid, adjusted_profiles(counts[chosen], fitted[chosen], design), axis=1).c
    rows = np.arange(len(own))

    def loss(logs: Array) -> float:
        """Negative log likelihood of a trend."""
        place = np.log(_trend(logs, own))
        piece = np.clip(np.searchsorted(grid, place, side="right") - 1, 0, len(grid) - 2)
        cubic, square, slope, level = pieces[:, piece, rows]
        step = place - grid[piece]
        return -float((((cubic * step + square) * step + slope) * step + level).sum())

    tries = [minimize(loss, np.log(start), method="Nelder-Mead") for start in _STARTS]
    best = min(tries, key=lambda found: float(found.fun))
    return _trend(best.x, means)


def _trend(logs: Array, means: Array) -> Array:
    level, rare = np.exp(np.clip(logs, -30, 30))
    return np.clip(level + rare / means, DISPERSIONS[0], DISPERSIONS[-1])


def adjusted_profiles(counts: Array, fitted: Array, design: Array) -> Array:
    """Return the adjusted profile log likelihood of every feature over `DISPERSIONS`.

    What does not depend on the dispersion is left out.

    Returns
    -------
    numpy.ndarray
        Shape (features, dispersions).
    """
    curves = np.empty((len(counts), len(DISPERSIONS)))
    for column, alpha in enumerate(DISPERSIONS.tolist()):
        size = 1 / alpha
        terms = gammaln(counts + size) - gammaln(size)
        terms -= counts * np.log1p(size / fitted) + size * np.log1p(fitted / size)
        weight = fitted / (1 + alpha * fitted)
        information = np.einsum("fl,li,lj->fij", weight, design, design)
        curves[:, column] = terms.sum(axis=1) - 0.5 * np.linalg.slogdet(information)[1]
    return curves

r"""What the fragments across a back-splice could have shown of m6A: limits of detection.

That no enrichment is seen means one of three things, which readers must be able to tell apart.

cannot be seen
    The circle has so few fragments that the m6A of a typical peak of the study, right at the
    junction, would most likely have been missed.
not seen
    It would have been found at the junction, but not everywhere on the circle: RNA is fragmented
    before the immunoprecipitation, and a site further from the junction than a fragment is long
    pulls down no fragment across it. Or the evidence is in between: unlikely without m6A, and not
    beyond the false discovery rate.
not methylated
    It would have been found wherever on the circle it is.

The smallest enrichment
-----------------------
The test is the signed root ``r`` of the likelihood ratio of more IP fragments than background
explains (`ringmark.betabinomial`). With an enrichment ``E`` a pair of ``x`` input fragments has
``x exp(offset) E`` IP fragments in the mean, and ``r`` of these means, which grows with ``E``, is
about the mean of ``r`` (counts at their expectation tell what information there is: Self, Mauritsen
and Ohara 1992, Biometrics 48:31). The root itself has a standard deviation of about 1, so that it
passes a threshold ``t`` with a chance of 80 % where its mean is ``t + 0.84``. The threshold is that
of the p-value with which one more circle would have been found.

How much of the circle is seen
------------------------------
Of the fragments over the junction a share ``S(d)`` reaches a place ``d`` nucleotides away, which
the lengths of the fragments tell (`ringmark.summits.site_shape`). Round a circle of ``C``
nucleotides a place is reached from both sides, by ``S(d) + S(C - d) - S(C)`` of them, and a site
there that enriches its own fragments ``E``-fold raises those of the junction to ``1 + (E - 1)``
times that share. Single-end reads are taken to be of the length they are extended to, and
fragments to cross the junction with any part of them, although those whose reads do not reach it
are not counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from ringmark.betabinomial import likelihood_ratio_test
from ringmark.summits import Library, fragment_length, site_shape
from ringmark.tables import CANNOT_BE_SEEN, METHYLATED, NOT_METHYLATED, NOT_SEEN

Array = NDArray[np.float64]

#: Chance to find what is said to be found.
POWER = 0.8
#: Log2 enrichments at which the expected statistic is computed; it is interpolated between them.
ENRICHMENTS: Array = np.concatenate([np.arange(0.0, 4.0, 0.25), np.arange(4.0, 10.5, 0.5)])
#: p-values from here on speak for no m6A.
NOTHING_FROM = 0.05


def smallest_enrichment(
    inputs: Array, offset: Array, error: Array, dispersion: Array, degrees: Array, pvalue: float
) -> Array:
    """Return the log2 enrichment that would have been found with a chance of `POWER`.

    Parameters
    ----------
    inputs
        Input fragments, shape (circles, pairs).
    offset
        Log ratio (natural) of IP to input fragments on background, shape (circles, pairs).
    error
        Its standard deviation that all pairs share, shape (circles,).
    dispersion, degrees
        Intra-class correlation and degrees of freedom of the test, shape (circles,).
    pvalue
        At or below which a circle counts as found.

    Returns
    -------
    numpy.ndarray
        Shape (circles,); infinite where even the largest of `ENRICHMENTS` would not do, as
        without any input fragment.
    """
    seen = inputs.sum(axis=1) > 0
    limits = np.full(len(inputs), np.inf)
    limits[seen] = _limits(
        inputs[seen], offset[seen], error[seen], dispersion[seen], degrees[seen], pvalue
    )
    return limits


def _limits(
    inputs: Array, offset: Array, error: Array, dispersion: Array, degrees: Array, pvalue: float
) -> Array:
    """Do the work of `smallest_enrichment` for circles with input fragments."""
    roots = np.zeros((len(inputs), len(ENRICHMENTS)))
    design = np.ones((inputs.shape[1], 1))
    for column, level in enumerate(ENRICHMENTS.tolist()):
        successes = inputs * np.exp(offset + level * np.log(2))
        test = likelihood_ratio_test(
            successes,
            successes + inputs,
            design,
            0,
            offset,
            np.nan_to_num(dispersion),
            alternative="greater",
            null_spread=error,
        )
        roots[:, column] = np.sqrt(np.nan_to_num(test.stat)) * (test.log2FoldChange > 0)
    wanted = _threshold(pvalue, degrees) + ndtri(POWER)
    return _first_crossing(np.maximum.accumulate(roots, axis=1), wanted)


def _threshold(pvalue: float, degrees: Array) -> Array:
    """Return the statistic that has a one-sided p-value."""
    known = np.isfinite(degrees)
    student = -stdtrit(np.where(known, degrees, 1.0), pvalue)
    return np.where(known, student, -ndtri(pvalue))


def _first_crossing(roots: Array, wanted: Array) -> Array:
    """Return the enrichment at which the rising roots of each row reach what is wanted."""
    after = (roots < wanted[:, None]).sum(axis=1)
    found = np.full(len(roots), np.inf)
    rows = np.flatnonzero((after > 0) & (after < roots.shape[1]))
    place = after[rows]
    low, high = roots[rows, place - 1], roots[rows, place]
    share = (wanted[rows] - low) / (high - low)
    found[rows] = ENRICHMENTS[place - 1] + share * (ENRICHMENTS[place] - ENRICHMENTS[place - 1])
    found[after == 0] = ENRICHMENTS[0]
    return found


@dataclass(frozen=True)
class Reach:
    """How far from a junction its fragments reach.

    Attributes
    ----------
    length
        Mean length of the fragments, nucleotides.
    shape
        Share of the fragments over a place that also cover the one ``d`` nucleotides away, shape
        (distances,).
    """

    length: float
    shape: Array

    @classmethod
    def of(cls, libraries: Iterable[Library]) -> Reach:
        """Return the reach of the fragments of libraries."""
        libraries = list(libraries)
        return cls(fragment_length(libraries), site_shape(libraries, 1))

    def within(self, lengths: Array) -> Array:
        """Return the share of circles that lies within a mean fragment's length of the junction.

        Parameters
        ----------
        lengths
            Spliced lengths of circles, nucleotides.
        """
        return np.minimum(2 * self.length / np.maximum(lengths, 1), 1.0)

    def share_at_farthest(self, lengths: Array) -> Array:
        """Return the share of fragments over the junction that reach the place opposite to it."""
        whole = np.maximum(np.asarray(lengths, dtype=np.int64), 1)
        near, far = whole // 2, whole - whole // 2
        return self._share(near) + self._share(far) - self._share(whole)

    def _share(self, distance: NDArray[np.int64]) -> Array:
        return self.shape[np.minimum(distance, len(self.shape) - 1)]


def verdicts(
    found: NDArray[np.bool_],
    pvalue: Array,
    smallest: Array,
    typical: float,
    share_at_farthest: Array,
) -> NDArray[np.str_]:
    """Say of every circle what its junction tells.

    Parameters
    ----------
    found
        Whether the junction is enriched.
    pvalue, smallest
        Of the test, and the smallest log2 enrichment that would have been found.
    typical
        Log2 enrichment of a typical peak of the study.
    share_at_farthest
        Of `Reach`; 0 where it is not known.

    Returns
    -------
    numpy.ndarray
        Shape (circles,): `METHYLATED`, `NOT_METHYLATED`, `NOT_SEEN` or `CANNOT_BE_SEEN`.
    """
    farthest = np.log2(1 + (2.0**typical - 1) * share_at_farthest)
    nothing = (smallest <= farthest) & (pvalue >= NOTHING_FROM)
    return np.select(
        [found, ~(smallest <= typical), nothing],
        [METHYLATED, CANNOT_BE_SEEN, NOT_METHYLATED],
        NOT_SEEN,
    )

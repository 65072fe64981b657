"""False discovery rates, adjusted in one way wherever many features are tested.

References
----------
Benjamini and Hochberg 1995, Journal of the Royal Statistical Society B 57:289.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def adjust(pvalues: FloatArray, tests: int | None = None) -> FloatArray:
    """Return Benjamini-Hochberg adjusted p-values; missing ones stay missing and do not count.

    Parameters
    ----------
    pvalues
        Shape (features,), in any order; NaN where there is none.
    tests
        Hypotheses tested, where the p-values are those of the discoveries alone; ``None``: as many
        as there are p-values.
    """
    adjusted = np.full(len(pvalues), np.nan)
    known = np.flatnonzero(~np.isnan(pvalues))
    order = known[np.argsort(pvalues[known], kind="stable")]
    hypotheses = max(tests or 0, len(order))
    scaled = pvalues[order] * hypotheses / np.arange(1, len(order) + 1)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return adjusted

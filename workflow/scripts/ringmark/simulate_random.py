"""Random numbers for simulated studies that stay the same from one NumPy version to the next.

NumPy keeps the stream of PCG64 and of uniform doubles, but may change how it makes other
distributions of them. Everything here is therefore made from uniform doubles by explicit formulae.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv

from ringmark.intervals import IntArray

FloatArray = npt.NDArray[np.float64]


class Stream:
    """An independent stream of random numbers, named by a seed and a path of integers.

    Parameters
    ----------
    seed
        Seed of the study.
    path
        What the stream is for, such as (stage, library): streams of different paths are
        independent, so that one more gene does not change the errors of the reads.
    """

    def __init__(self, seed: int, *path: int) -> None:
        self._generator = np.random.Generator(
            np.random.PCG64(np.random.SeedSequence([seed, *path]))
        )

    def uniform(self, size: int, low: float = 0.0, high: float = 1.0) -> FloatArray:
        """Return uniform numbers in ``[low, high)``, shape (size,)."""
        return low + (high - low) * self._generator.random(size)

    def real(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return one uniform number in ``[low, high)``."""
        return float(self.uniform(1, low, high)[0])

    def integers(self, low: int, high: int, size: int) -> IntArray:
        """Return whole numbers in ``[low, high)``, shape (size,)."""
        return (low + np.floor(self.uniform(size) * (high - low))).astype(np.int64)

    def integer(self, low: int, high: int) -> int:
        """Return one whole number in ``[low, high)``; ``low`` where the range is empty."""
        return int(self.integers(low, max(high, low + 1), 1)[0])

    def chance(self, probability: float) -> bool:
        """Return true with the given probability."""
        return self.real() < probability

    def permutation(self, size: int) -> IntArray:
        """Return the numbers ``0 .. size - 1`` in random order."""
        return np.argsort(self.uniform(size), kind="stable").astype(np.int64)

    def normal(self, size: int) -> FloatArray:
        """Return standard normal numbers, shape (size,), by the transform of Box and Muller."""
        radius = np.sqrt(-2 * np.log1p(-self.uniform(size)))
        return radius * np.cos(2 * np.pi * self.uniform(size))

    def lognormal(self, size: int, median: float, sigma: float) -> FloatArray:
        """Return log-normal numbers with the given median and standard deviation of the log."""
        return median * np.exp(sigma * self.normal(size))

    def gamma_factor(self, size: int, dispersion: float) -> FloatArray:
        """Return gamma numbers of mean 1 and variance ``dispersion``.

        Counts drawn with a rate multiplied by these are negative binomial with that dispersion.
        """
        uniform = self.uniform(size)
        if dispersion <= 0:
            return np.ones(size)
        return gammaincinv(1 / dispersion, uniform) * dispersion

    def categories(self, weights: FloatArray, size: int) -> IntArray:
        """Return indices drawn in proportion to weights, shape (size,)."""
        cumulative = np.cumsum(weights)
        drawn = np.searchsorted(cumulative, self.uniform(size) * cumulative[-1], side="right")
        return np.minimum(drawn, len(weights) - 1).astype(np.int64)

    def positions(self, length: int, rate: float) -> IntArray:
        """Return the positions in ``[0, length)`` hit when each is hit with probability ``rate``.

        Gaps between hits are geometric, so the cost grows with the hits and not with ``length``.
        """
        if rate <= 0 or length == 0:
            return np.empty(0, np.int64)
        found: list[IntArray] = []
        last = -1
        while last < length:
            batch = int((length - last) * rate * 1.1) + 16
            gaps = np.floor(np.log1p(-self.uniform(batch)) / np.log1p(-rate)).astype(np.int64) + 1
            found.append(last + np.cumsum(gaps))
            last = int(found[-1][-1])
        hits = np.concatenate(found)
        return hits[hits < length]

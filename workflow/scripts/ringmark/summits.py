"""Summits and extents of m6A peaks in the coverage of one gene.

A site shows in the coverage of every fragment that holds it: the excess of IP over background is
highest at the site and falls to nothing a fragment's length away, in a shape that the lengths of
the fragments dictate. Of the fragments over a site the share that also covers a place ``d`` away is

    sum over fragments of max(0, L - d)  /  sum over fragments of L

where ``d`` is the distance in the transcript that brings the two places closest: where an exon is
skipped, fragments of a site before it end up behind it. Nor can a site be seen in more fragments
than there are: the share is lowered where the RNA is rarer than at the site.

Summits are found one by one. The place with the highest Poisson likelihood ratio of IP over what is
explained so far, over the noise of IP and input, is a summit, a plateau standing for its middle;
this is the maximum-likelihood place of a site that all excess fragments hold. What it explains, by
the shape above, is added to the background, until nothing is left that stands out. Each summit is
then placed again given the others. Since real shapes depart from the ideal one, a summit has to
have a valley between itself and the next: what is but a shoulder is part of the higher one.

A peak extends as far as the excess is at least `TRIM` of that at its summit, or to the valley.

All places here are steps (see ``ringmark.bins``) from the 5' end of the gene.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ringmark.annotation import Gene, Intron
from ringmark.bins import MAX_LENGTH
from ringmark.intervals import IntArray

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: A peak extends as far as the excess of IP is at least this share of that at its summit.
TRIM = 0.6

#: RNA is fragmented to about this length for the IP; reads of one end show less of it.
_SHORTEST_FRAGMENT = 100
#: Input is smoothed over this many steps on either side: little, as it may jump between exons.
_SMOOTHING = 2
#: A further summit stands this many standard deviations over what its neighbours explain ...
_SUMMIT_STATISTIC = 3.0
#: ... and is this many times as high.
_SUMMIT_RATIO = 1.4
_MAX_SUMMITS = 40
#: Added to the share of each summit at itself, so that the heights of close ones can be told.
_RIDGE = 1e-6
#: Between two summits the excess falls by this share of the lower one ...
_VALLEY = 0.2
#: ... and the coverage by this many standard deviations.
_VALLEY_STATISTIC = 2.0


@dataclass(frozen=True)
class Extent:
    """A summit with its peak, in steps, half-open.

    Attributes
    ----------
    shadow
        Log ratio by which the neighbouring sites raise the IP at the summit; 0 for a lone one.
    """

    start: int
    end: int
    summit: int
    shadow: float


class Library(Protocol):
    """What knows the lengths of its fragments, as `ringmark.bins.Coverage` does."""

    @property
    def lengths(self) -> IntArray:
        """Number of fragments by length in nucleotides."""


def fragment_length(libraries: Iterable[Library]) -> float:
    """Return the mean length of the fragments of libraries; reads of one end count as 100 nt."""
    lengths = _length_counts(libraries)
    return float((lengths * np.arange(len(lengths))).sum() / max(lengths.sum(), 1)) or 1.0


def _length_counts(libraries: Iterable[Library]) -> IntArray:
    counts = np.zeros(MAX_LENGTH + 1, np.int64)
    for library in libraries:
        counts += library.lengths
    short = counts[:_SHORTEST_FRAGMENT].sum()
    counts[:_SHORTEST_FRAGMENT] = 0
    counts[_SHORTEST_FRAGMENT] += short if counts.any() or short else 1
    return counts


def site_shape(libraries: Iterable[Library], step: int) -> Array:
    """Return what share of the fragments over a site also cover the place ``d`` steps away.

    Returns
    -------
    numpy.ndarray
        Shape (steps,), from 1 at the site itself to 0.
    """
    counts = _length_counts(libraries)
    lengths = np.arange(len(counts))
    distances = np.arange(0, MAX_LENGTH + step, step)
    covered = np.maximum(lengths[None, :] - distances[:, None], 0) @ counts
    shape = covered / covered[0]
    return shape[: np.flatnonzero(shape > 0)[-1] + 2]


@dataclass(frozen=True)
class Profile:
    """Coverage of one gene, all pairs together, arrays of shape (steps,).

    Attributes
    ----------
    ip
        Fragments of the IP.
    expected
        What background leads to expect of them.
    seen
        Fragments of the input that the expectation rests on, each input counted once.
    places
        Place of each step in each transcript, in steps; -1 outside; shape (transcripts, steps).
    shape
        Of a site, from `site_shape`.
    dispersion
        Intra-class correlation of the fragments of IP and input.
    inputs
        Number of inputs: so many independent pairs are summed.
    """

    ip: Array
    expected: Array
    seen: Array
    places: Array
    shape: Array
    dispersion: float = 0.0
    inputs: int = 1
    _known_shares: dict[int, Array] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def excess(self) -> Array:
        """IP over what background leads to expect."""
        return self.ip - self.expected

    def noise(self, explained: Array) -> Array:
        """Return the variance of the IP about what explains it, shape (steps,).

        With ``e`` fragments explained and ``x`` of the input seen, the log ratio of a
        beta-binomial count varies by ``(1 / e + 1 / x) (1 + rho (e + x))``; over-dispersion
        averages out over independent pairs. What sites add is not scaled by the input.
        """
        counting = explained + self.expected**2 / (self.seen + 1)
        return counting * (1 + self.dispersion / self.inputs * (explained + self.seen))

    def share(self, summit: int) -> Array:
        """Return what share of the fragments over a summit also cover each step, (steps,)."""
        if summit not in self._known_shares:
            self._known_shares[summit] = self._share(summit)
        return self._known_shares[summit]

    def _share(self, summit: int) -> Array:
        holding = self.places[self.places[:, summit] >= 0]
        distance = np.abs(holding - holding[:, [summit]])
        distance[holding < 0] = len(self.shape)
        nearest = np.minimum(distance.min(axis=0, initial=len(self.shape)), len(self.shape) - 1)
        lower = nearest.astype(np.int64)
        upper = np.minimum(lower + 1, len(self.shape) - 1)
        share = self.shape[lower] + (nearest - lower) * (self.shape[upper] - self.shape[lower])
        return share * np.minimum(1.0, self.expected / self.expected[summit])


def _smooth(values: IntArray, reach: int) -> Array:
    """Return the mean over ``reach`` steps on both sides, fewer at the ends, of each row."""
    rows, steps = values.shape
    sums = np.zeros((rows, steps + 1), np.int64)
    np.cumsum(values, axis=1, out=sums[:, 1:])
    place = np.arange(steps)
    low, high = np.maximum(place - reach, 0), np.minimum(place + reach + 1, steps)
    return (sums[:, high] - sums[:, low]) / (high - low)


def make_profile(
    depths: Sequence[tuple[IntArray, IntArray]],
    log_ratio: Array,
    places: Array,
    shape: Array,
    dispersion: float,
    shared: Sequence[Sequence[int]] | None = None,
) -> Profile:
    """Sum the pairs of a gene.

    Parameters
    ----------
    depths
        IP and input fragments by step, of each pair.
    log_ratio
        Of the gene's background in each pair, shape (pairs,).
    places, shape, dispersion
        As in `Profile`.
    shared
        Pairs grouped by their input, as numbers; ``None``: each has its own.
    """
    groups = [[pair] for pair in range(len(depths))] if shared is None else shared
    ip = np.sum([pair[0] for pair in depths], axis=0).astype(float)
    inputs = _smooth(np.array([pair[1] for pair in depths]), _SMOOTHING)
    expected = np.sum(
        [(depth + 0.5) * np.exp(ratio) for depth, ratio in zip(inputs, log_ratio, strict=True)],
        axis=0,
    )
    seen = np.sum([inputs[group[0]] + 0.5 for group in groups], axis=0)
    return Profile(ip, expected, seen, places, shape, dispersion, len(groups))


def transcript_places(gene: Gene | Intron, step: int) -> Array:
    """Return the place of each step of a gene in each of its transcripts.

    A step is where its middle lies, or one of its ends where the transcript does not hold that.

    Returns
    -------
    numpy.ndarray
        Shape (transcripts, steps), in steps from the transcript's 5' end; -1 outside its exons.
    """
    length = gene.union.length
    shifts = np.array([[step // 2], [step - 1], [0]])
    genomic = gene.union.to_genome(np.minimum(np.arange(0, length, step) + shifts, length - 1))
    spliced = np.array([transcript.exons.to_spliced(genomic) for transcript in gene.transcripts])
    middles, ends, starts = spliced.swapaxes(0, 1)
    found = np.where(middles >= 0, middles, np.where(ends >= 0, ends, starts))
    return np.where(found >= 0, found / step, -1.0)


def _likelihood_root(observed: Array, expected: Array) -> Array:
    """Return the signed root of the likelihood ratio of Poisson counts against their mean."""
    ratio = np.log(np.maximum(observed, 1e-9) / expected)
    root = np.sqrt(np.maximum(2 * (observed * ratio - (observed - expected)), 0))
    return root * np.sign(observed - expected)


def _highest(statistic: Array) -> int:
    """Return the middle of the highest plateau of a statistic."""
    best = int(np.argmax(statistic))
    falls = statistic[best:] < statistic[best] - 1e-9
    width = int(np.argmax(falls)) or len(falls)
    return best + (width - 1) // 2


def _heights(profile: Profile, summits: Sequence[int], shares: Array) -> Array:
    """Return the excess of IP due to each site, such that together they give the observed one."""
    places = list(summits)
    excess = profile.excess[places]
    solution: npt.NDArray[np.floating]
    if len(places) == 1:
        solution = excess / (shares[0, places] + _RIDGE)
    else:
        mixing = shares[:, places].T + _RIDGE * np.eye(len(places))
        solution = np.linalg.lstsq(mixing, excess, rcond=None)[0]
    return np.minimum(np.maximum(solution, 0.0), np.maximum(excess, 0.0))


def _shares(profile: Profile, summits: Sequence[int]) -> Array:
    """Return the shares of all summits, shape (summits, steps)."""
    rows = [profile.share(summit) for summit in summits]
    return np.array(rows).reshape(len(rows), len(profile.ip))


def _find_summits(profile: Profile, searched: Mask) -> list[int]:
    """Return the summits of one gene, strongest first; only ``searched`` steps can be one."""
    summits: list[int] = []
    while len(summits) < _MAX_SUMMITS:
        explained = profile.expected
        if summits:
            shares = _shares(profile, summits)
            explained = explained + _heights(profile, summits, shares) @ shares
        scale = np.sqrt(explained / profile.noise(explained))
        statistic = np.where(searched, _likelihood_root(profile.ip, explained) * scale, -np.inf)
        if summits:
            statistic[profile.ip < _SUMMIT_RATIO * explained] = -np.inf
            statistic[statistic < _SUMMIT_STATISTIC] = -np.inf
        summit = _highest(statistic)
        if not np.isfinite(statistic[summit]) or statistic[summit] <= 0 or summit in summits:
            break
        summits.append(summit)
    return _with_valleys(profile, _place_again(profile, summits))


def _with_valleys(profile: Profile, summits: list[int]) -> list[int]:
    """Return the summits in order of place, less those that are but a shoulder of the next one.

    A valley is deep if the excess falls by `_VALLEY` of the lower summit and the coverage by more
    than chance; fragments that cover summit and valley both do not count for the latter.
    """
    kept = sorted(summits)
    excess = profile.excess
    while len(kept) > 1:
        depth = []
        for left, right in itertools.pairwise(kept):
            lower = left if excess[left] <= excess[right] else right
            valley = _valley(profile, left, right)
            apart = 1 - profile.share(lower)[valley]
            chance = (profile.ip[lower] + profile.ip[valley]) * apart
            noise = np.sqrt(chance * (1 + profile.dispersion * profile.ip[lower]) + 1e-9)
            fall = excess[lower] - excess[valley]
            deep = fall >= _VALLEY * excess[lower]
            depth.append((fall / noise if deep else 0.0, lower))
        weakest = min(depth)
        if weakest[0] >= _VALLEY_STATISTIC:
            break
        kept.remove(weakest[1])
    return kept


def _place_again(profile: Profile, summits: list[int]) -> list[int]:
    """Move each summit to where it is highest given the others, by a quarter of a fragment."""
    if len(summits) < 2:
        return summits
    reach = max(1, len(profile.shape) // 4)
    explained = _explained_by_others(profile, summits)
    for index, summit in enumerate(summits):
        low = max(0, summit - reach)
        own = slice(low, summit + reach + 1)
        moved = low + _highest(_likelihood_root(profile.ip[own], explained[index, own]))
        if moved not in summits:
            summits[index] = moved
            explained = _explained_by_others(profile, summits)
    return summits


def _explained_by_others(profile: Profile, summits: Sequence[int]) -> Array:
    """Return background plus all sites but one, for each of them; shape (summits, steps)."""
    shares = _shares(profile, summits)
    sites = _heights(profile, summits, shares)[:, None] * shares
    return profile.expected + sites.sum(axis=0) - sites


def _extent(profile: Profile, summit: int, low: int, high: int) -> tuple[int, int]:
    """Return the steps around a summit, within ``[low, high)``, that hold enough of its excess."""
    excess = profile.excess
    floor = TRIM * excess[summit]
    start, end = summit, summit + 1
    while start > low and excess[start - 1] >= floor:
        start -= 1
    while end < high and excess[end] >= floor:
        end += 1
    return start, end


def _valley(profile: Profile, left: int, right: int) -> int:
    excess = profile.excess[left : right + 1]
    lowest = np.flatnonzero(excess == excess.min())
    return left + int(lowest[len(lowest) // 2])


def find_extents(profile: Profile, searched: Mask) -> list[Extent]:
    """Return the peaks of one gene in order of place.

    Parameters
    ----------
    searched
        Steps that can be a summit, shape (steps,).
    """
    summits = _find_summits(profile, searched)
    valleys = [_valley(profile, left, right) for left, right in itertools.pairwise(summits)]
    borders = [0, *valleys, len(profile.ip)]
    explained = _explained_by_others(profile, summits)
    found = []
    for index, summit in enumerate(summits):
        start, end = _extent(profile, summit, borders[index], max(borders[index + 1], summit + 1))
        shadow = float(np.log(explained[index, summit] / profile.expected[summit]))
        found.append(Extent(start, end, summit, shadow))
    return found

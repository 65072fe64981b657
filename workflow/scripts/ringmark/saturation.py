"""How many peaks a part of the fragments would have shown: thinning of counted coverage.

Every fragment is kept with the same chance, as if less had been sequenced of the same libraries, IP
and input alike. The coverage of a library holds where fragments begin and where they end, but not
which beginning belongs to which end. The n-th beginning is paired with the n-th end, which gives
back the coverage exactly where all are kept, and intervals of the right length on average; of
overlapping fragments of unequal lengths it makes more equal ones. The parts are nested: a fragment
that is kept at a quarter of the depth is kept at a half too.

What this leaves out
--------------------
* What less depth would know less well: the ratio on background and the over-dispersion are those of
  the whole. Thinning IP and input alike does not change them, but they would be estimated worse.
* Molecules that the library held and nobody sequenced: duplicates thin out like other fragments, so
  that a library of few distinct molecules looks further from its end than it is.
* One thinning is drawn, not many: numbers of peaks carry the chance of that. A fragment of several
  intervals (see ``ringmark.bins``) is thinned as so many fragments.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ringmark.bins import BinLayout, Coverage
from ringmark.intervals import IntArray
from ringmark.peaks import Condition, Peak, Thresholds, call_peaks, recount_condition

#: Shares of the fragments at which peaks are called.
SHARES = (0.25, 0.5, 0.75, 1.0)
_SEED = 6_180


@dataclass(frozen=True)
class Intervals:
    """The covered intervals of a library, by order of place.

    Attributes
    ----------
    first, last
        First and last step of each, shape (intervals,).
    chance
        A number from 0 to 1 of each: it is kept at every share above it.
    """

    first: IntArray
    last: IntArray
    chance: npt.NDArray[np.float64]

    @classmethod
    def of(cls, coverage: Coverage, name: str) -> Intervals:
        """Return the intervals of a library; what is kept depends on its name alone."""
        steps = np.arange(len(coverage.first))
        first, last = np.repeat(steps, coverage.first), np.repeat(steps, coverage.last)
        generator = np.random.default_rng([_SEED, zlib.crc32(name.encode())])
        return cls(first, last, generator.random(len(first)))

    def thinned(self, coverage: Coverage, share: float) -> Coverage:
        """Return the coverage with a share of the intervals; its other figures stay."""
        if share >= 1:
            return coverage
        kept = self.chance < share
        size = len(coverage.first)
        return replace(
            coverage,
            first=np.bincount(self.first[kept], minlength=size).astype(np.int32),
            last=np.bincount(self.last[kept], minlength=size).astype(np.int32),
        )


def saturation(
    condition: Condition, layout: BinLayout, thresholds: Thresholds
) -> list[dict[str, object]]:
    """Return the rows of `ringmark.tables.SATURATION` of one condition, one a share.

    Peaks are called from this condition alone, searched for anew at every share. A peak of the
    whole is found again if a summit lies in it.
    """
    whole = {pair.ip_library: pair.ip for pair in condition.pairs}
    whole |= {pair.input_library: pair.input for pair in condition.pairs}
    intervals = {name: Intervals.of(coverage, name) for name, coverage in whole.items()}
    parts = {
        share: {name: intervals[name].thinned(whole[name], share) for name in whole}
        for share in SHARES
    }
    found = {
        share: call_peaks(
            [_with(condition, part, layout, thresholds) if share < 1 else condition],
            layout,
            thresholds,
        )
        for share, part in parts.items()
    }
    ips = {pair.ip_library for pair in condition.pairs}
    return [
        {
            "condition": condition.name,
            "fraction": share,
            "ip_fragments": sum(int(part[name].first.sum()) for name in ips),
            "input_fragments": sum(int(part[name].first.sum()) for name in whole.keys() - ips),
            "peaks": len(found[share]),
            "recovered": recovered(found[1.0], found[share]),
        }
        for share, part in parts.items()
    ]


def _with(
    condition: Condition,
    coverage: Mapping[str, Coverage],
    layout: BinLayout,
    thresholds: Thresholds,
) -> Condition:
    """Return a condition with other coverage of its libraries, on the same background."""
    pairs = [
        replace(pair, ip=coverage[pair.ip_library], input=coverage[pair.input_library])
        for pair in condition.pairs
    ]
    return recount_condition(condition, pairs, layout, thresholds)


def recovered(peaks: Sequence[Peak], others: Sequence[Peak]) -> float:
    """Return the share of peaks in which a summit of others lies; NaN of none."""
    summits: dict[int, list[int]] = {}
    for other in others:
        summits.setdefault(other.gene, []).append(other.summit)
    again = sum(
        any(peak.start <= summit < peak.end for summit in summits.get(peak.gene, ()))
        for peak in peaks
    )
    return again / len(peaks) if peaks else float("nan")

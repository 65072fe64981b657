"""The studies of the benchmark: what is simulated, and by how much targets are eased."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from benchmarks import driver


@dataclass(frozen=True)
class Variant(driver.Variant):
    """One simulated study, of inputs alone.

    Attributes
    ----------
    tolerance
        How far targets are eased; ``None`` if the targets of detection do not apply.
    """

    tolerance: float | None = 0.0

    fixed: ClassVar[Mapping[str, object]] = {"ip": False}


#: How near to the main study the variants must come.
NEAR = 0.03

_SINGLE = {"layout": "single"}
_NO_CIRCLES = {"circle_fraction": 0.0, "chimera_fraction": 0.004}
_RARE = {"circle_fraction": 0.01, "low_coverage_fraction": 0.5}
_MANY = {
    "exonic_circles": 600,
    "short_circles": 150,
    "exon_intron_circles": 90,
    "intronic_circles": 120,
    "novel_circles": 120,
    "antisense_circles": 60,
    "circle_fraction": 0.2,
}


def _reads(length: int, **others: object) -> dict[str, object]:
    return {"read_length": length, **others}


def _growth(times: int) -> Variant:
    """Return a study of one library a condition, with a multiple of a quarter of the reads."""
    about = f"one library a condition, {times} x 100,000 fragments: how cost grows"
    return Variant(about, {"replicates": 1}, depth=times / 4, tolerance=None)


#: All studies, by name.
VARIANTS: Mapping[str, Variant] = {
    "main": Variant("2x100, reverse-stranded, 3 against 3 libraries of 400,000 pairs"),
    "unstranded": Variant("unstranded libraries", {"strandedness": "unstranded"}, tolerance=NEAR),
    "forward": Variant("forward-stranded", {"strandedness": "forward"}, tolerance=NEAR),
    "2x50": Variant("pairs of 50 nt", _reads(50, replicates=2), tolerance=NEAR),
    "2x75": Variant("pairs of 75 nt", _reads(75, replicates=2), tolerance=NEAR),
    "2x150": Variant("pairs of 150 nt", _reads(150, replicates=2), tolerance=NEAR),
    "single75": Variant(
        "single reads of 75 nt", _reads(75, replicates=2, **_SINGLE), tolerance=NEAR
    ),
    "single50": Variant(
        "single reads of 50 nt", _reads(50, replicates=2, **_SINGLE), tolerance=None
    ),
    "single36": Variant(
        "single reads of 36 nt", _reads(36, replicates=2, **_SINGLE), tolerance=None
    ),
    "negative": Variant("no circular molecule, twice the chimeras", _NO_CIRCLES),
    "sparse": Variant(
        "circles eight times rarer, half of them 15 times more", _RARE, tolerance=None
    ),
    "dense": Variant("three times as many circles, several a gene", _MANY, tolerance=None),
    **{f"depth_{times}": _growth(times) for times in (1, 2, 4, 8)},
}

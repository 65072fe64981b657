"""The studies of the benchmark: how many libraries, what is planted, what makes them hard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks import driver

#: Nothing differs between the conditions.
_NULL = {"differential_genes": 0, "differential_circles": 0, "differential_site_fraction": 0.0}
_BATCH = {"batch_effect": 0.5}


@dataclass(frozen=True)
class Variant(driver.Variant):
    """One kind of study.

    Attributes
    ----------
    expect
        Which targets apply, a name of `benchmarks.differential.evaluate.TARGETS`.
    covariates
        Columns that the contrast is adjusted for.
    """

    expect: str = "nothing"
    covariates: tuple[str, ...] = ()


def _pair(
    name: str,
    about: str,
    changes: Mapping[str, object],
    expect: tuple[str, str] = ("nothing", "nothing"),
    covariates: tuple[str, ...] = (),
) -> dict[str, Variant]:
    """Return a variant with planted changes and the same without any."""
    return {
        name: Variant(about, changes, expect=expect[0], covariates=covariates),
        f"null_{name}": Variant(
            f"{about}, nothing changes", {**changes, **_NULL}, expect=expect[1],
            covariates=covariates,
        ),
    }  # fmt: skip


#: All studies, by name.
VARIANTS: Mapping[str, Variant] = {
    **_pair("main", "3 against 3 samples", {}, ("planted", "null")),
    **_pair("replicates_2", "2 against 2 samples", {"replicates": 2}),
    **_pair("replicates_6", "6 against 6 samples", {"replicates": 6}),
    **_pair("outlier", "3 against 3, one sample with ten times the dispersion",
            {"outlier_samples": 1}),
    **_pair("depth", "3 against 3, library sizes that differ (sd of the log .6)",
            {"depth_spread": 0.6}),
    **_pair("batch", "4 against 4 in two batches, adjusted for", {"replicates": 4, **_BATCH},
            covariates=("batch",)),
    **_pair("confounded", "4 against 4, conditions mostly in different batches, adjusted for",
            {"replicates": 4, **_BATCH, "confounded_batches": True}, covariates=("batch",)),
    "unadjusted": Variant(
        "confounded batches that the contrast does not name, nothing changes",
        {"replicates": 4, **_BATCH, "confounded_batches": True, **_NULL},
    ),
    "shallow": Variant("a quarter of the fragments", depth=0.25),
    "unmethylated": Variant(
        "no circle has m6A", {"methylated_circle_fraction": 0.0}, expect="unmethylated"
    ),
}  # fmt: skip

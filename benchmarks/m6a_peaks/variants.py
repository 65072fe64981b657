"""The studies of the benchmark: what is simulated, what is done to the sheet, what is expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from benchmarks import driver

#: Changes the samples sheet: takes its rows and returns them.
SheetChange = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Variant(driver.Variant):
    """One simulated study.

    Attributes
    ----------
    expect
        Which targets apply, a name of `benchmarks.m6a_peaks.evaluate.TARGETS`.
    sheet
        What is done to the samples sheet before the run; ``None`` for nothing.
    """

    expect: str = "nothing"
    sheet: SheetChange | None = None


# ---------------------------------------------------------------- samples sheets


def swap_first_pair(rows: pd.DataFrame) -> pd.DataFrame:
    """Say of the first sample's IP that it is the input, and of the input that it is the IP."""
    own = rows["sample"] == rows["sample"].iloc[0]
    turned = rows["assay"].map({"input": "ip", "ip": "input"})
    return rows.assign(assay=rows["assay"].mask(own, turned))


def exchange_inputs(rows: pd.DataFrame) -> pd.DataFrame:
    """Exchange the inputs of the first sample of each condition."""
    inputs = rows.index[rows["assay"] == "input"]
    one, other = rows.loc[inputs].drop_duplicates("condition").index
    changed = rows.copy()
    for column in ("sample", "condition"):
        changed.loc[[one, other], column] = rows.loc[[other, one], column].to_numpy()
    return changed


def inputs_as_ips(rows: pd.DataFrame) -> pd.DataFrame:
    """Say of every second sample of a condition, inputs all, that it is the IP of the first.

    A last sample without another one is left out.
    """
    number = rows.groupby("condition").cumcount()
    first = rows.groupby("condition")["sample"].shift(1)
    second = number % 2 == 1
    paired = second | second.groupby(rows["condition"]).shift(-1, fill_value=False)
    changed = rows.assign(
        sample=rows["sample"].mask(second, first), assay=rows["assay"].mask(second, "ip")
    )
    return changed[paired]


# ---------------------------------------------------------------- studies

_UNSELECTED = {
    "ip_background": 1.0,
    "ip_background_spread": 0.0,
    "gene_background_spread": 0.0,
    "ip_efficiency": 0.0,
}
_OVERDISPERSED = {
    "dispersion": 0.2,
    "site_noise": 0.5,
    "ip_background_spread": 0.5,
    "gene_background_spread": 0.5,
}


def _fragments(length: int) -> Variant:
    changes = {"fragment_length": float(length), "fragment_length_sd": length * 0.24}
    return Variant(f"fragments of {length} nt", changes)


#: All studies, by name.
VARIANTS: Mapping[str, Variant] = {
    "main": Variant("3 pairs a condition, 400,000 pairs of reads, 170 nt fragments", expect="main"),
    "replicates_1": Variant("one pair a condition", {"replicates": 1}, expect="one pair"),
    "replicates_2": Variant("two pairs a condition", {"replicates": 2}),
    "replicates_6": Variant("six pairs a condition", {"replicates": 6}),
    **{
        f"depth_{times}": Variant(f"{times} x 100,000 pairs of reads", depth=times / 4)
        for times in (1, 2, 8)
    },
    "genes_2": Variant(
        "twice the genes, on twice the genome", {"genes": 1_800, "genome_length": 24_000_000}
    ),
    "short_genes": Variant(
        "last exons of 200 to 500 nt, so that peaks cover whole genes",
        {"last_exon_min": 200, "last_exon_max": 500},
    ),
    "low_stoichiometry": Variant(
        "stoichiometry of .1 to .5 instead of .1 to .95, changes of .3",
        {"stoichiometry_max": 0.5, "stoichiometry_change": 0.3},
    ),
    "fragments_100": _fragments(100),
    "fragments_250": _fragments(250),
    "overdispersed": Variant(
        "samples, sites, and backgrounds of libraries and genes scatter more", _OVERDISPERSED
    ),
    "background_10": Variant(
        "antibody binds 10 % of what is not methylated", {"ip_background": 0.1}
    ),
    "background_20": Variant(
        "antibody binds 20 % of what is not methylated", {"ip_background": 0.2}
    ),
    "unstranded": Variant("unstranded libraries", {"strandedness": "unstranded"}),
    "single50": Variant("single reads of 50 nt", {"layout": "single", "read_length": 50}),
    "null_input": Variant(
        "IPs that select nothing: two inputs of each sample", _UNSELECTED, expect="no enrichment"
    ),
    "null_samples": Variant(
        "inputs of other samples instead of IPs",
        {"ip": False, "replicates": 6},
        expect="no enrichment",
        sheet=inputs_as_ips,
    ),
    "null_unmethylated": Variant(
        "IPs of RNA without m6A",
        {"methylated_fraction": 0.0, "methylated_circle_fraction": 0.0},
        expect="no enrichment",
    ),
    "null_differential": Variant(
        "no site differs between the conditions",
        {"differential_site_fraction": 0.0},
        expect="no change",
    ),
    "failed": Variant("one IP pulled nothing down", {"failed_ips": 1}, expect="verdict"),
    "swapped": Variant("IP and input of a sample swapped", expect="verdict", sheet=swap_first_pair),
    "foreign": Variant("two samples' inputs exchanged", expect="verdict", sheet=exchange_inputs),
}

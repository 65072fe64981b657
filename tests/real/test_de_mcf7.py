"""Tamoxifen-resistant against sensitive MCF7 cells: the program of genes on a matrix by itself.

Every `EACH`-th gene is taken, and the markers: all of them take minutes and agree as well.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import workflow_runs as runs

import compare_genes
from ringmark.tables import DIFFERENTIAL, SHRUNKEN

DATA = runs.real_data("de_MCF7_tamoxifen")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(DATA is None, reason="RINGMARK_REAL_DATA does not hold de_MCF7_tamoxifen"),
]

#: Share of the genes that the test takes: one of so many.
EACH = 6

#: Sign of the change in resistant cells.
MARKERS = {"PGR": -1, "GREB1": -1, "TFF1": -1, "CXCL12": -1, "SOX2": 1}


def result(folder: Path) -> pd.DataFrame:
    """Compare the counts and return the table beside the published one, by gene name."""
    assert DATA is not None
    counts = pd.read_csv(DATA / "raw_counts.csv").astype({"Entrez_ID": str})
    chosen = (np.arange(len(counts)) % EACH == 0) | counts["Name"].isin(MARKERS)
    counts = counts[chosen].dropna(subset="Name").drop_duplicates("Name", keep=False)
    libraries = [name for name in counts.columns if name.startswith("MCF7")]
    table = counts[["Entrez_ID", *libraries]].rename(columns={"Entrez_ID": "gene_id"})
    table.to_csv(folder / "counts.tsv", sep="\t", index=False)
    rows = [
        f"{name}\t{name}\t{'resistant' if 'TAMR' in name else 'sensitive'}\tinput"
        for name in libraries
    ]
    sheet = "\n".join(["library\tsample\tcondition\tassay", *rows]) + "\n"
    (folder / "samples.tsv").write_text(sheet)
    options = ["--samples", folder / "samples.tsv", "--counts", folder / "counts.tsv"]
    options += ["--test", "resistant", "--reference", "sensitive", "--output", folder / "out.tsv"]
    options += ["--shrunken", folder / "shrunken.tsv"]
    assert compare_genes.main([str(word) for word in options]) == 0
    found = DIFFERENTIAL.read(folder / "out.tsv")
    shrunken = SHRUNKEN.read(folder / "shrunken.tsv").set_index("id")
    found["shrunken"] = found["id"].map(shrunken["log2FoldChange_shrunken"])
    found["Name"] = found["id"].map(counts.set_index("Entrez_ID")["Name"])
    published = pd.read_csv(DATA / "pydeseq2_TAMR_vs_OH.csv")
    return published.merge(found, on="Name", suffixes=("_published", ""), validate="1:1")


def test_the_result_agrees_with_the_published_one(tmp_path: Path) -> None:
    both = result(tmp_path)
    changes = both[["log2FoldChange", "log2FoldChange_published"]].dropna()
    assert len(changes) > 14_000 / EACH
    assert np.corrcoef(changes.to_numpy().T)[0, 1] >= 0.999
    significant = both[both["padj_published"] < 0.05]
    assert len(significant) > 0.9 * 3659 / EACH
    assert (significant["padj"] < 0.05).mean() >= 0.98
    by_name = both.set_index("Name")
    for name, sign in MARKERS.items():
        assert np.sign(by_name.loc[name, "log2FoldChange"]) == sign
        assert by_name.loc[name, "padj"] < 1e-6
    assert (both["shrunken"].abs() <= both["log2FoldChange"].abs() + 0.01).mean() > 0.99

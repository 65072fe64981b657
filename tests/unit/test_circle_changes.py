"""The table that joins what changes of each circle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from join_circle_changes import main
from ringmark.circle_changes import circle_changes, readings
from ringmark.tables import CIRCLE_CHANGES, CIRCLE_RATIO, CIRCLES, DETECTION, DIFFERENTIAL

WORDS = {
    (1, 1, 0): "beyond_gene",
    (1, 1, 1): "beyond_gene",
    (0, 1, 0): "beyond_gene",
    (1, 1, -1): "against_gene",
    (1, 0, -1): "against_gene",
    (0, -1, 1): "gene_alone",
    (1, 0, 1): "with_gene",
    (-1, 0, -1): "with_gene",
    # the gene goes further than the circle
    (1, -1, 1): "with_gene",
    (1, 0, 0): "unclear",
    # up, and down beside linear RNA of which nothing is shown
    (1, -1, 0): "unclear",
    (0, 0, 1): "unchanged",
    (0, 0, 0): "unchanged",
}


@pytest.mark.parametrize(("signs", "word"), WORDS.items())
@pytest.mark.parametrize("turn", [1, -1])
def test_readings(signs: tuple[int, int, int], word: str, turn: int) -> None:
    circle, ratio, gene = (np.array([turn * sign]) for sign in signs)
    assert readings(circle, ratio, gene, np.array([True])).tolist() == [word]


def test_what_was_not_tested_is_not_unchanged() -> None:
    nothing = np.array([0, 0])
    found = readings(nothing, nothing, nothing, np.array([False, True]))
    assert found.tolist() == ["not_tested", "unchanged"]


def catalogue(*genes: str | None) -> pd.DataFrame:
    rows = [
        dict.fromkeys(CIRCLES.columns)
        | {"circle": f"c{n}", "gene_id": gene, "gene_name": gene, "type": "exonic",
           "confidence": "high"}
        for n, gene in enumerate(genes)
    ]  # fmt: skip
    return CIRCLES.frame(rows)


def result(**features: tuple[float, float | None]) -> pd.DataFrame:
    rows = [
        dict.fromkeys(DIFFERENTIAL.columns) | {"id": name, "log2FoldChange": change, "padj": padj}
        for name, (change, padj) in features.items()
    ]
    return DIFFERENTIAL.frame(rows)


def m6a(**tiers: str) -> pd.DataFrame:
    rows = [
        dict.fromkeys(DETECTION.columns)
        | {"circle": name, "condition": condition, "tier": tier, "verdict": f"of {condition}"}
        for name, tier in tiers.items()
        for condition in ("a", "pooled")
    ]
    return DETECTION.frame(rows)


def test_what_belongs_to_a_circle_stands_in_its_row() -> None:
    table = circle_changes(
        catalogue("G1", "G1", None),
        result(c0=(1.0, 0.01), c1=(2.0, None), c2=(-1.0, 0.01)),
        result(c0=(0.1, 0.8), c1=(1.9, 0.001), c2=(np.nan, None)),
        result(G1=(0.9, 0.02)),
        result(c1=(1.5, 0.03)),
        m6a(c0="1", c2="none"),
        0.05,
    ).set_index("circle")
    assert table["reading"].tolist() == ["with_gene", "beyond_gene", "unclear"]
    assert table["gene_log2FoldChange"].tolist()[:2] == [0.9, 0.9]
    assert table.loc["c2", ["gene_log2FoldChange", "gene_padj"]].isna().all()
    assert table.loc["c1", "methylation_padj"] == 0.03
    assert table.loc["c0", ["m6a_tier", "m6a_verdict"]].tolist() == ["1", "of pooled"]
    assert pd.isna(table.loc["c1", "m6a_tier"])


def test_without_immunoprecipitation_and_without_replicates() -> None:
    exploratory = result(c0=(1.0, None))
    table = circle_changes(
        catalogue("G1"), exploratory, exploratory, result(G1=(1.0, None)), None, None, 0.05
    )
    assert table["reading"].tolist() == ["not_tested"]
    assert table["circle_log2FoldChange"].tolist() == [1.0]
    assert table[["methylation_padj", "m6a_tier"]].isna().all().all()


def test_no_circles(tmp_path: Path) -> None:
    CIRCLES.write([], tmp_path / "circles.tsv")
    for name in ("expression", "genes"):
        DIFFERENTIAL.write([], tmp_path / f"{name}.tsv")
    CIRCLE_RATIO.write([], tmp_path / "ratio.tsv")
    options = [
        word
        for name in ("circles", "expression", "ratio", "genes")
        for word in (f"--{name}", str(tmp_path / f"{name}.tsv"))
    ]
    assert main([*options, "--output", str(tmp_path / "out.tsv")]) == 0
    assert (tmp_path / "out.tsv").read_text() == "\t".join(CIRCLE_CHANGES.columns) + "\n"

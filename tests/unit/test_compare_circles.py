"""The program that compares circles by their back-splice reads."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from compare_circles import main
from ringmark.tables import DIFFERENTIAL

LIBRARIES = ["r1", "r2", "r3", "s1", "s2", "s3"]
CIRCLES = ["c:1-9:+", "c:20-90:-"]


@pytest.fixture
def folder(tmp_path):
    sheet = ["library\tsample\tcondition\tassay"]
    for name in LIBRARIES:
        sheet.append(f"{name}\t{name}\t{'resistant' if name[0] == 'r' else 'sensitive'}\tinput")
    (tmp_path / "samples.tsv").write_text("\n".join(sheet) + "\n")
    genes = pd.DataFrame(np.random.default_rng(0).poisson(200, (30, 6)), columns=LIBRARIES)
    genes.insert(0, "gene_id", [f"G{i}" for i in range(30)])
    genes.to_csv(tmp_path / "genes.tsv", sep="\t", index=False)
    catalogue = ["circle\tgene_id\tgene_name", "c:20-90:-\tNA\tNA", "c:1-9:+\tG1\tONE"]
    (tmp_path / "circles.tsv").write_text("\n".join(catalogue) + "\n")
    return tmp_path


def write_counts(folder, rows):
    lines = ["\t".join(["circle", *LIBRARIES])]
    lines += ["\t".join([name, *map(str, row)]) for name, row in rows.items()]
    (folder / "bsj.tsv").write_text("\n".join(lines) + "\n")


def run(folder, circles="circles.tsv"):
    return main(
        [
            *("--samples", str(folder / "samples.tsv"), "--test", "resistant"),
            *("--reference", "sensitive", "--counts", str(folder / "bsj.tsv")),
            *("--gene-counts", str(folder / "genes.tsv"), "--circles", str(folder / circles)),
            *("--output", str(folder / "out.tsv")),
        ]
    )


def test_two_circles(folder):
    write_counts(folder, {CIRCLES[0]: [80, 90, 85, 10, 9, 12], CIRCLES[1]: [0, 0, 0, 0, 0, 0]})
    assert run(folder) == 0
    table = DIFFERENTIAL.read(folder / "out.tsv")
    assert table["id"].tolist() == CIRCLES
    assert table["gene_name"].iloc[0] == "ONE"
    assert pd.isna(table["gene_id"].iloc[1])
    assert table["log2FoldChange"].iloc[0] == pytest.approx(3, abs=0.3)
    assert table["padj"].iloc[0] < 0.001
    assert table["pvalue"].isna().tolist() == [False, True]


def test_no_circle_gives_a_header(folder):
    write_counts(folder, {})
    assert run(folder) == 0
    assert (folder / "out.tsv").read_text().splitlines() == ["\t".join(DIFFERENTIAL.columns)]


def test_a_catalogue_without_genes_is_an_error(folder, capsys):
    write_counts(folder, {CIRCLES[0]: [8, 9, 8, 1, 9, 1]})
    (folder / "bad.tsv").write_text("circle\tgene_id\n")
    assert run(folder, "bad.tsv") == 1
    assert "no column gene_name" in capsys.readouterr().err
    assert not (folder / "out.tsv").exists()

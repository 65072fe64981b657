"""The program that compares circular-to-linear ratios."""

from __future__ import annotations

import numpy as np
import pytest

from compare_ratio import main
from ringmark.tables import CIRCLE_RATIO

LIBRARIES = ["r1", "r2", "r3", "s1", "s2", "s3"]


@pytest.fixture
def folder(tmp_path):
    sheet = ["library\tsample\tcondition\tassay\tbatch"]
    for name in LIBRARIES:
        condition = "resistant" if name[0] == "r" else "sensitive"
        sheet.append(f"{name}\t{name}\t{condition}\tinput\t{'a' if name[1] == '1' else 'b'}")
    (tmp_path / "samples.tsv").write_text("\n".join(sheet) + "\n")
    (tmp_path / "circles.tsv").write_text("circle\tgene_id\tgene_name\nA\tG1\tONE\nB\tG2\tTWO\n")
    return tmp_path


def write_counts(path, rows, libraries=LIBRARIES):
    lines = ["\t".join(["circle", *libraries])]
    lines += ["\t".join([name, *map(str, row)]) for name, row in rows.items()]
    path.write_text("\n".join(lines) + "\n")


def run(folder, *further):
    return main(
        [
            *("--samples", str(folder / "samples.tsv"), "--test", "resistant"),
            *("--reference", "sensitive", "--counts", str(folder / "bsj.tsv")),
            *("--linear-counts", str(folder / "linear.tsv")),
            *("--circles", str(folder / "circles.tsv"), "--output", str(folder / "out.tsv")),
            *further,
        ]
    )


def test_ratios_with_a_covariate(folder):
    write_counts(folder / "bsj.tsv", {"A": [50, 55, 48, 11, 9, 10], "B": [10, 11, 9, 10, 9, 12]})
    write_counts(folder / "linear.tsv", {"B": [30] * 6, "A": [50] * 6})
    assert run(folder, "--covariates", "batch") == 0
    table = CIRCLE_RATIO.read(folder / "out.tsv")
    assert table["id"].tolist() == ["A", "B"]
    assert table["ratio_test"].iloc[0] == pytest.approx(153 / 303, rel=1e-5)
    assert table["ratio_reference"].iloc[0] == pytest.approx(30 / 180, rel=1e-5)
    assert table["log2FoldChange"].iloc[0] == pytest.approx(np.log2(51 / 10), abs=0.1)
    assert table["padj"].iloc[0] < 0.01
    assert table["padj"].iloc[1] > 0.2


def test_gene_counts_scale_the_base_mean(folder):
    write_counts(folder / "bsj.tsv", {"A": [10] * 6})
    write_counts(folder / "linear.tsv", {"A": [10] * 6})
    write_counts(folder / "genes.tsv", {"G": [100, 100, 100, 100, 100, 6400]})
    assert run(folder, "--gene-counts", str(folder / "genes.tsv")) == 0
    expected = np.mean(20 / np.array([0.5] * 5 + [32]))
    assert CIRCLE_RATIO.read(folder / "out.tsv")["baseMean"].iloc[0] == pytest.approx(
        expected, rel=1e-5
    )


def test_no_circle_gives_a_header(folder):
    for name in ("bsj.tsv", "linear.tsv"):
        write_counts(folder / name, {})
    assert run(folder) == 0
    assert (folder / "out.tsv").read_text().splitlines() == ["\t".join(CIRCLE_RATIO.columns)]


def test_matrices_of_different_circles_are_an_error(folder, capsys):
    write_counts(folder / "bsj.tsv", {"A": [10] * 6})
    write_counts(folder / "linear.tsv", {"B": [10] * 6})
    assert run(folder) == 1
    assert "'A'" in capsys.readouterr().err
    assert not (folder / "out.tsv").exists()


def test_a_covariate_that_is_no_column_is_an_error(folder, capsys):
    write_counts(folder / "bsj.tsv", {"A": [10] * 6})
    write_counts(folder / "linear.tsv", {"A": [10] * 6})
    assert run(folder, "--covariates", "patient") == 1
    assert "'patient'" in capsys.readouterr().err

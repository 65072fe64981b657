"""The program that compares m6A enrichment, of peaks and of circles."""

from __future__ import annotations

import numpy as np
import pytest

from compare_methylation import main
from ringmark.tables import DIFFERENTIAL

SAMPLES = ["r1", "r2", "r3", "s1", "s2", "s3"]
IPS = [f"{name}_ip" for name in SAMPLES]
INPUTS = [f"{name}_in" for name in SAMPLES]


@pytest.fixture
def folder(tmp_path):
    sheet = ["library\tsample\tcondition\tassay"]
    for name in SAMPLES:
        condition = "resistant" if name[0] == "r" else "sensitive"
        sheet.append(f"{name}_ip\t{name}\t{condition}\tip")
        sheet.append(f"{name}_in\t{name}\t{condition}\tinput")
    (tmp_path / "samples.tsv").write_text("\n".join(sheet) + "\n")
    (tmp_path / "peaks.tsv").write_text("peak\tchrom\tgene_id\tgene_name\nA\t1\tG1\tONE\n")
    write_background(tmp_path, 0.0)
    return tmp_path


def write_background(folder, ratio):
    rows = [f"{ip}\t{own}\t{ratio}" for ip, own in zip(IPS, INPUTS, strict=True)]
    header = "ip_library\tinput_library\tlog_ratio"
    (folder / "background.tsv").write_text("\n".join([header, *rows]) + "\n")


def write_counts(path, rows, libraries):
    lines = ["\t".join(["peak", *libraries])]
    lines += ["\t".join([name, *map(str, row)]) for name, row in rows.items()]
    path.write_text("\n".join(lines) + "\n")


def run(folder, ip="ip.tsv", own="input.tsv"):
    return main(
        [
            *("--samples", str(folder / "samples.tsv"), "--test", "resistant"),
            *("--reference", "sensitive", "--ip-counts", str(folder / ip)),
            *("--input-counts", str(folder / own), "--features", str(folder / "peaks.tsv")),
            *("--background", str(folder / "background.tsv")),
            *("--output", str(folder / "out.tsv")),
        ]
    )


def test_peaks(folder):
    rows = {"A": [160, 150, 170, 80, 84, 78], "B": [50, 52, 49, 51, 50, 47]}
    write_counts(folder / "ip.tsv", rows, IPS)
    write_counts(folder / "input.tsv", {"B": [25] * 6, "A": [20] * 6}, INPUTS)
    assert run(folder) == 0
    table = DIFFERENTIAL.read(folder / "out.tsv")
    assert table["id"].tolist() == ["A", "B"]
    assert table["gene_name"].iloc[0] == "ONE"
    assert table["log2FoldChange"].iloc[0] == pytest.approx(np.log2(480 / 242), abs=0.05)
    assert table["padj"].iloc[0] < 0.05
    assert table["padj"].iloc[1] > 0.2


def test_circles_with_both_assays_in_one_matrix(folder):
    write_counts(folder / "bsj.tsv", {"A": [160, 150, 170, 80, 84, 78, *[20] * 6]}, IPS + INPUTS)
    assert run(folder, "bsj.tsv", "bsj.tsv") == 0
    found = DIFFERENTIAL.read(folder / "out.tsv")["log2FoldChange"].iloc[0]
    assert found == pytest.approx(np.log2(480 / 242), abs=0.05)


def test_no_peak_gives_a_header(folder):
    write_counts(folder / "ip.tsv", {}, IPS)
    write_counts(folder / "input.tsv", {}, INPUTS)
    assert run(folder) == 0
    assert (folder / "out.tsv").read_text().splitlines() == ["\t".join(DIFFERENTIAL.columns)]


@pytest.mark.parametrize("ratio", ["NA", "much"])
def test_background_without_numbers_is_an_error(folder, capsys, ratio):
    write_background(folder, ratio)
    write_counts(folder / "ip.tsv", {"A": [16] * 6}, IPS)
    write_counts(folder / "input.tsv", {"A": [16] * 6}, INPUTS)
    assert run(folder) == 1
    assert "background" in capsys.readouterr().err
    assert not (folder / "out.tsv").exists()


def test_background_without_its_columns_is_an_error(folder, capsys):
    (folder / "background.tsv").write_text("ip_library\tratio\n")
    write_counts(folder / "ip.tsv", {"A": [16] * 6}, IPS)
    write_counts(folder / "input.tsv", {"A": [16] * 6}, INPUTS)
    assert run(folder) == 1
    assert "log_ratio" in capsys.readouterr().err


# --- the context of peaks


def with_context(folder, *more):
    return main(
        [
            *("--samples", str(folder / "samples.tsv"), "--test", "resistant"),
            *("--reference", "sensitive", "--ip-counts", str(folder / "ip.tsv")),
            *("--input-counts", str(folder / "input.tsv")),
            *("--features", str(folder / "peaks.tsv")),
            *("--background", str(folder / "background.tsv")),
            *("--output", str(folder / "out.tsv")),
            *more,
        ]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bins", "a.npz"], "--bins: without --annotation"),
        (["--circles", "c.bed"], "one without the other"),
        (["--circles", "c.bed", "--bsj-counts", "b.tsv"], "--circles: without --bins"),
    ],
)
def test_options_of_the_context_need_each_other(folder, capsys, options, message):
    write_counts(folder / "ip.tsv", {"A": [16] * 6}, IPS)
    write_counts(folder / "input.tsv", {"A": [16] * 6}, INPUTS)
    assert with_context(folder, *options) == 1
    assert message in capsys.readouterr().err
    assert not (folder / "out.tsv").exists()

"""The program that compares m6A enrichment, of peaks and of circles."""

from __future__ import annotations

import numpy as np
import pytest

from compare_methylation import counts_in_exons, main
from ringmark.annotation import Annotation, Gene, Transcript
from ringmark.bins import MAX_LENGTH, BinLayout, Coverage
from ringmark.intervals import Blocks
from ringmark.tables import DIFFERENTIAL, PEAKS

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


def write_context(folder):
    """One gene with a peak and a circle, and coverages of six inputs."""
    exons = Blocks(np.array([0]), np.array([3000]), "+")
    gene = Gene("G1", "ONE", "lncRNA", "1", "+", (Transcript("T1", exons),))
    annotation = Annotation({"G1": gene})
    annotation.write(folder / "transcripts.tsv")
    layout = BinLayout.of(annotation)
    rows = np.zeros(layout.steps, np.int32)
    for name in INPUTS:
        lengths = np.zeros(MAX_LENGTH + 1, np.int64)
        lengths[150] = 100
        totals = np.array([400])
        Coverage(rows, rows, totals, lengths, 400, 400, layout.digest, "reverse").save(
            folder / f"{name}.npz"
        )
    peak = dict.fromkeys(PEAKS.columns, 1) | {
        "peak": "A", "chrom": "1", "start": 1000, "end": 1100, "strand": "+",
        "block_sizes": "100", "block_starts": "0", "gene_id": "G1", "gene_name": "ONE",
        "region": "exon", "summit": 1050, "conditions": "resistant",
    }  # fmt: skip
    PEAKS.write([peak], folder / "peaks.tsv")
    (folder / "circles.bed").write_text("1\t900\t1200\tC\t9\t+\t900\t1200\t0\t1\t300\t0\n")
    write_counts(folder / "bsj.tsv", {"C": [40, 40, 40, 8, 8, 8]}, INPUTS)
    write_counts(folder / "ip.tsv", {"A": [900, 880, 910, 300, 310, 290]}, IPS)
    write_counts(folder / "input.tsv", {"A": [120, 118, 121, 60, 61, 59]}, INPUTS)
    return [
        *("--bins", *(str(folder / f"{name}.npz") for name in INPUTS)),
        *("--annotation", str(folder / "transcripts.tsv")),
        *("--circles", str(folder / "circles.bed"), "--bsj-counts", str(folder / "bsj.tsv")),
    ]


def test_a_circle_that_grows_is_told_from_a_change(folder):
    options = write_context(folder)
    without = options[: options.index("--circles")]
    found = []
    for chosen in (without, options):
        assert with_context(folder, *chosen) == 0
        found.append(DIFFERENTIAL.read(folder / "out.tsv")["pvalue"].iloc[0])
    assert found[0] < 0.05
    assert found[1] > 0.2


@pytest.mark.parametrize(
    ("name", "before", "after", "message"),
    [
        ("bsj.tsv", "s2_in", "other", "no column s2_in"),
        ("peaks.tsv", "\tG1\t", "\tG9\t", "peak A: gene G9 is not in the annotation"),
        ("peaks.tsv", "A\t1\t", "B\t1\t", "the first is 'A'"),
        ("circles.bed", "\t0\t1\t300\t0", "", "line 1"),
    ],
)
def test_files_of_different_runs_are_errors(folder, capsys, name, before, after, message):
    options = write_context(folder)
    (folder / name).write_text((folder / name).read_text().replace(before, after))
    assert with_context(folder, *options) == 1
    assert message in capsys.readouterr().err
    assert not (folder / "out.tsv").exists()


def test_an_input_without_bins_is_an_error(folder, capsys):
    options = write_context(folder)
    options.remove(str(folder / "r2_in.npz"))
    assert with_context(folder, *options) == 1
    assert "--bins: none of input r2_in" in capsys.readouterr().err


def test_counts_of_peaks_need_both_assays(folder, capsys):
    write_counts(folder / "ip.tsv", {"A": [16] * 6}, IPS)
    write_counts(folder / "input.tsv", {"A": [16] * 6}, INPUTS)
    options = ["--samples", str(folder / "samples.tsv"), "--test", "resistant"]
    options += ["--reference", "sensitive", "--features", str(folder / "peaks.tsv")]
    options += ["--ip-counts", str(folder / "ip.tsv"), "--output", str(folder / "out.tsv")]
    options += ["--input-counts", str(folder / "input.tsv")]
    options += ["--background", str(folder / "background.tsv")]
    peaks = ["--peak-ip-counts", str(folder / "ip.tsv")]
    assert main([*options, *peaks]) == 1
    assert "one without the others" in capsys.readouterr().err
    rows = [
        dict.fromkeys(PEAKS.columns) | {"peak": "A", "region": "CDS"},
        dict.fromkeys(PEAKS.columns) | {"peak": "I", "region": "intron"},
    ]
    PEAKS.write(rows[:1], folder / "listed.tsv")
    peaks += ["--peak-input-counts", str(folder / "input.tsv")]
    peaks += ["--peaks", str(folder / "listed.tsv")]
    assert main([*options, *peaks]) == 0


def test_peaks_in_introns_tell_nothing_of_the_efficiency(folder):
    rows = [
        dict.fromkeys(PEAKS.columns) | {"peak": "A", "region": "CDS"},
        dict.fromkeys(PEAKS.columns) | {"peak": "I", "region": "intron"},
    ]
    PEAKS.write(rows, folder / "listed.tsv")
    write_counts(folder / "ip.tsv", {"I": [99] * 6, "A": [16] * 6}, IPS)
    write_counts(folder / "input.tsv", {"I": [9] * 6, "A": [16] * 6}, INPUTS)
    paths = (folder / name for name in ("listed.tsv", "ip.tsv", "input.tsv"))
    for matrix in counts_in_exons(*paths):
        assert matrix.index.tolist() == ["A"]
        assert (matrix == 16).all().all()

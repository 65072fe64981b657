"""The program that compares genes, on a sheet without FASTQ files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from compare_genes import main
from ringmark.annotation import TRANSCRIPTS
from ringmark.tables import DIFFERENTIAL

LIBRARIES = ["r1", "r2", "s1", "s2"]


@pytest.fixture
def folder(tmp_path):
    sheet = ["library\tsample\tcondition\tassay"]
    for name in LIBRARIES:
        sheet.append(f"{name}\t{name}\t{'resistant' if name[0] == 'r' else 'sensitive'}\tinput")
    (tmp_path / "samples.tsv").write_text("\n".join(sheet) + "\n")
    return tmp_path


def write_counts(folder, values, columns=LIBRARIES):
    frame = pd.DataFrame(np.asarray(values).reshape(-1, len(columns)), columns=columns)
    frame = frame.astype("int64")
    frame.insert(0, "gene_id", [f"G{i}" for i in range(len(frame))])
    frame.to_csv(folder / "counts.tsv", sep="\t", index=False)


def run(folder, *further, test="resistant"):
    return main(
        [
            *("--samples", str(folder / "samples.tsv"), "--test", test),
            *("--reference", "sensitive", "--counts", str(folder / "counts.tsv")),
            *("--output", str(folder / "out" / "genes.tsv"), *further),
        ]
    )


def test_genes_are_compared_and_named(folder, capsys):
    rng = np.random.default_rng(1)
    values = rng.poisson(100, size=(40, 4))
    values[0] = [400, 410, 50, 48]
    values[1] = 0
    write_counts(folder, values)
    transcript = {
        "transcript": "T0",
        "gene_id": "G0",
        "gene_name": "NAME",
        "gene_type": "x",
        "chrom": "1",
        "strand": "+",
        "exon_starts": "0",
        "exon_ends": "9",
        "cds_start": None,
        "cds_end": None,
    }
    TRANSCRIPTS.write([transcript, {**transcript, "transcript": "T1"}], folder / "transcripts.tsv")
    assert run(folder, "--annotation", str(folder / "transcripts.tsv")) == 0
    table = DIFFERENTIAL.read(folder / "out" / "genes.tsv")
    assert table["id"].tolist() == [f"G{i}" for i in range(40)]
    assert table["gene_name"].iloc[0] == "NAME"
    assert table["gene_name"].iloc[1:].isna().all()
    assert table["log2FoldChange"].iloc[0] == pytest.approx(3, abs=0.3)
    assert table["padj"].iloc[0] < 0.01
    assert np.isnan(table["pvalue"].iloc[1])
    assert "40 features, 1 without any count" in capsys.readouterr().err
    assert not list((folder / "out").glob(".*"))


def test_a_matrix_without_genes_gives_a_header(folder):
    write_counts(folder, [])
    assert run(folder) == 0
    lines = (folder / "out" / "genes.tsv").read_text().splitlines()
    assert lines == ["\t".join(DIFFERENTIAL.columns)]


def test_one_gene(folder):
    write_counts(folder, [[90, 110, 100, 95]])
    assert run(folder) == 0
    assert DIFFERENTIAL.read(folder / "out" / "genes.tsv")["pvalue"].iloc[0] > 0.05


def test_repeated_runs_are_identical(folder):
    write_counts(folder, np.random.default_rng(2).poisson(50, size=(10, 4)))
    run(folder)
    first = (folder / "out" / "genes.tsv").read_bytes()
    run(folder)
    assert (folder / "out" / "genes.tsv").read_bytes() == first


def test_a_matrix_without_a_level_is_an_error(folder, capsys):
    write_counts(folder, [[1, 2]], ["s1", "s2"])
    assert run(folder) == 1
    message = capsys.readouterr().err
    assert "counts.tsv" in message
    assert "'resistant'" in message
    assert "Hint:" in message
    assert not (folder / "out").exists()


def test_an_unknown_level_is_an_error(folder, capsys):
    write_counts(folder, [[1, 2, 3, 4]])
    assert run(folder, test="immune") == 1
    assert "'immune'" in capsys.readouterr().err


def test_fractional_counts_are_an_error(folder, capsys):
    (folder / "counts.tsv").write_text("gene_id\tr1\tr2\ts1\ts2\nG\t1.5\t2\t3\t4\n")
    assert run(folder) == 1
    assert "whole numbers" in capsys.readouterr().err

"""The program that says which circles carry m6A."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from enrich_circles import main, read_circles
from ringmark.annotation import TRANSCRIPTS
from ringmark.tables import (
    CIRCLE_M6A,
    CIRCLES,
    DETECTION,
    GENE_BACKGROUND,
    PEAKS,
    write_matrix,
    write_tsv,
)

CONDITIONS = ("resistant", "sensitive")
#: The circles of the toy study; the second one has two exons on the reverse strand.
CIRCLES_OF_STUDY = ("c:100-400:+", "c:1000-1600:-")


def sheet(path: Path, replicates: int = 2, ip: bool = True) -> Path:
    rows = []
    for condition in CONDITIONS:
        for number in range(replicates):
            sample = f"{condition}{number}"
            for assay in ("input", "ip") if ip else ("input",):
                name = f"{sample}_{assay}"
                fastq = path.parent / f"{name}.fastq.gz"
                fastq.touch()
                rows.append((name, sample, condition, assay, str(fastq)))
    columns = ["library", "sample", "condition", "assay", "fastq_1"]
    write_tsv(pd.DataFrame(rows, columns=columns), path)
    return path


def matrix(path: Path, replicates: int, enriched: str | None = None, circles: int = 2) -> Path:
    random = np.random.default_rng(3)
    counts = {}
    for condition in CONDITIONS:
        for number in range(replicates):
            counts[f"{condition}{number}_input"] = random.poisson(60, circles)
            counts[f"{condition}{number}_ip"] = random.poisson(30, circles)
    frame = pd.DataFrame(counts, index=list(CIRCLES_OF_STUDY[:circles]), dtype="int64")
    if enriched is not None:
        ips = [name for name in frame if name.endswith("_ip")]
        frame.loc[enriched, ips] = 400
    write_matrix(frame, path, "circle")
    return path


def run(
    folder: Path,
    replicates: int = 2,
    enriched: str | None = None,
    circles: int = 2,
    **changed: Path,
) -> int:
    lines = [
        "c\t100\t400\tc:100-400:+\t9\t+\t100\t400\t0\t1\t300\t0\n",
        "c\t1000\t1600\tc:1000-1600:-\t9\t-\t1000\t1600\t0\t2\t200,100\t0,500\n",
    ]
    (folder / "circles.bed").write_text("".join(lines[:circles]))
    sequences = [
        f">{CIRCLES_OF_STUDY[0]}\n{'T' * 298}GG\n",
        f">{CIRCLES_OF_STUDY[1]}\nACT{'T' * 295}GG\n",
    ]
    (folder / "circles.fa").write_text("".join(sequences[:circles]))
    names = [f"{name}{number}_ip" for name in CONDITIONS for number in range(replicates)]
    own = [(gene, name, np.log(0.5), 0.05) for name in names for gene in (None, "G")]
    columns = list(GENE_BACKGROUND.columns)
    GENE_BACKGROUND.write(pd.DataFrame(own, columns=columns), folder / "background.tsv")
    kinds = zip(CIRCLES_OF_STUDY, ("exonic", "antisense"), strict=True)
    listed = [
        dict.fromkeys(CIRCLES.columns) | {"circle": name, "type": kind, "gene_id": "G"}
        for name, kind in kinds
    ]
    CIRCLES.write(listed[:circles], folder / "catalogue.tsv")
    row = dict.fromkeys(PEAKS.columns) | {
        "peak": "c:150-200:+",
        "chrom": "c",
        "start": 150,
        "end": 200,
        "strand": "+",
        "block_sizes": "50",
        "block_starts": "0",
        "pvalue": 1e-6,
        "conditions": "resistant",
    }
    PEAKS.write([row], folder / "peaks.tsv")
    TRANSCRIPTS.write(
        [
            {
                "transcript": "T",
                "gene_id": "G",
                "gene_name": "Gn",
                "gene_type": "lncRNA",
                "chrom": "c",
                "strand": "+",
                "exon_starts": "0,300",
                "exon_ends": "250,500",
                "cds_start": None,
                "cds_end": None,
            }
        ],
        folder / "transcripts.tsv",
    )
    paths = {
        "samples": sheet(folder / "samples.tsv", replicates),
        "circles": folder / "catalogue.tsv",
        "bed": folder / "circles.bed",
        "fasta": folder / "circles.fa",
        "bsj-counts": matrix(folder / "bsj.tsv", replicates, enriched, circles),
        "background": folder / "background.tsv",
        "peaks": folder / "peaks.tsv",
        "annotation": folder / "transcripts.tsv",
        "output": folder / "out" / "circles.tsv",
        "detection": folder / "out" / "detection.tsv",
    }
    paths |= {name.replace("_", "-"): path for name, path in changed.items()}
    options = [text for name, path in paths.items() for text in (f"--{name}", str(path))]
    return main([*options, "--test", "resistant", "--reference", "sensitive"])


def result(folder: Path) -> pd.DataFrame:
    table = CIRCLE_M6A.read(folder / "out" / "circles.tsv")
    return table.set_index(["circle", "condition"])


def detection(folder: Path) -> pd.DataFrame:
    table = DETECTION.read(folder / "out" / "detection.tsv")
    return table.set_index(["circle", "condition"])


def test_read_circles(tmp_path: Path) -> None:
    run(tmp_path)
    found = read_circles(tmp_path / "circles.bed", tmp_path / "circles.fa")
    assert list(found) == list(CIRCLES_OF_STUDY)
    chrom, exons, sequence = found[CIRCLES_OF_STUDY[1]]
    assert (chrom, exons.strand) == ("c", "-")
    assert exons.starts.tolist() == [1000, 1500]
    assert exons.ends.tolist() == [1200, 1600]
    assert len(sequence) == exons.length


def test_tiers(tmp_path: Path) -> None:
    assert run(tmp_path, enriched=CIRCLES_OF_STUDY[1]) == 0
    table = result(tmp_path)
    assert table["tier"].to_dict() == {
        (CIRCLES_OF_STUDY[0], "resistant"): "3",
        (CIRCLES_OF_STUDY[0], "sensitive"): "none",
        (CIRCLES_OF_STUDY[0], "pooled"): "3",
        (CIRCLES_OF_STUDY[1], "resistant"): "1",
        (CIRCLES_OF_STUDY[1], "sensitive"): "1",
        (CIRCLES_OF_STUDY[1], "pooled"): "1",
    }
    assert table.loc[(CIRCLES_OF_STUDY[0], "pooled"), "linear_peak"] == "c:150-200:+"
    assert table.loc[(CIRCLES_OF_STUDY[1], "pooled"), "ip_reads"] == 1600


def test_a_motif_across_the_junction(tmp_path: Path) -> None:
    assert run(tmp_path) == 0
    table = result(tmp_path)
    columns = ["drach", "nearest_drach_to_junction"]
    assert table.loc[(CIRCLES_OF_STUDY[1], "pooled"), columns].tolist() == [1, 0]
    assert table.loc[(CIRCLES_OF_STUDY[0], "pooled"), columns].isna().tolist() == [False, True]


def test_without_replicates(tmp_path: Path) -> None:
    assert run(tmp_path, replicates=1, enriched=CIRCLES_OF_STUDY[1]) == 0
    table = result(tmp_path)
    assert table.loc[(CIRCLES_OF_STUDY[1], "sensitive"), "tier"] == "1"
    assert table.loc[(CIRCLES_OF_STUDY[0], "sensitive"), "tier"] == "none"


def test_no_circles_give_a_header(tmp_path: Path) -> None:
    assert run(tmp_path, circles=0) == 0
    text = (tmp_path / "out" / "circles.tsv").read_text()
    assert text == "\t".join(CIRCLE_M6A.columns) + "\n"


def test_no_peaks(tmp_path: Path) -> None:
    empty = tmp_path / "no_peaks.tsv"
    PEAKS.write([], empty)
    assert run(tmp_path, peaks=empty) == 0
    assert set(result(tmp_path)["tier"]) == {"none"}


def test_study_without_immunoprecipitation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = sheet(tmp_path / "inputs.tsv", ip=False)
    assert run(tmp_path, samples=inputs) == 1
    error = capsys.readouterr().err
    assert "inputs.tsv" in error
    assert "no library with assay ip" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("ratios", "problem"),
    [("NA\tresistant0_ip\t0.1\t0.1\n", "no background ratio of resistant1_ip"),
     ("G\tresistant0_ip\t0.1\t0.1\n", "no background ratio of resistant0_ip"),
     ("NA\tresistant0_ip\tNA\t0.1\n", "no background ratio of resistant0_ip")],
)  # fmt: skip
def test_a_pair_without_background(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ratios: str, problem: str
) -> None:
    path = tmp_path / "ratios.tsv"
    path.write_text("gene_id\tip_library\tlog_ratio\terror\n" + ratios)
    assert run(tmp_path, background=path) == 1
    error = capsys.readouterr().err
    assert "ratios.tsv" in error
    assert problem in error
    assert not (tmp_path / "out").exists()


def test_counts_of_other_libraries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.tsv"
    write_matrix(pd.DataFrame({"else": [1, 2]}, index=list(CIRCLES_OF_STUDY)), path, "circle")
    assert run(tmp_path, bsj_counts=path) == 1
    assert "other.tsv: no column resistant0_input" in capsys.readouterr().err


def test_bad_arguments() -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--fdr", "low"])
    assert stopped.value.code == 2


def test_bins_tell_how_far_fragments_reach(tmp_path: Path) -> None:
    assert run(tmp_path) == 0
    assert detection(tmp_path)["within_reach"].isna().all()
    assert detection(tmp_path).index.equals(result(tmp_path).index)
    lengths = np.zeros(1001, dtype=np.int64)
    lengths[120] = 50
    np.savez(tmp_path / "ip.npz", lengths=lengths)
    assert run(tmp_path, bins=tmp_path / "ip.npz") == 0
    assert detection(tmp_path)["within_reach"].tolist() == pytest.approx([0.8] * 6)


def test_bins_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "text.npz"
    path.write_text("no bins")
    assert run(tmp_path, bins=path) == 1
    assert "text.npz: not a table of bins" in capsys.readouterr().err


def test_a_circle_has_the_background_of_its_host(tmp_path: Path) -> None:
    """The gene's ratio lies far above the library's; the circle on its other strand has not it."""
    names = [f"{name}{number}_ip" for name in CONDITIONS for number in range(2)]
    rows = [(gene, name, ratio, 0.05) for name in names for gene, ratio in ((None, -3), ("G", 0))]
    path = tmp_path / "genes.tsv"
    GENE_BACKGROUND.write(pd.DataFrame(rows, columns=list(GENE_BACKGROUND.columns)), path)
    assert run(tmp_path, background=path) == 0
    levels = result(tmp_path)["log2_enrichment"].xs("pooled", level="condition")
    assert levels[CIRCLES_OF_STUDY[0]] == pytest.approx(-1, abs=0.4)
    assert levels[CIRCLES_OF_STUDY[1]] == pytest.approx(-1 + 3 / np.log(2), abs=0.4)

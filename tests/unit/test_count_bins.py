import numpy as np
import pysam
import pytest

import count_bins
from ringmark.annotation import Annotation, Gene, Transcript
from ringmark.bins import BinLayout, Coverage
from ringmark.intervals import Blocks
from ringmark.tables import LIBRARIES


@pytest.fixture
def annotation(tmp_path):
    exons = Blocks(np.array([100, 300]), np.array([160, 390]), "-")
    genes = {"A": Gene("A", "A", "lncRNA", "chr1", "-", (Transcript("A.1", exons),))}
    Annotation(genes).write(tmp_path / "transcripts.tsv")
    return tmp_path / "transcripts.tsv"


def write_summary(path, *strandednesses, layout="paired"):
    rows = [
        {
            "library": "L",
            "sample": "s",
            "condition": "c",
            "assay": "ip",
            "layout": layout,
            "read_length": 30,
            "strandedness": strandedness,
            "strandedness_declared": "auto",
            "sense_fraction": 0.99,
            "reads": 2,
            "aligned_fraction": 1.0,
            "usable_fraction": 1.0,
        }
        for strandedness in strandednesses
    ]
    LIBRARIES.write(rows, path)
    return path


def write_bam(path, *records):
    header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 1000}]}
    with pysam.AlignmentFile(str(path), "wb", header=header) as bam:
        for number, (start, reverse, quality) in enumerate(records):
            record = pysam.AlignedSegment(bam.header)
            record.query_name = f"r{number}"
            record.query_sequence = "A" * 30
            record.flag = 16 if reverse else 0
            record.reference_id = 0
            record.reference_start = start
            record.mapping_quality = quality
            record.cigartuples = [(0, 30)]
            bam.write(record)
    return path


def run(tmp_path, bam, annotation, summary, *more):
    options = ["--bam", bam, "--annotation", annotation, "--summary", summary]
    return count_bins.main(
        [str(item) for item in (*options, "--output", tmp_path / "L.npz", *more)]
    )


def load(tmp_path, annotation):
    return Coverage.load(tmp_path / "L.npz", BinLayout.of(Annotation.read(annotation)))


@pytest.mark.parametrize(
    "strandedness, counted", [("reverse", 1), ("forward", 2), ("unstranded", 3)]
)
def test_counts_by_strandedness(tmp_path, annotation, strandedness, counted):
    bam = write_bam(tmp_path / "L.bam", (110, True, 60), (120, False, 60), (320, True, 60))
    assert run(tmp_path, bam, annotation, write_summary(tmp_path / "L.tsv", strandedness)) == 0
    coverage = load(tmp_path, annotation)
    assert coverage.counted == counted
    assert coverage.fragments == 3
    assert coverage.strandedness == strandedness


def test_mapping_quality(tmp_path, annotation):
    bam = write_bam(tmp_path / "L.bam", (110, True, 3), (320, True, 60))
    summary = write_summary(tmp_path / "L.tsv", "forward")
    run(tmp_path, bam, annotation, summary)
    assert load(tmp_path, annotation).counted == 1
    run(tmp_path, bam, annotation, summary, "--min-mapping-quality", "0")
    assert load(tmp_path, annotation).counted == 2


def test_single_end_reads_are_extended(tmp_path, annotation):
    bam = write_bam(tmp_path / "L.bam", (310, False, 60))
    for layout, more, length in (
        ("paired", [], 30),
        ("single", [], 80),
        ("single", ["--fragment-length", "50"], 50),
    ):
        summary = write_summary(tmp_path / "L.tsv", "unstranded", layout=layout)
        assert run(tmp_path, bam, annotation, summary, *more) == 0
        assert load(tmp_path, annotation).lengths.argmax() == length


def test_no_reads(tmp_path, annotation):
    bam = write_bam(tmp_path / "L.bam")
    assert run(tmp_path, bam, annotation, write_summary(tmp_path / "L.tsv", "forward")) == 0
    assert load(tmp_path, annotation).counted == 0


def test_same_bytes_each_time(tmp_path, annotation):
    bam = write_bam(tmp_path / "L.bam", (110, True, 60))
    summary = write_summary(tmp_path / "L.tsv", "forward")
    run(tmp_path, bam, annotation, summary)
    first = (tmp_path / "L.npz").read_bytes()
    run(tmp_path, bam, annotation, summary)
    assert (tmp_path / "L.npz").read_bytes() == first


@pytest.mark.parametrize(
    "strandednesses, message", [([], "0 rows"), (["forward"] * 2, "2 rows"), (["auto"], "'auto'")]
)
def test_bad_summary(tmp_path, annotation, capsys, strandednesses, message):
    bam = write_bam(tmp_path / "L.bam")
    summary = write_summary(tmp_path / "L.tsv", *strandednesses)
    assert run(tmp_path, bam, annotation, summary) == 1
    error = capsys.readouterr().err
    assert message in error and "Hint:" in error
    assert not (tmp_path / "L.npz").exists()


def test_bad_width_and_bad_bam(tmp_path, annotation, capsys):
    bam = write_bam(tmp_path / "L.bam")
    summary = write_summary(tmp_path / "L.tsv", "forward")
    assert run(tmp_path, bam, annotation, summary, "--bin-width", "12") == 1
    assert "--bin-width 12" in capsys.readouterr().err
    (tmp_path / "bad.bam").write_text("no reads here\n")
    assert run(tmp_path, tmp_path / "bad.bam", annotation, summary) == 1
    assert "bad.bam" in capsys.readouterr().err


def test_introns_are_counted_by_themselves(tmp_path, annotation, capsys):
    bam = write_bam(tmp_path / "L.bam", (110, True, 60), (200, True, 60), (240, True, 60))
    summary = write_summary(tmp_path / "L.tsv", "reverse")
    assert run(tmp_path, bam, annotation, summary, "--introns") == 0
    assert "3 fragments, 0 in introns" in capsys.readouterr().err
    summary = write_summary(tmp_path / "L.tsv", "forward")
    assert run(tmp_path, bam, annotation, summary, "--introns") == 0
    layout = BinLayout.of_introns(Annotation.read(annotation))
    coverage = Coverage.load(tmp_path / "L.npz", layout)
    assert (coverage.counted, coverage.gene_totals.tolist()) == (2, [2])
    assert coverage.places.tolist() == [6, 11, 14, 19]

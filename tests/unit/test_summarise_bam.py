"""samtools' statistics of a BAM."""

from __future__ import annotations

from pathlib import Path

import pysam
import pytest

import summarise_bam


def write_bam(path: Path, reads: int) -> Path:
    header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 1000}]}
    with pysam.AlignmentFile(path, "wb", header=header) as bam:
        for number in range(reads):
            read = pysam.AlignedSegment(bam.header)
            read.query_name = f"read{number}"
            read.query_sequence = "ACGTACGTAC"
            read.query_qualities = pysam.qualitystring_to_array("I" * 10)
            read.reference_id, read.reference_start = 0, 10 * number
            read.mapping_quality = 60
            read.cigarstring = "10M"
            bam.write(read)
    return path


def numbers(path: Path) -> dict[str, str]:
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    return {fields[1]: fields[2] for fields in lines if fields[0] == "SN"}


@pytest.mark.parametrize("reads", [0, 1, 7])
def test_statistics(tmp_path, reads):
    bam = write_bam(tmp_path / "a.bam", reads)
    output = tmp_path / "new" / "a.stats.txt"
    assert summarise_bam.main(["--bam", str(bam), "--output", str(output)]) == 0
    found = numbers(output)
    assert found["raw total sequences:"] == str(reads)
    assert found["reads mapped:"] == str(reads)
    assert found["total length:"] == str(10 * reads)
    assert [item.name for item in output.parent.iterdir()] == ["a.stats.txt"]


def test_multiqc_knows_the_file_by_its_first_line(tmp_path):
    bam = write_bam(tmp_path / "a.bam", 1)
    summarise_bam.main(["--bam", str(bam), "--output", str(tmp_path / "a.stats.txt")])
    assert "This file was produced by samtools stats" in (tmp_path / "a.stats.txt").read_text()


@pytest.mark.parametrize("content", [None, b"", b"not a BAM"])
def test_what_cannot_be_read_is_a_message(tmp_path, capfd, content):
    bam = tmp_path / "a.bam"
    if content is not None:
        bam.write_bytes(content)
    assert summarise_bam.main(["--bam", str(bam), "--output", str(tmp_path / "a.txt")]) == 1
    lines = capfd.readouterr().err.splitlines()
    assert any(line.startswith(f"Error: {bam}: cannot be read") for line in lines)
    assert lines[-1].startswith("Hint: ")
    assert not (tmp_path / "a.txt").exists()


def test_options_are_required():
    with pytest.raises(SystemExit) as stop:
        summarise_bam.main([])
    assert stop.value.code == 2

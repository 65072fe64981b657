from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

import trim_reads

ADAPTER = trim_reads.ILLUMINA_ADAPTER
INSERT = "ACGTTGCAACGGTTAACCGGATTACAGATTACA"


def fastq(path: Path, sequences: Sequence[str], compress: bool = True) -> Path:
    text = "".join(
        f"@r{number}\n{sequence}\n+\n{'I' * len(sequence)}\n"
        for number, sequence in enumerate(sequences)
    )
    path.write_bytes(gzip.compress(text.encode()) if compress else text.encode())
    return path


def trim(folder: Path, first: Sequence[Path], second: Sequence[Path], *options: str) -> int:
    return trim_reads.main(
        [
            "--fastq-1", *map(str, first),
            *(["--fastq-2", *map(str, second)] if second else []),
            "--output-1", str(folder / "out" / "lib.a_1.fastq.gz"),
            "--output-2", str(folder / "out" / "lib.a_2.fastq.gz"),
            "--report", str(folder / "out" / "lib.a.cutadapt.json"),
            *options,
        ]
    )  # fmt: skip


def sequences(folder: Path, mate: int) -> list[str]:
    with gzip.open(folder / "out" / f"lib.a_{mate}.fastq.gz", "rt") as handle:
        return handle.read().splitlines()[1::4]


def test_adapters_of_both_mates_are_trimmed(tmp_path: Path) -> None:
    first = fastq(tmp_path / "a", [INSERT + ADAPTER, INSERT])
    second = fastq(tmp_path / "b", [INSERT + ADAPTER + "AC", INSERT])
    assert trim(tmp_path, [first], [second]) == 0
    assert sequences(tmp_path, 1) == [INSERT, INSERT]
    assert sequences(tmp_path, 2) == [INSERT, INSERT]


def test_runs_are_merged_in_their_order_plain_or_compressed(tmp_path: Path) -> None:
    first = [fastq(tmp_path / "a.gz", [INSERT], False), fastq(tmp_path / "b", [INSERT[:20]])]
    second = [fastq(tmp_path / "c", [INSERT[:25]]), fastq(tmp_path / "d", [INSERT[:30]], False)]
    assert trim(tmp_path, first, second, "--threads", "2") == 0
    assert sequences(tmp_path, 1) == [INSERT, INSERT[:20]]
    assert sequences(tmp_path, 2) == [INSERT[:25], INSERT[:30]]


def test_single_end_reads_have_an_empty_second_file(tmp_path: Path) -> None:
    assert trim(tmp_path, [fastq(tmp_path / "a", [INSERT + ADAPTER])], []) == 0
    assert sequences(tmp_path, 1) == [INSERT]
    assert sequences(tmp_path, 2) == []


def test_report_is_named_by_the_library(tmp_path: Path) -> None:
    assert trim(tmp_path, [fastq(tmp_path / "a", [INSERT])], []) == 0
    report = json.loads((tmp_path / "out" / "lib.a.cutadapt.json").read_text())
    assert report["input"]["path1"] == "lib.a.fastq.gz"
    assert report["input"]["path2"] is None
    assert report["read_counts"]["input"] == 1


@pytest.mark.parametrize("reads", [[], ["ACGT"]])
@pytest.mark.parametrize("paired", [True, False])
def test_no_read_left_is_no_error(tmp_path: Path, reads: list[str], paired: bool) -> None:
    first, second = fastq(tmp_path / "a", reads), fastq(tmp_path / "b", reads)
    assert trim(tmp_path, [first], [second] if paired else []) == 0
    assert sequences(tmp_path, 1) == sequences(tmp_path, 2) == []
    assert (tmp_path / "out" / "lib.a.cutadapt.json").is_file()


def test_a_pair_goes_where_one_mate_is_too_short(tmp_path: Path) -> None:
    first, second = fastq(tmp_path / "a", [INSERT] * 2), fastq(tmp_path / "b", ["ACG", INSERT])
    assert trim(tmp_path, [first], [second]) == 0
    assert sequences(tmp_path, 1) == sequences(tmp_path, 2) == [INSERT]


def test_a_last_line_without_its_end_does_not_join_two_runs(tmp_path: Path) -> None:
    one = tmp_path / "a"
    one.write_text(f"@x\n{INSERT}\n+\n{'I' * len(INSERT)}")
    assert trim(tmp_path, [one, fastq(tmp_path / "b", [INSERT])], []) == 0
    assert sequences(tmp_path, 1) == [INSERT, INSERT]


def failed(folder: Path, capsys: pytest.CaptureFixture[str], *names: str) -> None:
    message = capsys.readouterr().err
    for name in names:
        assert name in message
    assert "Hint:" in message
    assert list((folder / "out").glob("*")) == []


def test_a_truncated_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = fastq(tmp_path / "whole", [INSERT] * 500)
    broken = tmp_path / "broken.fastq.gz"
    broken.write_bytes(whole.read_bytes()[:-30])
    assert trim(tmp_path, [whole], [broken]) == 1
    failed(tmp_path, capsys, "broken.fastq.gz")


def test_a_run_whose_mates_do_not_match_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two, three = [INSERT] * 2, [INSERT] * 3
    first = [fastq(tmp_path / "a1", two), fastq(tmp_path / "b1", three)]
    second = [fastq(tmp_path / "a2", three), fastq(tmp_path / "b2", two)]
    assert trim(tmp_path, first, second) == 1
    failed(tmp_path, capsys, "a1 has 2 reads", "a2 has 3", "b1 has 3 reads")


def test_a_missing_mate_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = fastq(tmp_path / "one", [INSERT] * 3), fastq(tmp_path / "two", [INSERT] * 2)
    assert trim(tmp_path, [first], [second]) == 1
    failed(tmp_path, capsys, "one", "two")


def test_what_is_no_fastq_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "table.tsv"
    wrong.write_text("a\tb\nc\td\ne\tf\ng\th\n")
    assert trim(tmp_path, [wrong], []) == 1
    failed(tmp_path, capsys, "table.tsv")


def test_half_a_record_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "half.fastq"
    wrong.write_text("@x\nACGTACGTACGTACGTACGT\n")
    assert trim(tmp_path, [wrong], []) == 1
    failed(tmp_path, capsys, "half.fastq")


def test_all_mistakes_are_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = [fastq(tmp_path / "a", [INSERT]), tmp_path / "missing"]
    options = ["--adapter-1", "AC-GT", "--quality-cutoff", "99", "--minimum-length", "0"]
    assert trim(tmp_path, first, first[:1], *options) == 1
    failed(tmp_path, capsys, "missing: no such", "2 files of first", "'AC-GT'", "99", "length 0")

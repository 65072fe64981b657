"""The table of libraries: what the sheet says beside what the reads say."""

from __future__ import annotations

from pathlib import Path

import pytest

import collect_libraries
from ringmark.tables import LIBRARIES
from summarise_alignment import SUMMARY

CONTRAST = ("--test", "x", "--reference", "y")


def summary(folder: Path, library: str, **values: object) -> str:
    row = {
        "library": library,
        "layout": "paired",
        "read_length": 100,
        "strandedness": "reverse",
        "strandedness_declared": "auto",
        "sense_fraction": 0.02,
        "reads": 1000,
        "aligned_fraction": 0.9,
        "usable_fraction": 0.5,
    }
    path = folder / f"{library}.summary.tsv"
    SUMMARY.write([row | values], path)
    return str(path)


def sheet(folder: Path, *rows: str) -> str:
    path = folder / "samples.tsv"
    lines = ["library sample condition assay", *rows]
    path.write_text("".join(line.replace(" ", "\t") + "\n" for line in lines))
    return str(path)


def run(folder: Path, samples: str, *summaries: str) -> int:
    output = ("--output", str(folder / "libraries.tsv"))
    return collect_libraries.main(
        ["--samples", samples, *CONTRAST, "--summaries", *summaries, *output]
    )


def test_rows_stand_in_the_order_of_the_sheet(tmp_path):
    samples = sheet(tmp_path, "b s1 x input", "b_ip s1 x ip", "b s1 x input", "a s2 y input")
    paths = [summary(tmp_path, name, reads=n) for n, name in enumerate(("a", "b", "b_ip"))]
    assert run(tmp_path, samples, *paths) == 0
    frame = LIBRARIES.read(tmp_path / "libraries.tsv")
    assert frame["library"].tolist() == ["b", "b_ip", "a"]
    assert frame["sample"].tolist() == ["s1", "s1", "s2"]
    assert frame["condition"].tolist() == ["x", "x", "y"]
    assert frame["assay"].tolist() == ["input", "ip", "input"]
    assert frame["reads"].tolist() == [1, 2, 0]
    assert frame["strandedness"].tolist() == ["reverse"] * 3


def test_names_made_of_digits_stay_names(tmp_path):
    samples = sheet(tmp_path, "007 1 x input", "1e3 2 y input")
    paths = [summary(tmp_path, name) for name in ("007", "1e3")]
    assert run(tmp_path, samples, *paths) == 0
    lines = (tmp_path / "libraries.tsv").read_text().splitlines()
    assert [line.split("\t")[:2] for line in lines[1:]] == [["007", "1"], ["1e3", "2"]]


def test_what_the_reads_do_not_tell_is_missing(tmp_path):
    samples = sheet(tmp_path, "a s1 x input", "b s2 y input")
    odd = summary(tmp_path, "b", sense_fraction=None, read_length=None, reads=0, layout="single")
    assert run(tmp_path, samples, summary(tmp_path, "a"), odd) == 0
    row = (tmp_path / "libraries.tsv").read_text().splitlines()[2].split("\t")
    facts = dict(zip(LIBRARIES.columns, row, strict=True))
    assert (facts["sense_fraction"], facts["read_length"], facts["reads"]) == ("NA", "NA", "0")


def test_the_sheet_tells_the_layout_of_a_library_without_reads(tmp_path):
    samples = tmp_path / "samples.tsv"
    samples.write_text(
        "library\tsample\tcondition\tassay\tfastq_1\tfastq_2\n"
        "a\ts1\tx\tinput\t1.fq\t2.fq\n"
        "b\ts2\ty\tinput\t3.fq\t\n"
    )
    paths = [summary(tmp_path, name, reads=0, layout="single") for name in "ab"]
    assert run(tmp_path, str(samples), *paths) == 0
    assert LIBRARIES.read(tmp_path / "libraries.tsv")["layout"].tolist() == ["paired", "single"]


def test_a_summary_of_no_library_is_left_out(tmp_path):
    samples = sheet(tmp_path, "a s1 x input", "b s2 y input")
    paths = [summary(tmp_path, name) for name in ("a", "b", "c")]
    assert run(tmp_path, samples, *paths) == 0
    assert LIBRARIES.read(tmp_path / "libraries.tsv")["library"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("a",), "0 alignment summaries of library b"),
        (("a", "b", "a"), "2 alignment summaries of library a"),
    ],
)
def test_each_library_has_one_summary(tmp_path, capsys, names, problem):
    samples = sheet(tmp_path, "a s1 x input", "b s2 y input")
    assert run(tmp_path, samples, *(summary(tmp_path, name) for name in names)) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"Error: {problem}", "Hint: give one summary a library"]
    assert not (tmp_path / "libraries.tsv").exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "empty, without a header"),
        ("library\treads\n", "the alignment summary table has no column layout"),
    ],
)
def test_files_that_are_no_summaries(tmp_path, capsys, content, problem):
    samples = sheet(tmp_path, "a s1 x input", "b s2 y input")
    bad = tmp_path / "bad.tsv"
    bad.write_text(content)
    assert run(tmp_path, samples, summary(tmp_path, "a"), str(bad)) == 1
    assert f"{bad}: {problem}" in capsys.readouterr().err


def test_a_summary_without_rows_is_a_missing_one(tmp_path, capsys):
    SUMMARY.write([], tmp_path / "none.tsv")
    samples = sheet(tmp_path, "a s1 x input", "b s2 y input")
    assert run(tmp_path, samples, summary(tmp_path, "a"), str(tmp_path / "none.tsv")) == 1
    assert "0 alignment summaries of library b" in capsys.readouterr().err


def test_missing_files_and_options(tmp_path, capsys):
    samples = sheet(tmp_path, "a s1 x input", "b s2 y input")
    assert run(tmp_path, samples, str(tmp_path / "gone.tsv")) == 1
    assert "gone.tsv: No such file" in capsys.readouterr().err
    assert run(tmp_path, str(tmp_path / "gone.tsv"), summary(tmp_path, "a")) == 1
    assert "gone.tsv: no such samples sheet" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        collect_libraries.main(["--samples", samples])
    assert stop.value.code == 2

"""The program that collects the evidence of one library."""

from __future__ import annotations

from pathlib import Path

import pysam
import pytest
from toy_circles import (
    EXONS,
    World,
    mate,
    pair,
    random_bases,
    single,
    toy_world,
    write_bam,
    write_summary,
)

from find_back_splices import filter_rows, main
from ringmark.alignments import Mate
from ringmark.backsplice import JUNCTIONS, READ_FILTERS, Evidence
from ringmark.tables import FILTERS

CIRCLE = EXONS[1:3]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return toy_world(tmp_path)


def run(
    world: World, tmp_path: Path, fragments: dict[str, list[Mate]], *options: str, **text: str
) -> int:
    bam = write_bam(tmp_path / "toy.bam", world, fragments)
    summary = write_summary(tmp_path / "toy.tsv", text.get("strandedness", "reverse"))
    return main(
        [
            *("--bam", str(bam)),
            *("--genome", str(world.fasta)),
            *("--annotation", str(world.transcripts)),
            *("--summary", str(summary)),
            *("--junctions", str(tmp_path / "out" / "junctions.tsv")),
            *("--filters", str(tmp_path / "out" / "filters.tsv")),
            *("--doubted", str(tmp_path / "out" / "doubted.bam")),
            *options,
        ]
    )


def test_junctions_in_order_of_place(world: World, tmp_path: Path) -> None:
    reads = {
        "a": pair(world, "p", EXONS[1:4], 450, 180, 100, "+"),
        "b": pair(world, "p", CIRCLE, 280, 180, 100, "+"),
        "c": pair(world, "p", CIRCLE, 290, 180, 100, "+"),
        "d": single(world, "p", CIRCLE, 335, 100, "+", shortest=50),
        "e": pair(world, "m", CIRCLE, 290, 180, 100, "-"),
    }
    assert run(world, tmp_path, reads) == 0
    table = JUNCTIONS.read(tmp_path / "out" / "junctions.tsv")
    assert table.to_numpy().tolist() == [
        ["m", 1800, 2700, "-", "GT/AG", 1, 0],
        ["p", 1800, 2700, "+", "GT/AG", 2, 1],
        ["p", 1800, 3450, "+", "GT/AG", 1, 0],
    ]


def test_doubtful_reads_are_put_aside(world: World, tmp_path: Path) -> None:
    reads = {
        "linear": pair(world, "p", EXONS[1:4], 30, 180, 100, "+", turns=1),
        "round": pair(world, "p", CIRCLE, 280, 180, 100, "+"),
        "lost": [mate(random_bases(100, 5), ()), mate(random_bases(100, 6), ())],
    }
    assert run(world, tmp_path, reads) == 0
    with pysam.AlignmentFile(str(tmp_path / "out" / "doubted.bam")) as bam:
        found = list(bam.fetch(until_eof=True))
    with pysam.AlignmentFile(str(tmp_path / "toy.bam")) as bam:
        primary = [read for read in bam.fetch(until_eof=True) if not read.is_supplementary]
    doubted = [read for read in primary if read.is_unmapped or read.has_tag("SA")]
    assert {read.query_name for read in doubted} == {"round", "lost"}
    # all that was known of them, but for the base qualities
    assert [read.to_string().split("\t")[:10] for read in found] == [
        read.to_string().split("\t")[:10] for read in doubted
    ]
    assert all(read.query_qualities is None for read in found)


def test_no_junction_gives_a_header(world: World, tmp_path: Path) -> None:
    assert run(world, tmp_path, {}) == 0
    assert (tmp_path / "out" / "junctions.tsv").read_text() == "\t".join(JUNCTIONS.columns) + "\n"
    filters = FILTERS.read(tmp_path / "out" / "filters.tsv")
    assert filters["filter"].tolist() == list(READ_FILTERS)
    assert not filters[["removed", "kept"]].to_numpy().any()
    with pysam.AlignmentFile(str(tmp_path / "out" / "doubted.bam")) as bam:
        assert not list(bam.fetch(until_eof=True))


def test_filter_log_adds_up(world: World, tmp_path: Path) -> None:
    reads = {
        # two mates, two breaks, one fragment
        "both": pair(world, "p", EXONS[1:2], 100, 220, 100, "+"),
        "one": pair(world, "p", CIRCLE, 280, 180, 100, "+"),
        "switch": single(world, "p", ((1834, 1950), (2500, 2655)), 200, 100, "+"),
        "far": [
            pair(world, "p", CIRCLE, 300, 100, 100, "+")[0],
            mate(
                random_bases(100, 1), single(world, "p", ((4300, 4400),), 0, 100, "-")[0].placements
            ),
        ],
    }
    assert run(world, tmp_path, reads) == 0
    filters = FILTERS.read(tmp_path / "out" / "filters.tsv").set_index("filter")
    assert filters.loc["mate outside the circle", "removed"] == 1
    assert filters.loc["no splice signal", "removed"] == 1
    assert filters["removed"].sum() == 2
    kept = filters["kept"].tolist()
    assert kept[-1] == 3
    before = [5, *kept[:-1]]
    assert [left - right for left, right in zip(before, kept, strict=True)] == (
        filters["removed"].tolist()
    )


def test_filter_rows_of_nothing() -> None:
    assert {row["kept"] for row in filter_rows(Evidence())} == {0}


def test_span_options(world: World, tmp_path: Path) -> None:
    reads = {"f": single(world, "p", CIRCLE, 300, 100, "+")}
    for option, value, rows in (
        ("--max-span", "899", 0),
        ("--max-span", "900", 1),
        ("--min-span", "901", 0),
        ("--min-span", "900", 1),
    ):
        assert run(world, tmp_path, reads, option, value) == 0
        assert len(JUNCTIONS.read(tmp_path / "out" / "junctions.tsv")) == rows


def test_strandedness_not_resolved(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(world, tmp_path, {}, strandedness="auto") == 1
    assert "strandedness 'auto'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_bad_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--bam", "x.bam", "--min-span", "many"])
    assert stopped.value.code == 2
    assert "--min-span" in capsys.readouterr().err

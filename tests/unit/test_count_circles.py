"""The program that counts the candidates in one library."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_circles import (
    EXONS,
    World,
    mate,
    pair,
    placements_of,
    positions,
    single,
    toy_world,
    write_bam,
    write_candidates,
    write_summary,
)

import find_back_splices
from count_circles import junctions_of, main
from ringmark.alignments import Mate
from ringmark.backsplice import JUNCTIONS, Junction
from ringmark.circle_counter import MATE_FILTER, READ_FILTERS
from ringmark.circle_counts import CIRCLE_COUNTS
from ringmark.tables import FILTERS

CIRCLE = EXONS[1:3]
PLUS = Junction("p", 1800, 2700, "+", "GT/AG", 2)
LARIAT = Junction("p", 2700, 3275, "+", "lariat", 1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return toy_world(tmp_path)


def run(
    world: World,
    tmp_path: Path,
    fragments: dict[str, list[Mate]],
    candidates: Path,
    *options: str,
) -> int:
    doubted = tmp_path / "doubted.bam"
    common = [
        *("--bam", str(write_bam(tmp_path / "toy.bam", world, fragments))),
        *("--doubted", str(doubted)),
        *("--genome", str(world.fasta)),
        *("--annotation", str(world.transcripts)),
        *("--summary", str(write_summary(tmp_path / "toy.tsv"))),
    ]
    found = [*("--junctions", str(tmp_path / "found.tsv")), *("--filters", str(tmp_path / "f.tsv"))]
    assert find_back_splices.main([*common, *found]) == 0
    return main(
        [
            *common,
            *("--candidates", str(candidates)),
            *("--filters", str(tmp_path / "filters.tsv")),
            *("--output", str(tmp_path / "counts.tsv")),
            *options,
        ]
    )


def test_counts_in_the_order_of_the_candidates(world: World, tmp_path: Path) -> None:
    reads = {
        "round": pair(world, "p", CIRCLE, 100, 270, 100, "+"),
        "in": pair(world, "p", EXONS, 150, 180, 100, "+", turns=1),
        "out": pair(world, "p", EXONS, 500, 180, 100, "+", turns=1),
        "lariat": single(world, "p", ((2700, 3275),), 530, 100, "+"),
    }
    candidates = write_candidates(tmp_path / "candidates.tsv", [PLUS, LARIAT])
    assert run(world, tmp_path, reads, candidates) == 0
    table = CIRCLE_COUNTS.read(tmp_path / "counts.tsv")
    assert table.fillna("").to_numpy().tolist() == [
        ["p:1800-2700:+", 1, 1, 1, 1, 0, 1, 0, "1950-2500:1", ""],
        # the read that leaves the exon before the lariat
        ["p:2700-3275:+", 1, 1, 0, 1, 0, 1, 0, "", ""],
    ]


def test_filter_log(world: World, tmp_path: Path) -> None:
    last = ((4300, 4400),)
    reads = {
        "round": pair(world, "p", CIRCLE, 100, 270, 100, "+"),
        "linear": pair(world, "p", EXONS, 500, 180, 100, "+", turns=1),
        # the mate lies in the last exon
        "astray": [
            pair(world, "p", CIRCLE, 300, 100, 100, "+")[0],
            mate(world.bases("p", last), placements_of("p", positions(last), "+")),
        ],
    }
    candidates = write_candidates(tmp_path / "candidates.tsv", [PLUS])
    assert run(world, tmp_path, reads, candidates) == 0
    log = FILTERS.read(tmp_path / "filters.tsv")
    assert log["filter"].tolist() == [*READ_FILTERS, MATE_FILTER]
    assert log["removed"].tolist() == [0, 0, 0, 0, 1]
    assert log["kept"].iloc[-1] == 1


def test_anchor_option(world: World, tmp_path: Path) -> None:
    reads = {"f": single(world, "p", CIRCLE, 340, 100, "+", shortest=50)}
    candidates = write_candidates(tmp_path / "candidates.tsv", [PLUS])
    for anchor, expected in ((10, 1), (11, 0)):
        assert run(world, tmp_path, reads, candidates, "--min-anchor", str(anchor)) == 0
        assert CIRCLE_COUNTS.read(tmp_path / "counts.tsv")["back_splice"].tolist() == [expected]


def test_no_candidates_give_a_header(world: World, tmp_path: Path) -> None:
    candidates = write_candidates(tmp_path / "candidates.tsv", [])
    reads = {"f": single(world, "p", CIRCLE, 300, 100, "+")}
    assert run(world, tmp_path, reads, candidates) == 0
    assert (tmp_path / "counts.tsv").read_text() == "\t".join(CIRCLE_COUNTS.columns) + "\n"


def test_a_library_without_reads_counts_nought(world: World, tmp_path: Path) -> None:
    candidates = write_candidates(tmp_path / "candidates.tsv", [PLUS])
    assert run(world, tmp_path, {}, candidates) == 0
    table = CIRCLE_COUNTS.read(tmp_path / "counts.tsv")
    assert table[["back_splice", "linear_start", "linear_end"]].to_numpy().tolist() == [[0, 0, 0]]


def test_junctions_of_the_candidates(world: World, tmp_path: Path) -> None:
    novel = Junction("p", 1850, 2700, "+", "GT/AG", 1)
    path = write_candidates(tmp_path / "candidates.tsv", [PLUS, LARIAT, novel])
    assert junctions_of(JUNCTIONS.rows(path), world.sites) == [PLUS, LARIAT, novel]
    assert junctions_of([], world.sites) == []


def test_candidates_of_another_kind(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "candidates.tsv"
    path.write_text("circle\nc:1-2:+\n")
    assert run(world, tmp_path, {}, path) == 1
    assert "has no column chrom" in capsys.readouterr().err
    assert not (tmp_path / "counts.tsv").exists()


def test_bad_arguments() -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--min-anchor", "8"])
    assert stopped.value.code == 2

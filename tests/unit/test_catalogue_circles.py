"""The program that makes the study's list of circles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pysam
import pytest
from toy_circles import (
    EXONS,
    LENGTH,
    World,
    make_world,
    random_bases,
    toy_world,
    write_candidates,
)

from catalogue_circles import (
    EVIDENCE,
    bed_line,
    filter_log,
    flanking_motif,
    linear_counts,
    main,
)
from ringmark.backsplice import Junction
from ringmark.circle_counts import CIRCLE_COUNTS
from ringmark.circles import LOW_CONFIDENCE, build_circle, name_of
from ringmark.sequence import reverse_complement
from ringmark.tables import CIRCLES, FILTERS, read_matrix

PLUS = Junction("p", 1800, 3450, "+", "GT/AG", 2)
MINUS = Junction("m", 1800, 2700, "-", "GT/AG", 2)
LARIAT = Junction("p", 2700, 3275, "+", "lariat", 1)
ANTISENSE = Junction("m", 1850, 2650, "+", "GT/AG", 0)

#: back_splice, linear_start, linear_end, distinct_positions, shared_fragments,
#: anchored_fragments, spliced and retained introns.
Counts = tuple[int, int, int, int, int, int, str, str]
NONE: Counts = (0, 0, 0, 0, 0, 0, "", "")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return toy_world(tmp_path)


def write_counts(path: Path, junctions: Sequence[Junction], counts: Sequence[Counts]) -> Path:
    path.parent.mkdir(exist_ok=True)
    rows = [
        dict(zip(CIRCLE_COUNTS.columns, (name_of(junction), *row[:6], 0, *row[6:]), strict=True))
        for junction, row in zip(junctions, counts, strict=True)
    ]
    CIRCLE_COUNTS.write(rows, path)
    return path


def write_filters(path: Path, numbers: Sequence[tuple[int, int]]) -> Path:
    rows = [
        {"step": "split reads", "filter": f"filter {number}", "removed": removed, "kept": kept}
        for number, (removed, kept) in enumerate(numbers)
    ]
    FILTERS.write(rows, path)
    return path


def run(
    world: World,
    tmp_path: Path,
    junctions: Sequence[Junction],
    libraries: dict[str, Sequence[Counts]],
    *options: str,
) -> int:
    counts = [
        write_counts(tmp_path / "libraries" / f"{name}.tsv", junctions, rows)
        for name, rows in libraries.items()
    ]
    filters = [
        write_filters(tmp_path / f"{name}.filters.tsv", [(3, 10), (2, 8)]) for name in libraries
    ]
    out = tmp_path / "out"
    return main(
        [
            "--candidates", str(write_candidates(tmp_path / "candidates.tsv", junctions)),
            "--counts", *map(str, counts),
            "--filters", *map(str, filters),
            "--genome", str(world.fasta),
            "--annotation", str(world.transcripts),
            "--circles", str(out / "circles.tsv"),
            "--bsj-counts", str(out / "bsj_counts.tsv"),
            "--linear-counts", str(out / "linear_counts.tsv"),
            "--bed", str(out / "circles.bed"),
            "--fasta", str(out / "circles.fa"),
            "--evidence", str(out / "evidence.tsv"),
            "--filter-log", str(out / "filters.tsv"),
            *options,
        ]
    )  # fmt: skip


def circles(tmp_path: Path) -> pd.DataFrame:
    return CIRCLES.read(tmp_path / "out" / "circles.tsv").set_index("circle")


def fasta(tmp_path: Path) -> dict[str, str]:
    with pysam.FastxFile(str(tmp_path / "out" / "circles.fa")) as handle:
        return {str(entry.name): str(entry.sequence) for entry in handle}


def bed(tmp_path: Path) -> list[list[str]]:
    text = (tmp_path / "out" / "circles.bed").read_text()
    return [line.split("\t") for line in text.splitlines()]


def test_table_and_matrices(world: World, tmp_path: Path) -> None:
    junctions = [MINUS, PLUS, LARIAT]
    libraries: dict[str, Sequence[Counts]] = {
        "one": [(3, 4, 5, 2, 0, 3, "", ""), NONE, (4, 1, 0, 4, 0, 4, "", "")],
        "two": [(2, 1, 1, 1, 0, 2, "", ""), (2, 7, 8, 2, 0, 2, "", ""), (6, 0, 0, 4, 0, 6, "", "")],
    }
    assert run(world, tmp_path, junctions, libraries) == 0
    table = circles(tmp_path)
    assert list(table.index) == ["m:1800-2700:-", "p:1800-3450:+", "p:2700-3275:+"]
    columns = ["type", "gene_id", "gene_name", "exons", "spliced_length", "splice_motif"]
    assert table[columns].to_numpy().tolist() == [
        ["exonic", "G2", "G2n", 2, 350, "GT/AG"],
        ["exonic", "G1", "G1n", 3, 500, "GT/AG"],
        ["intronic", "G1", "G1n", 0, 575, "lariat"],
    ]
    columns = ["annotated_ends", "libraries", "reads", "confidence"]
    assert table[columns].to_numpy().tolist() == [
        ["both", 2, 5, "high"],
        ["both", 1, 2, "low"],
        ["one", 2, 10, "high"],
    ]
    counts = read_matrix(tmp_path / "out" / "bsj_counts.tsv")
    assert counts.index.name == "circle"
    assert counts.to_dict("list") == {"one": [3, 0, 4], "two": [2, 2, 6]}
    linear = read_matrix(tmp_path / "out" / "linear_counts.tsv")
    assert linear.to_dict("list") == {"one": [5, 0, 1], "two": [1, 8, 0]}


def test_linear_counts_are_rounded_half_up() -> None:
    ends = [(0, 0, 0), (0, 1, 1), (1, 2, 2), (2, 2, 2), (2, 5, 4), (7, 0, 4)]
    starts = pd.DataFrame({"library": [start for start, _, _ in ends]})
    found = linear_counts(starts, pd.DataFrame({"library": [end for _, end, _ in ends]}))
    assert found["library"].tolist() == [mean for _, _, mean in ends]


@pytest.mark.parametrize(("least", "kept"), [(1, 3), (2, 2), (5, 1), (6, 0)])
def test_fewest_reads(world: World, tmp_path: Path, least: int, kept: int) -> None:
    junctions = [MINUS, PLUS, LARIAT]
    rows: Sequence[Counts] = [
        (5, 0, 0, 1, 0, 5, "", ""),
        (1, 0, 0, 1, 0, 1, "", ""),
        (2, 0, 0, 1, 0, 2, "", ""),
    ]
    assert run(world, tmp_path, junctions, {"one": rows}, "--min-reads", str(least)) == 0
    assert len(circles(tmp_path)) == kept
    log = FILTERS.read(tmp_path / "out" / "filters.tsv").set_index("step").loc["circles"]
    assert (log["removed"], log["kept"]) == (3 - kept, kept)
    for name in ("bsj_counts.tsv", "linear_counts.tsv"):
        assert len(read_matrix(tmp_path / "out" / name)) == kept
    assert len(bed(tmp_path)) == len(fasta(tmp_path)) == kept


def test_filter_logs_are_summed_in_their_order(world: World, tmp_path: Path) -> None:
    rows: Sequence[Counts] = [(5, 0, 0, 1, 0, 5, "", "")]
    assert run(world, tmp_path, [MINUS], {"one": rows, "two": rows, "three": rows}) == 0
    log = FILTERS.read(tmp_path / "out" / "filters.tsv")
    assert log["filter"].tolist()[:2] == ["filter 0", "filter 1"]
    assert log[["removed", "kept"]].to_numpy().tolist()[:3] == [[9, 30], [6, 24], [0, 1]]
    assert log["kept"].tolist()[0] - log["removed"].tolist()[1] == log["kept"].tolist()[1]


def test_filter_log_counts_the_reasons_for_low_confidence() -> None:
    log = filter_log([], 9, ["", LOW_CONFIDENCE[0], LOW_CONFIDENCE[5], LOW_CONFIDENCE[5], ""])
    assert log["filter"].tolist()[1:] == list(LOW_CONFIDENCE)
    expected = [[4, 5], [1, 4], [0, 4], [0, 4], [0, 4], [0, 4], [2, 2]]
    assert log[["removed", "kept"]].to_numpy().tolist() == expected


def test_evidence_for_and_against_each_circle(world: World, tmp_path: Path) -> None:
    rows: Sequence[Counts] = [
        (9, 0, 0, 4, 2, 9, "1950-2500:3,1950-3300:1,2700-3300:4", "2700-3300:1"),
        (1, 0, 0, 1, 1, 1, "", ""),
    ]
    assert run(world, tmp_path, [PLUS, MINUS], {"one": rows, "two": rows}) == 0
    found = EVIDENCE.read(tmp_path / "out" / "evidence.tsv").set_index("circle")
    assert found.fillna("NA").astype(str).to_numpy().tolist() == [
        [
            "5",
            "0",
            "18",
            "8",
            "4",
            "18",
            "0",
            "1950-2500:6,2700-3300:8",
            "1950-3300:2",
            "2700-3300:2",
            "NA",
        ],
        ["5", "0", "2", "2", "2", "2", "0", "1950-2500:0", "NA", "NA", LOW_CONFIDENCE[3]],
    ]
    assert circles(tmp_path)["confidence"].tolist() == ["high", "low"]


def test_bed12(world: World, tmp_path: Path) -> None:
    junctions = [MINUS, PLUS, LARIAT, ANTISENSE]
    rows: Sequence[Counts] = [
        (5, 0, 0, 1, 0, 5, "", ""),
        (2000, 0, 0, 1, 0, 2000, "1950-2500:3", "2700-3300:4"),
        (2, 0, 0, 1, 0, 2, "", ""),
        (4, 0, 0, 1, 0, 4, "2000-2200:3", ""),
    ]
    assert run(world, tmp_path, junctions, {"one": rows}) == 0
    lines = bed(tmp_path)
    assert [line[3] for line in lines] == list(circles(tmp_path).index)
    for line, length in zip(lines, circles(tmp_path)["spliced_length"], strict=True):
        assert len(line) == 12
        start, end = int(line[1]), int(line[2])
        sizes = [int(size) for size in line[10].split(",")]
        starts = [int(offset) for offset in line[11].split(",")]
        assert len(sizes) == len(starts) == int(line[9])
        assert starts[0] == 0
        assert start + starts[-1] + sizes[-1] == end
        assert all(
            left + size < right
            for left, size, right in zip(starts, sizes, starts[1:], strict=False)
        )
        assert sum(sizes) == length
        assert (line[6], line[7]) == (line[1], line[2])
        assert 0 <= int(line[4]) <= 1000
    assert [line[4] for line in lines] == ["5", "1000", "2", "4"]
    assert (lines[1][10], lines[1][11]) == ("150,950", "0,700")
    assert (lines[3][10], lines[3][11]) == ("150,450", "0,350")
    assert circles(tmp_path)["type"].tolist() == ["exonic", "exon_intron", "intronic", "antisense"]


def test_sequences_begin_at_the_acceptor(world: World, tmp_path: Path) -> None:
    rows: Sequence[Counts] = [(5, 0, 0, 1, 0, 5, "", "")] * 3
    assert run(world, tmp_path, [MINUS, PLUS, LARIAT], {"one": rows}) == 0
    found = fasta(tmp_path)
    assert list(found) == list(circles(tmp_path).index)
    assert found["p:1800-3450:+"] == world.bases("p", EXONS[1:4])
    assert found["m:1800-2700:-"] == reverse_complement(world.bases("m", EXONS[1:3]))
    assert found["p:2700-3275:+"] == world.contigs["p"][2700:3275]
    # the acceptor's AG is what precedes the first base
    assert world.contigs["p"][1798:1800] == "AG"
    assert reverse_complement(world.contigs["m"][2700:2702]) == "AG"


def test_introns_of_all_libraries_are_joined(world: World, tmp_path: Path) -> None:
    """One fragment in each of two libraries shows the intron: together they are enough."""
    one: Sequence[Counts] = [(3, 0, 0, 1, 0, 3, "", "1950-2500:1")]
    assert run(world, tmp_path, [PLUS], {"a": one}) == 0
    assert circles(tmp_path)["type"].tolist() == ["exonic"]
    assert run(world, tmp_path, [PLUS], {"a": one, "b": one}) == 0
    assert circles(tmp_path)["type"].tolist() == ["exon_intron"]
    assert circles(tmp_path)["spliced_length"].tolist() == [1050]


def test_places_of_all_libraries_make_confidence(world: World, tmp_path: Path) -> None:
    rows: Sequence[Counts] = [(2, 0, 0, 1, 0, 2, "", "")]
    for count, expected in ((2, "low"), (3, "high")):
        libraries = {f"library{number}": rows for number in range(count)}
        assert run(world, tmp_path, [PLUS], libraries) == 0
        assert circles(tmp_path)["confidence"].tolist() == [expected]


def test_no_candidates_give_headers(world: World, tmp_path: Path) -> None:
    assert run(world, tmp_path, [], {"one": [], "two": []}) == 0
    out = tmp_path / "out"
    assert (out / "circles.tsv").read_text() == "\t".join(CIRCLES.columns) + "\n"
    for name in ("bsj_counts.tsv", "linear_counts.tsv"):
        assert (out / name).read_text() == "circle\tone\ttwo\n"
    assert (out / "circles.bed").read_text() == (out / "circles.fa").read_text() == ""
    last = FILTERS.read(out / "filters.tsv").to_dict("records")[-1]
    assert (last["removed"], last["kept"]) == (0, 0)


def test_all_candidates_removed_give_headers(world: World, tmp_path: Path) -> None:
    assert run(world, tmp_path, [PLUS], {"one": [NONE]}) == 0
    assert (tmp_path / "out" / "bsj_counts.tsv").read_text() == "circle\tone\n"
    assert circles(tmp_path).empty


@pytest.mark.parametrize(("strand", "expected"), [("+", "GC/AG"), ("-", "CT/GC")])
def test_flanking_motif(tmp_path: Path, strand: str, expected: str) -> None:
    bases = "A" * 98 + "AG" + "C" * 100 + "GC" + "A" * 98
    world = make_world(tmp_path, {"c": bases}, [("G", "c", "+", [((10, 20), (30, 40))])])
    assert flanking_motif(Junction("c", 100, 200, strand, "GC/AG", 2), world.genome) == expected


@pytest.mark.parametrize(("start", "end"), [(0, 200), (1, 200), (100, 300), (100, 299)])
def test_flanking_motif_at_the_edge_of_a_contig(tmp_path: Path, start: int, end: int) -> None:
    genes = [("G", "c", "+", [((10, 20), (30, 40))])]
    world = make_world(tmp_path, {"c": random_bases(300, 1)}, genes)
    junction = Junction("c", start, end, "-", "none", 2)
    assert flanking_motif(junction, world.genome) == "none"


def test_bed_line_of_a_whole_contig(tmp_path: Path) -> None:
    genes = [("G", "m", "+", [((10, 20), (30, 40))])]
    world = make_world(tmp_path, {"m": random_bases(LENGTH, 1)}, genes)
    circle = build_circle(Junction("m", 0, LENGTH, "-", "none", 0), world.annotation, world.sites)
    fields = bed_line(circle, 7).split("\t")
    assert fields[1:3] == ["0", str(LENGTH)]
    assert fields[9:] == ["1", str(LENGTH), "0"]


def test_counts_of_another_kind(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_candidates(tmp_path / "candidates.tsv", [PLUS])
    path = tmp_path / "odd.tsv"
    path.write_text("circle\treads\nc:1-2:+\t4\n")
    code = main(
        [
            "--candidates", str(tmp_path / "candidates.tsv"),
            "--counts", str(path),
            "--genome", str(world.fasta),
            "--annotation", str(world.transcripts),
            "--circles", str(tmp_path / "out" / "circles.tsv"),
            "--bsj-counts", str(tmp_path / "out" / "bsj.tsv"),
            "--linear-counts", str(tmp_path / "out" / "linear.tsv"),
            "--bed", str(tmp_path / "out" / "circles.bed"),
            "--fasta", str(tmp_path / "out" / "circles.fa"),
            "--evidence", str(tmp_path / "out" / "evidence.tsv"),
            "--filter-log", str(tmp_path / "out" / "filters.tsv"),
        ]
    )  # fmt: skip
    assert code == 1
    assert "odd.tsv: the circle counts table has no column back_splice" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_bad_arguments() -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--min-reads", "few"])
    assert stopped.value.code == 2

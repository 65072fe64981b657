"""The program that joins the junctions of all libraries."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from toy_circles import EXONS, World, flip, make_world, put, toy_contig, toy_world

from merge_back_splices import main, merge
from ringmark.backsplice import JUNCTIONS

Row = tuple[str, int, int, str, str, int, int]


def table(*rows: Row) -> pd.DataFrame:
    return JUNCTIONS.frame([dict(zip(JUNCTIONS.columns, row, strict=True)) for row in rows])


def test_the_same_place_is_summed_and_strands_are_kept_apart() -> None:
    first = table(("c", 5, 200, "+", "GT/AG", 2, 1), ("c", 5, 200, "-", "none", 1, 0))
    second = table(("c", 5, 200, "+", "GT/AG", 3, 4), ("b", 9, 200, "+", "lariat", 1, 0))
    assert merge([first, second]).to_numpy().tolist() == [
        ["b", 9, 200, "+", "lariat", 1, 0],
        ["c", 5, 200, "+", "GT/AG", 5, 5],
        ["c", 5, 200, "-", "none", 1, 0],
    ]


def test_a_junction_of_one_library_alone_stays() -> None:
    own = ("c", 5, 200, "+", "GT/AG", 1, 0)
    assert merge([table(), table(own), table()]).to_numpy().tolist() == [list(own)]


def test_ends_are_compared_exactly() -> None:
    rows = [("c", 5, 200, "+", "GT/AG", 1, 0), ("c", 5, 201, "+", "GT/AG", 1, 0)]
    rows.append(("c", 6, 200, "+", "GT/AG", 1, 0))
    assert len(merge([table(row) for row in rows])) == 3


def test_the_order_of_libraries_does_not_matter() -> None:
    parts = [
        table(("c", 50, 200, "+", "GT/AG", 1, 0), ("c", 900, 1200, "-", "GC/AG", 2, 2)),
        table(("c", 7, 200, "+", "AT/AC", 1, 0), ("c", 50, 200, "+", "GT/AG", 0, 3)),
    ]
    pd.testing.assert_frame_equal(merge(parts), merge(parts[::-1]))


def run(tmp_path: Path, paths: list[Path], *options: str, world: World | None = None) -> int:
    world = world or toy_world(tmp_path)
    reference = ["--genome", str(world.fasta), "--annotation", str(world.transcripts)]
    output = ["--output", str(tmp_path / "out.tsv")]
    return main(["--junctions", *map(str, paths), *reference, *output, *options])


def test_main(tmp_path: Path) -> None:
    paths = [tmp_path / "a.tsv", tmp_path / "b.tsv"]
    JUNCTIONS.write(table(("c", 5, 200, "+", "GT/AG", 2, 1)), paths[0])
    JUNCTIONS.write(table(), paths[1])
    assert run(tmp_path, paths) == 0
    assert JUNCTIONS.read(tmp_path / "out.tsv").to_numpy().tolist() == [
        ["c", 5, 200, "+", "GT/AG", 2, 1]
    ]


@pytest.mark.parametrize("libraries", [1, 3])
def test_no_junction_anywhere_gives_a_header(tmp_path: Path, libraries: int) -> None:
    path = tmp_path / "a.tsv"
    JUNCTIONS.write([], path)
    assert run(tmp_path, [path] * libraries) == 0
    assert (tmp_path / "out.tsv").read_text() == "\t".join(JUNCTIONS.columns) + "\n"


def test_a_table_of_another_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("chrom\tstart\nc\t5\n")
    assert run(tmp_path, [path]) == 1
    assert "a.tsv: the back-splice junctions table has no column end" in capsys.readouterr().err
    assert not (tmp_path / "out.tsv").exists()


def tandem_world(folder: Path) -> World:
    """Exon 4 ends and begins like exon 2, but for three differences at its beginning."""
    bases = toy_contig("+")
    bases = put(put(bases, 3300, flip(bases[1800:1840], 0, 5, 10)), 3420, bases[1920:1950])
    return make_world(folder, {"p": bases}, [("G", "p", "+", [EXONS])])


def test_circles_that_candidates_can_be_taken_for_are_candidates_too(tmp_path: Path) -> None:
    world, path = tandem_world(tmp_path), tmp_path / "a.tsv"
    own = ["p", 1800, 3450, "+", "GT/AG", 4, 1]
    JUNCTIONS.write(table(tuple(own)), path)
    assert run(tmp_path, [path], world=world) == 0
    other = ["p", 1800, 1950, "+", "GT/AG", 0, 0]
    assert JUNCTIONS.read(tmp_path / "out.tsv").to_numpy().tolist() == [other, own]
    assert run(tmp_path, [path], "--min-span", "151", world=world) == 0
    assert JUNCTIONS.read(tmp_path / "out.tsv").to_numpy().tolist() == [own]


@pytest.mark.parametrize("row", [("p", 1801, 3450, "+", "GT/AG", 4, 1)])
def test_ends_that_nobody_annotated_have_no_alternatives(tmp_path: Path, row: Row) -> None:
    world, path = tandem_world(tmp_path), tmp_path / "a.tsv"
    JUNCTIONS.write(table(row), path)
    assert run(tmp_path, [path], world=world) == 0
    assert JUNCTIONS.read(tmp_path / "out.tsv").to_numpy().tolist() == [list(row)]


def test_a_candidate_that_is_known_keeps_its_evidence(tmp_path: Path) -> None:
    world, path = tandem_world(tmp_path), tmp_path / "a.tsv"
    rows = [("p", 1800, 1950, "+", "GT/AG", 7, 0), ("p", 1800, 3450, "+", "GT/AG", 4, 1)]
    JUNCTIONS.write(table(*rows), path)
    assert run(tmp_path, [path], world=world) == 0
    assert JUNCTIONS.read(tmp_path / "out.tsv").to_numpy().tolist() == [list(row) for row in rows]


def test_bad_arguments() -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--output", "x.tsv"])
    assert stopped.value.code == 2

"""Tables: typed, written whole, read back as they were, refused with row and value."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ringmark import tables
from ringmark.errors import InputError
from ringmark.files import write_text
from ringmark.tables import (
    INTEGER,
    NUMBER,
    STRING,
    Table,
    read_matrix,
    write_counts,
    write_matrix,
)

TOY = Table("toy", {"name": STRING, "count": INTEGER, "value": NUMBER})
ALL = [item for item in vars(tables).values() if isinstance(item, Table)]


def test_the_empty_table_has_typed_columns(tmp_path):
    path = tmp_path / "toy.tsv"
    TOY.write([], path)
    assert path.read_text() == "name\tcount\tvalue\n"
    frame = TOY.read(path)
    assert frame.empty
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        name: str(kind) for name, kind in TOY.empty().dtypes.items()
    }


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_every_table_of_the_contract_can_be_empty(table, tmp_path):
    table.write(table.empty(), tmp_path / "t.tsv")
    assert list(table.read(tmp_path / "t.tsv").columns) == list(table.columns)


def test_one_record_comes_back(tmp_path):
    path = tmp_path / "new" / "toy.tsv"
    TOY.write([{"value": 0.5, "name": "a", "count": 3, "surplus": 1}], path)
    assert path.read_text() == "name\tcount\tvalue\na\t3\t0.5\n"
    assert TOY.read(path).to_dict("records") == [{"name": "a", "count": 3, "value": 0.5}]


def test_missing_and_odd_values_come_back(tmp_path):
    path = tmp_path / "toy.tsv"
    rows = [
        {"name": "", "count": None, "value": math.nan},
        {"name": "NaN", "count": -1, "value": math.inf},
        {"name": "two words, a comma", "count": 2**40 + 1, "value": 1.23456789e-30},
        {"name": None, "count": 0, "value": 0.0},
    ]
    TOY.write(rows, path)
    frame = TOY.read(path)
    assert frame["name"].tolist()[1:3] == ["NaN", "two words, a comma"]
    assert frame["name"].isna().tolist() == [False, False, False, True]
    assert frame["count"].isna().tolist() == [True, False, False, False]
    assert frame["count"].tolist()[1:] == [-1, 2**40 + 1, 0]
    assert np.isnan(frame["value"][0])
    assert frame["value"].tolist()[1:] == [math.inf, 1.23457e-30, 0.0]


def test_written_again_it_is_the_same(tmp_path):
    rows = pd.DataFrame({"name": ["a", "b"], "count": [1, None], "value": [1 / 3, 2e10]})
    TOY.write(rows, tmp_path / "one.tsv")
    TOY.write(TOY.read(tmp_path / "one.tsv"), tmp_path / "two.tsv")
    assert (tmp_path / "one.tsv").read_bytes() == (tmp_path / "two.tsv").read_bytes()


ODD_ROWS = [
    {"name": "", "count": None, "value": math.nan},
    {"name": "NaN", "count": -1.0, "value": math.inf},
    {"name": 'a "quoted" word', "count": np.int64(2**40), "value": np.float32(1 / 3)},
    {"name": "a\ttab", "count": pd.NA, "value": 1e-30},
    {"name": 7, "count": True, "value": 12345678},
    {"name": pd.NA, "count": 0, "value": None},
]


def test_rows_are_written_as_frames_are(tmp_path):
    TOY.write(ODD_ROWS, tmp_path / "rows.tsv")
    TOY.write(TOY.frame(ODD_ROWS), tmp_path / "frame.tsv")
    assert (tmp_path / "rows.tsv").read_bytes() == (tmp_path / "frame.tsv").read_bytes()


def test_a_row_of_another_type_is_our_mistake(tmp_path):
    with pytest.raises(TypeError, match=r"1\.5 is not a whole number"):
        TOY.write([{"name": "a", "count": 1.5, "value": 1}], tmp_path / "toy.tsv")
    assert not list(tmp_path.iterdir())


def test_rows_are_read_as_frames_are(tmp_path):
    path = tmp_path / "toy.tsv"
    TOY.write(ODD_ROWS, path)
    shown = TOY.read(path).astype(object)
    assert TOY.rows(path) == shown.where(shown.notna(), None).to_dict("records")
    assert TOY.rows(path)[2] == {"name": 'a "quoted" word', "count": 2**40, "value": 0.333333}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("name\tcount\tvalue\n", []),
        ("value\tname\tother\tcount\n1\ta\tx\t2\n", [{"name": "a", "count": 2, "value": 1}]),
        ("name\tcount\tvalue\n\na\t2\t1\n", [{"name": "a", "count": 2, "value": 1}]),
    ],
)
def test_tables_of_other_shapes_are_read_as_rows(tmp_path, text, rows):
    path = tmp_path / "toy.tsv"
    path.write_text(text)
    assert TOY.rows(path) == rows


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name\tcount\n",
        "name\tcount\tvalue\tname\n",
        "name\tcount\tvalue\na\tmany\t1\n",
        "name\tcount\tvalue\na\t1_000\t1\n",
        "name\tcount\tvalue\na\t1\t1\t1\n",
        "name\tcount\tvalue\n\xff\t1\t1\n",
    ],
)
def test_rows_and_frames_are_refused_with_the_same_words(tmp_path, text):
    path = tmp_path / "toy.tsv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as of_frame:
        TOY.read(path)
    with pytest.raises(InputError) as of_rows:
        TOY.rows(path)
    assert str(of_rows.value) == str(of_frame.value)


@pytest.mark.parametrize("program", ["find_back_splices", "count_circles", "count_bins"])
def test_programs_that_stream_reads_do_without_pandas(program):
    code = f"import sys, {program}; sys.exit('pandas' in sys.modules)"
    path = {"PYTHONPATH": str(Path(tables.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], env=os.environ | path, check=True)


def test_a_row_without_a_column_is_our_mistake():
    with pytest.raises(KeyError, match="toy: no column value"):
        TOY.frame([{"name": "a", "count": 1}])


def test_frame_leaves_the_rows_it_was_given_alone():
    rows = pd.DataFrame({"name": ["a"], "count": [1], "value": [2]}, index=[7])
    frame = TOY.frame(rows)
    assert frame.index.tolist() == [0]
    frame.loc[0, "name"] = "b"
    assert rows["name"].tolist() == ["a"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty, without a header"),
        ("name\tcount\n", "the toy table has no column value"),
        ("name\tcount\tvalue\tname\n", "column name stands twice"),
        ("name\tcount\tvalue\na\t1\t2\nb\tx\t2\n", "row 3: count 'x' is not a whole number"),
        ("name\tcount\tvalue\na\t1.5\t2\n", "row 2: count '1.5' is not a whole number"),
        ("name\tcount\tvalue\na\t1\t0,5\n", "row 2: value '0,5' is not a number"),
        ("name\tcount\tvalue\na\t1\t\n", "row 2: value '' is not a number"),
        ("name\tcount\tvalue\na\t1\t2\t3\n", "more fields than the header"),
        ("name\tcount\tvalue\na\t1\t2\nb\t1\t2\t3\n", "toy.tsv: "),
    ],
)
def test_a_table_that_is_wrong_is_refused(tmp_path, text, problem):
    path = tmp_path / "toy.tsv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        TOY.read(path)
    assert str(path) in caught.value.problems[0]
    assert problem in caught.value.problems[0]
    assert caught.value.hint


def test_bytes_are_not_a_table(tmp_path):
    path = tmp_path / "toy.tsv"
    path.write_bytes(b"\x1f\x8b\xff\xfe\x00name\tcount\tvalue\n")
    with pytest.raises(InputError, match=r"toy\.tsv: "):
        TOY.read(path)


def test_surplus_columns_are_kept_for_who_wants_them(tmp_path):
    path = tmp_path / "toy.tsv"
    path.write_text("more\tname\tcount\tvalue\nx\ta\t1\t2\n")
    assert TOY.read(path)["more"].tolist() == ["x"]


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "a.txt"
    write_text("one", path)
    before = path.stat().st_ino
    write_text("two µ\n", path)
    assert path.read_text(encoding="utf-8") == "two µ\n"
    assert path.stat().st_ino != before
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "toy.tsv"
    TOY.write([{"name": "old", "count": 1, "value": 1}], path)
    with pytest.raises((TypeError, ValueError)):
        TOY.write([{"name": "new", "count": "many", "value": 1}], path)
    assert "old" in path.read_text()
    assert [item.name for item in tmp_path.iterdir()] == ["toy.tsv"]


# count matrices


def test_a_matrix_comes_back(tmp_path):
    path = tmp_path / "counts.tsv"
    matrix = pd.DataFrame({"b": [1, 0], "a": [2**40, 3]}, index=["NA", "gene-2"])
    write_matrix(matrix, path, "gene_id")
    assert path.read_text() == f"gene_id\tb\ta\nNA\t1\t{2**40}\ngene-2\t0\t3\n"
    again = read_matrix(path)
    assert again.index.name == "gene_id"
    assert again.index.tolist() == ["NA", "gene-2"]
    assert again.columns.tolist() == ["b", "a"]
    assert again.to_numpy().tolist() == matrix.to_numpy().tolist()
    assert set(again.dtypes.astype(str)) == {"int64"}


@pytest.mark.parametrize(
    ("text", "shape"), [("id\ta\tb\n", (0, 2)), ("id\n", (0, 0)), ("id\ta\nx\t5\n", (1, 1))]
)
def test_small_matrices(tmp_path, text, shape):
    path = tmp_path / "counts.tsv"
    path.write_text(text)
    matrix = read_matrix(path)
    assert matrix.shape == shape
    assert matrix.index.name == "id"
    write_matrix(matrix, tmp_path / "again.tsv", "id")
    assert (tmp_path / "again.tsv").read_text() == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty, without a header"),
        ("id\ta\ta\nx\t1\t2\n", "column a stands twice"),
        ("id\ta\tb\nx\t1\t2\ny\t1\t2.5\n", "row 3: b '2.5' is not a whole number"),
        ("id\ta\nx\tNA\n", "row 2: a 'NA' is not a whole number"),
        ("id\ta\tb\nx\t1\n", "counts.tsv"),
        ("id\ta\nx\t1\t2\n", "more fields than the header"),
    ],
)
def test_a_matrix_that_is_wrong_is_refused(tmp_path, text, problem):
    path = tmp_path / "counts.tsv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_matrix(path)
    assert str(path) in caught.value.problems[0]
    assert problem in caught.value.problems[0]


def test_fractions_are_not_written_as_counts_by_accident(tmp_path):
    write_matrix(pd.DataFrame({"a": [2.0]}, index=["x"]), tmp_path / "m.tsv", "id")
    assert (tmp_path / "m.tsv").read_text() == "id\ta\nx\t2\n"
    with pytest.raises(ValueError, match="whole"):
        write_matrix(pd.DataFrame({"a": [2.5]}, index=["x"]), tmp_path / "m.tsv", "id")


def test_background_ratios_are_read_by_ip(tmp_path):
    path = tmp_path / "background.tsv"
    rows = [{"ip_library": "007", "input_library": "8", "log_ratio": -0.5}]
    tables.BACKGROUND.write(rows, path)
    assert tables.read_background(path, ["007"]) == {"007": -0.5}


@pytest.mark.parametrize("ratio", [math.nan, math.inf])
def test_a_pair_without_background_ratio_is_named(tmp_path, ratio):
    path = tmp_path / "background.tsv"
    rows = [{"ip_library": "a", "input_library": "b", "log_ratio": ratio}]
    tables.BACKGROUND.write(rows, path)
    with pytest.raises(InputError, match="no background ratio of a\n"):
        tables.read_background(path, ["a"])


def test_no_pair_needs_no_ratio(tmp_path):
    tables.BACKGROUND.write([], tmp_path / "background.tsv")
    assert tables.read_background(tmp_path / "background.tsv", []) == {}


def test_counts_are_written_as_a_matrix_is(tmp_path):
    counts = {"L1": np.array([3, 0]), "L2": np.array([10, 2])}
    write_counts(["p1", "p2"], counts, tmp_path / "columns.tsv", "peak")
    write_matrix(pd.DataFrame(counts, index=["p1", "p2"]), tmp_path / "matrix.tsv", "peak")
    assert (tmp_path / "columns.tsv").read_text() == (tmp_path / "matrix.tsv").read_text()
    with pytest.raises(ValueError, match="zip"):
        write_counts(["p1"], counts, tmp_path / "short.tsv", "peak")
    assert not (tmp_path / "short.tsv").exists()

from __future__ import annotations

from pathlib import Path

import pytest
from test_summarise_alignment import GTF

import merge_gene_counts
from ringmark.annotation import Annotation


@pytest.fixture
def annotation(tmp_path: Path) -> Path:
    gtf, table = tmp_path / "genes.gtf", tmp_path / "transcripts.tsv"
    gtf.write_text(GTF)
    Annotation.from_gtf(gtf).write(table)
    return table


def table(folder: Path, library: str, *rows: str) -> Path:
    path = folder / f"{library}.tsv"
    path.write_text("".join(f"{row}\n" for row in (f"gene_id\t{library}", *rows)))
    return path


def merge(folder: Path, annotation: Path, *tables: Path) -> int:
    return merge_gene_counts.main(
        [
            "--counts", *map(str, tables), "--annotation", str(annotation),
            "--output", str(folder / "matrix.tsv"),
        ]
    )  # fmt: skip


def test_columns_keep_the_order_and_rows_are_all_genes(tmp_path: Path, annotation: Path) -> None:
    tables = [table(tmp_path, "z", "plus\t3", "far\t1"), table(tmp_path, "a", "minus\t2")]
    assert merge(tmp_path, annotation, *tables) == 0
    assert (tmp_path / "matrix.tsv").read_text() == (
        "gene_id\tz\ta\nplus\t3\t0\nminus\t0\t2\nfar\t1\t0\n"
    )


def test_a_table_with_its_header_only_counts_nothing(tmp_path: Path, annotation: Path) -> None:
    assert merge(tmp_path, annotation, table(tmp_path, "a")) == 0
    assert (tmp_path / "matrix.tsv").read_text() == "gene_id\ta\nplus\t0\nminus\t0\nfar\t0\n"


def test_genes_of_another_annotation_are_refused(
    tmp_path: Path, annotation: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert merge(tmp_path, annotation, table(tmp_path, "a", "other\t2")) == 1
    message = capsys.readouterr().err
    assert "a.tsv" in message
    assert "other" in message
    assert not (tmp_path / "matrix.tsv").exists()


def test_a_library_that_comes_twice_is_refused(
    tmp_path: Path, annotation: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = table(tmp_path, "a", "plus\t2")
    assert merge(tmp_path, annotation, one, one) == 1
    assert "library a was there before" in capsys.readouterr().err


def test_no_table_is_refused(tmp_path: Path, annotation: Path) -> None:
    with pytest.raises(SystemExit):
        merge(tmp_path, annotation)

import argparse
from pathlib import Path

import pytest

from contrast_options import add_contrast_options, print_notes, read_features, study_from
from ringmark.errors import InputError

SHEET = """library\tsample\tcondition\tassay\tbatch
a\ta\tresistant\tinput\tx
b\tb\tresistant\tinput\ty
c\tc\tsensitive\tinput\tx
d\td\tsensitive\tinput\ty
"""


def parsed(*options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_contrast_options(parser)
    return parser.parse_args(options)


@pytest.fixture
def sheet(tmp_path: Path) -> str:
    path = tmp_path / "samples.tsv"
    path.write_text(SHEET)
    return str(path)


def test_the_study_of_the_options(sheet):
    levels = ("--test", "resistant", "--reference", "sensitive")
    study = study_from(parsed("--samples", sheet, *levels, "--covariates", "batch"))
    assert [library.name for library in study.libraries] == ["a", "b", "c", "d"]
    contrast = study.contrast
    assert (contrast.factor, contrast.test, contrast.reference, contrast.covariates) == (
        "condition",
        "resistant",
        "sensitive",
        ("batch",),
    )
    assert study_from(parsed("--samples", sheet, *levels)).contrast.covariates == ()


def test_a_level_that_the_sheet_does_not_have(sheet):
    with pytest.raises(InputError, match="'immune'"):
        study_from(parsed("--samples", sheet, "--test", "immune", "--reference", "sensitive"))


def test_sheet_and_levels_are_needed(capsys):
    with pytest.raises(SystemExit):
        parsed()
    assert "--samples, --test, --reference" in capsys.readouterr().err


def test_features_by_the_first_column(tmp_path):
    path = tmp_path / "circles.tsv"
    path.write_text("circle\tchrom\tgene_id\tgene_name\n001\tc\tNA\tN1\n")
    features = read_features(path)
    assert features.index.tolist() == ["001"]
    assert features.columns.tolist() == ["gene_id", "gene_name"]
    assert features["gene_id"].isna().all()
    assert features["gene_name"].tolist() == ["N1"]


def test_features_of_a_header_alone(tmp_path):
    path = tmp_path / "peaks.tsv"
    path.write_text("peak\tgene_id\tgene_name\n")
    assert read_features(path).empty


def test_features_without_gene(tmp_path):
    path = tmp_path / "peaks.tsv"
    path.write_text("peak\tgene_name\n")
    with pytest.raises(InputError, match="no column gene_id"):
        read_features(path)


def test_an_empty_file_is_a_message(tmp_path):
    path = tmp_path / "peaks.tsv"
    path.touch()
    with pytest.raises(InputError, match=r"peaks\.tsv"):
        read_features(path)


def test_notes_go_to_the_log(capsys):
    print_notes("genes", ["one", "two"])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "genes: one\ngenes: two\n"

"""Options that all programs comparing two conditions share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ringmark.errors import InputError
from ringmark.study import Contrast, Study, read_study


def add_contrast_options(options: argparse.ArgumentParser) -> None:
    """Add the samples sheet and the contrast to a parser."""
    options.add_argument("--samples", type=Path, required=True, help="samples sheet")
    options.add_argument("--factor", default="condition", help="column of the sheet: %(default)s")
    options.add_argument("--test", required=True, help="level on top of the fold changes")
    options.add_argument("--reference", required=True, help="level below")
    options.add_argument(
        "--covariates", nargs="*", default=[], metavar="COLUMN", help="columns to adjust for"
    )


def study_from(arguments: argparse.Namespace) -> Study:
    """Read the study that the options of `add_contrast_options` name."""
    contrast = Contrast(
        arguments.factor, arguments.test, arguments.reference, tuple(arguments.covariates)
    )
    return read_study(arguments.samples, contrast)


def read_features(path: Path) -> pd.DataFrame:
    """Read gene_id and gene_name of features from a table whose first column is their id.

    Returns
    -------
    pandas.DataFrame
        Index: ids; columns gene_id, gene_name.

    Raises
    ------
    InputError
        If it is no table or has not both columns.
    """
    try:
        frame = pd.read_csv(path, sep="\t", dtype="string", na_values=["NA"], keep_default_na=False)
    except ValueError as error:
        raise InputError(
            f"{path}: not a table: {error}", "a table without rows still has its header"
        ) from error
    missing = [name for name in ("gene_id", "gene_name") if name not in frame.columns]
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(missing)}",
            "give a table with the features' id first and the columns gene_id and gene_name",
        )
    return frame.set_index(frame.columns[0])[["gene_id", "gene_name"]]


def print_notes(name: str, notes: Iterable[str]) -> None:
    """Print what the reader of a result has to know to the log."""
    for note in notes:
        print(f"{name}: {note}", file=sys.stderr)

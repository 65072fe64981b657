"""Put the gene counts of all libraries into one matrix with every gene of the annotation."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ringmark.annotation import Annotation
from ringmark.errors import InputError, program
from ringmark.tables import read_matrix, write_matrix


def merge_counts(paths: Sequence[Path], genes: Sequence[str]) -> pd.DataFrame:
    """Return the matrix of shape (genes, libraries), columns in the order of the files.

    A gene that a file does not have counts 0.

    Raises
    ------
    InputError
        If a file counts a gene the annotation does not have, or a library comes twice.
    """
    known = set(genes)
    columns: dict[str, pd.Series] = {}
    problems = []
    for path in paths:
        for library, counts in read_matrix(path).items():
            unknown = [gene for gene in counts.index if gene not in known]
            if unknown:
                problems.append(
                    f"{path}: {len(unknown)} genes are not in the annotation, such as {unknown[0]}"
                )
            if library in columns:
                problems.append(f"{path}: library {library} was there before")
            columns[str(library)] = counts.reindex(genes, fill_value=0)
    if problems:
        raise InputError(problems, "count all libraries anew with one annotation")
    return pd.DataFrame(columns, index=pd.Index(genes, dtype="object"))


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    result.add_argument("--counts", type=Path, nargs="+", required=True, help="one file a library")
    result.add_argument("--annotation", type=Path, required=True, help="transcript table")
    result.add_argument("--output", type=Path, required=True, help="the count matrix")
    return result


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Merge the counts."""
    arguments = parser().parse_args(argv)
    genes = list(Annotation.read(arguments.annotation).genes)
    write_matrix(merge_counts(arguments.counts, genes), arguments.output, "gene_id")


if __name__ == "__main__":
    sys.exit(main())

"""Compare the expression of circles, by their back-splice reads, between two conditions.

PyDESeq2 as for genes, with the size factors of the gene counts: a library's depth is known much
better from its genes, and a change of all circles at once remains visible. Dispersions are shrunken
to a trend that suits rare counts (``ringmark.dispersion_trend``), however few circles there are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from contrast_options import add_contrast_options, print_notes, read_features, study_from
from ringmark.differential import compare_expression, with_names
from ringmark.errors import program
from ringmark.tables import DIFFERENTIAL, SHRUNKEN, read_matrix


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    options = argparse.ArgumentParser(description="Compare the expression of circles.")
    add_contrast_options(options)
    options.add_argument("--counts", type=Path, required=True, help="back-splice counts")
    options.add_argument("--gene-counts", type=Path, required=True, help="for size factors")
    options.add_argument("--circles", type=Path, required=True, help="catalogue of circles")
    options.add_argument("--threads", type=int, default=1, help="default %(default)s")
    options.add_argument("--output", type=Path, required=True)
    options.add_argument("--shrunken", type=Path, help="fold changes raw and shrunken")
    return options


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Compare circles and write the table."""
    arguments = parser().parse_args(argv)
    study = study_from(arguments)
    counts = read_matrix(arguments.counts)
    genes = read_matrix(arguments.gene_counts)
    result = compare_expression(
        counts, study, genes, source=str(arguments.counts), threads=arguments.threads
    )
    features = read_features(arguments.circles)
    table = with_names(result.table, features)
    DIFFERENTIAL.write(table, arguments.output)
    if arguments.shrunken:
        SHRUNKEN.write(table, arguments.shrunken)
    print_notes("circles", result.notes)


if __name__ == "__main__":
    sys.exit(main())

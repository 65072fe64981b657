"""Compare the circular-to-linear ratio of circles between two conditions.

Back-splice reads B against reads that are linear at the junction L (the mean of its two ends): the
share B / (B + L) by beta-binomial regression on covariates and condition, tested by likelihood
ratio. The fold change is that of the odds B / L; ``ratio_test`` and ``ratio_reference`` are the
pooled shares (``ringmark.differential``). A circle that only follows its gene shows none.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from contrast_options import add_contrast_options, print_notes, read_features, study_from
from ringmark.differential import compare_ratio, with_names
from ringmark.errors import program
from ringmark.tables import CIRCLE_RATIO, read_matrix


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    options = argparse.ArgumentParser(description="Compare the circular-to-linear ratio.")
    add_contrast_options(options)
    options.add_argument("--counts", type=Path, required=True, help="back-splice counts")
    options.add_argument("--linear-counts", type=Path, required=True)
    options.add_argument("--gene-counts", type=Path, help="for the size factors of baseMean")
    options.add_argument("--circles", type=Path, required=True, help="catalogue of circles")
    options.add_argument("--output", type=Path, required=True)
    return options


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Compare ratios and write the table."""
    arguments = parser().parse_args(argv)
    study = study_from(arguments)
    result = compare_ratio(
        read_matrix(arguments.counts),
        read_matrix(arguments.linear_counts),
        study,
        read_matrix(arguments.gene_counts) if arguments.gene_counts else None,
        source=str(arguments.counts),
    )
    features = read_features(arguments.circles)
    CIRCLE_RATIO.write(with_names(result.table, features), arguments.output)
    print_notes("circular-to-linear ratio", result.notes)


if __name__ == "__main__":
    sys.exit(main())

"""Compare the m6A enrichment of peaks, or of circles, between two conditions.

Each IP is compared with its own input: beta-binomial regression of the IP's share of both
libraries' fragments, with the log background ratio of the pair as offset, on covariates and
condition. The condition's coefficient is the interaction of condition and assay: the change of
enrichment, free of changes of abundance, and on the scale of the background, so that a change of
all features at once stays visible (``ringmark.differential``).

For circles ``--ip-counts`` and ``--input-counts`` may be the same matrix of back-splice counts:
libraries are looked up by name.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from contrast_options import add_contrast_options, print_notes, read_features, study_from
from ringmark.differential import compare_methylation, with_names
from ringmark.errors import program
from ringmark.tables import BACKGROUND, DIFFERENTIAL, read_matrix


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    options = argparse.ArgumentParser(description="Compare the m6A enrichment of features.")
    add_contrast_options(options)
    options.add_argument("--ip-counts", type=Path, required=True)
    options.add_argument("--input-counts", type=Path, required=True)
    options.add_argument("--background", type=Path, required=True, help="log ratio of each pair")
    options.add_argument("--gene-counts", type=Path, help="for the size factors of baseMean")
    options.add_argument("--features", type=Path, required=True, help="peaks or circles")
    options.add_argument("--output", type=Path, required=True)
    return options


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Compare enrichments and write the table."""
    arguments = parser().parse_args(argv)
    study = study_from(arguments)
    result = compare_methylation(
        read_matrix(arguments.ip_counts),
        read_matrix(arguments.input_counts),
        BACKGROUND.read(arguments.background),
        study,
        read_matrix(arguments.gene_counts) if arguments.gene_counts else None,
        source=str(arguments.ip_counts),
    )
    features = read_features(arguments.features)
    DIFFERENTIAL.write(with_names(result.table, features), arguments.output)
    print_notes("methylation", result.notes)


if __name__ == "__main__":
    sys.exit(main())

"""Compare the expression of genes between two conditions.

PyDESeq2 on the counts of the input libraries that are on the contrast's two levels: size factors by
the median of ratios, negative-binomial regression on covariates and condition, dispersions
shrunken to their trend, Wald test, outliers by Cook's distance, independent filtering at a
false discovery rate of 0.05; the fold changes once more, shrunken by their uncertainty, in a second
table. Genes
without counts stay in the table with NA. Without replicates the fold changes alone are given
(``ringmark.differential``).

The sheet needs no FASTQ files here, so the program runs on any matrix of counts by itself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from contrast_options import add_contrast_options, print_notes, study_from
from ringmark.annotation import TRANSCRIPTS
from ringmark.differential import compare_expression, with_names
from ringmark.errors import program
from ringmark.tables import DIFFERENTIAL, SHRUNKEN, read_matrix


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    options = argparse.ArgumentParser(description="Compare the expression of genes.")
    add_contrast_options(options)
    options.add_argument("--counts", type=Path, required=True, help="counts of genes")
    options.add_argument("--annotation", type=Path, help="table of transcripts, for gene names")
    options.add_argument("--threads", type=int, default=1, help="default %(default)s")
    options.add_argument("--output", type=Path, required=True)
    options.add_argument("--shrunken", type=Path, help="fold changes raw and shrunken")
    return options


def gene_names(genes: pd.Index, annotation: Path | None) -> pd.DataFrame:
    """Return gene_id and gene_name of every gene; names are NA without an annotation."""
    features = pd.DataFrame({"gene_id": genes, "gene_name": pd.NA}, index=genes)
    if annotation is not None:
        transcripts = TRANSCRIPTS.read(annotation).drop_duplicates("gene_id")
        names = transcripts.set_index("gene_id")["gene_name"]
        features["gene_name"] = names.reindex(genes).to_numpy()
    return features


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Compare genes and write the table."""
    arguments = parser().parse_args(argv)
    study = study_from(arguments)
    counts = read_matrix(arguments.counts)
    result = compare_expression(
        counts, study, source=str(arguments.counts), threads=arguments.threads
    )
    features = gene_names(counts.index, arguments.annotation)
    table = with_names(result.table, features)
    DIFFERENTIAL.write(table, arguments.output)
    if arguments.shrunken:
        SHRUNKEN.write(table, arguments.shrunken)
    print_notes("genes", result.notes)


if __name__ == "__main__":
    sys.exit(main())

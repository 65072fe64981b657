"""Hold a study against the reviewed regulators of therapy resistance.

Reads the curated claims and chains of the reviews and the differential tables of a study, and
writes three tables:

1. overlap: each claim against each comparison that can bear on it (expression of a gene,
   back-splice reads and circular-to-linear ratio of a circle, m6A on the gene or the circle), with
   the matched feature, the measured change, the expected sign and a verdict;
2. enrichment: whether sets of reviewed genes change more often, more strongly or in the reviewed
   direction, against tested genes of the same expression;
3. axes: whether each reviewed chain holds link by link.

Only the gene table is needed. What a study does not have (no circles, no immunoprecipitation, no
replicates) leaves the comparisons that need it ``not measurable``, with the reason. The claims can
be restricted to those that fit the study by cancer, therapy and class of therapy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ringmark import regulators, tables
from ringmark.errors import InputError, program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    summary, _, _ = (__doc__ or "").partition("\n")
    options = argparse.ArgumentParser(description=summary, allow_abbrev=False)
    options.add_argument("--claims", type=Path, required=True, help="reviewed claims")
    options.add_argument("--axes", type=Path, required=True, help="reviewed chains")
    options.add_argument("--genes", type=Path, required=True, help="differential genes")
    options.add_argument("--circles-catalogue", type=Path, help="all circles of the study")
    options.add_argument("--circles", type=Path, help="differential circles")
    options.add_argument("--ratio", type=Path, help="circular-to-linear ratios")
    options.add_argument("--peaks", type=Path, help="all m6A peaks of the study")
    options.add_argument("--methylation", type=Path, help="differential methylation of peaks")
    options.add_argument("--circle-m6a", type=Path, help="m6A on circles")
    options.add_argument(
        "--circle-methylation", type=Path, help="differential methylation of circles"
    )
    options.add_argument(
        "--assembly", help="genome assembly, such as hg38; circles are matched by place in it alone"
    )
    options.add_argument(
        "--fdr", type=float, default=0.05, help="false discovery rate (%(default)s)"
    )
    for option in ("--cancer", "--therapy", "--therapy-class"):
        options.add_argument(
            option,
            nargs="+",
            action="extend",
            default=[],
            metavar="NAME",
            help="only claims about one of these; may be repeated",
        )
    options.add_argument("--output-overlap", type=Path, required=True)
    options.add_argument("--output-enrichment", type=Path, required=True)
    options.add_argument("--output-axes", type=Path, required=True)
    return options


def read_reviews(claims_path: Path, axes_path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read and check the claims and the chains.

    Raises
    ------
    InputError
        If a row does not keep to the vocabularies, or a chain contradicts its claims.
    """
    _require(claims_path)
    _require(axes_path)
    claims = regulators.CLAIMS.read(claims_path)
    problems = [f"{claims_path}, {problem}" for problem in regulators.check_claims(claims)]
    if problems:
        raise InputError(problems, "the README beside the claims lists the allowed values")
    axes = regulators.AXES.read(axes_path)
    problems = [f"{axes_path}, {problem}" for problem in regulators.check_axes(axes, claims)]
    if problems:
        raise InputError(problems, "the README beside the chains says how signs follow from claims")
    return claims, axes


def check_words(claims: pd.DataFrame, column: str, words: Sequence[str]) -> list[str]:
    """Return a line for each word of a filter that no claim has."""
    known = sorted({part for value in claims[column] for part in regulators.split(value)})
    lower = {value.casefold() for value in known}
    option = "--" + column.replace("_", "-")
    return [
        f"{option} {word!r}: no claim has it; known: {', '.join(known)}"
        for word in words
        if word.casefold() not in lower
    ]


def select(claims: pd.DataFrame, arguments: argparse.Namespace) -> pd.DataFrame:
    """Return the claims that the filters keep.

    Raises
    ------
    InputError
        If a word of a filter stands in no claim.
    """
    filters = {name: getattr(arguments, name) for name in ("cancer", "therapy", "therapy_class")}
    problems = [
        problem
        for column, words in filters.items()
        for problem in check_words(claims, column, words)
    ]
    if problems:
        raise InputError(problems, "leave the filter out to keep every claim")
    return regulators.filter_claims(claims, **filters)


def read_study(arguments: argparse.Namespace) -> regulators.StudyTables:
    """Read the tables of the study that are given."""
    _require(arguments.genes)
    return regulators.StudyTables(
        genes=tables.DIFFERENTIAL.read(arguments.genes),
        circles=_optional(tables.DIFFERENTIAL, arguments.circles),
        ratio=_optional(tables.CIRCLE_RATIO, arguments.ratio),
        methylation=_optional(tables.DIFFERENTIAL, arguments.methylation),
        circle_methylation=_optional(tables.DIFFERENTIAL, arguments.circle_methylation),
        catalogue=_optional(tables.CIRCLES, arguments.circles_catalogue),
        peaks=_optional(tables.PEAKS, arguments.peaks),
        circle_m6a=_optional(tables.CIRCLE_M6A, arguments.circle_m6a),
        assembly=arguments.assembly,
    )


def _optional(table: tables.Table, path: Path | None) -> pd.DataFrame | None:
    if path is None:
        return None
    _require(path)
    return table.read(path)


def _require(path: Path) -> None:
    if not path.is_file() or path.stat().st_size == 0:
        state = "is empty, not even a header" if path.is_file() else "does not exist"
        raise InputError(f"{path}: {state}", "give the path of a table with its header")


def report(overlaps: pd.DataFrame) -> str:
    """Return one line: how many claims could be measured, and what came of them."""
    claims = overlaps["claim_id"]
    counts = {
        word: claims[overlaps["verdict"] == word].nunique()
        for word in (regulators.CONFIRMED, regulators.CONTRADICTED, regulators.UNCHANGED)
    }
    measurable = claims[overlaps["verdict"] != regulators.NOT_MEASURABLE].nunique()
    found = ", ".join(f"{number} {word}" for word, number in counts.items())
    return f"{claims.nunique()} claims, {measurable} measurable in at least one comparison: {found}"


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Run the program."""
    arguments = parser().parse_args(argv)
    if not 0 < arguments.fdr < 1:
        raise InputError(f"--fdr {arguments.fdr} is not between 0 and 1", "the usual value is 0.05")
    claims, axes = read_reviews(arguments.claims, arguments.axes)
    claims = select(claims, arguments)
    study = read_study(arguments)
    overlaps = regulators.overlap(claims, axes, study, arguments.fdr)
    enriched = regulators.enrichment(claims, study.genes, arguments.fdr)
    chains = regulators.judge_chains(axes, claims, overlaps, arguments.fdr)
    regulators.OVERLAP.write(overlaps, arguments.output_overlap)
    regulators.ENRICHMENT.write(enriched, arguments.output_enrichment)
    regulators.AXIS_RESULTS.write(chains, arguments.output_axes)
    print(report(overlaps))


if __name__ == "__main__":
    sys.exit(main())

"""Run the benchmark of back-splice detection: simulate, run the workflow, compare with the truth.

    python benchmarks/back_splices/run.py --output FOLDER --variant main --variant 2x75 --seed 1000

Every variant is a simulated study (``variants.py``), which the real workflow takes from reads to
circles with each aligner. The figures (``evaluate.py``, ``cost.py``) are added to
``FOLDER/figures.tsv``, where they replace those of an earlier run of the same study, and
``FOLDER/summary.md`` is written anew from that table. What an interrupted benchmark left in
``FOLDER/runs`` is taken up again: studies are kept, and Snakemake makes only what is missing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow" / "scripts"))

from benchmarks import driver
from benchmarks.back_splices.cost import cost, cost_of_whole
from benchmarks.back_splices.evaluate import (
    COST_TARGETS,
    NEGATIVE_TARGETS,
    TARGETS,
    evaluate,
    targets_of,
)
from benchmarks.back_splices.variants import NEAR, VARIANTS, Variant
from benchmarks.driver import RESULTS, make_study, run_workflow
from benchmarks.figures import Figure, Target, judged
from benchmarks.usage import read_usage
from index_star import require_star
from ringmark.errors import program

#: Where the list of circles of a run is.
CIRCLES = "results/circrna/circles.tsv"

#: Figures whose growth with the reads is shown, with the target of the multiple, if any.
GROWTH_TARGETS: Mapping[str, Target | None] = {
    "cpu_seconds_detection": None,
    "peak_memory_mb": Target(False, 1.25),
}


@dataclass(frozen=True)
class Case(driver.Case):
    """One study and the aligner that it is run with."""

    variant: Variant

    @property
    def tolerance(self) -> float | None:
        """How far targets are eased; ``None`` if those of detection do not apply."""
        if self.variant.tolerance is None or self.aligner == "star":
            return self.variant.tolerance
        return max(self.variant.tolerance, NEAR)


def figures_of(case: Case, cores: int, *, full: bool) -> list[Figure]:
    """Run a case and return its figures.

    Parameters
    ----------
    full
        Go on to the report, for the share of the whole workflow's CPU time.
    """
    make_study(case)
    usage = case.run / "usage.tsv"
    case.run.mkdir(exist_ok=True)
    run_workflow(case, cores, usage, [CIRCLES])
    figures = evaluate(case.study, case.run / "results")
    libraries = len(pd.read_csv(case.study / "truth" / "libraries.tsv", sep="\t"))
    used = read_usage(usage)
    figures += cost(used, libraries, libraries * case.parameters.read_pairs)
    if full:
        rest = case.run / "usage_of_rest.tsv"
        run_workflow(case, cores, rest)
        figures += cost_of_whole(used, read_usage(rest))
    return figures


def table_of(case: Case, figures: Sequence[Figure]) -> pd.DataFrame:
    """Return the rows of a case for the table of results."""
    targets = dict(COST_TARGETS)
    if case.tolerance is not None:
        targets |= targets_of(figures, case.tolerance)
    table = judged(figures, targets)
    return RESULTS.frame(table.assign(**case.key))


def overview(results: pd.DataFrame) -> str:
    """Return the figures with targets as Markdown: a row a figure, a column a run.

    The target given is that of the main study with STAR. Runs without targets of detection show
    their values.
    """
    targets = {**TARGETS, **NEGATIVE_TARGETS, **COST_TARGETS}
    return driver.overview(results, targets, list(TARGETS))


def growth(results: pd.DataFrame) -> str:
    """Return how the cost of detection grows with the reads as Markdown."""
    return driver.growth(results[results["variant"].str.startswith("depth_")], GROWTH_TARGETS)


def summary(results: pd.DataFrame) -> str:
    """Return the whole table of results as Markdown: targets, growth, then every run."""
    parts = {"": overview(results), "Growth with the reads": growth(results)}
    return driver.page("Back-splice detection", results, parts)


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    command = driver.benchmark_parser("back_splices", __doc__, VARIANTS)
    command.add_argument(
        "--full", action="store_true", help="go on to the report, for its share of the CPU time"
    )
    return command


def cases_of(options: argparse.Namespace) -> Iterator[Case]:
    """Yield the runs asked for, each once, variant by variant."""
    for name, parameters, aligner, folder in driver.chosen_variants(options, VARIANTS):
        yield Case(name, VARIANTS[name], parameters, aligner, folder)


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    options = parser().parse_args(argv)
    cases = list(cases_of(options))
    if any(case.aligner == "star" for case in cases):
        require_star()

    def measure(case: Case) -> pd.DataFrame:
        return table_of(case, figures_of(case, options.cores, full=options.full))

    driver.run_cases(cases, measure, summary, options)


if __name__ == "__main__":
    sys.exit(main())

"""Run the benchmark of m6A peaks: simulate, run the workflow, compare with the truth.

    python benchmarks/m6a_peaks/run.py --output FOLDER --variant main --variant null_input

Every variant is a simulated study (``variants.py``), which the real workflow takes from reads to
peaks, their quality and their comparison between conditions, with each aligner. The figures
(``evaluate.py``, ``cost.py``) are added to ``FOLDER/figures.tsv``, where they replace those of an
earlier run of the same study, and ``FOLDER/summary.md`` is written anew from that table. What an
interrupted benchmark left in ``FOLDER/runs`` is taken up again: studies are kept, and Snakemake
makes only what is missing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow" / "scripts"))

from benchmarks import driver
from benchmarks.driver import RESULTS, ROOT, RUN_COLUMNS, cell, make_study, metered, run_workflow
from benchmarks.figures import ALL, Figure, Target, judged, markdown, text_of
from benchmarks.m6a_peaks.cost import cost
from benchmarks.m6a_peaks.evaluate import NOMINAL, TARGETS, evaluate
from benchmarks.m6a_peaks.variants import VARIANTS, Variant
from benchmarks.usage import read_usage
from index_star import require_star
from ringmark.errors import InputError, program
from ringmark.tables import QUALITY, write_tsv

#: What the workflow is run to.
RESULTS_WANTED = ("results/m6a/quality.tsv", "results/differential/methylation.tsv")

#: What ``call_peaks.py`` writes.
OUTPUTS = ("peaks", "bed", "ip-counts", "input-counts", "background", "gene-background")

#: Figures of the table of all runs.
SHOWN = (
    "precision",
    "recall",
    "f1_worse_condition",
    "median_width",
    "median_summit_error",
    "false_peaks",
    "ks_distance",
    "changes_recall",
    "changes_false_discovery",
    "changes_slope",
    "unchanged_below_05",
    "permuted_below_05",
    "verdict_right",
    "cpu_seconds_one_condition",
    "peak_memory_mb",
)

#: Variants that differ in their reads alone, and figures whose growth is shown with the target of
#: the multiple, if any.
DEPTHS = ("depth_1", "depth_2", "main", "depth_8")
GROWTH_TARGETS: Mapping[str, Target | None] = {
    "cpu_seconds_count_bins": None,
    "peak_memory_mb_count_bins": Target(False, 1.25),
    "cpu_seconds_call_peaks": None,
    "peak_memory_mb_call_peaks": None,
    "cpu_seconds_one_condition": None,
}


@dataclass(frozen=True)
class Case(driver.Case):
    """One study and the aligner that it is run with."""

    variant: Variant

    def samples(self) -> Path:
        """Return the samples sheet to run with, which a variant may change."""
        sheet = super().samples()
        if self.variant.sheet is None:
            return sheet
        rows = pd.read_csv(sheet, sep="\t", dtype=str, keep_default_na=False)
        for column in ("fastq_1", "fastq_2"):
            rows[column] = [str(sheet.parent / name) if name else "" for name in rows[column]]
        path = self.run.resolve() / "samples.tsv"
        write_tsv(self.variant.sheet(rows), path)
        return path


def call_one_condition(case: Case, pairs: pd.DataFrame, usage: Path) -> None:
    """Call the peaks of one condition alone, from the bins of a run, for what that costs.

    Parameters
    ----------
    pairs
        Its rows of the table of quality.

    Raises
    ------
    InputError
        If the program fails.
    """
    columns = ["ip_library", "input_library", "sample", "condition"]
    rows = pairs[columns].to_numpy().tolist()
    libraries = sorted({name for row in rows for name in row[:2]})
    command = [sys.executable, str(ROOT / "workflow" / "scripts" / "call_peaks.py")]
    command += [word for row in rows for word in ("--pair", *row)]
    command += ["--bins", *(f"results/m6a/bins/{name}.npz" for name in libraries)]
    command += ["--annotation", "results/reference/transcripts.tsv"]
    command += ["--genome", "results/reference/genome.fa"]
    for name in OUTPUTS:
        command += [f"--{name}", f"one_condition/{name}"]
    ended = subprocess.run(
        command, cwd=case.run, env=metered(usage), capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise InputError(f"{case.name}: call_peaks.py failed", ended.stderr.strip())


def figures_of(case: Case, cores: int) -> list[Figure]:
    """Run a case and return its figures."""
    make_study(case)
    usage, alone = case.run / "usage.tsv", case.run / "usage_of_one_condition.tsv"
    case.run.mkdir(exist_ok=True)
    run_workflow(case, cores, usage, RESULTS_WANTED)
    figures = evaluate(case.study, case.run / "results")
    quality = QUALITY.read(case.run / "results" / "m6a" / "quality.tsv")
    pairs = quality[quality["condition"] == case.parameters.test_condition]
    call_one_condition(case, pairs, alone)
    libraries = sorted({*pairs["ip_library"], *pairs["input_library"]})
    read_pairs = len(libraries) * case.parameters.read_pairs
    return [*figures, *cost(read_usage(usage), read_usage(alone), libraries, read_pairs)]


def table_of(case: Case, figures: Sequence[Figure]) -> pd.DataFrame:
    """Return the rows of a case for the table of results."""
    return RESULTS.frame(judged(figures, TARGETS[case.variant.expect]).assign(**case.key))


# ---------------------------------------------------------------- summary


def overview(results: pd.DataFrame) -> str:
    """Return the main figures as Markdown: a row a run, a column a figure.

    A value that misses the target of its run is bold. The targets given are those of the main
    study, and of a study without m6A or without changes for what only these can show.
    """
    targets = {**TARGETS["no enrichment"], **TARGETS["no change"], **TARGETS["main"]}
    rows = [["target", *(str(targets.get(name, "")) for name in SHOWN)]]
    chosen = results[results["subset"] == ALL].fillna({"met": ""})
    for run, own in chosen.groupby(list(RUN_COLUMNS), sort=False):
        by_name = own.set_index("figure")
        cells = [
            cell(by_name.loc[name, "value"], by_name.loc[name, "met"] == "no")
            if name in by_name.index
            else ""
            for name in SHOWN
        ]
        rows.append([" ".join(map(str, run[:3])), *cells])
    return markdown(["run", *SHOWN], rows)


def curve(results: pd.DataFrame) -> str:
    """Return the observed against the nominal rate of false discovery as Markdown, a row a run."""
    rows = []
    for run, own in results.groupby(list(RUN_COLUMNS), sort=False):
        values = own.set_index(["figure", "subset"])["value"]
        cells = []
        for rate in NOMINAL:
            observed, count = (
                values.get((name, f"nominal {rate:g}"), float("nan"))
                for name in ("false_discovery", "false_peaks")
            )
            cells.append(f"{text_of(observed)} ({text_of(count)})")
        rows.append([" ".join(map(str, run[:3])), *cells])
    return markdown(["run", *(f"{rate:g}" for rate in NOMINAL)], rows)


def growth(results: pd.DataFrame) -> str:
    """Return how the cost of calling peaks grows with the reads as Markdown."""
    return driver.growth(results[results["variant"].isin(DEPTHS)], GROWTH_TARGETS)


def summary(results: pd.DataFrame) -> str:
    """Return the whole table of results as Markdown: targets, curve, growth, then every run."""
    parts = {
        "": overview(results),
        "False discovery (and false peaks) observed at nominal rates": curve(results),
        "Growth with the reads": growth(results),
    }
    return driver.page("m6A peaks", results, parts)


# ---------------------------------------------------------------- command line


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    return driver.benchmark_parser("m6a_peaks", __doc__, VARIANTS)


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
        return table_of(case, figures_of(case, options.cores))

    driver.run_cases(cases, measure, summary, options)


if __name__ == "__main__":
    sys.exit(main())

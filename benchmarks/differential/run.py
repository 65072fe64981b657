"""Run the benchmark of the tests: simulate counts, test, hold the answers against what was planted.

    python benchmarks/differential/run.py --output FOLDER --variant main null_main --studies 5

Every variant (``variants.py``) is simulated with several seeds, as counts that error-free tools
would make of the reads (``counts.py``): rates of a few per cent need thousands of features. The
figures (``evaluate.py``), of all studies of a variant together, are added to
``FOLDER/figures.tsv``, where they replace those of an earlier run of the same, and
``FOLDER/summary.md`` is written anew.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow" / "scripts"))

from benchmarks.differential.counts import simulate_counts
from benchmarks.differential.evaluate import (
    NOMINAL,
    TARGETS,
    TESTS,
    Outcome,
    calls_of_permutations,
    figures_of,
    outcomes,
)
from benchmarks.differential.variants import VARIANTS
from benchmarks.driver import FIRST_SEED, READ_PAIRS, ROOT, cell
from benchmarks.figures import ALL, FIGURES, judged, markdown, markdown_of, text_of
from ringmark.errors import InputError, program
from ringmark.files import write_text
from ringmark.tables import INTEGER, STRING, Table

#: What tells one row of figures from another.
_KEY = {"variant": STRING, "seed": INTEGER, "studies": INTEGER}
RESULTS = Table("benchmark of the tests", {**_KEY, **FIGURES.columns})

#: Seeds of the studies of a variant are that of the run and these steps further.
_STEP = 10_000
_ATTEMPTS = 5


def one_study(name: str, seed: int, read_pairs: int) -> tuple[list[Outcome], dict[str, list[int]]]:
    """Simulate a study of a variant and test it; permute its labels where there is m6A to find.

    Where the genome of a seed has no room for all that is planted, the next one is taken.
    """
    variant = VARIANTS[name]
    for attempt in range(_ATTEMPTS):
        try:
            parameters = variant.parameters(seed + attempt, read_pairs)
            counts = simulate_counts(parameters, variant.covariates)
            break
        except InputError:
            if attempt == _ATTEMPTS - 1:
                raise
    permutations = calls_of_permutations(counts, seed) if variant.expect == "planted" else {}
    return outcomes(counts), permutations


def table_of(name: str, options: argparse.Namespace) -> pd.DataFrame:
    """Run the studies of a variant and return its rows of `RESULTS`."""
    seeds = [options.seed + _STEP * number for number in range(options.studies)]
    with ProcessPoolExecutor(options.cores) as pool:
        found = list(pool.map(one_study, repeat(name), seeds, repeat(options.read_pairs)))
    permutations: dict[str, list[int]] = {}
    for _, calls in found:
        for kind, own in calls.items():
            permutations.setdefault(kind, []).extend(own)
    figures = figures_of([item for own, _ in found for item in own], permutations)
    rows = judged(figures, TARGETS[VARIANTS[name].expect])
    return RESULTS.frame(rows.assign(variant=name, seed=options.seed, studies=options.studies))


# ---------------------------------------------------------------- summary


def overview(results: pd.DataFrame, suffix: str) -> str:
    """Return one figure of all tests as Markdown: a row a variant, a column a test."""
    rows = []
    chosen = results[results["subset"] == ALL].fillna({"met": ""})
    for key, own in chosen.groupby(list(_KEY), sort=False):
        by_name = own.set_index("figure")
        cells = []
        for test in TESTS:
            name = f"{test}_{suffix}"
            if name not in by_name.index:
                cells.append("")
                continue
            missed = "no" in {by_name.loc[other, "met"] for other in (name, f"{name}_at_least")
                              if other in by_name.index}  # fmt: skip
            cells.append(cell(by_name.loc[name, "value"], missed))
        if any(cells):
            rows.append([" ".join(map(str, key)), *cells])
    return markdown(["variant, seed, studies", *TESTS], rows)


def curve(results: pd.DataFrame) -> str:
    """Return observed against nominal false discovery as Markdown: a row a variant and test."""
    rows = []
    for key, own in results.groupby(list(_KEY), sort=False):
        values = own.set_index(["figure", "subset"])["value"]
        for test in TESTS:
            cells = [
                text_of(values.get((f"{test}_false_discovery", f"padj < {rate:g}"), float("nan")))
                for rate in NOMINAL
            ]
            if any(cells):
                rows.append([" ".join(map(str, key)), test, *cells])
    return markdown(["variant, seed, studies", "test", *(f"{rate:g}" for rate in NOMINAL)], rows)


def summary(results: pd.DataFrame) -> str:
    """Return the whole table of results as Markdown."""
    lines = ["# Tests", ""]
    for heading, text in (
        ("p < .05 of what does not change (m6A: is not there); target .03 to .065",
         overview(results, "below_05")),
        ("False discovery at padj < .05; target .07", overview(results, "false_discovery")),
        ("Power at padj < .05", overview(results, "power")),
        ("False discovery observed at nominal rates", curve(results)),
    ):  # fmt: skip
        lines += [f"## {heading}", "", text]
    for key, own in results.groupby(list(_KEY), sort=False):
        lines += [f"## {' '.join(map(str, key))}", "", markdown_of(own[list(FIGURES.columns)])]
    return "\n".join(lines)


# ---------------------------------------------------------------- command line


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    listed = "\n".join(f"  {name:<22}{variant.about}" for name, variant in VARIANTS.items())
    command = argparse.ArgumentParser(
        description=f"{__doc__}\nVariants:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--output", type=Path, default=ROOT / "benchmarks" / "results" / "differential",
        help="folder of the tables (benchmarks/results/differential)",
    )  # fmt: skip
    command.add_argument(
        "--seed", type=int, default=FIRST_SEED,
        help=f"of the first study ({FIRST_SEED}); those below it are for tuning",
    )  # fmt: skip
    command.add_argument("--studies", type=int, default=5, help="studies a variant (5)")
    command.add_argument(
        "--variant", action="extend", nargs="+", choices=VARIANTS, metavar="NAME",
        help="one or more, repeatable (all)",
    )  # fmt: skip
    command.add_argument(
        "--read-pairs", type=int, default=READ_PAIRS, help=f"fragments a library ({READ_PAIRS})"
    )
    command.add_argument("--cores", type=int, default=1, help="studies at the same time (1)")
    return command


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    options = parser().parse_args(argv)
    path = options.output / "figures.tsv"
    before = RESULTS.read(path) if path.exists() else RESULTS.empty()
    for name in dict.fromkeys(options.variant or VARIANTS):
        print(f"{name}, seed {options.seed}", file=sys.stderr, flush=True)
        rows = table_of(name, options)
        same = (before[list(_KEY)] == rows[list(_KEY)].iloc[0]).all(axis=1)
        before = pd.concat([before[~same], rows], ignore_index=True)
        RESULTS.write(before, path)
        write_text(summary(before), options.output / "summary.md")
    print(options.output / "summary.md")


if __name__ == "__main__":
    sys.exit(main())

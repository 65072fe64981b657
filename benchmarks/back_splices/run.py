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
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow" / "scripts"))

from benchmarks.back_splices.cost import cost, cost_of_whole, read_usage
from benchmarks.back_splices.evaluate import (
    ALL,
    COST_TARGETS,
    FIGURES,
    NEGATIVE_TARGETS,
    TARGETS,
    Figure,
    Target,
    evaluate,
    judged,
    markdown,
    markdown_of,
    targets_of,
    text_of,
)
from benchmarks.back_splices.variants import NEAR, READ_PAIRS, VARIANTS, Variant
from index_star import require_star
from ringmark.errors import InputError, program
from ringmark.files import write_text
from ringmark.simulate import simulate_study
from ringmark.simulate_parameters import SimulationParameters
from ringmark.tables import INTEGER, STRING, Table

ROOT = Path(__file__).resolve().parents[2]

#: Seeds below it are for tuning and are never reported.
FIRST_SEED = 1000

ALIGNERS = ("star", "minimap2")

#: Where the list of circles of a run is.
CIRCLES = "results/circrna/circles.tsv"

#: What tells one run of the benchmark from another.
RUN_COLUMNS = {
    "variant": STRING,
    "aligner": STRING,
    "seed": INTEGER,
    "replicates": INTEGER,
    "read_pairs": INTEGER,
}
RESULTS = Table("benchmark", {**RUN_COLUMNS, **FIGURES.columns})

#: Figures whose growth with the reads is shown, with the target of the multiple, if any.
GROWTH_TARGETS: Mapping[str, Target | None] = {
    "cpu_seconds_detection": None,
    "peak_memory_mb": Target(False, 1.25),
}


@dataclass(frozen=True)
class Case:
    """One study and the aligner that it is run with.

    Attributes
    ----------
    name, variant
        The variant of the study.
    parameters
        Of its simulation.
    aligner
        ``star`` or ``minimap2``.
    folder
        Where studies and runs are.
    """

    name: str
    variant: Variant
    parameters: SimulationParameters
    aligner: str
    folder: Path

    @property
    def study(self) -> Path:
        """Folder of the simulated study; all aligners share it."""
        return self.folder / f"{self.name}_seed{self.parameters.seed}" / "study"

    @property
    def run(self) -> Path:
        """Working folder of the workflow."""
        return self.study.parent / self.aligner

    @property
    def key(self) -> dict[str, object]:
        """Values of `RUN_COLUMNS`."""
        drawn = {name: getattr(self.parameters, name) for name in list(RUN_COLUMNS)[2:]}
        return {"variant": self.name, "aligner": self.aligner, **drawn}

    @property
    def tolerance(self) -> float | None:
        """How far targets are eased; ``None`` if those of detection do not apply."""
        if self.variant.tolerance is None or self.aligner == "star":
            return self.variant.tolerance
        return max(self.variant.tolerance, NEAR)


# ---------------------------------------------------------------- runs


def make_study(case: Case) -> None:
    """Simulate the study of a case unless it is there.

    Raises
    ------
    InputError
        If the folder holds a study of other parameters.
    """
    table = case.study / "truth" / "parameters.tsv"
    if not case.study.exists():
        started = case.study.with_name(".study.part")
        shutil.rmtree(started, ignore_errors=True)
        simulate_study(case.parameters, started)
        started.replace(case.study)
    found = pd.read_csv(table, sep="\t", dtype=str, keep_default_na=False)
    wanted = {
        item.name: str(getattr(case.parameters, item.name)) for item in fields(case.parameters)
    }
    if dict(zip(found["parameter"], found["value"], strict=True)) != wanted:
        raise InputError(
            f"{case.study}: holds a study of other parameters",
            "give another --output, or remove that folder",
        )


def write_config(case: Case) -> Path:
    """Write the configuration of a run: that of the study, with its paths and the aligner."""
    settings = yaml.safe_load((case.study / "config.yaml").read_text(encoding="utf-8"))
    study = case.study.resolve()
    settings["samples"] = str(study / settings["samples"])
    settings["reference"] = {
        name: str(study / path) for name, path in settings["reference"].items()
    }
    settings["alignment"] = {"aligner": case.aligner}
    path = case.run / "config.yaml"
    write_text(yaml.safe_dump(settings, sort_keys=False), path)
    return path


def run_workflow(case: Case, cores: int, usage: Path, targets: Sequence[str] = ()) -> None:
    """Run the workflow, whole or to the targets, and let its programs write down what they used.

    Raises
    ------
    InputError
        If the workflow fails.
    """
    config = write_config(case)
    command = [
        sys.executable,
        *("-m", "snakemake"),
        *("--snakefile", str(ROOT / "Snakefile")),
        *("--configfile", str(config)),
        *("--directory", str(case.run)),
        *("--cores", str(cores)),
        *targets,
    ]
    meter = str(ROOT / "benchmarks" / "meter")
    paths = [meter, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "RINGMARK_USAGE": str(usage.resolve()),
    }
    log = case.run / "snakemake.log"
    with log.open("a", encoding="utf-8") as out:
        ended = subprocess.run(
            command, env=environment, stdout=out, stderr=subprocess.STDOUT, check=False
        )
    if ended.returncode:
        raise InputError(
            f"{case.name}, {case.aligner}: the workflow ended with code {ended.returncode}",
            f"see the end of {log}",
        )


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


def remove(case: Case, *, with_study: bool) -> None:
    """Remove a run, and its study if that is asked for and no other run is kept beside it."""
    shutil.rmtree(case.run)
    if with_study and list(case.study.parent.iterdir()) == [case.study]:
        shutil.rmtree(case.study.parent)


def table_of(case: Case, figures: Sequence[Figure]) -> pd.DataFrame:
    """Return the rows of a case for the table of results."""
    targets = dict(COST_TARGETS)
    if case.tolerance is not None:
        targets |= targets_of(figures, case.tolerance)
    table = judged(figures, targets)
    return RESULTS.frame(table.assign(**case.key))


def add_results(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Add the rows of one case to the table of results, in place of earlier ones, and return it.

    Raises
    ------
    InputError
        If the table there is no table of results.
    """
    names = list(RUN_COLUMNS)
    before = RESULTS.read(path) if path.exists() else RESULTS.empty()
    same = (before[names] == rows[names].iloc[0]).all(axis=1)
    RESULTS.write(pd.concat([before[~same], rows], ignore_index=True), path)
    return RESULTS.read(path)


# ---------------------------------------------------------------- summary


def overview(results: pd.DataFrame) -> str:
    """Return the figures with targets as Markdown: a row a figure, a column a run.

    The target given is that of the main study with STAR; a value that misses the target of its
    own run, which may be eased, is bold. Runs without targets of detection show their values.
    """
    shown = results["target"].notna() | results["figure"].isin(list(TARGETS))
    chosen = results[(results["subset"] == ALL) & shown]
    keys = list(chosen[list(RUN_COLUMNS)].itertuples(index=False, name=None))
    missed = (chosen["met"].fillna("") == "no").tolist()
    texts = list(map(_cell, chosen["value"], missed))
    cells = dict(zip(zip(chosen["figure"], keys, strict=True), texts, strict=True))
    runs = list(dict.fromkeys(keys))
    targets = {**TARGETS, **NEGATIVE_TARGETS, **COST_TARGETS}
    rows = [
        [name, str(target), *(cells.get((name, run), "") for run in runs)]
        for name, target in targets.items()
        if name in set(chosen["figure"])
    ]
    return markdown(["figure", "target", *(" ".join(map(str, run[:3])) for run in runs)], rows)


def growth(results: pd.DataFrame) -> str:
    """Return how the cost of detection grows with the reads as Markdown; empty without such runs.

    Multiples are of the run with the fewest reads of the same aligner and seed.
    """
    deep = results[results["variant"].str.startswith("depth_") & (results["subset"] == ALL)]
    rows: list[list[str]] = []
    for (aligner, seed), runs in deep.groupby(["aligner", "seed"]):
        by_depth = runs.pivot_table(index="read_pairs", columns="figure", values="value")
        measured = by_depth.reindex(columns=[*GROWTH_TARGETS])
        multiples = measured / measured.iloc[0]
        for read_pairs in measured.index:
            row = [str(aligner), str(seed), f"{read_pairs:,}"]
            for name, target in GROWTH_TARGETS.items():
                value = multiples.loc[read_pairs, name]
                missed = target is not None and value > target.limit
                row += [_cell(measured.loc[read_pairs, name]), _cell(value, missed)]
            rows.append(row)
    heads = [text for name in GROWTH_TARGETS for text in (name, "multiple")]
    head = ["aligner", "seed", "fragments a library", *heads]
    return markdown(head, rows) if rows else ""


def _cell(value: float, missed: bool = False) -> str:
    """Return a value as text, bold where it misses its target."""
    text = text_of(value)
    return f"**{text}**" if missed else text


def summary(results: pd.DataFrame) -> str:
    """Return the whole table of results as Markdown: targets, growth, then every run."""
    parts = ["# Back-splice detection", "", overview(results)]
    grown = growth(results)
    if grown:
        parts += ["## Growth with the reads", "", grown]
    for run, rows in results.groupby(list(RUN_COLUMNS), sort=False):
        variant, aligner, seed, replicates, read_pairs = run
        size = f"2 x {replicates} libraries of {read_pairs:,} fragments"
        parts += [f"## {variant}, {aligner}, seed {seed}: {size}", ""]
        parts += [markdown_of(rows[list(FIGURES.columns)])]
    return "\n".join(parts)


# ---------------------------------------------------------------- command line


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    variants = "\n".join(f"  {name:<12}{variant.about}" for name, variant in VARIANTS.items())
    command = argparse.ArgumentParser(
        description=f"{__doc__}\nVariants:\n{variants}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--output",
        type=Path,
        default=ROOT / "benchmarks" / "results" / "back_splices",
        help="folder of tables and runs (benchmarks/results/back_splices)",
    )
    command.add_argument(
        "--seed",
        type=int,
        default=FIRST_SEED,
        help=f"seed of the studies ({FIRST_SEED}); those below it are for tuning",
    )
    command.add_argument("--aligner", action="append", choices=ALIGNERS, help="repeatable (star)")
    command.add_argument(
        "--variant",
        action="extend",
        nargs="+",
        choices=VARIANTS,
        metavar="NAME",
        help="one or more, repeatable (all)",
    )
    command.add_argument(
        "--read-pairs",
        type=int,
        default=READ_PAIRS,
        help=f"fragments a library, of which some variants take a multiple ({READ_PAIRS})",
    )
    command.add_argument("--replicates", type=int, help="samples a condition (the variant's own)")
    command.add_argument("--cores", type=int, default=1, help="jobs at the same time (1)")
    command.add_argument(
        "--full", action="store_true", help="go on to the report, for its share of the CPU time"
    )
    command.add_argument(
        "--keep", action="store_true", help="keep studies and runs, not only the figures"
    )
    return command


def cases_of(options: argparse.Namespace) -> Iterator[Case]:
    """Yield the runs asked for, each once, variant by variant."""
    for name in dict.fromkeys(options.variant or VARIANTS):
        variant = VARIANTS[name]
        parameters = variant.parameters(options.seed, options.read_pairs, options.replicates)
        for aligner in dict.fromkeys(options.aligner or ALIGNERS[:1]):
            yield Case(name, variant, parameters, aligner, options.output / "runs")


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    options = parser().parse_args(argv)
    cases = list(cases_of(options))
    if any(case.aligner == "star" for case in cases):
        require_star()
    table = options.output / "figures.tsv"
    if table.exists():
        RESULTS.read(table)  # what is wrong with it is told now, not after the first run
    for number, case in enumerate(cases):
        print(f"{case.name}, {case.aligner}, seed {options.seed}", file=sys.stderr, flush=True)
        figures = figures_of(case, options.cores, full=options.full)
        results = add_results(table_of(case, figures), table)
        write_text(summary(results), options.output / "summary.md")
        if not options.keep:
            remove(case, with_study=all(later.study != case.study for later in cases[number + 1 :]))
    print(options.output / "summary.md")


if __name__ == "__main__":
    sys.exit(main())

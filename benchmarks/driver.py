"""Run the studies of a benchmark: simulate, run the workflow, keep figures, sum up.

A benchmark is a folder with its variants, its figures and a program ``run.py``, which says what is
to be made and measured; everything else that such a program does is here. What an interrupted
benchmark left is taken up again: studies are kept, and Snakemake makes only what is missing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pandas as pd
import yaml

from benchmarks.figures import ALL, FIGURES, Target, markdown, markdown_of, text_of
from ringmark.errors import InputError
from ringmark.files import write_text
from ringmark.simulate import simulate_study
from ringmark.simulate_parameters import PRESETS, SimulationParameters
from ringmark.tables import INTEGER, STRING, Table

ROOT = Path(__file__).resolve().parents[1]

#: Seeds below it are for tuning and are never reported.
FIRST_SEED = 1000

#: Fragments a library of a variant of depth 1.
READ_PAIRS = 400_000

ALIGNERS = ("star", "minimap2")

#: What tells one run of a benchmark from another.
RUN_COLUMNS = {
    "variant": STRING,
    "aligner": STRING,
    "seed": INTEGER,
    "replicates": INTEGER,
    "read_pairs": INTEGER,
}
RESULTS = Table("benchmark", {**RUN_COLUMNS, **FIGURES.columns})


@dataclass(frozen=True)
class Variant:
    """One simulated study.

    Attributes
    ----------
    about
        What sets it apart, for the list of variants.
    changes
        Parameters that differ from those of the main study, by name.
    depth
        Fragments a library, relative to `READ_PAIRS`.
    """

    about: str
    changes: Mapping[str, object] = field(default_factory=dict)
    depth: float = 1.0

    #: Parameters that all variants of a benchmark share.
    fixed: ClassVar[Mapping[str, object]] = {}

    def parameters(
        self, seed: int, read_pairs: int = READ_PAIRS, replicates: int | None = None
    ) -> SimulationParameters:
        """Return the parameters of the simulation.

        Parameters
        ----------
        seed
            Of all random numbers.
        read_pairs
            Fragments a library of a variant of depth 1.
        replicates
            Samples a condition, if not the variant's own number.

        Raises
        ------
        InputError
            If a value is not sound.
        """
        changes: dict[str, Any] = {
            **self.changes,
            **self.fixed,
            "seed": seed,
            "read_pairs": round(read_pairs * self.depth),
        }
        if replicates is not None:
            changes["replicates"] = replicates
        return replace(PRESETS["benchmark"], **changes)


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

    def samples(self) -> Path:
        """Return the samples sheet to run with: that of the study."""
        return self.study.resolve() / "samples.tsv"


AnyCase = TypeVar("AnyCase", bound=Case)

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
    settings["samples"] = str(case.samples())
    settings["reference"] = {
        name: str(study / path) for name, path in settings["reference"].items()
    }
    settings["alignment"] = {"aligner": case.aligner}
    path = case.run / "config.yaml"
    write_text(yaml.safe_dump(settings, sort_keys=False), path)
    return path


def metered(usage: Path) -> dict[str, str]:
    """Return an environment in which programs write down what they used (``benchmarks/meter``)."""
    meter = str(ROOT / "benchmarks" / "meter")
    paths = [meter, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "RINGMARK_USAGE": str(usage.resolve()),
    }


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
    log = case.run / "snakemake.log"
    with log.open("a", encoding="utf-8") as out:
        ended = subprocess.run(
            command, env=metered(usage), stdout=out, stderr=subprocess.STDOUT, check=False
        )
    if ended.returncode:
        raise InputError(
            f"{case.name}, {case.aligner}: the workflow ended with code {ended.returncode}",
            f"see the end of {log}",
        )


def remove(case: Case, *, with_study: bool) -> None:
    """Remove a run, and its study if that is asked for and no other run is kept beside it."""
    shutil.rmtree(case.run)
    if with_study and list(case.study.parent.iterdir()) == [case.study]:
        shutil.rmtree(case.study.parent)


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


def run_cases(
    cases: Sequence[AnyCase],
    measure: Callable[[AnyCase], pd.DataFrame],
    summary: Callable[[pd.DataFrame], str],
    options: argparse.Namespace,
) -> None:
    """Run the cases of a benchmark one after another and write figures and summary after each.

    Parameters
    ----------
    measure
        Runs a case and returns its rows of `RESULTS`.
    summary
        Returns the page of all results.
    options
        Of `add_options`.
    """
    table = options.output / "figures.tsv"
    if table.exists():
        RESULTS.read(table)  # what is wrong with it is told now, not after the first run
    for number, case in enumerate(cases):
        print(f"{case.name}, {case.aligner}, seed {options.seed}", file=sys.stderr, flush=True)
        results = add_results(measure(case), table)
        write_text(summary(results), options.output / "summary.md")
        if not options.keep:
            remove(case, with_study=all(later.study != case.study for later in cases[number + 1 :]))
    print(options.output / "summary.md")


# ---------------------------------------------------------------- summary


def overview(
    results: pd.DataFrame, targets: Mapping[str, Target], always: Sequence[str] = ()
) -> str:
    """Return the figures with targets as Markdown: a row a figure, a column a run.

    A value that misses the target of its own run, which may be eased, is bold.

    Parameters
    ----------
    targets
        Figures in the order of the table, with the target to show.
    always
        Figures that are shown for runs in which they have no target, too.
    """
    shown = results["target"].notna() | results["figure"].isin(list(always))
    chosen = results[(results["subset"] == ALL) & shown]
    keys = list(chosen[list(RUN_COLUMNS)].itertuples(index=False, name=None))
    missed = (chosen["met"].fillna("") == "no").tolist()
    texts = list(map(cell, chosen["value"], missed))
    cells = dict(zip(zip(chosen["figure"], keys, strict=True), texts, strict=True))
    runs = list(dict.fromkeys(keys))
    rows = [
        [name, str(target), *(cells.get((name, run), "") for run in runs)]
        for name, target in targets.items()
        if name in set(chosen["figure"])
    ]
    return markdown(["figure", "target", *(" ".join(map(str, run[:3])) for run in runs)], rows)


def growth(deep: pd.DataFrame, targets: Mapping[str, Target | None]) -> str:
    """Return how figures grow with the reads as Markdown; empty without runs.

    Multiples are of the run with the fewest reads of the same aligner and seed.

    Parameters
    ----------
    deep
        Rows of `RESULTS` of runs that differ in their reads.
    targets
        Figures to show, with the target of the multiple, if any.
    """
    rows: list[list[str]] = []
    for (aligner, seed), runs in deep[deep["subset"] == ALL].groupby(["aligner", "seed"]):
        by_depth = runs.pivot_table(index="read_pairs", columns="figure", values="value")
        measured = by_depth.reindex(columns=[*targets])
        multiples = measured / measured.iloc[0]
        for read_pairs in measured.index:
            row = [str(aligner), str(seed), f"{read_pairs:,}"]
            for name, target in targets.items():
                value = multiples.loc[read_pairs, name]
                missed = target is not None and value > target.limit
                row += [cell(measured.loc[read_pairs, name]), cell(value, missed)]
            rows.append(row)
    heads = [text for name in targets for text in (name, "multiple")]
    head = ["aligner", "seed", "fragments a library", *heads]
    return markdown(head, rows) if rows else ""


def cell(value: float, missed: bool = False) -> str:
    """Return a value as text, bold where it misses its target."""
    text = text_of(value)
    return f"**{text}**" if missed else text


def page(title: str, results: pd.DataFrame, parts: Mapping[str, str]) -> str:
    """Return a page of results as Markdown: the parts given by heading, then every run.

    A part without a heading stands first; an empty part is left out.
    """
    lines = [f"# {title}", ""]
    for heading, text in parts.items():
        if text:
            lines += [f"## {heading}", "", text] if heading else [text]
    for run, rows in results.groupby(list(RUN_COLUMNS), sort=False):
        variant, aligner, seed, replicates, read_pairs = run
        size = f"2 x {replicates} libraries of {read_pairs:,} fragments"
        lines += [f"## {variant}, {aligner}, seed {seed}: {size}", ""]
        lines += [markdown_of(rows[list(FIGURES.columns)])]
    return "\n".join(lines)


# ---------------------------------------------------------------- command line


def benchmark_parser(
    name: str, about: str | None, variants: Mapping[str, Variant]
) -> argparse.ArgumentParser:
    """Return the command-line parser of a benchmark.

    Parameters
    ----------
    name
        Of its folder.
    about
        What it does; the list of variants is added.
    """
    listed = "\n".join(f"  {name:<20}{variant.about}" for name, variant in variants.items())
    command = argparse.ArgumentParser(
        description=f"{about}\nVariants:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--output",
        type=Path,
        default=ROOT / "benchmarks" / "results" / name,
        help=f"folder of tables and runs (benchmarks/results/{name})",
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
        choices=variants,
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
        "--keep", action="store_true", help="keep studies and runs, not only the figures"
    )
    return command


def chosen_variants(
    options: argparse.Namespace, variants: Mapping[str, Variant]
) -> Iterator[tuple[str, SimulationParameters, str, Path]]:
    """Yield name, parameters, aligner and folder of the runs asked for, each once."""
    for name in dict.fromkeys(options.variant or variants):
        parameters = variants[name].parameters(options.seed, options.read_pairs, options.replicates)
        for aligner in dict.fromkeys(options.aligner or ALIGNERS[:1]):
            yield name, parameters, aligner, options.output / "runs"

"""Compare the circles of a finished run with the truth of the simulated study it ran on.

    python benchmarks/back_splices/evaluate.py --study STUDY --results RUN/results

``STUDY`` is a folder that ``simulate_study.py`` wrote, ``RUN`` a working folder of the workflow.

Definitions
-----------
A fragment *crosses* a circle's junction if one of its reads holds 1 nt or more on each side of it,
and does so *with anchors* if one read holds 8 nt or more on each side. Both are known from the
simulation, free of sequencing errors and alignment. A circle is *real* in a library if a fragment
of that library crosses it, and in the study if a fragment of any library does: planted circles
that were not sequenced are not real, and whoever reports them is wrong. Circles are matched by
their id: both ends and the strand must be exact.

Recall is taken over pairs of circle and library with at least two true fragments; a pair is found
if the run counts as many as the figure's name says (two or more in the figures that have targets).
Precision by library is the share of pairs with that count whose circle is real there.

Fragments are counted, not matched by name, because the tables of a run do not name them. Fragments
recovered are therefore the smaller of counted and true, summed over pairs. Counted fragments that
do not cross are what is counted beyond the true number, plus all in circles that are not real: a
lower bound, as a fragment counted wrongly can hide behind one of the same pair that was missed.

The share of circular molecules at a junction is B / (B + L): back-splice fragments over those and
the linear ones. Its error is relative to the truth (with anchors), over pairs of listed circles
with a true B of at least 1 and a true B + L of at least 20.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow" / "scripts"))

from benchmarks.figures import (
    ALL,
    FIGURES,
    Figure,
    Mask,
    Target,
    judged,
    markdown_of,
    ratio,
    share,
)
from ringmark.errors import InputError, program
from ringmark.files import write_text
from ringmark.simulate import TRUTH_CIRCLES, TRUTH_LIBRARIES
from ringmark.tables import CIRCLES, read_matrix

Counts = npt.NDArray[np.int64]

#: True or counted fragments by which figures are broken down: name, lowest, highest.
READ_BINS = (("2-4", 2, 4), ("5-9", 5, 9), ("10+", 10, np.inf))

#: Fragments from which a circle counts as there to be found, and as found in the main figures.
ENOUGH = 2

#: Fragments at the ends of a circle from which its circular share is compared.
ENOUGH_FOR_SHARE = 20

#: Types whose number of exons the annotation gives; elsewhere the truth counts blocks.
ANNOTATED_TYPES = ("exonic", "exon_intron", "intronic")


#: Targets of a study with circles, by figure (of everything, without a breakdown).
TARGETS: Mapping[str, Target] = {
    "recall_anchored_counted_2": Target(True, 0.97, relaxed=True),
    "recall_crossing_counted_2": Target(True, 0.92, relaxed=True),
    "precision_library_counted_2": Target(True, 0.99, relaxed=True),
    "precision_study_high": Target(True, 0.99, relaxed=True),
    "recall_lariats_counted_2": Target(True, 0.80, relaxed=True),
    "fragments_recovered_anchored": Target(True, 0.97, relaxed=True),
    "fragments_recovered_crossing": Target(True, 0.88, relaxed=True),
    "fragments_not_crossing": Target(False, 0.005),
    "correlation_log2_counts": Target(True, 0.995, relaxed=True),
    "circular_share_median_error": Target(False, 0.03),
    "circular_share_median_absolute_error": Target(False, 0.03),
}

#: Targets of a study without a circular molecule.
NEGATIVE_TARGETS: Mapping[str, Target] = {"high_per_million_pairs": Target(False, 1.0)}

#: Targets of the cost of detection and counting.
COST_TARGETS: Mapping[str, Target] = {
    "pairs_per_cpu_second": Target(True, 60_000),
    "peak_memory_mb": Target(False, 1000),
    "share_of_pipeline_cpu": Target(False, 0.25),
}


@dataclass(frozen=True)
class Truth:
    """What was simulated.

    Attributes
    ----------
    circles
        Planted circles by id (`TRUTH_CIRCLES`).
    crossing, anchored
        Fragments that cross at all, and with anchors, shape (circles, libraries).
    linear
        Linear fragments with anchors at the ends of the circles, mean of both, the same shape.
    fragments
        Sequenced fragments of all libraries.
    """

    circles: pd.DataFrame
    crossing: pd.DataFrame
    anchored: pd.DataFrame
    linear: pd.DataFrame
    fragments: int

    @classmethod
    def read(cls, study: Path) -> Truth:
        """Read the truth tables of a simulated study.

        Raises
        ------
        InputError
            If a table is malformed.
        """
        folder = study / "truth"
        circles = TRUTH_CIRCLES.read(folder / "circles.tsv").set_index("circle")
        libraries = TRUTH_LIBRARIES.read(folder / "libraries.tsv")
        crossing, anchored, linear = (
            read_matrix(folder / f"{name}.tsv").loc[circles.index, libraries["library"].tolist()]
            for name in ("bsj_counts", "bsj_counts_anchor8", "linear_counts_anchor8")
        )
        return cls(circles, crossing, anchored, linear, int(libraries["fragments"].sum()))

    @property
    def real(self) -> pd.Index:
        """Ids of the circles that any fragment crosses."""
        return self.circles.index[self.crossing.sum(axis=1) > 0]


@dataclass(frozen=True)
class Run:
    """What a run reports.

    Attributes
    ----------
    circles
        Listed circles by id (`ringmark.tables.CIRCLES`).
    back_splices, linear
        Their counts, shape (circles, libraries).
    """

    circles: pd.DataFrame
    back_splices: pd.DataFrame
    linear: pd.DataFrame

    @classmethod
    def read(cls, results: Path, libraries: Sequence[str]) -> Run:
        """Read the tables of a run, with the libraries in the order given.

        Raises
        ------
        InputError
            If a table is malformed, a library is missing or there are others, or a circle has no
            counts.
        """
        folder = results / "circrna"
        circles = CIRCLES.read(folder / "circles.tsv").set_index("circle")
        matrices = [
            _matrix(folder / f"{name}.tsv", circles.index, libraries)
            for name in ("bsj_counts", "linear_counts")
        ]
        return cls(circles, *matrices)


def _matrix(path: Path, circles: pd.Index, libraries: Sequence[str]) -> pd.DataFrame:
    """Read a count matrix of given circles and libraries."""
    matrix = read_matrix(path)
    problems = [f"{path}: no library {name}" for name in libraries if name not in matrix.columns]
    problems += [
        f"{path}: library {name} is not in the study"
        for name in matrix.columns
        if name not in libraries
    ]
    problems += [f"{path}: no row of circle {name}" for name in circles.difference(matrix.index)]
    if problems:
        raise InputError(problems, "give --study and --results of one and the same study")
    return matrix.loc[circles, list(libraries)]


# ---------------------------------------------------------------- figures


def _in_bins(values: Counts) -> Iterator[tuple[str, Mask]]:
    """Yield name and members of each of `READ_BINS`."""
    for name, low, high in READ_BINS:
        yield name, (values >= low) & (values <= high)


def _cases(circles: pd.DataFrame) -> dict[str, Mask]:
    """Return hard case to the circles that take part in it, ``none`` for those without any."""
    lists = circles["cases"].fillna("none").str.split(",").tolist()
    names = sorted({name for cases in lists for name in cases})
    return {name: np.array([name in cases for cases in lists]) for name in names}


def _types(circles: pd.DataFrame) -> dict[str, Mask]:
    return {name: (circles["type"] == name).to_numpy() for name in sorted(set(circles["type"]))}


def counted_of(truth: Truth, run: Run) -> Counts:
    """Return what the run counts of the planted circles, 0 where it does not list them.

    Returns
    -------
    numpy.ndarray
        Shape (planted circles, libraries).
    """
    return run.back_splices.reindex(truth.circles.index, fill_value=0).to_numpy()


def recall(truth: Truth, run: Run) -> Iterator[Figure]:
    """Yield how many circles with two or more true fragments in a library are found there."""
    counted = counted_of(truth, run)
    anchored = truth.anchored.to_numpy()
    lariats = (truth.circles["type"] == "intronic").to_numpy()
    for least in (ENOUGH, 1):
        found = counted >= least
        for name, true in (("anchored", anchored), ("crossing", truth.crossing.to_numpy())):
            yield share(f"recall_{name}_counted_{least}", found[true >= ENOUGH])
        there = anchored >= ENOUGH
        yield share(f"recall_lariats_counted_{least}", found[there & lariats[:, np.newaxis]])
    name, found = f"recall_anchored_counted_{ENOUGH}", counted >= ENOUGH
    for kind, groups in (("type", _types(truth.circles)), ("case", _cases(truth.circles))):
        for group, members in groups.items():
            yield share(name, found[there & members[:, np.newaxis]], f"{kind} {group}")
    for group, cells in _in_bins(anchored):
        yield share(name, found[cells], f"true fragments {group}")


def precision(truth: Truth, run: Run) -> Iterator[Figure]:
    """Yield how many of the reported circles are real, by library and in the study."""
    counted = run.back_splices.to_numpy()
    there = truth.crossing.reindex(run.circles.index, fill_value=0).to_numpy() > 0
    for least in (ENOUGH, 1):
        yield share(f"precision_library_counted_{least}", there[counted >= least])
    real = run.circles.index.isin(truth.real)
    total = run.back_splices.sum(axis=1).to_numpy()
    confidence = run.circles["confidence"].to_numpy()
    yield share("precision_study", real)
    for level in ("high", "low"):
        yield share(f"precision_study_{level}", real[confidence == level])
        yield Figure(f"false_{level}", int((~real[confidence == level]).sum()), len(real))
    for group, members in _in_bins(total):
        yield share("precision_study", real[members], f"counted fragments {group}")
        for level in ("high", "low"):
            subset = f"counted fragments {group}, {level}"
            yield share("precision_study", real[members & (confidence == level)], subset)


def sensitivity_of_high(truth: Truth, run: Run) -> Iterator[Figure]:
    """Yield how many circles of the study are listed, and how many are told as high."""
    total = truth.anchored.sum(axis=1).to_numpy()
    high = run.circles.index[run.circles["confidence"] == "high"]
    listed = truth.circles.index.isin(run.circles.index)
    told = truth.circles.index.isin(high)
    for group, members in ((ALL, total >= ENOUGH), *_in_bins(total)):
        subset = group if group == ALL else f"true fragments in the study {group}"
        yield share("recall_study", listed[members], subset)
        yield share("recall_study_high", told[members], subset)


def fragments(truth: Truth, run: Run) -> Iterator[Figure]:
    """Yield how many crossing fragments are counted, and how many counted ones do not cross."""
    counted = counted_of(truth, run)
    crossing = truth.crossing.to_numpy()
    for name, true in (("anchored", truth.anchored.to_numpy()), ("crossing", crossing)):
        recovered = int(np.minimum(counted, true).sum())
        yield ratio(f"fragments_recovered_{name}", recovered, int(true.sum()))
        for group, members in _types(truth.circles).items():
            recovered = int(np.minimum(counted, true)[members].sum())
            whole = int(true[members].sum())
            yield ratio(f"fragments_recovered_{name}", recovered, whole, f"type {group}")
    whole = int(run.back_splices.to_numpy().sum())
    crosses = int(np.minimum(counted, crossing).sum())
    yield ratio("fragments_not_crossing", whole - crosses, whole)


def accuracy_of_counts(truth: Truth, run: Run) -> Iterator[Figure]:
    """Yield how counts and circular shares agree with the truth, over circles and libraries."""
    counted, anchored = counted_of(truth, run), truth.anchored.to_numpy()
    logs = np.log2(counted.ravel() + 1.0), np.log2(anchored.ravel() + 1.0)
    varied = all(values.size and np.ptp(values) > 0 for values in logs)
    value = float(np.corrcoef(*logs)[0, 1]) if varied else float("nan")
    yield Figure("correlation_log2_counts", value, counted.size)
    errors = share_errors(truth, run)
    median = float(np.median(errors)) if errors.size else float("nan")
    absolute = float(np.median(np.abs(errors))) if errors.size else float("nan")
    yield Figure("circular_share_median_error", median, errors.size)
    yield Figure("circular_share_median_absolute_error", absolute, errors.size)


def share_errors(truth: Truth, run: Run) -> npt.NDArray[np.float64]:
    """Return the relative errors of B / (B + L), shape (pairs that are compared,).

    A listed circle without any counted fragment in a library has the share 0 there.
    """
    listed = truth.circles.index.intersection(run.circles.index)
    circular, linear = (
        table.loc[listed].to_numpy().astype(np.float64) for table in (truth.anchored, truth.linear)
    )
    compared = (circular >= 1) & (circular + linear >= ENOUGH_FOR_SHARE)
    true = circular[compared] / (circular + linear)[compared]
    counted, counted_linear = (
        table.loc[listed].to_numpy()[compared] for table in (run.back_splices, run.linear)
    )
    return counted / np.maximum(counted + counted_linear, 1) / true - 1


def structure(truth: Truth, run: Run) -> Iterator[Figure]:
    """Yield how often type, exons and spliced length of real circles are right.

    The truth is what most molecules of the circle hold. Exons are compared where the annotation
    gives them (`ANNOTATED_TYPES`).
    """
    found = truth.real.intersection(run.circles.index)
    true, told = truth.circles.loc[found], run.circles.loc[found]
    right = {name: (true[name] == told[name]).to_numpy() for name in ("type", "spliced_length")}
    annotated = true["type"].isin(ANNOTATED_TYPES).to_numpy()
    right["exons"] = (true["exons"] == told["exons"]).to_numpy()
    compared = {"exons": annotated}
    everything = np.ones(len(found), dtype=bool)
    groups = {ALL: everything}
    groups |= {f"type {name}": members for name, members in _types(true).items()}
    groups |= {
        f"counted fragments {name}": members
        for name, members in _in_bins(run.back_splices.loc[found].sum(axis=1).to_numpy())
    }
    for name, hits in right.items():
        for subset, members in groups.items():
            yield share(f"{name}_right", hits[members & compared.get(name, everything)], subset)


def rates(truth: Truth, run: Run) -> Iterator[Figure]:
    """Yield circles a million fragments: what a study without circles must keep near nothing."""
    high = int((run.circles["confidence"] == "high").sum())
    for name, count in (("high", high), ("circles", len(run.circles))):
        yield Figure(f"{name}_per_million_pairs", count / truth.fragments * 1e6, truth.fragments)


# ---------------------------------------------------------------- tables


def evaluate(study: Path, results: Path) -> list[Figure]:
    """Return all figures of a run.

    Raises
    ------
    InputError
        If run and study do not belong together or a table is malformed.
    """
    truth = Truth.read(study)
    run = Run.read(results, list(truth.crossing.columns))
    steps = (recall, precision, sensitivity_of_high, fragments, accuracy_of_counts, structure)
    return [figure for step in (*steps, rates) for figure in step(truth, run)]


def targets_of(figures: Iterable[Figure], tolerance: float = 0.0) -> dict[str, Target]:
    """Return the targets that apply: those of a study with circles, or without any."""
    circular = any(
        figure.name == "fragments_recovered_crossing" and figure.subset == ALL and figure.size
        for figure in figures
    )
    chosen = TARGETS if circular else NEGATIVE_TARGETS
    return {name: target.eased(tolerance) for name, target in chosen.items()}


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    command = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("--study", type=Path, required=True, help="folder of the simulated study")
    command.add_argument("--results", type=Path, required=True, help="results folder of the run")
    command.add_argument("--tolerance", type=float, default=0.0, help="how far targets are eased")
    command.add_argument("--output", type=Path, help="table to write (TSV)")
    command.add_argument("--markdown", type=Path, help="the same as Markdown; default: printed")
    return command


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Write the figures of one run."""
    options = parser().parse_args(argv)
    figures = evaluate(options.study, options.results)
    table = judged(figures, targets_of(figures, options.tolerance))
    if options.output:
        FIGURES.write(table, options.output)
    if options.markdown:
        write_text(markdown_of(table), options.markdown)
    else:
        print(markdown_of(table), end="")


if __name__ == "__main__":
    sys.exit(main())

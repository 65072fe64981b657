"""Compare the m6A peaks of a finished run with the truth of the simulated study it ran on.

    python benchmarks/m6a_peaks/evaluate.py --study STUDY --results RUN/results

``STUDY`` is a folder that ``simulate_study.py`` wrote, ``RUN`` a working folder of the workflow, in
which results/m6a (with its bins), results/reference/transcripts.tsv and
results/differential/methylation.tsv are read.

Peaks
-----
All within one condition, then over both. A *site* is to be found if it is on linear molecules of a
gene with `ENOUGH_FRAGMENTS` fragments or more in the inputs of the condition together, and
`ENOUGH_STOICHIOMETRY` or more of these molecules are methylated there. It is found if it lies
within `REACH` of a peak that is called in the condition. A peak is *true* if within `REACH` of it
lies any site, on linear molecules or circles, of a stoichiometry above `SOME_STOICHIOMETRY` in
the condition. How distances run is told in ``truth.py``.

Widths are spliced lengths. The summit's error is its distance from the nearest site to be found (in
either condition) that lies within `REACH` of the peak; peaks without one are left out.

Differential methylation
------------------------
A planted change is to be found if a site's stoichiometry differs by `ENOUGH_CHANGE` or more in
linear molecules of a gene with `ENOUGH_TO_COMPARE` input fragments or more in the study. It is
found if a peak within `REACH` of it has an adjusted p-value below `SIGNIFICANT`. A peak that is
significant is false if no site within `REACH` changes by more than `SOME_CHANGE`. A peak near
a changed site, but not at it, shares fragments with it and does change: with the subset
``fragment`` false is what has no changed site within a fragment's length of the peak, either.

The slope is that of estimated log2 changes over true ones, through the origin, over peaks that have
one changed site in a fragment's length, and that one to be found. True is the log2 ratio, test over
reference, of the chances with which the antibody pulls down a fragment that holds the site. Peaks
also hold fragments without the site: the slope is below 1.

The null of differential methylation is that of peaks without a changed site in a fragment's length.
It is also had from permuted labels: pairs of both conditions are dealt to two groups of the same
sizes, in up to `PERMUTATIONS` ways other than the true one.

Quality
-------
What happened to a pair is known from the simulation: it is ``good``, its IP ``failed`` (pulled
nothing down), IP and input are ``swapped``, the input is ``foreign`` (of another sample), or there
is ``no IP``. The verdict has to be ``good`` for what is good and ``failed`` where the IP failed or
there is none; ``failed`` with a reason that speaks of a swap where IP and input are swapped; not
``good``, with a reason that speaks of a sample, where the input is foreign.

False discovery
---------------
Peaks are called once more from the bins at each rate of `NOMINAL`, and the share of peaks without
a site (over `SOME_STOICHIOMETRY` in either condition) within `REACH` is compared with it. The
p-values of bins are compared with the uniform distribution (Kolmogorov-Smirnov distance) over
tested bins, which have 10 fragments or more, of genes without a site; the worse condition counts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import kstest

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
    share,
)
from benchmarks.m6a_peaks.truth import Array, Region, Run, Truth
from call_peaks import conditions_of, read_pairs
from compare_methylation import context_of
from count_bins import layout_of
from ringmark.bins import BIN_WIDTH, BinLayout
from ringmark.errors import program
from ringmark.files import write_text
from ringmark.methylation import compare_methylation
from ringmark.peak_context import PeakContext
from ringmark.peaks import Condition, Thresholds, call_peaks, region_of
from ringmark.study import Contrast, Library, Pair, Study
from ringmark.tables import BACKGROUND, read_matrix

#: Distance up to which a site belongs to a peak, nucleotides.
REACH = 50

#: Stoichiometry of a site that is to be found, and of one that makes a peak true.
ENOUGH_STOICHIOMETRY, SOME_STOICHIOMETRY = 0.25, 0.02

#: Change of stoichiometry that is to be found, and that makes a changed peak true.
ENOUGH_CHANGE, SOME_CHANGE = 0.5, 0.02

#: Input fragments of a gene whose sites, and whose changes, are to be found.
ENOUGH_FRAGMENTS, ENOUGH_TO_COMPARE = 50, 100

#: Adjusted p-value of a significant change, and p-value whose share is taken under the null.
SIGNIFICANT = 0.05

#: Rates of false discovery at which peaks are called.
NOMINAL = (0.01, 0.02, 0.05, 0.1, 0.2)

#: Ways in which labels are permuted at most.
PERMUTATIONS = 10

#: Classes by which recall is broken down: name, lowest value, limit.
STOICHIOMETRY_BINS = ((".25-.5", 0.25, 0.5), (".5-.75", 0.5, 0.75), (".75+", 0.75, np.inf))
FRAGMENT_BINS = (
    ("50-99", 50, 100),
    ("100-199", 100, 200),
    ("200-499", 200, 500),
    ("500-1999", 500, 2000),
    ("2000+", 2000, np.inf),
)
LENGTH_BINS = (
    ("up to 599 nt", 0, 600),
    ("600-1499 nt", 600, 1500),
    ("1500-2499 nt", 1500, 2500),
    ("2500+ nt", 2500, np.inf),
)

#: Reasons by which a verdict names what happened to a pair.
NAMED = {"swapped": "swap", "foreign": "sample"}

_PEAKS = {
    "f1_worse_condition": Target(True, 0.96),
    "median_width": Target(False, 150),
    "median_summit_error": Target(False, 20),
}
_CHANGES = {
    "changes_recall": Target(True, 0.8),
    "changes_false_discovery": Target(False, 0.07),
}
_COST = {
    "cpu_seconds_one_condition": Target(False, 15),
    "peak_memory_mb": Target(False, 1000),
}
_VERDICT = {"verdict_right": Target(True, 1)}

#: What a study is expected to show, by the name of the expectation.
TARGETS: Mapping[str, Mapping[str, Target]] = {
    "main": {**_PEAKS, **_CHANGES, **_COST, **_VERDICT},
    "one pair": {"f1_worse_condition": Target(True, 0.85)},
    "no enrichment": {"false_peaks": Target(False, 5), "ks_distance": Target(False, 0.05)},
    "no change": {
        **_PEAKS,
        "unchanged_below_05": Target(False, 0.05),
        "permuted_below_05": Target(False, 0.05),
    },
    "verdict": _VERDICT,
    "nothing": {},
}


def median(name: str, values: Array, subset: str = ALL) -> Figure:
    """Return the median; NaN of none."""
    return Figure(name, float(np.median(values)) if len(values) else np.nan, len(values), subset)


def _any(values: Mask, axis: int) -> Mask:
    return np.asarray(values.any(axis=axis), dtype=bool)


def _classes(bins: Sequence[tuple[str, float, float]], values: Array) -> Iterator[tuple[str, Mask]]:
    for name, low, limit in bins:
        yield name, (values >= low) & (values < limit)


# ---------------------------------------------------------------- peaks


def gene_groups(truth: Truth) -> dict[str, frozenset[str]]:
    """Return the genes that recall and precision are broken down by, by name of the group."""
    genes = truth.annotation.genes
    lengths = np.array([gene.union.length for gene in genes.values()], dtype=np.float64)
    names = np.array(list(genes), dtype=object)
    one = np.array([len(gene.union.starts) == 1 for gene in genes.values()], dtype=bool)
    beside = np.array(
        [
            len(truth.annotation.overlapping(gene.chrom, gene.start, gene.end)) > 1
            for gene in genes.values()
        ],
        dtype=bool,
    )
    groups = {f"gene of {name}": chosen for name, chosen in _classes(LENGTH_BINS, lengths)}
    groups |= {"gene of one exon": one, "overlapping gene": beside}
    return {name: frozenset(names[chosen]) for name, chosen in groups.items()}


def wanted_sites(truth: Truth, condition: str) -> Mask:
    """Return which sites are to be found in a condition, shape (sites,)."""
    enough = truth.stoichiometry(condition) >= ENOUGH_STOICHIOMETRY
    return truth.linear & enough & (truth.input_fragments([condition]) >= ENOUGH_FRAGMENTS)


def detection(truth: Truth, run: Run, near: Mask) -> Iterator[Figure]:
    """Yield precision, recall and F1, by condition and over both, and what they depend on.

    Parameters
    ----------
    near
        Sites within `REACH` of peaks, shape (sites, peaks).
    """
    found_parts, true_parts, scores = [], [], []
    for condition in truth.conditions:
        called = run.called(condition)
        found = _any(near[:, called], axis=1)
        true = _any(near[truth.stoichiometry(condition) > SOME_STOICHIOMETRY], axis=0)
        wanted = wanted_sites(truth, condition)
        scores.append(_scores(found[wanted], true[called]))
        for name, value, size in scores[-1]:
            yield Figure(name, value, size, f"condition {condition}")
        found_parts.append(_described(truth, condition, found))
        genes = run.peaks["gene_id"].to_numpy(dtype=object)[called]
        true_parts.append(pd.DataFrame({"true": true[called], "gene_id": genes}))
    sites, peaks = pd.concat(found_parts), pd.concat(true_parts)
    wanted_rows = sites[sites["wanted"]]
    for name, value, size in _scores(wanted_rows["found"], peaks["true"]):
        yield Figure(name, value, size)
    worst = [condition_scores[2] for condition_scores in scores]
    yield Figure("f1_worse_condition", min(worst, key=_value)[1], sum(item[2] for item in worst))
    for group, genes in gene_groups(truth).items():
        yield share("recall", wanted_rows["found"][wanted_rows["gene_id"].isin(genes)], group)
        yield share("precision", peaks["true"][peaks["gene_id"].isin(genes)], group)
    for column, bins in (("stoichiometry", STOICHIOMETRY_BINS), ("fragments", FRAGMENT_BINS)):
        for group, members in _classes(bins, wanted_rows[column].to_numpy()):
            yield share("recall", wanted_rows["found"][members], f"{column} {group}")
    yield share("recall", sites["found"][sites["circular"]], "sites on circles")


def _value(score: tuple[str, float, int]) -> float:
    return score[1] if not np.isnan(score[1]) else np.inf


def _described(truth: Truth, condition: str, found: Mask) -> pd.DataFrame:
    """Return what recall in a condition is broken down by, one row a site."""
    stoichiometry = truth.stoichiometry(condition)
    fragments = truth.input_fragments([condition])
    enough = (stoichiometry >= ENOUGH_STOICHIOMETRY) & (fragments >= ENOUGH_FRAGMENTS)
    return pd.DataFrame(
        {
            "found": found,
            "wanted": wanted_sites(truth, condition),
            "circular": enough & ~truth.linear,
            "stoichiometry": stoichiometry,
            "fragments": fragments,
            "gene_id": truth.sites["gene_id"].to_numpy(dtype=object),
        }
    )


def _scores(found: Mask | pd.Series, true: Mask | pd.Series) -> list[tuple[str, float, int]]:
    """Return name, value and size of precision, recall and F1, which is NaN without sites."""
    recall, precision = share("recall", found), share("precision", true)
    total = recall.value + (0.0 if np.isnan(precision.value) else precision.value)
    f1 = 2 * recall.value * np.nan_to_num(precision.value) / total if total else total
    return [
        ("precision", precision.value, precision.size),
        ("recall", recall.value, recall.size),
        ("f1", f1, recall.size),
    ]


def shape(truth: Truth, run: Run, near: Mask) -> Iterator[Figure]:
    """Yield widths, errors of summits, and whether region and motif are those of the site."""
    yield Figure("peaks", len(run.peaks), len(run.peaks))
    yield median("median_width", run.widths.astype(np.float64))
    wanted = np.zeros(len(truth.sites), dtype=bool)
    for condition in truth.conditions:
        wanted |= wanted_sites(truth, condition)
    errors, regions = [], []
    for peak, row in enumerate(run.peaks.itertuples()):
        sites = np.flatnonzero(near[:, peak] & wanted)
        if len(sites):
            distances = [truth.distance(site, row.summit) for site in sites.tolist()]
            nearest = truth.sites.iloc[int(sites[int(np.argmin(distances))])]
            gene = truth.annotation.genes[nearest["gene_id"]]
            errors.append(min(distances))
            regions.append(region_of(gene, int(nearest["position"])) == row.region)
    yield median("median_summit_error", np.array(errors, dtype=np.float64))
    yield share("summit_error_up_to_20", np.array(errors) <= 20)
    yield share("region_right", np.array(regions, dtype=bool))
    distances = run.peaks["drach_distance"].dropna().to_numpy(dtype=np.float64)
    yield median("median_drach_distance", distances)
    yield share("peaks_with_drach", run.peaks["drach"].dropna() > 0)


# ---------------------------------------------------------------- differential methylation


def changed_near(truth: Truth, near: Mask) -> Mask:
    """Return which peaks have a site that changes, shape (peaks,)."""
    return _any(near[np.abs(truth.change) > SOME_CHANGE], axis=0)


def wanted_changes(truth: Truth) -> Mask:
    """Return which sites' changes are to be found, shape (sites,)."""
    enough = truth.input_fragments(truth.conditions) >= ENOUGH_TO_COMPARE
    # a planted change of .55 is not always exactly that much in the table
    return truth.linear & enough & (np.abs(truth.change) >= ENOUGH_CHANGE - 1e-9)


def changes(truth: Truth, run: Run, near: Mask, wide: Mask) -> Iterator[Figure]:
    """Yield how well planted changes of stoichiometry are found, and what is found besides.

    Parameters
    ----------
    near, wide
        Sites within `REACH`, and within a fragment's length, of peaks; shape (sites, peaks).
    """
    significant = (run.changes["padj"] < SIGNIFICANT).to_numpy(dtype=bool)
    estimate = run.changes["log2FoldChange"].to_numpy(dtype=np.float64)
    # without replicates nothing is tested, and nothing can be missed
    wanted = wanted_changes(truth) & bool(run.changes["padj"].notna().any())
    hits = near & significant
    yield share("changes_recall", hits[wanted].any(axis=1))
    found = near.any(axis=1)
    yield share("changes_recall", hits[wanted & found].any(axis=1), "sites in peaks")
    yield share("changes_false_discovery", ~changed_near(truth, near)[significant])
    yield share("changes_false_discovery", ~changed_near(truth, wide)[significant], "fragment")
    pairs = [(site, peak) for site in np.flatnonzero(wanted) for peak in np.flatnonzero(hits[site])]
    right = [np.sign(truth.change[site]) == np.sign(estimate[peak]) for site, peak in pairs]
    yield share("changes_sign_right", np.array(right, dtype=bool))
    yield _slope(truth, estimate, near, wide)
    pvalues = run.changes["pvalue"].to_numpy(dtype=np.float64)
    unchanged = ~changed_near(truth, wide) & ~np.isnan(pvalues)
    yield share("unchanged_below_05", pvalues[unchanged] < SIGNIFICANT)
    yield median("unchanged_median_log2_change", estimate[unchanged])


def _slope(truth: Truth, estimate: Array, near: Mask, wide: Mask) -> Figure:
    """Return the slope of estimated over true log2 changes of enrichment."""
    changed = np.abs(truth.change) > SOME_CHANGE
    alone = wide[changed].sum(axis=0) == 1
    usable = near[wanted_changes(truth)].any(axis=0) & alone & np.isfinite(estimate)
    if not usable.any():
        return Figure("changes_slope", np.nan, 0)
    peaks = np.flatnonzero(usable)
    true = true_log2_change(truth)[(near[:, peaks] & changed[:, None]).argmax(axis=0)]
    slope = float((true * estimate[peaks]).sum() / (true**2).sum())
    return Figure("changes_slope", slope, len(peaks))


def true_log2_change(truth: Truth) -> Array:
    """Return by how much the chance to pull down a fragment with each site changes, log2."""
    ips = truth.libraries[truth.libraries["assay"] == "ip"]
    logs = []
    for condition in truth.conditions:
        own = ips[ips["condition"] == condition]
        background = own["background"].to_numpy(dtype=np.float64)
        efficiency = own["efficiency"].to_numpy(dtype=np.float64)
        levels = truth.stoichiometry(condition)[:, None]
        chance = 1 - (1 - background) * (1 - efficiency * levels)
        logs.append(np.log2(chance / background).mean(axis=1))
    return logs[0] - logs[1]


def splits(sizes: tuple[int, int]) -> list[tuple[int, ...]]:
    """Return up to `PERMUTATIONS` ways to deal pairs to a first group of the same size.

    Pair 0 is always in the first group, as the other half of all ways is the same with the groups
    exchanged. The true way, that of the first ``sizes[0]`` pairs, is left out.
    """
    first, second = sizes
    rest = combinations(range(1, first + second), first - 1)
    ways = [way for others in rest if (way := (0, *others)) != tuple(range(first))]
    chosen = np.unique(np.linspace(0, len(ways) - 1, PERMUTATIONS).round().astype(int))
    return [ways[index] for index in chosen] if ways else []


def peaks_context(run: Run, layout: BinLayout) -> PeakContext:
    """Return what the run compared its peaks with."""
    folder = run.folder / "m6a"
    inputs = read_matrix(folder / "input_counts.tsv")
    circles, bsj_counts = (
        place if place.exists() else None
        for place in (run.folder / "circrna" / name for name in ("circles.bed", "bsj_counts.tsv"))
    )
    bins = {name: folder / "bins" / f"{name}.npz" for name in inputs.columns}
    return context_of(run.peaks.loc[inputs.index], inputs, layout, bins, circles, bsj_counts)


def permuted(
    truth: Truth, run: Run, wide: Mask, context: PeakContext | None = None
) -> Iterator[Figure]:
    """Yield the share of small p-values of peaks without a change, conditions permuted."""
    rows = run.quality[run.quality["condition"].isin(truth.conditions)]
    ordered = pd.concat([rows[rows["condition"] == name] for name in truth.conditions])
    size = int((ordered["condition"] == truth.conditions[0]).sum())
    sizes = (size, len(ordered) - size)
    folder = run.folder / "m6a"
    ip, inputs = (read_matrix(folder / f"{name}_counts.tsv") for name in ("ip", "input"))
    background = BACKGROUND.read(folder / "background.tsv")
    unchanged = ~changed_near(truth, wide)
    small = []
    for way in splits(sizes) if min(sizes) > 1 else ():
        study = _relabelled(ordered, way, truth.conditions)
        table = compare_methylation(ip, inputs, background, study, context=context).table
        values = table["pvalue"].reindex(run.peaks.index).to_numpy(dtype=np.float64)[unchanged]
        small.append(values[~np.isnan(values)] < SIGNIFICANT)
    yield share("permuted_below_05", np.concatenate([np.zeros(0, dtype=bool), *small]))


def _relabelled(rows: pd.DataFrame, test: Sequence[int], conditions: tuple[str, str]) -> Study:
    """Return the study of the pairs given, of which some are said to be of the test condition."""
    libraries: list[Library] = []
    pairs = []
    for index, row in enumerate(rows.itertuples()):
        condition = conditions[0] if index in test else conditions[1]
        ip = Library(row.ip_library, row.sample, condition, "ip")
        control = Library(row.input_library, row.sample, condition, "input")
        libraries += [control, ip]
        pairs.append(Pair(ip, control))
    return Study(tuple(libraries), tuple(pairs), Contrast("condition", *conditions))


# ---------------------------------------------------------------- quality


def happened(truth: Truth, ip_library: str, input_library: str) -> str:
    """Return what happened to a pair, as its libraries were sequenced."""
    libraries = truth.libraries.set_index("library")
    ip, control = libraries.loc[ip_library], libraries.loc[input_library]
    assays = (ip["assay"], control["assay"])
    if assays == ("input", "ip"):
        return "swapped"
    if assays != ("ip", "input"):
        return "no IP"
    if not ip["efficiency"] > 0:
        return "failed"
    return "good" if ip["sample"] == control["sample"] else "foreign"


def verdict_is_right(what: str, verdict: str, reason: str) -> bool:
    """Return whether a verdict, with its reason, tells what happened to a pair."""
    if what == "good":
        return verdict == "good"
    if what == "foreign":
        return verdict != "good" and NAMED[what] in reason
    return verdict == "failed" and NAMED.get(what, "") in reason


def quality(truth: Truth, run: Run) -> Iterator[Figure]:
    """Yield how many verdicts on pairs are right, and the median of each figure of quality."""
    rows = run.quality
    what = [
        happened(truth, row.ip_library, row.input_library) for row in rows.itertuples(index=False)
    ]
    right = np.array(
        [
            verdict_is_right(name, str(verdict), str(reason))
            for name, verdict, reason in zip(what, rows["verdict"], rows["reason"], strict=True)
        ],
        dtype=bool,
    )
    groups = {ALL: np.ones(len(rows), dtype=bool)}
    groups |= {name: np.array([item == name for item in what]) for name in sorted(set(what))}
    for group, members in groups.items():
        yield share("verdict_right", right[members], group)
    for column in ("enrichment", "ip_fraction_in_peaks", "drach_odds_ratio", "replicate_jaccard"):
        for group, members in groups.items():
            values = rows.loc[members, column].dropna().to_numpy(dtype=np.float64)
            yield median(f"median_{column}", values, group)


# ---------------------------------------------------------------- false discovery


def bins_of(run: Run) -> tuple[list[Condition], BinLayout]:
    """Return the conditions of a run with the tests of their bins."""
    layout = layout_of(run.folder / "reference" / "transcripts.tsv", BIN_WIDTH)
    columns = ["ip_library", "input_library", "sample", "condition"]
    pairs = run.quality[columns].to_numpy().tolist()
    libraries = {name for pair in pairs for name in pair[:2]}
    paths = {name: run.folder / "m6a" / "bins" / f"{name}.npz" for name in libraries}
    return conditions_of(read_pairs(pairs, paths, layout), layout, Thresholds()), layout


def false_discovery(
    truth: Truth, conditions: Sequence[Condition], layout: BinLayout
) -> Iterator[Figure]:
    """Yield the share of false peaks at each nominal rate."""
    for rate in NOMINAL:
        peaks = call_peaks(conditions, layout, Thresholds(fdr=rate))
        regions = [
            Region(gene.chrom, gene.union.slice(peak.start, peak.end))
            for peak in peaks
            for gene in (layout.genes[peak.gene],)
        ]
        false = ~_any_site(truth, truth.near(regions, REACH))
        yield share("false_discovery", false, f"nominal {rate:g}")
        yield Figure("false_peaks", int(false.sum()), len(false), f"nominal {rate:g}")


def highest(truth: Truth) -> Array:
    """Return the stoichiometry of all sites in the condition where it is higher."""
    test, reference = truth.conditions
    return np.maximum(truth.stoichiometry(test), truth.stoichiometry(reference))


def _any_site(truth: Truth, near: Mask) -> Mask:
    """Return which regions have a site in either condition, shape (regions,)."""
    return _any(near[highest(truth) > SOME_STOICHIOMETRY], axis=0)


def false_peaks(truth: Truth, run: Run, near: Mask) -> Iterator[Figure]:
    """Yield how many listed peaks have no site in either condition."""
    false = ~_any_site(truth, near)
    yield share("false_discovery", false)
    yield Figure("false_peaks", int(false.sum()), len(run.peaks))


def calibration(
    truth: Truth, conditions: Sequence[Condition], layout: BinLayout
) -> Iterator[Figure]:
    """Yield how p-values of bins are distributed in genes without a site."""
    methylated = set(truth.sites["gene_id"][highest(truth) > 0].dropna())
    free = np.array([gene.gene_id not in methylated for gene in layout.genes], dtype=bool)
    distances = []
    for condition in conditions:
        pvalues = condition.tests.pvalue[condition.tests.tested & free[layout.gene_of_bin]]
        value = float(kstest(pvalues, "uniform").statistic) if len(pvalues) else np.nan
        distances.append(Figure("ks_distance", value, len(pvalues), f"condition {condition.name}"))
        yield distances[-1]
        for limit in (0.05, 0.01, 0.001):
            subset = f"condition {condition.name}, below {limit:g}"
            yield share("bin_pvalues_below", pvalues < limit, subset)
        scatter = condition.background.dispersion
        yield Figure("dispersion", scatter, len(pvalues), f"condition {condition.name}")
    worst = max((item.value for item in distances), default=np.nan)
    yield Figure("ks_distance", worst, sum(item.size for item in distances))


# ---------------------------------------------------------------- tables


def evaluate(study: Path, results: Path) -> list[Figure]:
    """Return all figures of a run.

    Raises
    ------
    InputError
        If a table is malformed.
    """
    truth, run = Truth.read(study), Run.read(results)
    near = truth.near(run.regions, REACH)
    wide = truth.near(run.regions, round(truth.fragment_length))
    figures = [*detection(truth, run, near), *shape(truth, run, near)]
    figures += changes(truth, run, near, wide)
    conditions, layout = bins_of(run)
    figures += permuted(truth, run, wide, peaks_context(run, layout))
    figures += quality(truth, run)
    figures += false_peaks(truth, run, near)
    figures += false_discovery(truth, conditions, layout)
    return [*figures, *calibration(truth, conditions, layout)]


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    command = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("--study", type=Path, required=True, help="folder of the simulated study")
    command.add_argument("--results", type=Path, required=True, help="results folder of the run")
    command.add_argument(
        "--expect", choices=TARGETS, default="main", help="which targets apply (main)"
    )
    command.add_argument("--output", type=Path, help="table to write (TSV)")
    command.add_argument("--markdown", type=Path, help="the same as Markdown; default: printed")
    return command


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Write the figures of one run."""
    options = parser().parse_args(argv)
    table = judged(evaluate(options.study, options.results), TARGETS[options.expect])
    if options.output:
        FIGURES.write(table, options.output)
    if options.markdown:
        write_text(markdown_of(table), options.markdown)
    else:
        print(markdown_of(table), end="")


if __name__ == "__main__":
    sys.exit(main())

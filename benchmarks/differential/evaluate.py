"""Hold what the tests say of simulated counts against what was planted.

Every test is run as the workflow runs it, and each of its features is *changed* (planted so), *to
be found* (changed enough), *unchanged*, or left out because what was planted does not decide it:

genes
    Changed by their planted fold change; all of these are to be found.
circles
    The same by that of the circle.
circle_ratio
    Changed if the planted changes of circle and host gene differ; to be found from
    `ENOUGH_RATIO` on. Circles of no gene are left out.
circle_methylation
    Changed if the stoichiometry of any site on the circle changes; to be found if that of one
    within a fragment's length of the junction does by `ENOUGH_CHANGE` or more.
circle_m6a
    The test of each condition and of both together. Changed is what carries m6A of a stoichiometry
    over `SOME_STOICHIOMETRY`; to be found are `ENOUGH_STOICHIOMETRY` within a fragment's length of
    the junction and `ENOUGH_FRAGMENTS` input fragments.

A feature counts as tested if it has a p-value. Figures are taken over all studies together.

Labels are permuted in two ways (`permuted_without_call`, the share of permutations without any
circle of tier 1): of the fragments of each pair, IP or input, over circles, the background being
that of all of them; and of whole libraries, IP and input exchanged in some of the pairs of every
condition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.differential.counts import Counts
from benchmarks.figures import Figure, Target, ratio, share
from ringmark.bins import MAX_LENGTH, FragmentLengths
from ringmark.detection import Reach, verdicts
from ringmark.differential import compare_expression, compare_ratio
from ringmark.enrichment import CircleBackground, circle_enrichment
from ringmark.methylation import compare_methylation
from ringmark.simulate_parameters import SimulationParameters
from ringmark.study import Pair
from ringmark.tables import CANNOT_BE_SEEN, NOT_METHYLATED

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]

#: Smallest planted log2 change of the circular-to-linear odds, and change of stoichiometry, that
#: is to be found.
ENOUGH_RATIO, ENOUGH_CHANGE = 0.7, 0.5
#: Stoichiometry of m6A on a circle that is to be found, and that makes a found circle true.
ENOUGH_STOICHIOMETRY, SOME_STOICHIOMETRY = 0.4, 0.02
#: Input fragments of a circle whose m6A is to be found.
ENOUGH_FRAGMENTS = 20
#: Adjusted p-value of a significant feature.
SIGNIFICANT = 0.05
#: Adjusted p-values at which false discovery is observed.
NOMINAL = (0.01, 0.05, 0.1, 0.2)
#: Permutations a study and kind.
PERMUTATIONS = 20
#: Classes of fragments, all libraries of the test together.
FRAGMENT_BINS = (
    ("up to 19", 0, 20),
    ("20-49", 20, 50),
    ("50-99", 50, 100),
    ("100-299", 100, 300),
    ("300+", 300, np.inf),
)

TESTS = ("genes", "circles", "circle_ratio", "circle_methylation", "circle_m6a")

_RATES = {f"{test}_below_05": Target(False, 0.065) for test in TESTS}
_LEAST = {f"{test}_below_05_at_least": Target(True, 0.03) for test in TESTS}
_FALSE = {f"{test}_false_discovery": Target(False, 0.07) for test in TESTS}

#: What a study is expected to show, by the name of the expectation.
TARGETS: Mapping[str, Mapping[str, Target]] = {
    "planted": {
        **_FALSE,
        "circle_m6a_power": Target(True, 0.85),
        "out_of_reach_not_methylated": Target(False, 0.0),
    },
    # circles without m6A among many that carry some are tested with the scatter of these
    "null": {
        name: target
        for name, target in (_RATES | _LEAST).items()
        if not name.startswith("circle_m6a")
    },
    "unmethylated": {
        "circle_m6a_below_05": Target(False, 0.065),
        "circle_m6a_below_05_at_least": Target(True, 0.03),
    },
    "nothing": {},
}


@dataclass(frozen=True)
class Outcome:
    """What a test says of its features and what is true of them.

    Attributes
    ----------
    test
        One of `TESTS`.
    table
        A row a feature: pvalue, padj, change (log2, as estimated), planted (log2; NaN where it has
        no size), fragments, and the truth: changed, wanted, unchanged.
    """

    test: str
    table: pd.DataFrame


def outcomes(counts: Counts) -> list[Outcome]:
    """Run every test on a study."""
    plan = counts.plan
    genes, circles = plan.expression.gene_changes, plan.expression.circle_changes
    hosts = np.array([circle.gene for circle in plan.circles])
    ratio_change = circles - np.where(hosts >= 0, genes[hosts], np.nan)
    inputs = [library.name for library in counts.study.inputs]
    found = [
        _outcome("genes", compare_expression(counts.genes, counts.study).table, genes,
                 counts.genes[inputs]),
        _outcome("circles", compare_expression(counts.circles, counts.study, counts.genes).table,
                 circles, counts.circles[inputs]),
        _outcome("circle_ratio",
                 compare_ratio(counts.circles, counts.linear, counts.study, counts.genes).table,
                 ratio_change, counts.circles[inputs], ENOUGH_RATIO),
    ]  # fmt: skip
    if counts.study.pairs:
        found += [_methylation(counts), *_enrichment(counts)]
    return found


def _outcome(
    test: str, table: pd.DataFrame, planted: Array, fragments: pd.DataFrame, enough: float = 0.0
) -> Outcome:
    """Return the outcome of a comparison whose planted changes have a size."""
    known = ~np.isnan(planted)
    size = np.abs(np.nan_to_num(planted))
    return Outcome(
        test,
        pd.DataFrame(
            {
                "pvalue": table["pvalue"].to_numpy(),
                "padj": table["padj"].to_numpy(),
                "change": table["log2FoldChange"].to_numpy(),
                "planted": planted,
                "fragments": fragments.sum(axis=1).to_numpy(),
                "changed": known & (size > 0),
                "wanted": known & (size > 0) & (size >= enough),
                "unchanged": known & (size == 0),
            }
        ),
    )


def _sites(counts: Counts) -> pd.DataFrame:
    """Return the sites of circles: circle, whether in reach, stoichiometry in both conditions."""
    plan = counts.plan
    rows = []
    for site in plan.sites:
        if site.circle < 0:
            continue
        circle = plan.circles[site.circle]
        place = int(circle.paths[0].to_spliced(np.array([site.position]))[0])
        distance = min(place, circle.length - place)
        near = distance <= plan.parameters.fragment_length
        rows.append((site.circle, near, *site.stoichiometry))
    table = pd.DataFrame(rows, columns=["circle", "near", "test", "reference"])
    return table.astype({"circle": "int64", "near": bool, "test": float, "reference": float})


def _largest(values: pd.Series, circles: pd.Series, number: int) -> Array:
    """Return the largest value of each circle; 0 without any."""
    largest: Array = np.zeros(number)
    np.maximum.at(largest, circles.to_numpy(), values.to_numpy())
    return largest


def _methylation(counts: Counts) -> Outcome:
    sites, number = _sites(counts), len(counts.circles)
    table = compare_methylation(
        counts.circles,
        counts.circles,
        counts.background,
        counts.study,
        counts.genes,
        peak_counts=(counts.peaks, counts.peaks),
    ).table
    change = (sites["test"] - sites["reference"]).abs()
    near = sites["near"].astype(float)
    changed = _largest(change, sites["circle"], number) > 0
    return Outcome(
        "circle_methylation",
        pd.DataFrame(
            {
                "pvalue": table["pvalue"].to_numpy(),
                "padj": table["padj"].to_numpy(),
                "change": table["log2FoldChange"].to_numpy(),
                "planted": np.nan,
                "fragments": counts.circles.sum(axis=1).to_numpy(),
                "changed": changed,
                "wanted": _largest(change * near, sites["circle"], number) >= ENOUGH_CHANGE,
                "unchanged": ~changed,
            }
        ),
    )


def _enrichment(counts: Counts) -> Iterator[Outcome]:
    """Yield the outcome of the test of each condition and of both together."""
    sites, number = _sites(counts), len(counts.circles)
    reach = _reach(counts.plan.parameters)
    lengths = np.array([circle.length for circle in counts.plan.circles], dtype=np.float64)
    names = dict(zip(counts.plan.parameters.conditions, ("test", "reference"), strict=True))
    for condition in (*names, None):
        pairs = _pairs(counts, condition)
        table = circle_enrichment(counts.circles, pairs, counts.circle_background, SIGNIFICANT)
        columns = list(names.values()) if condition is None else [names[condition]]
        level = sites[columns].max(axis=1)
        anywhere = _largest(level, sites["circle"], number)
        near = _largest(level * sites["near"], sites["circle"], number)
        inputs = table["input_reads"].to_numpy()
        answers = verdicts(
            (table["padj"] < SIGNIFICANT).to_numpy() & (table["log2_enrichment"] > 0).to_numpy(),
            table["pvalue"].to_numpy(),
            table["smallest_log2_enrichment"].to_numpy(),
            _typical_enrichment(counts),
            reach.share_at_farthest(lengths),
        )
        yield Outcome(
            "circle_m6a",
            pd.DataFrame(
                {
                    "pvalue": table["pvalue"].to_numpy(),
                    "padj": table["padj"].to_numpy(),
                    "change": table["log2_enrichment"].to_numpy(),
                    "planted": np.nan,
                    "fragments": inputs,
                    "changed": anywhere > SOME_STOICHIOMETRY,
                    "wanted": (near >= ENOUGH_STOICHIOMETRY) & (inputs >= ENOUGH_FRAGMENTS),
                    "unchanged": anywhere <= SOME_STOICHIOMETRY,
                    "verdict": answers,
                    "strong": anywhere >= ENOUGH_STOICHIOMETRY,
                    "out_of_reach": (anywhere >= ENOUGH_STOICHIOMETRY)
                    & (near <= SOME_STOICHIOMETRY),
                }
            ),
        )


def _reach(parameters: SimulationParameters) -> Reach:
    """Return the reach of the fragments of the simulation."""
    lengths = np.arange(parameters.longest_fragment + 1)
    deviation = (lengths - parameters.fragment_length) / parameters.fragment_length_sd
    density = np.rint(1e6 * np.exp(-(deviation**2) / 2)).astype(np.int64)
    return Reach.of([FragmentLengths(np.pad(density, (0, MAX_LENGTH))[: MAX_LENGTH + 1])])


def _typical_enrichment(counts: Counts) -> float:
    """Return the median log2 enrichment of the fragments that hold a site of linear RNA."""
    plan = counts.plan
    levels = np.array([site.stoichiometry for site in plan.sites if site.circle < 0]).ravel()
    background, efficiency = plan.parameters.ip_background, plan.parameters.ip_efficiency
    chance = 1 - (1 - background) * (1 - efficiency * levels)
    return float(np.median(np.log2(chance / background)))


def _pairs(counts: Counts, condition: str | None) -> list[Pair]:
    """Return the pairs of a condition, or all."""
    return [pair for pair in counts.study.pairs if condition in (None, pair.condition)]


# ---------------------------------------------------------------- permuted labels


def calls_of_permutations(counts: Counts, seed: int) -> dict[str, list[int]]:
    """Return the circles of tier 1 in each permutation, all pairs together, by kind."""
    random = np.random.default_rng(seed)
    pairs = list(counts.study.pairs)
    found: dict[str, list[int]] = {"fragments": [], "libraries": []}
    for _ in range(PERMUTATIONS):
        permuted, background = _permuted_fragments(counts, pairs, random)
        found["fragments"].append(_calls(permuted, pairs, background))
        exchanged, background = _exchanged_libraries(counts, pairs, random)
        found["libraries"].append(_calls(counts.circles, exchanged, background))
    return found


def _calls(counts: pd.DataFrame, pairs: Sequence[Pair], background: CircleBackground) -> int:
    table = circle_enrichment(counts, pairs, background, SIGNIFICANT)
    return int(((table["padj"] < SIGNIFICANT) & (table["log2_enrichment"] > 0)).sum())


def _permuted_fragments(
    counts: Counts, pairs: Sequence[Pair], random: np.random.Generator
) -> tuple[pd.DataFrame, CircleBackground]:
    """Deal the labels IP and input of each pair anew to its fragments."""
    permuted, ratios = counts.circles.copy(), {}
    for pair in pairs:
        ip, inputs = pair.ip.name, pair.input.name
        totals = counts.circles[ip] + counts.circles[inputs]
        drawn = random.multivariate_hypergeometric(
            totals.to_numpy(), int(counts.circles[ip].sum()), method="marginals"
        )
        permuted[ip], permuted[inputs] = drawn, totals - drawn
        ratios[ip] = float(np.log(drawn.sum() / (totals.sum() - drawn.sum())))
    log_ratio = pd.DataFrame(ratios, index=counts.circles.index)
    return permuted, CircleBackground(log_ratio, log_ratio * 0.0)


def _exchanged_libraries(
    counts: Counts, pairs: Sequence[Pair], random: np.random.Generator
) -> tuple[list[Pair], CircleBackground]:
    """Exchange IP and input in half of the pairs of each condition, rounded either way."""
    log_ratio = counts.circle_background.log_ratio.copy()
    error = counts.circle_background.error.copy()
    exchanged = list(pairs)
    for condition in counts.plan.parameters.conditions:
        own = [number for number, pair in enumerate(pairs) if pair.condition == condition]
        some = (len(own) + int(random.integers(2))) // 2
        for number in random.permutation(own)[:some].tolist():
            pair = pairs[number]
            exchanged[number] = Pair(pair.input, pair.ip)
            log_ratio[pair.input.name] = -log_ratio[pair.ip.name]
            error[pair.input.name] = error[pair.ip.name]
    return exchanged, CircleBackground(log_ratio, error)


# ---------------------------------------------------------------- figures


def figures_of(found: Sequence[Outcome], permutations: Mapping[str, Sequence[int]]) -> list[Figure]:
    """Return the figures of all studies of a variant together."""
    figures: list[Figure] = []
    for test in TESTS:
        tables = [outcome.table for outcome in found if outcome.test == test]
        if tables:
            figures += _figures(test, pd.concat(tables, ignore_index=True))
    for kind, calls in permutations.items():
        without = np.asarray(calls) == 0
        figures.append(share(f"permuted_{kind}_without_call", without))
    return figures


def _figures(test: str, table: pd.DataFrame) -> Iterator[Figure]:
    """Yield the figures of one test."""
    tested = table[table["pvalue"].notna()]
    unchanged = tested[tested["unchanged"]]
    yield share(f"{test}_below_05", unchanged["pvalue"] < 0.05)
    yield share(f"{test}_below_05_at_least", unchanged["pvalue"] < 0.05)
    yield share(f"{test}_below_01", unchanged["pvalue"] < 0.01)
    for rate in NOMINAL:
        called = table[table["padj"] < rate]
        name = f"{test}_false_discovery"
        subset = f"padj < {rate:g}"
        false, size = int((~called["changed"]).sum()), len(called)
        yield ratio(name, false, size, subset)
        if rate == SIGNIFICANT:
            yield ratio(name, false, size)
    wanted = table[table["wanted"]]
    yield share(f"{test}_power", wanted["padj"] < SIGNIFICANT)
    for group, low, limit in FRAGMENT_BINS:
        own = wanted[wanted["fragments"].between(low, limit, inclusive="left")]
        yield share(f"{test}_power", own["padj"] < SIGNIFICANT, f"fragments {group}")
        own = unchanged[unchanged["fragments"].between(low, limit, inclusive="left")]
        yield share(f"{test}_below_05", own["pvalue"] < 0.05, f"fragments {group}")
        own = table[table["fragments"].between(low, limit, inclusive="left")]
        own = own[own["padj"] < SIGNIFICANT]
        false = int((~own["changed"]).sum())
        yield ratio(f"{test}_false_discovery", false, len(own), f"fragments {group}")
    sized = table[table["wanted"] & table["change"].notna() & table["planted"].notna()]
    if len(sized):
        planted, change = sized["planted"].to_numpy(), sized["change"].to_numpy()
        slope = float((planted @ change) / (planted @ planted))
        yield Figure(f"{test}_slope", slope, len(sized))
    if "verdict" in table:
        yield from _answers(table)


def _answers(table: pd.DataFrame) -> Iterator[Figure]:
    """Yield what the answers to circles without enrichment are worth."""
    no = table["verdict"] == NOT_METHYLATED
    yield share("out_of_reach_not_methylated", no[table["out_of_reach"]])
    yield share("not_methylated_wrong", table.loc[no, "strong"])
    yield share("unmethylated_not_methylated", no[table["unchanged"]])
    yield share("cannot_be_seen", table["verdict"] == CANNOT_BE_SEEN)

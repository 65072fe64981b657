"""Differential m6A of peaks and circles: the interaction of condition and assay on paired counts.

Each IP is compared with its own input. Given that a fragment of the feature is in one of the two
libraries of a pair, the log odds that it is in the IP are

    log(p / (1 - p)) = log_ratio(pair) + covariates + condition

``log_ratio`` is the log ratio of IP to input fragments on background, so the intercept is the log
enrichment over background and ``condition`` its difference between conditions, test less
reference. Abundance cancels within the pair. The test is the beta-binomial likelihood ratio of
`ringmark.differential.odds_test`, whose answers to one-sided counts and missing replicates hold
here too.

IPs differ in how much they enrich over background; that is estimated from the features, of circles
from the study's peaks, which are many and well covered, and taken out (`ringmark.efficiency`). A
change of all features at once stays, where it is larger than such differences between replicates.

Pairs of one level that share an input share its fragments, as far as they tell how sure a ratio is.

Of peaks more is known (`ringmark.peak_context`). The gene helps to say how many input fragments a
peak has (`ringmark.input_levels`): the odds are then those of IP fragments to as many input
fragments as would be as sure, and their ratio to the estimate goes into the offset; the fold
change is that of the IP over the estimate. And a peak has changed where its enrichment has by more
than circles with another share of the RNA, or a neighbouring peak, would make it: the null is an
interval around 0. The background of peaks in introns is taken to be that of exons.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ringmark.differential import (
    PSEUDO_COUNT,
    Design,
    Result,
    aligned,
    base_mean,
    build_design,
    counts_of_missing,
    odds_test,
)
from ringmark.efficiency import Efficiency, efficiency_offset, estimate_efficiency
from ringmark.errors import InputError
from ringmark.input_levels import InputLevels, Levels
from ringmark.peak_context import PeakContext
from ringmark.study import Pair, Study

Array = NDArray[np.float64]

# a likelihood ratio below this is one of 1, but for the rounding of two fits
_NOTHING = 1e-6


def compare_methylation(
    ip_counts: pd.DataFrame,
    input_counts: pd.DataFrame,
    background: pd.DataFrame,
    study: Study,
    normalisation_counts: pd.DataFrame | None = None,
    source: str = "counts",
    context: PeakContext | None = None,
    peak_counts: tuple[pd.DataFrame, pd.DataFrame] | None = None,
) -> Result:
    """Compare the enrichment of IP over input between the two levels of the contrast.

    Parameters
    ----------
    ip_counts, input_counts
        Shape (features, libraries), the same features; may be one matrix with both assays.
    background
        Columns ip_library, input_library, log_ratio: natural log of IP to input
        fragments on background, one row a pair.
    normalisation_counts
        As for `compare_expression`; only `baseMean`, the mean of normalised IP and input counts,
        depends on it.
    context
        Gene, circles and neighbours of the features, where they are peaks, over the inputs.
    peak_counts
        IP and input fragments of the study's peaks, from which it is learnt how much each IP
        enriches; None: learnt from the features themselves.

    Raises
    ------
    InputError
        If the study has no pair, or a pair has no background ratio.
    """
    input_counts = aligned(input_counts, ip_counts.index, source)
    pairs = _counted_pairs(study, ip_counts, input_counts)
    if not study.pairs:
        raise InputError(
            f"{source}: the study has no IP library, so there is no methylation to compare",
            "add the IP libraries to the samples sheet, with assay 'ip'",
        )
    design = build_design(study, [pair.ip for pair in study.pairs], pairs, source)
    chosen = [pairs[name] for name in design.names]
    ip = ip_counts[[pair.ip.name for pair in chosen]]
    inputs = input_counts[[pair.input.name for pair in chosen]]
    successes = ip.to_numpy(dtype=float)
    log_ratio = _log_ratios(background, chosen)
    matrix = design.matrix.to_numpy()
    levels = _input_levels(inputs, design, context)
    # of their own input: what is borrowed from genes may err for many peaks alike
    efficiency = estimate_efficiency(
        *_teachers(ip, inputs, context, peak_counts, source), log_ratio, matrix
    )
    own = log_ratio + efficiency_offset(successes, levels.rate, log_ratio, matrix, efficiency)
    null = _explained(successes, levels, own, design, inputs, context)
    table = odds_test(
        successes, successes + levels.fragments, own + levels.log_ratio, design, ip.index, null
    )
    counts = pd.concat([ip, inputs.loc[:, ~inputs.columns.duplicated()]], axis=1)
    table["baseMean"] = base_mean(counts, normalisation_counts)
    notes = (*design.notes, *_told(efficiency), *_counts_of_explained(table, null))
    return Result(table, (*notes, *counts_of_missing(table)))


def _teachers(
    ip: pd.DataFrame,
    inputs: pd.DataFrame,
    context: PeakContext | None,
    peak_counts: tuple[pd.DataFrame, pd.DataFrame] | None,
    source: str,
) -> tuple[Array, Array]:
    """Return the fragments, IP and input, of the features that tell the efficiency of each pair."""
    if peak_counts is None:
        told = slice(None) if context is None else context.exonic
        return ip.to_numpy(dtype=float)[told], inputs.to_numpy(dtype=float)[told]
    peaks_ip, peaks_input = peak_counts
    absent = [name for name in ip.columns if name not in peaks_ip.columns]
    absent += [name for name in inputs.columns if name not in peaks_input.columns]
    if absent:
        raise InputError(
            f"{source}: the counts of peaks lack {', '.join(absent)}",
            "give the counts of peaks of the same study",
        )
    own = aligned(peaks_input, peaks_ip.index, source)[list(inputs.columns)]
    return peaks_ip[list(ip.columns)].to_numpy(dtype=float), own.to_numpy(dtype=float)


def _input_levels(inputs: pd.DataFrame, design: Design, context: PeakContext | None) -> InputLevels:
    """Return the input fragments of features in every pair, with what the context tells.

    Pairs of one level that share an input share what it knows.
    """
    own = inputs.to_numpy(dtype=float)
    levels = InputLevels(own, own)
    if context is not None:
        if not context.peaks.equals(inputs.index):
            raise ValueError("the context is of other peaks, or has them in another order")
        columns = [context.libraries.index(name) for name in inputs.columns]
        found = context.input_levels(_columns_of(inputs, design, context))
        levels = InputLevels(found.rate[:, columns], found.fragments[:, columns])
    pairs = list(zip(inputs.columns, design.test, strict=True))
    return InputLevels(levels.rate, levels.fragments / np.array([pairs.count(x) for x in pairs]))


def _columns_of(inputs: pd.DataFrame, design: Design, context: PeakContext) -> Levels:
    """Return the context's columns of the inputs of the test and the reference level."""
    columns = np.array([context.libraries.index(name) for name in inputs.columns])
    return np.unique(columns[design.test]), np.unique(columns[~design.test])


def _explained(
    successes: Array,
    levels: InputLevels,
    own: Array,
    design: Design,
    inputs: pd.DataFrame,
    context: PeakContext | None,
) -> tuple[Array, Array]:
    """Return the changes, natural log, that the context explains; 0 and 0 without one."""
    nothing = np.zeros(len(inputs))
    if context is None:
        return nothing, nothing
    fold = np.log((successes + PSEUDO_COUNT) / (levels.rate + PSEUDO_COUNT)) - own
    return context.explained(
        (np.exp(fold[:, design.test].mean(axis=1)), np.exp(fold[:, ~design.test].mean(axis=1))),
        _columns_of(inputs, design, context),
    )


def _counts_of_explained(table: pd.DataFrame, null: tuple[Array, Array]) -> list[str]:
    """Say of how many features the context explains all that was seen."""
    within = int(((null[0] < null[1]) & (table["stat"] < _NOTHING)).sum())
    if not within:
        return []
    return [f"p is 1 where circles or neighbouring peaks explain the change: {within} features"]


def _told(efficiency: Efficiency) -> list[str]:
    """Return what is to be said about the efficiency of the IPs."""
    if not efficiency.features:
        return []
    fold, pvalue = np.exp(efficiency.shift), efficiency.pvalue
    ratio = (
        f"the IPs of the test level enrich {fold:.2f}-fold those of the reference (p {pvalue:.2g})"
    )
    if efficiency.is_global_change:
        return [f"{ratio}: kept, a change of methylation as a whole"]
    return [f"{ratio}: no more than IPs of one level differ, taken out"]


def _counted_pairs(
    study: Study, ip_counts: pd.DataFrame, input_counts: pd.DataFrame
) -> dict[str, Pair]:
    """Pairs of which both libraries have counts, by IP library."""
    ips, inputs = set(ip_counts.columns), set(input_counts.columns)
    return {
        pair.ip.name: pair
        for pair in study.pairs
        if pair.ip.name in ips and pair.input.name in inputs
    }


def _log_ratios(background: pd.DataFrame, pairs: Sequence[Pair]) -> Array:
    """Background log ratio of every pair, shape (pairs,)."""
    known = {
        (str(row.ip_library), str(row.input_library)): float(row.log_ratio)
        for row in background.itertuples(index=False)
    }
    names = [(pair.ip.name, pair.input.name) for pair in pairs]
    missing = [
        f"{ip} over {name}" for ip, name in names if not np.isfinite(known.get((ip, name), np.nan))
    ]
    if missing:
        raise InputError(
            [f"background ratios: none for {pair}" for pair in missing],
            "the table of background ratios needs a row with a finite log_ratio for each pair",
        )
    return np.array([known[name] for name in names])

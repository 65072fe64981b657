r"""Differential expression and circular-to-linear ratio between two conditions.

Every fold change is test over reference, log2. Columns bear the names of DESeq2.

Expression of genes, and of circles by their back-splice reads
    PyDESeq2 (Muzellec 2023, Bioinformatics 39:btad547): negative-binomial regression, Wald test,
    outliers by Cook's distance, independent filtering. Circles take the size factors of the
    gene counts: back-splice reads are few, and where circles change as a whole, size factors
    of their own would hide it. Their dispersions are shrunken towards a trend that suits rare
    counts (`ringmark.dispersion_trend`), those of genes towards that of PyDESeq2; below
    `TREND_FEATURES` counted genes, which fit none, towards the trimmed mean of all. Where no
    feature is over-dispersed, the prior is centred on PyDESeq2's lowest dispersion.

    Fold changes are given twice: as estimated, and shrunken (`SHRUNKEN_COLUMNS`) towards 0 by as
    much as they are uncertain, with the adaptive Cauchy prior of apeglm (Zhu 2019, Bioinformatics
    35:2084) as PyDESeq2 has it. Rank and draw by the latter; test by the former.

Circular-to-linear ratio
    Of ``B`` back-splice reads and ``L`` reads that are linear at the junction (the mean of its two
    ends), the share ``B / (B + L)`` is compared by the likelihood ratio of beta-binomial
    regressions with and without the condition (Cheng 2016, Bioinformatics 32:1094), covariates in
    both. The fold change is that of the odds ``B / L``.

Odds have no estimate where all reads are of one kind. If they are so in both levels, there is
nothing to compare and all results are NA. If in one level alone, the test stands, lfcSE is NA, and
the fold change is that of the summed counts, `PSEUDO_COUNT` added to each.

Without residual degrees of freedom (no replicates) there is no variance to test against. The
fold change is then the least-squares difference of log2 values, each with `PSEUDO_COUNT` added
to its counts (to normalised counts for expression), and lfcSE, stat, pvalue and padj are NA.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ringmark import betabinomial
from ringmark.dispersion_trend import dispersion_trend
from ringmark.errors import InputError
from ringmark.multiple_testing import adjust
from ringmark.study import Library, Study
from ringmark.tables import SHRUNKEN_COLUMNS, TEST_COLUMNS

#: What is said of the expression of a feature.
EXPRESSION_COLUMNS = (*TEST_COLUMNS, *SHRUNKEN_COLUMNS)
#: Added to a count before its logarithm where there are no replicates.
PSEUDO_COUNT = 0.5
#: Counted features from which on a trend of dispersion over mean is fitted.
TREND_FEATURES = 30
#: Counted features from which on several processes fit them.
PARALLEL_FEATURES = 2000


@dataclass(frozen=True)
class Result:
    """Outcome of one comparison.

    Attributes
    ----------
    table
        Index: feature ids in the order of the counts; columns as DESeq2 names them. For expression
        the shrunken fold changes follow; for the circular-to-linear ratio ``ratio_test`` and
        ``ratio_reference`` stand before them.
    notes
        What a reader has to know: replicates, fits that fell back, features without a p-value.
    """

    table: pd.DataFrame
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Design:
    """Libraries (or pairs) of one comparison and their design matrix.

    Attributes
    ----------
    names
        Libraries, or the IP libraries of pairs.
    matrix
        Shape (names, coefficients): intercept, covariates, and last the contrast's factor as
        1 for the test level and 0 for the reference.
    """

    names: tuple[str, ...]
    matrix: pd.DataFrame
    notes: tuple[str, ...] = field(default=())

    @property
    def residual_degrees(self) -> int:
        """Observations minus coefficients."""
        return len(self.matrix) - self.matrix.shape[1]

    @property
    def test(self) -> NDArray[np.bool_]:
        """Which observations are at the test level."""
        return self.matrix.iloc[:, -1].to_numpy() == 1


def build_design(
    study: Study, libraries: Sequence[Library], available: Iterable[str], source: str
) -> Design:
    """Return the design of those libraries that are on the contrast's levels and available.

    Parameters
    ----------
    libraries
        Inputs, or the IPs of pairs.
    available
        Libraries that have counts.
    source
        Where the counts come from, for messages.

    Raises
    ------
    InputError
        If a level of the contrast has no library, or a covariate is constant or aliased.
    """
    contrast = study.contrast
    facts = study.design(tuple(libraries))
    present = set(available)
    absent = [name for name in facts.index if name not in present]
    facts = facts.loc[[name in present for name in facts.index]]
    levels = facts[contrast.factor]
    missing = [x for x in (contrast.test, contrast.reference) if not (levels == x).any()]
    if missing:
        raise InputError(
            [
                f"{source}: no library of {contrast.factor} {level!r} has counts "
                f"(in the samples sheet, not in the counts: {', '.join(absent) or 'none'})"
                for level in missing
            ],
            "count at least one library of each level of the contrast, or change the contrast",
        )
    columns = {"Intercept": np.ones(len(facts))}
    tested = (levels == contrast.test).to_numpy(dtype=float)
    for covariate in contrast.covariates:
        columns |= _covariate_columns(facts[covariate], columns, tested, contrast.factor, source)
    columns[f"{contrast.factor}_{contrast.test}_vs_{contrast.reference}"] = tested
    notes = [f"left out, as {source} has no counts of them: {', '.join(absent)}"] if absent else []
    design = Design(tuple(facts.index), pd.DataFrame(columns, index=facts.index), tuple(notes))
    if design.residual_degrees:
        return design
    notes.append("no replicates: fold changes are exploratory and have no p-values")
    return Design(design.names, design.matrix, tuple(notes))


def _covariate_columns(
    values: pd.Series,
    columns: Mapping[str, NDArray[np.float64]],
    tested: NDArray[np.float64],
    factor: str,
    source: str,
) -> dict[str, NDArray[np.float64]]:
    """Indicator columns of a covariate's levels but the first; they must add to the rank."""
    name, levels = str(values.name), sorted(set(values))
    added = {f"{name}_{x}": (values == x).to_numpy(dtype=float) for x in levels[1:]}
    matrix = np.column_stack([*columns.values(), tested, *added.values()])
    if not added or np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        what = (
            f"aliased with {factor!r} or an earlier covariate"
            if added
            else f"{levels[0]!r} in every library"
        )
        raise InputError(
            f"{source}: covariate {name!r} is {what} among {', '.join(map(str, values.index))}",
            f"leave {name!r} out of the covariates of the contrast",
        )
    return added


def size_factors(counts: pd.DataFrame) -> pd.Series:
    """Size factor of every library by the median of ratios (Anders 2010, Genome Biology 11:R106).

    Parameters
    ----------
    counts
        Shape (features, libraries).

    Returns
    -------
    pandas.Series
        By library. Where no feature is counted in every library, the geometric mean of a
        feature is taken over its counts above 0 with the others as 1, and the factors
        are scaled to a geometric mean of 1. NaN for a library without any count.
    """
    values = counts.to_numpy(dtype=float)
    logs = np.log(np.maximum(values, 1))
    everywhere = (values > 0).all(axis=1) & (values.shape[1] > 0)
    factors = np.full(values.shape[1], np.nan)
    if everywhere.any():
        ratios = logs[everywhere] - logs[everywhere].mean(axis=1, keepdims=True)
        factors = np.exp(np.median(ratios, axis=0))
    else:
        means = logs.mean(axis=1)
        for column in range(values.shape[1]):
            own = (values[:, column] > 0) & (means > 0)
            if own.any():
                factors[column] = np.exp(np.median(logs[own, column] - means[own]))
        known = factors[~np.isnan(factors)]
        if len(known):
            factors /= np.exp(np.log(known).mean())
    return pd.Series(factors, index=counts.columns)


def compare_expression(
    counts: pd.DataFrame,
    study: Study,
    normalisation_counts: pd.DataFrame | None = None,
    source: str = "counts",
    threads: int = 1,
) -> Result:
    """Compare counts of the input libraries between the two levels of the contrast.

    Parameters
    ----------
    counts
        Shape (features, libraries), whole numbers.
    normalisation_counts
        Counts that size factors are computed from; None: `counts` themselves.
    source
        Where the counts come from, for messages.
    threads
        Processes that fit features at the same time.
    """
    yardstick = counts if normalisation_counts is None else normalisation_counts
    available = [name for name in counts.columns if name in set(yardstick.columns)]
    design = build_design(study, study.inputs, available, source)
    counted = (yardstick[list(design.names)] > 0).any()
    if not counted.any():
        table = _empty_results(counts.index, EXPRESSION_COLUMNS)
        return Result(table, (*design.notes, "no library has counts to normalise by: no result"))
    # a library without any count would leave no feature to take ratios of
    design = build_design(study, study.inputs, counted.index[counted], source)
    factors = size_factors(yardstick[list(design.names)])
    chosen = counts[list(design.names)]
    if design.residual_degrees:
        rare = normalisation_counts is not None
        table, notes = _wald_test(chosen, factors, design, rare, threads)
    else:
        table, notes = _empty_results(chosen.index, EXPRESSION_COLUMNS), []
        normalised = chosen.to_numpy(dtype=float) / factors.to_numpy()
        table["baseMean"] = normalised.mean(axis=1)
        fold_change = _least_squares(np.log2(normalised + PSEUDO_COUNT), design)
        table["log2FoldChange"] = np.where(table["baseMean"] > 0, fold_change, np.nan)
    return Result(table, (*design.notes, *notes, *counts_of_missing(table)))


def compare_ratio(
    back_splice: pd.DataFrame,
    linear: pd.DataFrame,
    study: Study,
    normalisation_counts: pd.DataFrame | None = None,
    source: str = "counts",
) -> Result:
    """Compare the circular share of reads at each junction between the two levels.

    Parameters
    ----------
    back_splice, linear
        Shape (circles, libraries), the same circles; linear reads at the junction are the mean of
        its two ends.
    normalisation_counts
        As for `compare_expression`; only `baseMean`, the mean of normalised back-splice and linear
        reads, depends on it.
    """
    linear = aligned(linear, back_splice.index, source)
    available = [name for name in back_splice.columns if name in set(linear.columns)]
    design = build_design(study, study.inputs, available, source)
    names = list(design.names)
    circular = back_splice[names].to_numpy(dtype=float)
    totals = circular + linear[names].to_numpy(dtype=float)
    table = odds_test(circular, totals, 0.0, design, back_splice.index)
    counts = pd.DataFrame(totals, index=back_splice.index, columns=names)
    table["baseMean"] = base_mean(counts, normalisation_counts)
    for position, (name, chosen) in enumerate(
        (("ratio_test", design.test), ("ratio_reference", ~design.test))
    ):
        table.insert(
            position, name, _share(circular[:, chosen].sum(axis=1), totals[:, chosen].sum(axis=1))
        )
    return Result(table, (*design.notes, *counts_of_missing(table)))


def with_names(table: pd.DataFrame, features: pd.DataFrame) -> pd.DataFrame:
    """Return a result table with id, gene_id and gene_name in front.

    Parameters
    ----------
    table
        Index: feature ids.
    features
        Index: feature ids; columns gene_id and gene_name. A feature that is not in it gets NA.
    """
    named = features.loc[~features.index.duplicated(), ["gene_id", "gene_name"]]
    named = named.reindex(table.index)
    named.insert(0, "id", table.index.astype(str))
    return pd.concat([named, table], axis=1).reset_index(drop=True)


def odds_test(
    successes: NDArray[np.float64],
    totals: NDArray[np.float64],
    offset: NDArray[np.float64] | float,
    design: Design,
    index: pd.Index,
    null: tuple[ArrayLike, ArrayLike] = (0.0, 0.0),
) -> pd.DataFrame:
    """Fold change of the odds, tested by beta-binomial likelihood ratio where there are degrees.

    ``null`` are the lowest and highest change, natural log, that the test allows for.
    """
    table = _empty_results(index)
    column = design.matrix.shape[1] - 1
    failures = totals - successes
    alike = (successes.sum(axis=1) == 0) | (failures.sum(axis=1) == 0)
    if not design.residual_degrees:
        log_odds = np.log2((successes + PSEUDO_COUNT) / (failures + PSEUDO_COUNT))
        change = _least_squares(log_odds - offset / np.log(2), design)
        table["log2FoldChange"] = np.where((totals > 0).all(axis=1) & ~alike, change, np.nan)
        return table
    test = betabinomial.likelihood_ratio_test(
        successes, totals, design.matrix.to_numpy(), column, offset, null=null
    )
    pooled, bounded = _pooled_change(successes, failures * np.exp(offset), design)
    known = ~alike & ~np.isnan(test.log2FoldChange)
    change = np.where(bounded, test.log2FoldChange, pooled)
    table["log2FoldChange"] = np.where(known, change, np.nan)
    table["lfcSE"] = np.where(known & bounded, test.lfcSE, np.nan)
    table["stat"] = np.where(alike, np.nan, test.stat)
    table["pvalue"] = np.where(alike, np.nan, test.pvalue)
    table["padj"] = adjust(table["pvalue"].to_numpy())
    return table


def _pooled_change(
    successes: NDArray[np.float64], expected: NDArray[np.float64], design: Design
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the log2 fold change of summed counts, and where both levels have both kinds."""
    log_odds, bounded = [], np.ones(len(successes), dtype=bool)
    for chosen in (design.test, ~design.test):
        sums = successes[:, chosen].sum(axis=1), expected[:, chosen].sum(axis=1)
        bounded &= (sums[0] > 0) & (sums[1] > 0)
        log_odds.append(np.log2((sums[0] + PSEUDO_COUNT) / (sums[1] + PSEUDO_COUNT)))
    return log_odds[0] - log_odds[1], bounded


def _wald_test(
    counts: pd.DataFrame, factors: pd.Series, design: Design, rare: bool, threads: int
) -> tuple[pd.DataFrame, list[str]]:
    """Run PyDESeq2 with given size factors; ``rare``: with the trend that suits rare counts."""
    table = _empty_results(counts.index, EXPRESSION_COLUMNS)
    counted = (counts > 0).any(axis=1).to_numpy()
    table["baseMean"] = (counts.to_numpy(dtype=float) / factors.to_numpy()).mean(axis=1)
    if not counted.any():
        return table, []
    # imported here: it takes seconds, and most users of this module do not need it
    from pydeseq2.dds import DeseqDataSet
    from pydeseq2.ds import DeseqStats

    # to start processes takes as long as to fit some hundred features
    threads = threads if counted.sum() >= PARALLEL_FEATURES else 1
    transposed = counts.T
    transposed.columns = pd.Index([str(i) for i in range(len(counts))], dtype=object)
    transposed.index = pd.Index(list(design.names), dtype=object)
    matrix = design.matrix.set_axis(transposed.index, axis=0)
    with warnings.catch_warnings():
        # The library warns of its own fallbacks; those that matter are in the notes.
        warnings.simplefilter("ignore")
        dataset = DeseqDataSet(
            counts=transposed, metadata=matrix.copy(), design=matrix, quiet=True, n_cpus=threads
        )
        dataset.obs["size_factors"] = factors.to_numpy()
        dataset.layers["normed_counts"] = dataset.X / factors.to_numpy()[:, None]
        dataset.var["_normed_means"] = dataset.layers["normed_counts"].mean(axis=0)
        notes = _fit_dispersions(dataset, int(counted.sum()), rare)
        dataset.fit_LFC()
        dataset.calculate_cooks()
        dataset.refit()
        dataset.cooks_outlier()
        contrast = np.zeros(matrix.shape[1])
        contrast[-1] = 1
        statistics = DeseqStats(dataset, contrast=contrast, quiet=True, n_cpus=threads)
        statistics.summary()
        table[list(TEST_COLUMNS)] = statistics.results_df[list(TEST_COLUMNS)].to_numpy(dtype=float)
        statistics.lfc_shrink(coeff=str(matrix.columns[-1]))
    columns = ["log2FoldChange", "lfcSE"]
    table[list(SHRUNKEN_COLUMNS)] = statistics.results_df[columns].to_numpy(dtype=float)
    # where outliers were all that was counted, PyDESeq2 leaves zeros
    table.loc[~(table["lfcSE"] > 0), list(SHRUNKEN_COLUMNS)] = np.nan
    table.loc[~counted, list(EXPRESSION_COLUMNS)[1:]] = np.nan
    return table, notes


def _fit_dispersions(dataset: object, counted: int, rare: bool) -> list[str]:
    """Fit trend, prior and dispersions of a PyDESeq2 data set, also where features are few."""
    from pydeseq2.dds import DeseqDataSet

    assert isinstance(dataset, DeseqDataSet)
    notes = []
    dataset.fit_type = "parametric" if counted >= TREND_FEATURES and not rare else "mean"
    dataset.fit_genewise_dispersions()
    dataset.fit_dispersion_trend()
    if rare:
        known = dataset.var["non_zero"].to_numpy(dtype=bool)
        expected = dataset.var["fitted_dispersions"].to_numpy(dtype=float).copy()
        expected[known] = dispersion_trend(
            np.asarray(dataset.X, dtype=float)[:, known].T,
            np.asarray(dataset.layers["_mu_hat"], dtype=float)[:, known].T,
            dataset.obsm["design_matrix"].to_numpy(dtype=float),
            dataset.var["_normed_means"].to_numpy(dtype=float)[known],
        )
        dataset.var["fitted_dispersions"] = expected
    elif dataset.uns["disp_function_type"] == "mean":
        notes.append("dispersions shrunken towards their mean: no trend over the mean count fits")
    if not np.isfinite(dataset.var["fitted_dispersions"][dataset.var["non_zero"]]).all():
        dataset.uns["mean_disp"] = dataset.min_disp
        dataset.var["fitted_dispersions"] = dataset.min_disp
    dataset.fit_dispersion_prior()
    if not np.isfinite(dataset.uns["prior_disp_var"]):
        # no feature above the lowest dispersion to learn it from: PyDESeq2's own lower bound
        dataset.uns["_squared_logres"] = np.float64(0.25)
        dataset.uns["prior_disp_var"] = np.float64(0.25)
    dataset.fit_MAP_dispersions()
    return notes


def _empty_results(index: pd.Index, columns: Iterable[str] = TEST_COLUMNS) -> pd.DataFrame:
    return pd.DataFrame(np.nan, index=index, columns=list(columns), dtype=float)


def _least_squares(values: NDArray[np.float64], design: Design) -> NDArray[np.float64]:
    """Coefficient of the contrast's factor for every row of values (features, observations)."""
    return values @ np.linalg.pinv(design.matrix.to_numpy())[-1]


def base_mean(counts: pd.DataFrame, yardstick: pd.DataFrame | None) -> NDArray[np.float64]:
    """Mean of counts divided by size factors, over the libraries that have one."""
    chosen = counts if yardstick is None else yardstick
    factors = size_factors(chosen[[name for name in counts.columns if name in chosen.columns]])
    factors = factors.dropna()
    return (counts[list(factors.index)] / factors).mean(axis=1).to_numpy(dtype=float)


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def aligned(matrix: pd.DataFrame, index: pd.Index, source: str) -> pd.DataFrame:
    """Return the matrix with the rows of the index, in its order."""
    missing = index.difference(matrix.index)
    if len(missing):
        raise InputError(
            f"{source}: {len(missing)} of {len(index)} features stand in one count matrix and not "
            f"in the other, the first is {missing[0]!r}",
            "give matrices of the same run",
        )
    return matrix.loc[index]


def counts_of_missing(table: pd.DataFrame) -> list[str]:
    """Say how many features were tested and why others were not."""
    uncounted = int((table["baseMean"] == 0).sum())
    tested = int(table["pvalue"].notna().sum())
    unadjusted = int((table["pvalue"].notna() & table["padj"].isna()).sum())
    notes = [
        f"{len(table)} features, {uncounted} without any count, {tested} with a p-value, "
        f"{int((table['padj'] < 0.05).sum())} with padj < 0.05"
    ]
    if unadjusted:
        notes.append(f"{unadjusted} features have padj NA: independent filtering on baseMean")
    others = len(table) - tested - uncounted
    if tested and others:
        notes.append(f"{others} counted features have no p-value: outlier counts or no information")
    return notes

"""Comparisons between two conditions: designs, known answers, calibration, missing data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from toy_study import circular, frame, inputs, make_study, negative_binomial

from ringmark import differential
from ringmark.differential import (
    build_design,
    compare_expression,
    compare_ratio,
    size_factors,
    with_names,
)
from ringmark.errors import InputError

# --- design


def test_design_has_intercept_covariates_and_last_the_factor():
    study = make_study(batches="abcabc", covariates=["batch"])
    design = build_design(study, study.inputs, inputs(study), "counts.tsv")
    assert list(design.matrix.columns) == [
        "Intercept",
        "batch_b",
        "batch_c",
        "condition_resistant_vs_sensitive",
    ]
    assert design.test.tolist() == [True] * 3 + [False] * 3
    assert design.residual_degrees == 2
    assert design.notes == ()


def test_libraries_without_counts_are_left_out_and_named():
    study = make_study()
    design = build_design(study, study.inputs, ["s2_in", "r0_in", "s0_in"], "counts.tsv")
    assert design.names == ("r0_in", "s0_in", "s2_in")
    assert "r1_in, r2_in, s1_in" in design.notes[0]


def test_a_level_without_library_is_an_error():
    study = make_study()
    with pytest.raises(InputError, match=r"counts\.tsv: no library of condition 'resistant'"):
        build_design(study, study.inputs, ["s0_in", "s1_in"], "counts.tsv")


@pytest.mark.parametrize(
    ("batches", "message"), [("aaabbb", "aliased with 'condition'"), ("aaaaaa", "in every library")]
)
def test_a_covariate_that_tells_nothing_apart_is_an_error(batches, message):
    study = make_study(batches=batches, covariates=["batch"])
    with pytest.raises(InputError, match=f"covariate 'batch' is .*{message}"):
        build_design(study, study.inputs, inputs(study), "counts.tsv")


# --- size factors


def test_size_factors_are_the_medians_of_ratios():
    counts = frame([[10, 20, 40], [100, 200, 400], [7, 14, 28], [0, 900, 1]], ["a", "b", "c"])
    np.testing.assert_allclose(size_factors(counts), [0.5, 1, 2])


def test_size_factors_without_a_feature_counted_everywhere():
    counts = frame([[10, 20, 0, 0], [10, 0, 20, 0], [0, 40, 40, 0]], ["a", "b", "c", "d"])
    factors = size_factors(counts)
    assert np.isnan(factors["d"])
    assert factors["b"] == pytest.approx(factors["c"])
    assert np.exp(np.log(factors.dropna()).mean()) == pytest.approx(1)
    assert size_factors(counts.iloc[:0]).isna().all()


def test_size_factors_agree_with_those_of_pydeseq2():
    from pydeseq2.preprocessing import deseq2_norm

    rng = np.random.default_rng(0)
    values = negative_binomial(rng, rng.uniform(5, 200, size=(300, 1)), 0.2, (300, 5))
    counts = frame(values, list("abcde"))
    np.testing.assert_allclose(size_factors(counts), deseq2_norm(counts.T)[1])


# --- expression


@pytest.fixture(scope="module")
def expression():
    """Return study, counts and result; 10 of 100 genes are up four times, 10 down."""
    rng = np.random.default_rng(4)
    study = make_study()
    mean = rng.uniform(50, 500, size=(100, 1)) * np.ones(6)
    mean[:10, :3] *= 4
    mean[10:20, :3] /= 4
    mean *= [1, 2, 1, 0.5, 1, 2]
    values = negative_binomial(rng, mean, 0.05, (100, 6))
    values[99] = 0
    counts = frame(values, inputs(study), "g")
    return study, counts, compare_expression(counts, study).table


def test_planted_changes_of_expression_are_found_with_their_sign(expression):
    _, counts, table = expression
    assert table.index.equals(counts.index)
    changed = table.iloc[:20]
    assert (changed["padj"] < 0.05).mean() > 0.9
    assert (np.sign(changed["log2FoldChange"]) == [1] * 10 + [-1] * 10).all()
    assert changed["log2FoldChange"].abs().median() == pytest.approx(2, abs=0.25)
    assert (table["padj"].iloc[20:] < 0.05).mean() < 0.04


def test_a_gene_without_counts_is_kept_with_missing_values(expression):
    last = expression[2].iloc[99]
    assert last["baseMean"] == 0
    assert last[["log2FoldChange", "lfcSE", "stat", "pvalue", "padj"]].isna().all()


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_expression_equals_a_plain_run_of_pydeseq2(expression):
    from pydeseq2.dds import DeseqDataSet
    from pydeseq2.ds import DeseqStats

    _, counts, found = expression
    levels = pd.Categorical(["resistant"] * 3 + ["sensitive"] * 3, ["sensitive", "resistant"])
    dataset = DeseqDataSet(
        counts=counts.T,
        metadata=pd.DataFrame({"condition": levels}, counts.columns),
        design="~condition",
        quiet=True,
        n_cpus=1,
    )
    dataset.deseq2()
    contrast = ["condition", "resistant", "sensitive"]
    statistics = DeseqStats(dataset, contrast=contrast, quiet=True, n_cpus=1)
    statistics.summary()
    expected = statistics.results_df.copy()
    statistics.lfc_shrink("condition[T.resistant]")
    for name in ("log2FoldChange", "lfcSE"):
        expected[f"{name}_shrunken"] = statistics.results_df[name]
    expected = expected[list(found.columns)]
    pd.testing.assert_frame_equal(found, expected, check_names=False, rtol=1e-6)


def test_shrunken_fold_changes_stand_beside_the_raw_ones(expression):
    """Large changes stay, what is uncertain goes towards 0, and nothing changes its sign."""
    table = expression[2].iloc[:99]
    raw, shrunken = table["log2FoldChange"], table["log2FoldChange_shrunken"]
    assert (raw[:20] / shrunken[:20]).median() == pytest.approx(1, abs=0.1)
    assert (shrunken[20:].abs() <= raw[20:].abs()).all()
    assert shrunken[20:].abs().median() < 0.9 * raw[20:].abs().median()
    assert (np.sign(raw) == np.sign(shrunken))[:20].all()
    assert (table["lfcSE_shrunken"] > 0).all()


def test_rare_circles_are_not_thought_to_scatter_more_than_they_do():
    """DESeq2's trend takes those that scatter by chance for all: next to no p below .05."""
    rng = np.random.default_rng(8)
    study = make_study()
    genes = frame(negative_binomial(rng, 200, 0.01, (60, 6)), inputs(study), "g")
    values = negative_binomial(rng, rng.lognormal(2, 0.8, (600, 1)), 0.08, (600, 6))
    table = compare_expression(frame(values, inputs(study), "c"), study, genes).table
    assert 0.025 < (table["pvalue"] < 0.05).mean() < 0.065


def test_circles_take_the_size_factors_of_the_genes():
    rng = np.random.default_rng(8)
    study = make_study()
    genes = frame(negative_binomial(rng, 200, 0.01, (100, 6)), inputs(study), "g")
    circles = frame(rng.poisson([40, 40, 40, 10, 10, 10], size=(40, 6)), inputs(study), "c")
    with_genes = compare_expression(circles, study, genes).table
    alone = compare_expression(circles, study).table
    assert with_genes["log2FoldChange"].median() == pytest.approx(2, abs=0.15)
    assert alone["log2FoldChange"].median() == pytest.approx(0, abs=0.15)


@pytest.mark.parametrize("number", [1, 2, 35])
@pytest.mark.parametrize("mean", [0.3, 30])
def test_few_or_poissonian_circles_are_tested(number, mean):
    rng = np.random.default_rng(number)
    study = make_study()
    genes = frame(negative_binomial(rng, 200, 0.01, (50, 6)), inputs(study), "g")
    values = rng.poisson(mean, size=(number, 6))
    values[0, 0] += 1
    result = compare_expression(frame(values, inputs(study), "c"), study, genes)
    counted = values.any(axis=1)
    assert result.table["pvalue"].notna().tolist() == counted.tolist()
    assert result.table["padj"].iloc[0] <= 1


def test_two_circles_of_which_one_changes():
    rng = np.random.default_rng(2)
    study = make_study()
    genes = frame(negative_binomial(rng, 200, 0.01, (50, 6)), inputs(study), "g")
    circles = frame([[80, 95, 88, 9, 12, 8], [30, 36, 28, 33, 30, 29]], inputs(study), "c")
    result = compare_expression(circles, study, genes)
    assert result.table["padj"].iloc[0] < 0.01
    assert result.table["padj"].iloc[1] > 0.2


def test_no_circles_and_circles_without_reads():
    study = make_study()
    genes = frame(np.full((20, 6), 50), inputs(study), "g")
    assert compare_expression(frame([], inputs(study)), study, genes).table.empty
    circles = frame(np.zeros((2, 6)), inputs(study))
    table = compare_expression(circles, study, genes).table
    assert table["baseMean"].tolist() == [0, 0]
    assert table["pvalue"].isna().all()
    result = compare_expression(circles, study, genes * 0)
    assert result.table.isna().all(axis=None)
    assert any("no library has counts" in note for note in result.notes)


def test_a_library_without_any_gene_count_is_left_out():
    study = make_study()
    genes = frame(np.full((20, 6), 50), inputs(study), "g")
    genes["r1_in"] = 0
    circles = frame(np.full((3, 6), 9), inputs(study), "c")
    result = compare_expression(circles, study, genes)
    assert "r1_in" in result.notes[0]
    assert result.table["pvalue"].notna().all()
    genes[["r0_in", "r2_in"]] = 0
    with pytest.raises(InputError, match="no library of condition 'resistant'"):
        compare_expression(circles, study, genes)


def test_without_replicates_there_are_fold_changes_only():
    study = make_study(1, 1)
    genes = frame(np.full((20, 2), 50), inputs(study), "g")
    result = compare_expression(frame([[15, 3], [0, 0]], inputs(study)), study, genes)
    table = result.table
    assert table["log2FoldChange"].iloc[0] == pytest.approx(np.log2(15.5 / 3.5))
    assert table["baseMean"].tolist() == [9, 0]
    assert table[["lfcSE", "stat", "pvalue", "padj"]].isna().all(axis=None)
    assert np.isnan(table["log2FoldChange"].iloc[1])
    assert any("no replicates" in note for note in result.notes)


def test_one_library_against_two_is_tested():
    study = make_study(1, 2)
    rng = np.random.default_rng(1)
    genes = frame(negative_binomial(rng, 200, 0.05, (60, 3)), inputs(study), "g")
    assert compare_expression(genes, study).table["pvalue"].notna().all()


# --- ratio


def test_ratio_finds_planted_changes_and_reports_pooled_shares():
    rng = np.random.default_rng(6)
    study = make_study()
    share = np.full((200, 6), 0.2)
    share[:20, :3] = 0.5
    values = circular(rng, share, 80, 0.01)
    back, linear = frame(values, inputs(study)), frame(80 - values, inputs(study))
    table = compare_ratio(back, linear, study).table
    assert list(table.columns[:3]) == ["ratio_test", "ratio_reference", "baseMean"]
    assert (table["padj"].iloc[:20] < 0.05).all()
    assert (table["padj"].iloc[20:] < 0.05).mean() < 0.03
    assert table["log2FoldChange"].iloc[:20].median() == pytest.approx(2, abs=0.25)
    assert table["ratio_test"].iloc[0] == pytest.approx(values[0, :3].sum() / 240)
    assert table["ratio_reference"].iloc[0] == pytest.approx(values[0, 3:].sum() / 240)
    assert table["baseMean"].iloc[0] == pytest.approx(80)


def test_ratio_is_blind_to_expression():
    study = make_study()
    rng = np.random.default_rng(3)
    depth = np.array([400, 400, 400, 50, 50, 50])
    values = rng.binomial(depth, 0.3, size=(100, 6))
    back, linear = frame(values, inputs(study)), frame(depth - values, inputs(study))
    table = compare_ratio(back, linear, study).table
    assert (table["pvalue"] < 0.05).mean() < 0.12
    assert table["log2FoldChange"].abs().median() < 0.3


def test_ratio_adjusts_for_covariates():
    study = make_study(4, 4, batches="aaabbbba", covariates=["batch"])
    rng = np.random.default_rng(5)
    in_b = np.array([library.covariates["batch"] == "b" for library in study.inputs])
    values = rng.binomial(200, np.where(in_b, 0.5, 0.2), size=(100, 8))
    back, linear = frame(values, inputs(study)), frame(200 - values, inputs(study))
    adjusted = compare_ratio(back, linear, study).table
    assert adjusted["log2FoldChange"].mean() == pytest.approx(0, abs=0.1)
    plain = make_study(4, 4, batches="aaabbbba")
    assert compare_ratio(back, linear, plain).table["log2FoldChange"].mean() < -0.5


def test_ratio_of_circles_without_reads_or_without_linear_reads():
    study = make_study()
    back = frame([[0] * 6, [5] * 6, [0] * 6], inputs(study))
    linear = frame([[0] * 6, [0] * 6, [9] * 6], inputs(study))
    table = compare_ratio(back, linear, study).table
    assert np.isnan(table["ratio_test"].iloc[0])
    assert np.isnan(table["pvalue"].iloc[0])
    assert table["ratio_test"].iloc[1:].tolist() == [1, 0]
    assert table["baseMean"].iloc[1:].gt(0).all()
    columns = ["log2FoldChange", "lfcSE", "stat", "pvalue", "padj"]
    assert table[columns].isna().all(axis=None)


def test_ratio_of_a_circle_with_linear_reads_in_one_level_alone():
    study = make_study()
    back = frame([[20, 30, 25, 20, 30, 25], [20] * 6], inputs(study))
    linear = frame([[0, 0, 0, 40, 50, 60], [30, 20, 25, 30, 20, 25]], inputs(study))
    row = compare_ratio(back, linear, study).table.iloc[0]
    assert row["log2FoldChange"] == pytest.approx(np.log2((75.5 / 0.5) / (75.5 / 150.5)))
    assert np.isnan(row["lfcSE"])
    assert row["pvalue"] < 0.01 and row["padj"] < 0.02
    other = compare_ratio(back, linear, study).table.iloc[1]
    assert not other[["log2FoldChange", "lfcSE", "pvalue"]].isna().any()


def test_ratio_without_replicates_and_without_linear_reads():
    study = make_study(1, 1)
    back, linear = frame([[10, 5]], inputs(study)), frame([[0, 0]], inputs(study))
    assert np.isnan(compare_ratio(back, linear, study).table["log2FoldChange"].iloc[0])


def test_ratio_without_replicates_and_without_circles():
    study = make_study(1, 1)
    back, linear = frame([[10, 5], [3, 0]], inputs(study)), frame([[20, 40], [7, 0]], inputs(study))
    table = compare_ratio(back, linear, study).table
    expected = np.log2((10.5 / 20.5) / (5.5 / 40.5))
    assert table["log2FoldChange"].iloc[0] == pytest.approx(expected)
    assert np.isnan(table["log2FoldChange"].iloc[1])
    assert table["pvalue"].isna().all()
    assert compare_ratio(back.iloc[:0], linear.iloc[:0], study).table.empty


def test_count_matrices_of_different_circles_are_an_error():
    study = make_study()
    back = frame(np.ones((2, 6)), inputs(study))
    with pytest.raises(InputError, match=r"1 of 2 features .* 'f1'"):
        compare_ratio(back, back.iloc[:1], study)


# --- names


def test_names_of_unknown_features_are_missing():
    table = pd.DataFrame({"pvalue": [0.1, 0.2]}, index=["a", "b"])
    features = pd.DataFrame({"gene_id": ["G", "G"], "gene_name": ["N", "N"]}, index=["b", "b"])
    named = with_names(table, features)
    assert list(named.columns) == ["id", "gene_id", "gene_name", "pvalue"]
    assert named["gene_id"].isna().tolist() == [True, False]


def test_importing_the_module_does_not_import_pydeseq2():
    import subprocess
    import sys
    from pathlib import Path

    code = "import sys, ringmark.differential; sys.exit('pydeseq2' in sys.modules)"
    folder = Path(differential.__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=folder, check=False).returncode == 0


def test_threads_do_not_change_the_result(expression, monkeypatch):
    study, counts, table = expression
    monkeypatch.setattr(differential, "PARALLEL_FEATURES", 1)
    twice = compare_expression(counts, study, threads=2).table
    pd.testing.assert_frame_equal(twice, table, rtol=1e-9)

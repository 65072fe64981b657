"""Beta-binomial regression against an independent implementation, and its calibration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import digamma, expit, gammaln, zeta
from scipy.stats import betabinom, binom, chi2, norm

from ringmark import betabinomial
from ringmark.betabinomial import (
    estimate_dispersion,
    estimate_prior,
    fit,
    likelihood_ratio_test,
    log_likelihood_at,
    residual_degrees,
    sum_tail,
)

THREE_AGAINST_THREE = np.column_stack([np.ones(6), [0, 0, 0, 1, 1, 1]])
WITH_BATCH = np.column_stack([np.ones(6), [0, 1, 0, 1, 0, 1], [0, 0, 0, 1, 1, 1]])


def simulate(rng, totals, probability, dispersion):
    """Beta-binomial counts; dispersion broadcasts against totals."""
    if np.all(dispersion == 0):
        return rng.binomial(totals, probability)
    scale = (1 - dispersion) / dispersion
    shape = totals.shape
    p = rng.beta(
        np.broadcast_to(probability * scale, shape),
        np.broadcast_to((1 - probability) * scale, shape),
    )
    return rng.binomial(totals, p)


def reference_log_likelihood(k, n, design, offset, dispersion):
    """Maximise the likelihood of one feature with scipy alone; return it and the coefficients."""

    def negative(beta):
        p = np.clip(expit(design @ beta + offset), 1e-12, 1 - 1e-12)
        if dispersion == 0:
            return -binom.logpmf(k, n, p).sum()
        scale = (1 - dispersion) / dispersion
        return -betabinom.logpmf(k, n, p * scale, (1 - p) * scale).sum()

    if not design.shape[1]:
        return -negative(np.zeros(0)), np.zeros(0)
    best = None
    for start in (np.zeros(design.shape[1]), np.eye(design.shape[1])[0] * -2):
        found = minimize(
            negative, start, method="Nelder-Mead",
            options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 20_000, "maxfev": 20_000},
        )  # fmt: skip
        if best is None or found.fun < best.fun:
            best = found
    return -best.fun, best.x


@pytest.mark.parametrize("design", [THREE_AGAINST_THREE, WITH_BATCH, np.ones((6, 1))])
@pytest.mark.parametrize("dispersion", [0.0, 0.004, 0.2])
def test_pvalues_equal_those_of_an_independent_implementation(design, dispersion):
    rng = np.random.default_rng(7)
    totals = rng.negative_binomial(2, 2 / (2 + 30), size=(12, 6))
    totals[3, 0] = 0
    offset = rng.normal(0, 0.5, size=(12, 6))
    successes = simulate(rng, totals, rng.uniform(0.1, 0.9, size=(12, 1)), dispersion)
    column = design.shape[1] - 1
    result = likelihood_ratio_test(successes, totals, design, column, offset, dispersion)
    null = np.delete(design, column, axis=1)
    for row in range(12):
        arguments = successes[row], totals[row]
        full_ll, beta = reference_log_likelihood(*arguments, design, offset[row], dispersion)
        null_ll, _ = reference_log_likelihood(*arguments, null, offset[row], dispersion)
        expected = chi2.sf(2 * (full_ll - null_ll), 1)
        assert result.pvalue[row] == pytest.approx(expected, abs=1e-4)
        assert result.log2FoldChange[row] == pytest.approx(beta[column] / np.log(2), abs=2e-3)


def test_log_likelihood_is_that_of_the_distribution():
    k, n = np.array([[3, 9]]), np.array([[10, 40]])
    offset, rho = np.array([[-0.4, 0.3]]), 0.1
    p, scale = expit(offset), (1 - rho) / rho
    expected = betabinom.logpmf(k, n, p * scale, (1 - p) * scale).sum()
    assert fit(k, n, np.empty((2, 0)), offset, rho).log_likelihood[0] == pytest.approx(expected)
    expected = binom.logpmf(k, n, p).sum()
    assert fit(k, n, np.empty((2, 0)), offset).log_likelihood[0] == pytest.approx(expected)


def test_log_likelihood_at_given_log_odds_lacks_what_counts_fix():
    k, n = np.array([[3, 9], [0, 40], [5, 5]]), np.array([[10, 40], [7, 41], [5, 5]])
    log_odds, dispersion = np.array([[-0.4, 0.3]]), np.array([0.0, 0.1, 0.4])
    differences = [
        fit(k, n, np.empty((2, 0)), log_odds + move, dispersion).log_likelihood
        - log_likelihood_at(k, n, log_odds + move, dispersion)
        for move in (0, 1)
    ]
    np.testing.assert_allclose(*differences, atol=1e-9)


def test_standard_error_of_a_binomial_log_odds_ratio():
    found = fit([[10, 20]], [[30, 50]], [[1, 0], [1, 1]])
    assert found.coefficients[0, 1] == pytest.approx(np.log((20 / 30) / (10 / 20)), abs=1e-5)
    expected = np.sqrt(1 / 10 + 1 / 20 + 1 / 20 + 1 / 30)
    assert found.standard_errors[0, 1] == pytest.approx(expected, rel=1e-4)


def test_separated_groups_have_finite_estimates_and_the_right_statistic():
    k = np.array([[0, 0, 0, 5, 6, 7], [9, 9, 9, 9, 9, 9], [0, 0, 0, 0, 0, 0], [8, 8, 8, 0, 0, 0]])
    n = np.array([[9] * 6] * 4)
    result = likelihood_ratio_test(k, n, THREE_AGAINST_THREE, 1, dispersion=0.0)
    assert np.isfinite(result.log2FoldChange).all()
    assert np.isfinite(result.pvalue).all()
    pooled = k.sum(axis=1) / 54

    def gain(row):
        groups = [
            binom.logpmf(k[row, c], 9, k[row, c].mean() / 9).sum() for c in (np.s_[:3], np.s_[3:])
        ]
        return 2 * (sum(groups) - binom.logpmf(k[row], 9, pooled[row]).sum())

    # the likelihood of unequal successes inside a group is at its mean probability
    assert result.stat == pytest.approx([gain(row) for row in range(4)], abs=1e-3)
    assert result.log2FoldChange[0] > 5
    assert result.log2FoldChange[3] < -5
    assert result.pvalue[1:3] == pytest.approx([1, 1], abs=1e-3)


def test_observations_without_reads_carry_no_information():
    k = np.array([[3, 4, 5, 9, 8, 0], [3, 4, 5, 9, 8, 7]])
    n = np.array([[20, 20, 20, 20, 20, 0], [20, 20, 20, 20, 20, 20]])
    short = likelihood_ratio_test(k[:1, :5], n[:1, :5], THREE_AGAINST_THREE[:5], 1, dispersion=0.05)
    both = likelihood_ratio_test(k, n, THREE_AGAINST_THREE, 1, dispersion=0.05)
    assert both.pvalue[0] == pytest.approx(short.pvalue[0], abs=1e-7)
    assert residual_degrees(n, THREE_AGAINST_THREE).tolist() == [3, 4]


def test_a_feature_without_information_has_no_pvalue():
    n = np.array([[0, 0, 0, 0, 0, 0], [9, 9, 9, 0, 0, 0], [9, 9, 9, 9, 9, 9]])
    result = likelihood_ratio_test(n // 2, n, THREE_AGAINST_THREE, 1, dispersion=0.01)
    assert np.isnan(result.pvalue).tolist() == [True, True, False]
    assert np.isnan(result.log2FoldChange).tolist() == [True, True, False]
    intercepts = fit(n // 2, n, THREE_AGAINST_THREE).coefficients[:, 0]
    assert np.isnan(intercepts).tolist() == [True, False, False]


def test_one_sided_test_of_an_intercept_against_the_offset():
    k, n = np.array([[30, 28], [10, 12], [20, 20]]), np.full((3, 2), 40)
    one = np.ones((2, 1))
    greater = likelihood_ratio_test(k, n, one, 0, dispersion=0.0, alternative="greater")
    both = likelihood_ratio_test(k, n, one, 0, dispersion=0.0)
    assert greater.pvalue[0] == pytest.approx(both.pvalue[0] / 2)
    assert greater.pvalue[1] == pytest.approx(1 - both.pvalue[1] / 2)
    assert greater.pvalue[2] == pytest.approx(0.5, abs=1e-3)
    root = np.sqrt(both.stat[0])
    assert greater.pvalue[0] == pytest.approx(norm.sf(root))
    shifted = likelihood_ratio_test(k, n, one, 0, offset=np.log(58 / 22), dispersion=0.0)
    assert shifted.pvalue[0] == pytest.approx(1, abs=1e-3)


def test_chunks_do_not_change_the_result(monkeypatch):
    rng = np.random.default_rng(3)
    totals = rng.poisson(20, size=(50, 6))
    successes = simulate(rng, totals, 0.4, 0.05)
    offset = rng.normal(size=(50, 1))
    whole = likelihood_ratio_test(successes, totals, THREE_AGAINST_THREE, 1, offset)
    monkeypatch.setattr(betabinomial, "_CHUNK_ELEMENTS", 40)
    parts = likelihood_ratio_test(successes, totals, THREE_AGAINST_THREE, 1, offset)
    np.testing.assert_allclose(parts.pvalue, whole.pvalue, rtol=1e-9)
    np.testing.assert_allclose(parts.dispersion, whole.dispersion, rtol=1e-9)


@pytest.mark.parametrize("truth", [0.0, 0.02, 0.15])
def test_common_dispersion_is_recovered(truth):
    rng = np.random.default_rng(11)
    totals = rng.negative_binomial(5, 5 / 105, size=(800, 6))
    successes = simulate(rng, totals, rng.uniform(0.2, 0.6, size=(800, 1)), truth)
    prior = estimate_prior(successes, totals, THREE_AGAINST_THREE)
    assert prior is not None
    assert prior.common == pytest.approx(truth, rel=0.12, abs=5e-4)


def test_feature_dispersions_follow_the_truth_and_are_shrunken():
    rng = np.random.default_rng(12)
    totals = np.full((600, 8), 200)
    truth = np.exp(rng.normal(np.log(0.02), 1.0, size=600))
    design = np.column_stack([np.ones(8), np.arange(8) % 2])
    successes = simulate(rng, totals, 0.5, truth[:, None])
    prior = estimate_prior(successes, totals, design)
    assert prior is not None
    assert prior.spread == pytest.approx(1.0, abs=0.35)
    assert prior.center == pytest.approx(0.02, rel=0.25)
    found = estimate_dispersion(successes, totals, design, prior=prior)
    log_found = np.log(np.maximum(found, 1e-6))
    assert np.corrcoef(log_found, np.log(truth))[0, 1] > 0.75
    assert log_found.std() < np.log(truth).std()


def test_one_dispersion_for_all_is_recognised():
    rng = np.random.default_rng(13)
    totals = np.full((600, 6), 300)
    successes = simulate(rng, totals, 0.5, 0.03)
    prior = estimate_prior(successes, totals, THREE_AGAINST_THREE)
    assert prior is not None
    assert prior.spread < 0.05


def test_without_residual_degrees_the_dispersion_is_unknown():
    k, n = np.array([[3, 5]]), np.array([[10, 10]])
    design = np.array([[1.0, 0.0], [1.0, 1.0]])
    assert np.isnan(estimate_dispersion(k, n, design)).all()
    assert estimate_prior(k, n, design) is None
    result = likelihood_ratio_test(k, n, design, 1)
    assert np.isnan(result.pvalue).all()
    assert result.log2FoldChange[0] == pytest.approx(np.log2((5 / 5) / (3 / 7)), abs=1e-4)


@pytest.mark.parametrize(
    ("median", "dispersion", "spread"), [(40, 0.02, 0.5), (10, 0.05, 1.0), (200, 0.0, 0.0)]
)
def test_three_against_three_without_change_is_calibrated(median, dispersion, spread):
    rng = np.random.default_rng(21)
    size = 2500
    means = median * np.exp(rng.normal(0, 1, size=(size, 1)))
    totals = rng.negative_binomial(8, 8 / (8 + means), size=(size, 6))
    own = np.clip(dispersion * np.exp(rng.normal(0, spread, size=(size, 1))), 0, 0.6)
    successes = simulate(rng, totals, rng.uniform(0.05, 0.6, size=(size, 1)), own)
    pvalues = likelihood_ratio_test(successes, totals, THREE_AGAINST_THREE, 1).pvalue
    share = np.nanmean(pvalues < 0.05)
    assert 0.03 < share < 0.065


def test_few_features_cannot_be_more_certain_than_their_observations():
    rng = np.random.default_rng(5)
    totals = np.full((2, 6), 100)
    successes = simulate(rng, totals, 0.4, 0.05)
    estimated = likelihood_ratio_test(successes, totals, THREE_AGAINST_THREE, 1)
    given = likelihood_ratio_test(
        successes, totals, THREE_AGAINST_THREE, 1, dispersion=estimated.dispersion
    )
    np.testing.assert_allclose(given.stat, estimated.stat)
    assert (estimated.pvalue > given.pvalue).all()


def test_no_features():
    none = np.empty((0, 6), dtype=int)
    assert len(likelihood_ratio_test(none, none, THREE_AGAINST_THREE, 1).pvalue) == 0
    assert fit(none, none, THREE_AGAINST_THREE).coefficients.shape == (0, 2)
    assert estimate_dispersion(none, none, THREE_AGAINST_THREE).shape == (0,)


def test_one_feature_of_one_observation():
    result = likelihood_ratio_test([[9]], [[10]], [[1.0]], 0, dispersion=0.0)
    expected = 2 * (binom.logpmf(9, 10, 0.9) - binom.logpmf(9, 10, 0.5))
    assert result.stat[0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[5]], [[4]], [[1.0]]), "between 0 and totals"),
        (([[-1]], [[4]], [[1.0]]), "between 0 and totals"),
        (([[1, 2]], [[4]], [[1.0]]), "one 2-D shape"),
        (([[1]], [[4]], [[1.0], [1.0]]), "a row for each"),
        (([[1]], [[4]], [[1.0]], None, 1.0), "below 1"),
        (([[1]], [[4]], [[1.0]], None, -0.1), "at least 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(*arguments)


def test_unknown_alternative():
    with pytest.raises(ValueError, match="two-sided"):
        likelihood_ratio_test([[1]], [[4]], [[1.0]], 0, alternative="less")


@pytest.mark.parametrize("lowest", [1e-7, 2.5, 7, 40])
def test_gamma_functions(lowest):
    x = np.geomspace(lowest, 1e7, 4001)
    log_gamma, first, second = betabinomial._gamma_family(x)
    np.testing.assert_allclose(log_gamma, gammaln(x), rtol=1e-12, atol=2e-12)
    np.testing.assert_allclose(first, digamma(x), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(second, zeta(2, x), rtol=1e-10)
    np.testing.assert_array_equal(betabinomial._log_gamma(x), log_gamma)


def test_an_interval_as_null_is_tested_at_its_nearer_end():
    rng = np.random.default_rng(17)
    design = np.column_stack([np.ones(6), [1, 1, 1, 0, 0, 0]])
    totals = np.full((300, 6), 200)
    successes = rng.binomial(totals, 1 / (1 + np.exp(-rng.normal(0, 0.4, (300, 1)) * design[:, 1])))
    low, high = -0.3, np.full(300, 0.2)
    found = likelihood_ratio_test(successes, totals, design, 1, dispersion=0.0, null=(low, high))
    change = found.log2FoldChange * np.log(2)
    inside = (change >= low) & (change <= high)
    assert 20 < inside.sum() < 280
    assert (found.stat[inside] < 1e-6).all()
    assert (found.pvalue[inside] > 0.99).all()
    for end, beyond in ((low, change < low), (0.2, change > high)):
        shifted = likelihood_ratio_test(
            successes, totals, design, 1, offset=end * design[:, 1], dispersion=0.0
        )
        assert found.pvalue[beyond] == pytest.approx(shifted.pvalue[beyond], rel=1e-5)
    plain = likelihood_ratio_test(successes, totals, design, 1, dispersion=0.0)
    assert found.log2FoldChange == pytest.approx(plain.log2FoldChange)


def test_a_spread_under_the_null_equals_an_independent_implementation():
    """The null's likelihood is the highest of likelihood times normal density over its maximum."""
    rng = np.random.default_rng(11)
    totals = rng.negative_binomial(3, 3 / (3 + 60), size=(8, 3))
    offset = rng.normal(0, 0.4, size=(8, 3))
    successes = simulate(rng, totals, rng.uniform(0.3, 0.9, size=(8, 1)), 0.02)
    spread = np.linspace(0, 0.7, 8)
    design = np.ones((3, 1))
    result = likelihood_ratio_test(
        successes, totals, design, 0, offset, 0.02, alternative="greater", null_spread=spread
    )
    plain = likelihood_ratio_test(successes, totals, design, 0, offset, 0.02, alternative="greater")
    for row in range(8):
        arguments = successes[row], totals[row]
        full, beta = reference_log_likelihood(*arguments, design, offset[row], 0.02)
        scale = (1 - 0.02) / 0.02

        def penalised(shift, arguments=arguments, row=row, scale=scale):
            p = expit(offset[row] + shift)
            value = betabinom.logpmf(*arguments, p * scale, (1 - p) * scale).sum()
            return shift[0] ** 2 / (2 * spread[row] ** 2) - value

        if spread[row]:
            found = minimize(penalised, [0.0], method="Nelder-Mead", options={"xatol": 1e-9})
            null = -found.fun
        else:
            null = reference_log_likelihood(*arguments, np.empty((3, 0)), offset[row], 0.02)[0]
        root = np.sqrt(max(2 * (full - null), 0)) * np.sign(beta[0])
        assert result.pvalue[row] == pytest.approx(norm.sf(root), abs=1e-4)
    assert (result.stat[1:] < plain.stat[1:]).all()
    assert result.log2FoldChange == pytest.approx(plain.log2FoldChange)


def test_what_all_observations_share_is_allowed_for():
    rng = np.random.default_rng(12)
    own = rng.normal(0, 0.4, (3000, 1))
    totals = rng.poisson(150, (3000, 4))
    successes = simulate(rng, totals, expit(own), 0.0)
    result = likelihood_ratio_test(successes, totals, np.ones((4, 1)), 0, 0.0, 0.0, null_spread=0.4)
    assert (result.pvalue < 0.05).mean() == pytest.approx(0.05, abs=0.012)


def test_degrees_of_freedom_are_told():
    totals = np.full((20, 6), 50)
    successes = np.random.default_rng(2).binomial(totals, 0.5)
    known = likelihood_ratio_test(successes, totals, THREE_AGAINST_THREE, 1, dispersion=0.0)
    assert np.isinf(known.degrees).all()
    told = likelihood_ratio_test(successes, totals, THREE_AGAINST_THREE, 1)
    assert told.degrees.shape == (20,)
    assert (told.degrees >= 4).all()


def test_the_chance_of_a_sum_is_that_of_the_distribution():
    alone = sum_tail([[5], [3], [0]], [[5], [9], [4]], np.log(0.3 / 0.7), 0.0)
    expected = [
        binom.sf(k, n, 0.3) + 0.5 * binom.pmf(k, n, 0.3) for k, n in ((5, 5), (3, 9), (0, 4))
    ]
    assert alone == pytest.approx(expected, abs=1e-6)
    scale = (1 - 0.1) / 0.1
    spread = betabinom.sf(6, 20, 0.4 * scale, 0.6 * scale)
    spread += 0.5 * betabinom.pmf(6, 20, 0.4 * scale, 0.6 * scale)
    assert sum_tail([[6]], [[20]], np.log(0.4 / 0.6), 0.1) == pytest.approx(spread, abs=1e-9)


def test_the_chance_of_a_sum_over_unlike_observations():
    rng = np.random.default_rng(3)
    totals, eta, deviation = np.array([4, 11, 0, 7]), np.array([-1.0, 0.2, 0.0, -0.4]), 0.5
    drawn = rng.normal(0, deviation, (400_000, 1))
    sums = simulate(rng, np.broadcast_to(totals, (400_000, 4)), expit(eta + drawn), 0.05).sum(
        axis=1
    )
    for seen in ([2, 6, 0, 4], [3, 9, 0, 6]):
        expected = (sums > sum(seen)).mean() + 0.5 * (sums == sum(seen)).mean()
        found = sum_tail([seen], [totals], eta, 0.05, deviation)
        assert found == pytest.approx(expected, rel=0.03)


def test_sums_of_nothing_and_of_no_feature():
    assert sum_tail([[0, 0]], [[0, 0]], 0.0, 0.0) == pytest.approx(0.5)
    assert sum_tail(np.empty((0, 3)), np.empty((0, 3)), 0.0, 0.0).shape == (0,)

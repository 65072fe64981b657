"""The trend of dispersion over mean by the likelihood of all counts."""

from __future__ import annotations

import numpy as np
import pytest

from ringmark.dispersion_trend import DISPERSIONS, adjusted_profiles, dispersion_trend

DESIGN = np.column_stack([np.ones(6), [1, 1, 1, 0, 0, 0]])


def draw(
    means: np.ndarray, alpha: np.ndarray | float, seed: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return counts, what two group means explain of them, and their means."""
    random = np.random.default_rng(seed)
    wide = np.repeat(means[:, None], 6, axis=1)
    size = 1 / np.broadcast_to(np.asarray(alpha, dtype=float), len(means))[:, None]
    counts = random.poisson(random.gamma(size, wide / size)).astype(float)
    seen = counts.sum(axis=1) > 0
    counts = counts[seen]
    groups = [counts[:, chosen].mean(axis=1) for chosen in (DESIGN[:, 1] == 1, DESIGN[:, 1] == 0)]
    fitted = np.maximum(np.where(DESIGN[:, 1] == 1, groups[0][:, None], groups[1][:, None]), 0.5)
    return counts, fitted, counts.mean(axis=1)


@pytest.mark.parametrize("truth", [0.03, 0.1, 0.5])
def test_one_dispersion_of_rare_and_frequent_features(truth: float) -> None:
    means = np.random.default_rng(3).lognormal(2.5, 1.2, 800)
    counts, fitted, seen = draw(means, truth)
    found = dispersion_trend(counts, fitted, DESIGN, seen)
    assert np.median(found[seen >= 10]) == pytest.approx(truth, rel=0.2)
    assert np.median(found[seen < 10]) < 2.5 * truth


def test_rare_features_that_scatter_more() -> None:
    means = np.random.default_rng(4).lognormal(3, 1.2, 1500)
    counts, fitted, seen = draw(means, 0.05 + 2 / means, 5)
    found = dispersion_trend(counts, fitted, DESIGN, seen)
    expected = 0.05 + 2 / seen
    chosen = seen >= 5
    assert np.median(found[chosen] / expected[chosen]) == pytest.approx(1, abs=0.25)


def test_counts_that_scatter_by_counting_alone() -> None:
    counts, fitted, seen = draw(np.full(1500, 20.0), 1e-6, 6)
    assert dispersion_trend(counts, fitted, DESIGN, seen).max() < 0.005


def test_few_or_no_features() -> None:
    counts, fitted, seen = draw(np.array([30.0]), 0.1)
    assert np.isfinite(dispersion_trend(counts, fitted, DESIGN, seen)).all()
    counts, fitted, seen = draw(np.full(5, 0.7), 0.1, 2)
    assert np.isfinite(dispersion_trend(counts, fitted, DESIGN, seen)).all()
    none = np.empty((0, 6))
    assert dispersion_trend(none, none, DESIGN, np.empty(0)).shape == (0,)


def test_profiles_are_highest_near_the_truth() -> None:
    counts, fitted, _ = draw(np.full(3000, 50.0), 0.2, 8)
    total = adjusted_profiles(counts, fitted, DESIGN).sum(axis=0)
    assert DISPERSIONS[total.argmax()] == pytest.approx(0.2, rel=0.3)

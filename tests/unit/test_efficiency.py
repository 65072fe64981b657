"""How much more one IP enriches than another."""

from __future__ import annotations

import numpy as np
import pytest

from ringmark.efficiency import (
    LEAST_FEATURES,
    Efficiency,
    efficiency_offset,
    estimate_efficiency,
)

#: Three pairs of each level; the last column is the contrast.
DESIGN = np.column_stack([np.ones(6), np.repeat([0.0, 1.0], 3)])
RATIO = np.log([0.5, 0.6, 0.4, 0.55, 0.5, 0.45])
#: How much the IPs pull down over background, natural log.
OWN = np.array([0.3, -0.2, 0.1, -0.4, 0.25, -0.05])


def simulate(
    own: np.ndarray,
    features: int = 400,
    changed: float = 0.0,
    seed: int = 1,
    depth: float = 300.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return counts of IP and input, and which features changed in the test level."""
    random = np.random.default_rng(seed)
    share = random.uniform(0.1, 0.9, features)[:, None] * np.ones((1, 6))
    hit = random.random(features) < changed
    share[np.ix_(hit, DESIGN[:, 1] == 1)] *= 0.3
    mean = random.lognormal(np.log(depth), 0.8, features)[:, None] * np.ones((1, 6))
    inputs = random.poisson(mean)
    ip = random.poisson(mean * np.exp(RATIO) * (1 + 12 * np.exp(own) * share))
    return ip.astype(float), inputs.astype(float), hit


def test_the_efficiency_of_every_pair_is_found() -> None:
    ip, inputs, _ = simulate(OWN)
    found = estimate_efficiency(ip, inputs, RATIO, DESIGN)
    assert found.log_ratio == pytest.approx(OWN - OWN.mean(), abs=0.03)
    assert found.shift == pytest.approx(OWN[3:].mean() - OWN[:3].mean(), abs=0.03)
    assert not found.is_global_change


def test_changes_of_a_minority_do_not_matter() -> None:
    ip, inputs, _ = simulate(OWN, changed=0.25)
    found = estimate_efficiency(ip, inputs, RATIO, DESIGN)
    assert found.log_ratio == pytest.approx(OWN - OWN.mean(), abs=0.12)


def test_a_difference_beyond_that_of_replicates_is_a_change_of_methylation() -> None:
    own = np.array([0.05, -0.05, 0.0, -0.9, -1.0, -0.95])
    ip, inputs, _ = simulate(own)
    found = estimate_efficiency(ip, inputs, RATIO, DESIGN)
    assert found.is_global_change
    assert found.shift == pytest.approx(-0.95, abs=0.05)
    offset = efficiency_offset(ip, inputs, RATIO, DESIGN, found)
    # what differs within the levels is still taken out, the levels are not
    assert np.abs(offset[:, 3:].mean() - offset[:, :3].mean()) < 0.01


@pytest.mark.parametrize("changed", [0.0, 0.2])
def test_offsets_leave_unchanged_features_unchanged(changed: float) -> None:
    ip, inputs, hit = simulate(OWN, changed=changed, depth=3000)
    found = estimate_efficiency(ip, inputs, RATIO, DESIGN)
    offset = efficiency_offset(ip, inputs, RATIO, DESIGN, found)
    log_odds = np.log((ip + 0.5) / (inputs + 0.5)) - RATIO - offset
    spread = log_odds[~hit].std(axis=1)
    assert np.median(spread) < 0.06
    assert offset.shape == ip.shape
    # weak peaks are moved less than strong ones
    height = np.log(ip.sum(axis=1) / inputs.sum(axis=1))
    order = np.argsort(height)
    ends = np.abs(offset[order[:40]]).mean(), np.abs(offset[order[-40:]]).mean()
    assert ends[0] < ends[1]


def test_a_covariate_takes_its_part() -> None:
    """Batches differ, conditions do not."""
    batch = np.array([0.0, 1, 0, 1, 0, 1])
    design = np.column_stack([np.ones(6), batch, DESIGN[:, 1]])
    own = 0.8 * batch + np.array([0.02, -0.02, 0.01, 0.0, -0.02, 0.02])
    ip, inputs, _ = simulate(own)
    found = estimate_efficiency(ip, inputs, RATIO, design)
    assert abs(found.shift) < 0.05
    assert not found.is_global_change


@pytest.mark.parametrize("features", [0, 1, LEAST_FEATURES - 1])
def test_too_few_features_tell_nothing(features: int) -> None:
    ip, inputs, _ = simulate(OWN, features)
    found = estimate_efficiency(ip, inputs, RATIO, DESIGN)
    assert found.features == 0
    assert found.log_ratio.tolist() == [0.0] * 6
    assert not found.is_global_change
    offset = efficiency_offset(ip, inputs, RATIO, DESIGN, found)
    assert offset.tolist() == np.zeros((features, 6)).tolist()


def test_features_that_are_not_enriched_tell_nothing() -> None:
    random = np.random.default_rng(3)
    inputs = random.poisson(200, (300, 6)).astype(float)
    ip = random.poisson(200 * np.exp(RATIO), (300, 6)).astype(float)
    assert estimate_efficiency(ip, inputs, RATIO, DESIGN).features == 0


def test_without_replicates_nothing_is_taken_out() -> None:
    ip, inputs, _ = simulate(OWN)
    found = estimate_efficiency(ip[:, [0, 3]], inputs[:, [0, 3]], RATIO[[0, 3]], DESIGN[[0, 3]])
    assert found.features == 0
    assert np.isnan(found.pvalue)


def test_features_without_fragments_get_no_offset() -> None:
    ip, inputs, _ = simulate(OWN)
    ip[0] = inputs[0] = 0
    found = Efficiency(OWN, 0.0, 0.5, 400)
    assert efficiency_offset(ip, inputs, RATIO, DESIGN, found)[0].tolist() == [0.0] * 6


def test_ips_of_a_level_that_happen_to_be_alike_do_not_make_a_change() -> None:
    """A batch of IPs that enrich less is no change of methylation, however alike they are."""
    own = np.array([0.01, -0.01, 0.0, -0.5, -0.51, -0.5])
    ip, inputs, _ = simulate(own)
    found = estimate_efficiency(ip, inputs, RATIO, DESIGN)
    assert not found.is_global_change
    assert found.pvalue < 0.2
    offset = efficiency_offset(ip, inputs, RATIO, DESIGN, found)
    assert offset[:, 3:].mean() - offset[:, :3].mean() == pytest.approx(-0.42, abs=0.08)

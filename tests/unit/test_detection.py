"""What counts across a back-splice could have shown: power, reach and the answers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from ringmark.betabinomial import likelihood_ratio_test
from ringmark.detection import POWER, Reach, smallest_enrichment, verdicts

RATIO = 0.4


def found_at(level: float, inputs: np.ndarray, error: float, pvalue: float, seed: int) -> float:
    """Simulate circles of some log2 enrichment and return the share found."""
    random = np.random.default_rng(seed)
    number = 1500
    own = random.normal(0, error, (number, 1))
    ip = random.poisson(inputs * RATIO * 2**level * np.exp(own), (number, len(inputs)))
    drawn = random.poisson(inputs, (number, len(inputs)))
    test = likelihood_ratio_test(
        ip,
        ip + drawn,
        np.ones((len(inputs), 1)),
        0,
        np.log(RATIO),
        0.0,
        alternative="greater",
        null_spread=error,
    )
    return float((test.pvalue <= pvalue).mean())


@pytest.mark.parametrize("pvalue", [0.05, 0.001])
@pytest.mark.parametrize("error", [0.0, 0.3])
@pytest.mark.parametrize("inputs", [(8, 12, 10), (60, 40, 80), (30,)])
def test_the_smallest_enrichment_is_found_four_times_in_five(
    inputs: tuple[int, ...], error: float, pvalue: float
) -> None:
    counts = np.array([inputs], dtype=float)
    known = np.array([np.inf])
    limit = smallest_enrichment(
        counts,
        np.full(counts.shape, np.log(RATIO)),
        np.array([error]),
        np.array([0.0]),
        known,
        pvalue,
    ).item()
    share = found_at(limit, np.array(inputs, dtype=float), error, pvalue, 3)
    assert share == pytest.approx(POWER, abs=0.07)
    assert found_at(limit / 2, np.array(inputs, dtype=float), error, pvalue, 4) < POWER - 0.2


def limit_of(
    inputs: float, dispersion: float = 0.0, degrees: float = np.inf, error: float = 0.0
) -> float:
    counts = np.full((1, 3), inputs)
    return smallest_enrichment(
        counts,
        np.zeros(counts.shape),
        np.array([error]),
        np.array([dispersion]),
        np.array([degrees]),
        0.01,
    ).item()


def test_more_fragments_show_less_and_doubt_shows_more() -> None:
    limits = [limit_of(inputs) for inputs in (3, 10, 30, 100, 300)]
    assert limits == sorted(limits, reverse=True)
    assert limit_of(30, dispersion=0.1) > limit_of(30)
    assert limit_of(30, degrees=3.0) > limit_of(30)
    assert limit_of(30, error=0.5) > limit_of(30)


def test_without_input_nothing_could_be_shown() -> None:
    assert limit_of(0) == np.inf


def test_no_circles() -> None:
    none = np.empty(0)
    assert smallest_enrichment(np.empty((0, 3)), np.empty((0, 3)), none, none, none, 0.05).size == 0


def test_reach_of_fragments_of_one_length() -> None:
    lengths = np.zeros(1001, dtype=np.int64)
    lengths[150] = 1000
    reach = Reach.of([SimpleNamespace(lengths=lengths)])
    assert reach.length == 150
    assert reach.within(np.array([120, 300, 600])) == pytest.approx([1, 1, 0.5])
    # of 300 nt the opposite place is 150 nt away; of 200 nt a fragment reaches it from either side
    share = reach.share_at_farthest(np.array([300, 200, 100, 1000]))
    assert share == pytest.approx([0, 2 * 50 / 150, 1, 0], abs=0.02)


def test_share_at_the_farthest_place_of_simulated_fragments() -> None:
    random = np.random.default_rng(1)
    lengths = np.clip(random.normal(170, 40, 200_000).round(), 30, 400).astype(int)
    reach = Reach.of([SimpleNamespace(lengths=np.bincount(lengths, minlength=1001))])
    circle = 240
    ends = random.integers(0, circle, len(lengths))
    # the fragment covers the last nucleotides before its end; it crosses the junction at 0
    begins = ends - lengths
    crosses = begins < 0
    opposite = crosses & ((begins + circle <= circle // 2) | (ends > circle // 2))
    expected = opposite.sum() / crosses.sum()
    assert reach.share_at_farthest(np.array([circle])).item() == pytest.approx(expected, abs=0.02)


def test_answers() -> None:
    found = np.array([True, False, False, False, False, False])
    pvalue = np.array([1e-9, 0.5, 0.5, 0.5, 0.02, np.nan])
    smallest = np.array([0.5, 0.5, 1.5, 2.5, 0.5, np.nan])
    answers = verdicts(found, pvalue, smallest, 2.0, np.full(6, 1 / 3))
    assert answers.tolist() == [
        "methylated",
        "not_methylated",
        "not_seen",
        "cannot_be_seen",
        "not_seen",
        "cannot_be_seen",
    ]

"""Streams of random numbers: reproducible, independent, of the stated distributions."""

import numpy as np
import pytest

from ringmark.simulate_random import Stream

PINNED_INTEGERS = [770, 111, 189, 159, 431]
PINNED_NORMAL = [-0.5415022484806141, -3.1049671574933844, 0.016577977013351636]
PINNED_GAMMA = [0.5099289734827588, 1.2293322414414498]


def test_same_path_same_numbers_other_path_other_numbers():
    assert Stream(1, 2).uniform(5).tolist() == Stream(1, 2).uniform(5).tolist()
    assert Stream(1, 2).uniform(5).tolist() != Stream(1, 3).uniform(5).tolist()


def test_the_stream_is_pinned():
    """A change of these numbers changes every simulated study."""
    stream = Stream(7, 1)
    assert stream.integers(0, 1000, 5).tolist() == PINNED_INTEGERS
    assert stream.normal(3) == pytest.approx(PINNED_NORMAL, rel=1e-12)
    assert stream.gamma_factor(2, 0.1) == pytest.approx(PINNED_GAMMA, rel=1e-9)


def test_integers_stay_in_range():
    values = Stream(1).integers(3, 6, 1000)
    assert set(values.tolist()) == {3, 4, 5}
    assert Stream(1).integer(4, 4) == 4


def test_permutation():
    assert sorted(Stream(1).permutation(50).tolist()) == list(range(50))
    assert Stream(1).permutation(0).tolist() == []


def test_normal_and_lognormal():
    values = Stream(1).normal(20_000)
    assert values.mean() == pytest.approx(0, abs=0.03)
    assert values.std() == pytest.approx(1, abs=0.03)
    assert np.median(Stream(2).lognormal(20_000, 3.0, 0.5)) == pytest.approx(3, rel=0.03)


@pytest.mark.parametrize("dispersion", [0.05, 0.5])
def test_gamma_factor(dispersion):
    values = Stream(1).gamma_factor(40_000, dispersion)
    assert values.mean() == pytest.approx(1, abs=0.02)
    assert values.var() == pytest.approx(dispersion, rel=0.06)


def test_gamma_factor_without_dispersion():
    assert Stream(1).gamma_factor(3, 0.0).tolist() == [1, 1, 1]


def test_categories_follow_the_weights():
    counts = np.bincount(Stream(1).categories(np.array([1.0, 0.0, 3.0]), 20_000), minlength=3)
    assert counts[1] == 0
    assert counts[2] / counts[0] == pytest.approx(3, rel=0.07)


@pytest.mark.parametrize("rate", [0.0001, 0.02, 0.6])
def test_positions(rate):
    hits = Stream(1).positions(200_000, rate)
    assert (np.diff(hits) > 0).all()
    assert hits[0] >= 0 and hits[-1] < 200_000
    assert len(hits) == pytest.approx(200_000 * rate, rel=0.25)


def test_positions_of_nothing():
    assert Stream(1).positions(0, 0.5).tolist() == []
    assert Stream(1).positions(10, 0.0).tolist() == []

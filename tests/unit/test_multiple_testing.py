import numpy as np
import pytest
from scipy.stats import false_discovery_control

from ringmark.multiple_testing import adjust


def test_it_is_the_method_of_benjamini_and_hochberg():
    pvalues = np.random.default_rng(1).uniform(size=200) ** 3
    assert adjust(pvalues) == pytest.approx(false_discovery_control(pvalues, method="bh"))
    np.testing.assert_allclose(
        adjust(np.array([0.04, 0.001, 0.02])), [0.04, 0.003, 0.03], rtol=1e-12
    )


def test_missing_pvalues_stay_missing_and_do_not_count():
    adjusted = adjust(np.array([0.01, np.nan, 0.04, 0.5]))
    assert adjusted[[0, 2, 3]] == pytest.approx([0.03, 0.06, 0.5])
    assert np.isnan(adjusted[1])
    assert np.isnan(adjust(np.array([np.nan]))).all()


def test_discoveries_are_held_against_all_tests():
    np.testing.assert_allclose(adjust(np.array([0.04, 0.001, 0.02]), 3), [0.04, 0.003, 0.03])
    np.testing.assert_allclose(adjust(np.array([0.001, 0.002]), 100), [0.1, 0.1])
    assert adjust(np.array([0.5, 0.9]), 50).tolist() == [1, 1]


def test_none_and_one():
    assert len(adjust(np.empty(0))) == 0
    assert len(adjust(np.empty(0), 5)) == 0
    assert adjust(np.array([0.2])).tolist() == [0.2]

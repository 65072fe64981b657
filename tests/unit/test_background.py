import numpy as np
import pytest

from ringmark.annotation import Annotation, Gene, Transcript
from ringmark.background import (
    FALLBACK_DISPERSION,
    bins_within,
    estimate_background,
    signed_root,
)
from ringmark.bins import BinLayout
from ringmark.intervals import Blocks


def layout_of(*lengths):
    genes = {}
    for index, length in enumerate(lengths):
        exons = Blocks(np.array([0]), np.array([length]), "+")
        name = f"G{index}"
        genes[name] = Gene(name, name, "x", f"c{index}", "+", (Transcript(name, exons),))
    return BinLayout.of(Annotation(genes))


def counts(layout, generator, ratio, depth=40, dispersion=0.0, deviation=None):
    """Independent counts of bins: IP over input is ``ratio`` times that of the gene."""
    shift = np.zeros(len(layout.genes)) if deviation is None else deviation
    mean = ratio * np.exp(shift)[layout.gene_of_bin]
    if dispersion:
        mean = mean * generator.gamma(1 / dispersion, dispersion, layout.bins)
    return generator.poisson(depth * mean), generator.poisson(depth, layout.bins)


def one_pair(ip, control):
    return ip[:, None], control[:, None]


def test_global_ratio_without_peaks():
    layout = layout_of(*[1000] * 50)
    ip, control = counts(layout, np.random.default_rng(1), 0.5)
    found = estimate_background(*one_pair(ip, control), layout, 25)
    assert found.log_ratio == pytest.approx(np.log(0.5), abs=0.03)
    assert found.gene_log_ratio == pytest.approx(np.log(0.5), abs=0.1)
    assert found.dispersion < 0.01
    assert found.is_background.mean() > 0.9


def test_peaks_do_not_move_the_ratio():
    layout = layout_of(*[1000] * 50)
    ip, control = counts(layout, np.random.default_rng(2), 0.5)
    peaks = np.arange(layout.bins) % 40 < 12
    ip[peaks] *= 8
    found = estimate_background(*one_pair(ip, control), layout, 25)
    assert found.log_ratio == pytest.approx(np.log(0.5), abs=0.05)
    assert not found.is_background[peaks].any()
    assert ip.sum() / control.sum() > 1.3


def test_short_gene_that_is_all_peak_borrows_the_global_ratio():
    layout = layout_of(*[1000] * 50, 100)
    ip, control = counts(layout, np.random.default_rng(3), 0.5)
    ip[layout.gene_of_bin == 50] *= 10
    found = estimate_background(*one_pair(ip, control), layout, 100)
    assert found.gene_log_ratio[50, 0] == pytest.approx(found.log_ratio[0], abs=0.2)


def test_long_gene_of_high_background_keeps_its_own_ratio():
    layout = layout_of(*[1000] * 50, 4000)
    deviation = np.concatenate([np.random.default_rng(4).normal(0, 0.4, 50), [1.0]])
    ip, control = counts(layout, np.random.default_rng(4), 1.0, 60, deviation=deviation)
    found = estimate_background(*one_pair(ip, control), layout, 25)
    assert found.gene_log_ratio[50, 0] == pytest.approx(1.0, abs=0.25)
    correlation = np.corrcoef(found.gene_log_ratio[:50, 0], deviation[:50])[0, 1]
    assert correlation > 0.9


def test_gene_that_is_mostly_peak_does_not_pass_for_background():
    layout = layout_of(*[1000] * 50, 4000)
    generator = np.random.default_rng(9)
    deviation = np.append(generator.normal(0, 0.2, 50), 0)
    ip, control = counts(layout, generator, 0.5, deviation=deviation)
    own = np.flatnonzero(layout.gene_of_bin == 50)
    peak = own[: len(own) * 3 // 4]
    ip[peak] *= 8
    found = estimate_background(*one_pair(ip, control), layout, 25)
    assert not found.is_background[peak].any()
    assert found.gene_log_ratio[50, 0] == pytest.approx(np.log(0.5), abs=0.3)


def test_dispersion_of_ips_that_share_an_input_is_that_of_their_sum():
    layout = layout_of(*[1000] * 50)
    generator = np.random.default_rng(10)
    ip, control = counts(layout, generator, 1.0, dispersion=0.1)
    halves = generator.binomial(ip, 0.5)
    split = np.stack([halves, ip - halves], axis=1)
    twice = np.stack([control, control], axis=1)
    together = estimate_background(*one_pair(ip, control), layout, 25)
    shared = estimate_background(split, twice, layout, 25, [[0, 1]])
    assert shared.dispersion == pytest.approx(together.dispersion, rel=0.25)


def test_gene_without_reads_has_the_global_ratio():
    layout = layout_of(*[1000] * 20, 1000)
    ip, control = counts(layout, np.random.default_rng(5), 2.0)
    empty = layout.gene_of_bin == 20
    ip[empty], control[empty] = 0, 0
    found = estimate_background(*one_pair(ip, control), layout, 25)
    assert found.gene_log_ratio[20, 0] == pytest.approx(found.log_ratio[0])


def test_pairs_have_their_own_ratios_and_share_deviations():
    layout = layout_of(*[1000] * 40)
    generator = np.random.default_rng(6)
    deviation = generator.normal(0, 0.5, 40)
    pairs = [counts(layout, generator, ratio, deviation=deviation) for ratio in (0.3, 1.0, 3.0)]
    ip, control = (np.stack(column, axis=1) for column in zip(*pairs, strict=True))
    found = estimate_background(ip, control, layout, 25)
    np.testing.assert_allclose(found.log_ratio - found.log_ratio[1], np.log([0.3, 1, 3]), atol=0.1)
    own = found.gene_log_ratio - found.log_ratio
    assert np.corrcoef(own.mean(axis=1), deviation)[0, 1] > 0.95


def test_the_error_of_a_gene_covers_what_is_missed():
    """Deviations of genes with many and with few fragments lie within the errors that are told."""
    layout = layout_of(*[1000] * 300)
    generator = np.random.default_rng(16)
    deviation = generator.normal(0, 0.3, 300)
    ip, control = counts(layout, generator, 1.0, deviation=deviation)
    rare = layout.gene_of_bin % 2 == 0
    ip[rare], control[rare] = (
        generator.binomial(ip[rare], 0.05),
        generator.binomial(control[rare], 0.05),
    )
    ip[layout.gene_of_bin == 0], control[layout.gene_of_bin == 0] = 0, 0
    found = estimate_background(*one_pair(ip, control), layout, 25)
    missed = (found.gene_log_ratio[:, 0] - found.log_ratio[0] - deviation) / found.gene_error
    for chosen in (slice(2, None, 2), slice(1, None, 2)):
        assert 0.7 < np.sqrt((missed[chosen] ** 2).mean()) < 1.3
    assert found.deviation == pytest.approx(0.3, rel=0.25)
    assert found.gene_error[0] == pytest.approx(found.deviation, rel=0.01)
    assert np.median(found.gene_error[1::2]) < 0.5 * np.median(found.gene_error[2::2])


@pytest.mark.parametrize("planted", [0.02, 0.1])
def test_dispersion_is_that_of_the_counts(planted):
    layout = layout_of(*[2000] * 60)
    generator = np.random.default_rng(7)
    probability = generator.beta(
        0.5 * (1 - planted) / planted, 0.5 * (1 - planted) / planted, layout.bins
    )
    ip = generator.binomial(60, probability)
    found = estimate_background(*one_pair(ip, 60 - ip), layout, 25)
    assert found.dispersion == pytest.approx(planted, rel=0.5)


def test_nothing_counted():
    layout = layout_of(300, 500)
    nothing = np.zeros((layout.bins, 2), np.int64)
    found = estimate_background(nothing, nothing, layout, 100)
    assert np.isfinite(found.log_ratio).all()
    assert np.isfinite(found.gene_log_ratio).all()
    assert found.dispersion == FALLBACK_DISPERSION


def test_no_genes():
    nothing = np.zeros((0, 1), np.int64)
    found = estimate_background(nothing, nothing, layout_of(), 100)
    assert found.gene_log_ratio.shape == (0, 1)
    assert found.is_background.shape == (0,)


def test_bins_within_stay_in_their_gene():
    marked = np.array([0, 0, 0, 1, 0, 0, 0, 1, 0], bool)
    found = bins_within(marked, np.array([0, 4, 9]), 2)
    assert found.tolist() == [False, True, True, True, False, True, True, True, True]


def test_signed_root_is_normal_under_the_null():
    generator = np.random.default_rng(8)
    offset = np.full((20_000, 2), np.log([0.5, 2.0]))
    totals = generator.integers(20, 60, (20_000, 2))
    ip = generator.binomial(totals, 1 / (1 + np.exp(-offset)))
    root, information = signed_root(ip, totals, offset, 0.0)
    assert root.mean() == pytest.approx(0, abs=0.03)
    assert root.std() == pytest.approx(1, abs=0.03)
    expected = (totals * np.array([1 / 3 * 2 / 3, 2 / 3 * 1 / 3])).sum(axis=1)
    np.testing.assert_allclose(information, expected)


def test_signed_root_without_input_and_without_counts():
    root, _ = signed_root(np.array([[9], [0], [0]]), np.array([[9], [0], [9]]), np.zeros((3, 1)), 0)
    assert root[0] > 3 and root[1] == 0 and root[2] < -3


def test_introns_of_a_gene_have_one_background():
    genes = {}
    for index in range(50):
        starts = np.array([0, 1100, 2200])
        exons = Blocks(starts, starts + 100, "+")
        name = f"G{index}"
        genes[name] = Gene(name, name, "x", f"c{index}", "+", (Transcript(name, exons),))
    layout = BinLayout.of_introns(Annotation(genes))
    generator = np.random.default_rng(13)
    own = generator.normal(0, 0.4, 50)
    ip, control = counts(layout, generator, 0.5, deviation=np.repeat(own, 2))
    # of the second intron nothing is seen: the first one tells the background of both
    unseen = layout.gene_of_bin % 2 == 1
    ip[unseen], control[unseen] = 0, 0
    found = estimate_background(*one_pair(ip, control), layout, 25)
    assert found.gene_log_ratio.shape == (50, 1)
    assert found.gene_log_ratio[:, 0] == pytest.approx(np.log(0.5) + own, abs=0.15)

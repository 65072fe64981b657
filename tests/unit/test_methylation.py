"""Differential m6A: known answers, calibration, what gene, circles and neighbours change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from toy_study import background_of, circular, frame, inputs, make_study, negative_binomial

from ringmark.errors import InputError
from ringmark.methylation import compare_methylation
from ringmark.peak_context import PeakContext
from ringmark.study import Pair


def test_methylation_is_the_interaction_and_keeps_global_changes():
    rng = np.random.default_rng(9)
    study = make_study(ip=True)
    ips = [pair.ip.name for pair in study.pairs]
    abundance = rng.uniform(40, 80, size=(150, 1)) * np.array([4, 4, 4, 1, 1, 1])
    enrichment = np.full((150, 6), 6.0)
    enrichment[:, :3] = 3.0
    enrichment[:15, :3] = 24.0
    depth = np.array([2, 1, 1, 0.5, 1, 1])
    ip = frame(rng.poisson(abundance * enrichment * depth), ips)
    own = frame(rng.poisson(abundance), inputs(study))
    background = background_of(study)
    background["log_ratio"] = np.log(depth)
    result = compare_methylation(ip, own, background, study)
    table = result.table
    assert table["log2FoldChange"].iloc[:15].median() == pytest.approx(2, abs=0.2)
    assert table["log2FoldChange"].iloc[15:].median() == pytest.approx(-1, abs=0.1)
    assert (table["padj"] < 0.05).mean() > 0.9
    assert any("a change of methylation as a whole" in note for note in result.notes)


def test_methylation_of_circles_from_one_matrix_of_both_assays():
    study = make_study(ip=True)
    columns = [library.name for library in study.libraries]
    counts = frame([[12, 40, 11, 38, 9, 35, 10, 9, 11, 12, 9, 10]], columns)
    table = compare_methylation(counts, counts, background_of(study), study).table
    assert table["log2FoldChange"].iloc[0] == pytest.approx(
        np.log2((113 / 32) / (31 / 30)), abs=0.1
    )
    assert table["pvalue"].iloc[0] < 0.05


def test_methylation_without_change_is_calibrated():
    rng = np.random.default_rng(31)
    study = make_study(ip=True)
    size = 1500
    totals = negative_binomial(rng, np.exp(rng.normal(3.5, 1, size=(size, 1))), 0.1, (size, 6))
    share = rng.uniform(0.3, 0.9, size=(size, 1)) * np.ones(6)
    values = circular(rng, share, totals, 0.03)
    ip = frame(values, [pair.ip.name for pair in study.pairs])
    own = frame(totals - values, inputs(study))
    pvalues = compare_methylation(ip, own, background_of(study, 0.7), study).table["pvalue"]
    assert 0.03 < (pvalues.dropna() < 0.05).mean() < 0.065


def test_ips_that_enrich_differently_are_no_change_of_methylation():
    """The levels differ by no more than the replicates do."""
    rng = np.random.default_rng(12)
    study = make_study(ip=True)
    own_efficiency = np.exp([0.4, -0.1, 0.3, -0.5, 0.3, -0.4])
    excess = 10 * rng.uniform(0.1, 0.9, size=(600, 1)) * np.ones(6)
    excess[:60, :3] *= 4
    abundance = rng.lognormal(5, 0.7, size=(600, 1)) * np.ones(6)
    inputs_of = negative_binomial(rng, abundance, 0.005, (600, 6))
    pulled = negative_binomial(rng, abundance * (1 + own_efficiency * excess), 0.005, (600, 6))
    ip = frame(pulled, [pair.ip.name for pair in study.pairs])
    result = compare_methylation(ip, frame(inputs_of, inputs(study)), background_of(study), study)
    table = result.table
    assert abs(table["log2FoldChange"].iloc[60:].median()) < 0.06
    assert (table["pvalue"].iloc[60:] < 0.05).mean() < 0.075
    assert (table["padj"].iloc[:60] < 0.05).mean() > 0.9
    assert any("taken out" in note for note in result.notes)


def test_methylation_without_replicates():
    study = make_study(1, 1, ip=True)
    ip, own = frame([[30, 10]], ["r0_ip", "s0_ip"]), frame([[10, 10]], inputs(study))
    background = background_of(study)
    background["log_ratio"] = [np.log(2), 0.0]
    table = compare_methylation(ip, own, background, study).table
    expected = np.log2(30.5 / 10.5) - 1 - np.log2(10.5 / 10.5)
    assert table["log2FoldChange"].iloc[0] == pytest.approx(expected)
    assert np.isnan(table["pvalue"].iloc[0])


def test_a_pair_without_background_ratio_is_an_error():
    study = make_study(ip=True)
    ip = frame(np.ones((1, 6)), [pair.ip.name for pair in study.pairs])
    own = frame(np.ones((1, 6)), inputs(study))
    background = background_of(study)
    background.loc[0, "log_ratio"] = np.nan
    with pytest.raises(InputError, match="r0_ip over r0_in") as caught:
        compare_methylation(ip, own, background.iloc[:5], study)
    assert len(caught.value.problems) == 2


def test_methylation_without_ip_is_an_error():
    study = make_study()
    counts = frame(np.ones((1, 6)), inputs(study))
    with pytest.raises(InputError, match="no IP library"):
        compare_methylation(counts, counts, background_of(study), study)


# --- the context of peaks


def context_of(own, gene, circles=None, neighbours=None, study=None):
    """A context of peaks with circles of given fragments, shape (peaks, inputs)."""
    own = np.asarray(own, dtype=float)
    parts = np.zeros_like(own) if circles is None else np.asarray(circles, dtype=float)
    pairs, reach = neighbours or (np.zeros((2, 0), np.int64), np.zeros(0))
    return PeakContext(
        pd.Index([f"f{i}" for i in range(len(own))], name="id"),
        tuple(inputs(study or make_study(ip=True))),
        own,
        np.asarray(gene, dtype=float),
        np.asarray(gene, dtype=float),
        tuple(part[None, :] if part.any() else part[None, :][:0] for part in parts),
        parts,
        np.ones(len(own), dtype=bool),
        pairs,
        reach,
    )


def compared(pulled, own, study, context=None):
    ip = frame(pulled, [pair.ip.name for pair in study.pairs])
    background = background_of(study)
    return compare_methylation(ip, frame(own, inputs(study)), background, study, context=context)


def test_changes_of_weak_peaks_are_found_by_the_help_of_their_genes():
    rng = np.random.default_rng(21)
    study = make_study(ip=True)
    rate = rng.uniform(2, 5, size=(600, 1)) * np.ones(6)
    fold = np.full((600, 6), 6.0)
    fold[:100, :3] = 15.0
    own, rest, pulled = rng.poisson(rate), rng.poisson(20 * rate), rng.poisson(rate * fold)
    alone = compared(pulled, own, study).table
    helped = compared(pulled, own, study, context_of(own, own + rest)).table
    found = [(table["padj"].iloc[:100] < 0.05).mean() for table in (alone, helped)]
    assert found[0] < 0.3
    assert found[1] > 0.8
    assert helped["log2FoldChange"].iloc[:100].median() == pytest.approx(np.log2(2.5), abs=0.15)
    assert (helped["pvalue"].iloc[100:] < 0.05).mean() < 0.065


def test_a_methylated_circle_that_grows_is_no_change_of_methylation():
    rng = np.random.default_rng(22)
    study = make_study(ip=True)
    circular = np.zeros((900, 6))
    circular[:60] = np.array([200, 200, 200, 40, 40, 40])
    linear = np.full((900, 6), 100.0)
    fold = np.full((900, 6), 3.0)
    fold[90:120] = 12.0
    # linear RNA of these changes, too
    fold[30:90, :3] *= 4
    parts = rng.poisson(linear), rng.poisson(circular)
    pulled = rng.poisson(linear * fold + circular * 12)
    own = parts[0] + parts[1]
    alone = compared(pulled, own, study)
    told = compared(pulled, own, study, context_of(own, parts[0] + 2000, parts[1]))
    assert (alone.table["padj"].iloc[:30] < 0.05).all()
    assert not (told.table["padj"].iloc[:30] < 0.05).any()
    assert told.table["log2FoldChange"].iloc[:30].min() > 0.3
    assert (told.table["padj"].iloc[60:90] < 0.05).all()
    assert (told.table["pvalue"].iloc[90:] < 0.05).mean() < 0.09
    assert any("explain the change" in note for note in told.notes)
    assert not any("explain the change" in note for note in alone.notes)


def test_a_peak_beside_a_changed_one_is_not_called():
    rng = np.random.default_rng(23)
    study = make_study(ip=True)
    fold = np.full((200, 6), 3.0)
    fold[:20, :3] = 12.0
    # the excess of the first peaks reaches into these, which have not changed
    fold[20:40] += 0.4 * (fold[:20] - 3)
    own = rng.poisson(150, size=(200, 6))
    pulled = rng.poisson(150 * fold)
    reached = np.stack([np.arange(20, 40), np.arange(20)]), np.full(20, 0.4)
    told = compared(pulled, own, study, context_of(own, own, neighbours=reached)).table
    alone = compared(pulled, own, study).table
    assert (alone["padj"].iloc[20:40] < 0.05).all()
    assert (told["padj"].iloc[20:40] < 0.05).sum() <= 1
    assert (told["padj"].iloc[:20] < 0.05).all()


def test_a_context_of_other_peaks_is_an_error():
    study = make_study(ip=True)
    counts = np.full((2, 6), 20)
    with pytest.raises(ValueError, match="other peaks"):
        compared(counts, counts, study, context_of(counts[:1], counts[:1]))


def test_pairs_that_share_an_input_share_what_it_knows():
    """Without that, one input would count as three, and chance in it as a change."""
    rng = np.random.default_rng(31)
    study = make_study(ip=True)
    pairs = tuple(
        Pair(pair.ip, study.pairs[0 if number < 3 else 3].input)
        for number, pair in enumerate(study.pairs)
    )
    shared = replace(study, pairs=pairs)
    ip = frame(rng.poisson(180, size=(600, 6)), [pair.ip.name for pair in pairs])
    own = frame(rng.poisson(30, size=(600, 6)), inputs(study))
    background = background_of(shared)
    pvalues = compare_methylation(ip, own, background, shared).table["pvalue"]
    assert 0.02 < (pvalues < 0.05).mean() < 0.07
    context = context_of(own, own + 300)
    told = compare_methylation(ip, own, background, shared, context=context).table["pvalue"]
    assert (told < 0.05).mean() < 0.07


@pytest.mark.parametrize(
    ("peaks", "shifted", "rates", "most"),
    [(800, 100, (5, 10), 4), (1000, 30, (10, 20), 6), (600, 600, (10, 14), 1)],
)
def test_another_share_of_the_gene_is_no_change_of_methylation(peaks, shifted, rates, most):
    """Alternative exons and ends of transcripts change inputs, and IPs as much."""
    rng = np.random.default_rng(33)
    study = make_study(ip=True)
    rate = np.full((peaks, 6), float(rates[0]))
    rate[:shifted, :3] = rates[1]
    own, rest, pulled = rng.poisson(rate), rng.poisson(100, rate.shape), rng.poisson(6 * rate)
    table = compared(pulled, own, study, context_of(own, own + rest)).table
    assert (table["padj"] < 0.05).sum() <= most
    assert (table["pvalue"] < 0.05).mean() < 0.065


def test_the_context_without_replicates_moves_the_fold_change():
    study = make_study(1, 1, ip=True)
    own = np.array([[2, 8], [20, 20], [20, 20], [20, 20]])
    context = context_of(own, own + 400, study=study)
    ip = frame([[60, 60]] * 4, ["r0_ip", "s0_ip"])
    arguments = ip, frame(own, inputs(study)), background_of(study), study
    alone = compare_methylation(*arguments).table
    told = compare_methylation(*arguments, context=context).table
    assert 0 < told["log2FoldChange"].iloc[0] < alone["log2FoldChange"].iloc[0] - 0.3
    assert told["pvalue"].isna().all()


@pytest.mark.parametrize("others", [0, 3, 30])
def test_a_strong_peak_on_a_circle_needs_no_stronger_ones(others):
    rng = np.random.default_rng(41)
    study = make_study(ip=True)
    circular = np.zeros((300, 6))
    circular[:30] = np.array([200, 200, 200, 40, 40, 40])
    fold = np.full((300, 6), 3.0)
    fold[30 : 30 + others] = 12.0
    parts = rng.poisson(100, size=(300, 6)), rng.poisson(circular)
    own = parts[0] + parts[1]
    pulled = rng.poisson(100 * fold + circular * 12)
    told = compared(pulled, own, study, context_of(own, parts[0] + 2000, parts[1])).table
    assert (told["padj"].iloc[:30] < 0.05).sum() <= 1


def test_an_only_peak_on_a_circle_that_grows():
    study = make_study(ip=True)
    circular = np.array([[200, 200, 200, 40, 40, 40]])
    own = 100 + circular
    context = context_of(own, 2100 + circular * 0, circular)
    alone = compared(100 * 3 + circular * 12, own, study)
    told = compared(100 * 3 + circular * 12, own, study, context)
    assert alone.table["pvalue"].iloc[0] < 0.01
    assert told.table["pvalue"].iloc[0] > 0.2


def test_two_neighbours_that_both_change_are_both_called():
    rng = np.random.default_rng(43)
    study = make_study(ip=True)
    sites = np.full((200, 6), 2.0)
    sites[:40, :3] = 8.0
    fold = 1 + sites
    fold[:20] += 0.5 * sites[20:40]
    fold[20:40] += 0.5 * sites[:20]
    own = rng.poisson(150, size=(200, 6))
    first, second = np.arange(40), (np.arange(40) + 20) % 40
    reached = np.stack([first, second]), np.full(40, 0.5)
    context = context_of(own, own, neighbours=reached)
    told = compared(rng.poisson(150 * fold), own, study, context).table
    assert (told["padj"].iloc[:40] < 0.05).all()


def test_without_p_values_nothing_is_said_of_them():
    study = make_study(1, 1, ip=True)
    circular = np.array([[200, 40]])
    own = 100 + circular
    ip = frame(300 + 12 * circular, ["r0_ip", "s0_ip"])
    context = context_of(own, own * 0 + 2000, circular, study=study)
    result = compare_methylation(
        ip, frame(own, inputs(study)), background_of(study), study, context=context
    )
    assert not any("p is 1" in note for note in result.notes)
    assert any("no p-values" in note for note in result.notes)


def test_covariates_with_a_context():
    rng = np.random.default_rng(44)
    study = make_study(4, 4, ip=True, batches="aabbaabb", covariates=("batch",))
    batch = np.array([1.0, 1, 2, 2, 1, 1, 2, 2])
    own = rng.poisson(20, size=(400, 8))
    fold = np.full((400, 8), 6.0) * batch
    fold[:40, :4] *= 3
    context = context_of(own, own + rng.poisson(300, size=(400, 8)), study=study)
    told = compared(rng.poisson(20 * fold), own, study, context).table
    assert (told["padj"].iloc[:40] < 0.05).mean() > 0.9
    assert (told["pvalue"].iloc[40:] < 0.05).mean() < 0.065


def ips_of_unlike_efficiency(rng, features):
    """Fragments of unchanged features, with IPs that enrich more or less; IP and input."""
    own = np.exp([0.5, 0.2, 0.4, -0.4, -0.2, -0.5])
    abundance = rng.lognormal(5, 0.4, size=(features, 1)) * np.ones(6)
    excess = 8 * rng.uniform(0.3, 0.9, size=(features, 1)) * own
    return rng.poisson(abundance * (1 + excess)), rng.poisson(abundance)


def test_few_circles_learn_from_the_peaks_how_much_ips_enrich():
    """Ten circles alone cannot tell IPs that enrich more from methylation that rises."""
    rng = np.random.default_rng(41)
    study = make_study(ip=True)
    ips = [pair.ip.name for pair in study.pairs]
    names = (ips, inputs(study))
    circles = [
        frame(values, own)
        for values, own in zip(ips_of_unlike_efficiency(rng, 10), names, strict=True)
    ]
    peaks = [
        frame(values, own, "p")
        for values, own in zip(ips_of_unlike_efficiency(rng, 400), names, strict=True)
    ]
    background = background_of(study)
    alone = compare_methylation(*circles, background, study).table
    taught = compare_methylation(
        *circles, background, study, peak_counts=(peaks[0], peaks[1])
    ).table
    assert alone["log2FoldChange"].median() > 0.6
    assert taught["log2FoldChange"].abs().median() < 0.25
    assert (alone["pvalue"] < 0.05).sum() >= 3
    assert (taught["pvalue"] < 0.05).sum() <= 1


def test_counts_of_peaks_of_other_libraries_are_an_error():
    study = make_study(ip=True)
    ips = [pair.ip.name for pair in study.pairs]
    ip, own = frame([[9] * 6], ips), frame([[9] * 6], inputs(study))
    with pytest.raises(InputError, match=f"the counts of peaks lack {ips[0]}"):
        compare_methylation(
            ip, own, background_of(study), study, peak_counts=(ip.drop(columns=ips[0]), own)
        )

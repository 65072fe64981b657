"""What besides methyl groups moves a peak: gene, circles, neighbouring peaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ringmark.annotation import Annotation, Gene, Transcript
from ringmark.bins import MAX_LENGTH, BinLayout
from ringmark.intervals import Blocks
from ringmark.peak_context import CIRCLE_ERROR, GeneFragments, peak_context

LENGTH = 150
INPUTS = ["r0_in", "r1_in", "r2_in", "s0_in", "s1_in", "s2_in"]
LEVELS = (np.array([0, 1, 2]), np.array([3, 4, 5]))


def blocks(*bounds, strand="+"):
    starts, ends = np.array(bounds, dtype=np.int64).reshape(-1, 2).T
    return Blocks(starts, ends, strand)


def layout_of(**genes):
    """A layout of genes, each given by the exons of its one transcript."""
    items = {
        name: Gene(name, name, "lncRNA", "chr1", exons.strand, (Transcript(name, exons),))
        for name, exons in genes.items()
    }
    return BinLayout.of(Annotation(items))


def peaks_of(*rows, region="3UTR"):
    """A table of peaks from gene, interval and summit; strand +."""
    table = pd.DataFrame(rows, columns=["gene_id", "start", "end", "summit"])
    sizes = (table["end"] - table["start"]).astype(str)
    table = table.assign(
        chrom="chr1", strand="+", block_sizes=sizes, block_starts="0", region=region
    )
    return table.set_axis([f"P{i}" for i in range(len(table))])


def context_of(peaks, counts, totals, layout, circles=None, crossing=None, stranded=True):
    lengths = np.zeros(MAX_LENGTH + 1, np.int64)
    lengths[LENGTH] = 1000
    counts = np.asarray(counts)
    names = INPUTS[: counts.shape[1]]
    libraries = {
        name: GeneFragments(np.array(column), lengths, stranded)
        for name, column in zip(names, np.asarray(totals).reshape(-1, len(names)).T, strict=True)
    }
    return peak_context(
        peaks,
        pd.DataFrame(counts, index=peaks.index, columns=names),
        layout,
        libraries,
        {name: ("chr1", where) for name, where in (circles or {}).items()},
        pd.DataFrame.from_dict(crossing or {}, orient="index", columns=names),
    )


ONE_GENE = layout_of(G=blocks((0, 3000)))
ONE_PEAK = peaks_of(("G", 1000, 1150, 1070))


# --- input fragments


def many_peaks(counts):
    """One peak in each of many genes."""
    names = [f"G{i}" for i in range(len(counts))]
    layout = layout_of(
        **{name: blocks((5000 * i, 5000 * i + 3000)) for i, name in enumerate(names)}
    )
    rows = [(name, 5000 * i + 100, 5000 * i + 250, 5000 * i + 170) for i, name in enumerate(names)]
    return peaks_of(*rows), layout


def test_a_gene_tells_the_input_of_a_weak_peak():
    rng = np.random.default_rng(4)
    rate = rng.uniform(1, 6, size=(200, 1)) * np.array([1, 1, 1, 3, 3, 3])
    own, rest = rng.poisson(rate), rng.poisson(20 * rate)
    peaks, layout = many_peaks(own)
    levels = context_of(peaks, own, own + rest, layout).input_levels(LEVELS)
    error = np.abs(np.log(levels.rate / rate)).mean()
    assert error < 0.6 * np.abs(np.log((own + 0.5) / rate)).mean()
    assert np.median(levels.fragments / rate) > 4
    # between levels it is at least as sure as it says
    test, reference = (levels.rate[:, columns].sum(axis=1) for columns in LEVELS)
    surer = sum(1 / levels.fragments[:, columns].sum(axis=1) for columns in LEVELS)
    error = np.log(test / reference) - np.log(1 / 3)
    assert 0.1 < (error**2 / surer).mean() < 1.1


def test_a_share_that_differs_between_libraries_is_not_told_by_the_gene():
    rng = np.random.default_rng(5)
    rest = np.full((200, 6), 400)
    own = rng.poisson(40, size=(200, 6))
    own[:40] = rng.poisson(40 * np.array([3, 3, 3, 0.3, 0.3, 0.3]), size=(40, 6))
    peaks, layout = many_peaks(own)
    levels = context_of(peaks, own, own + rest, layout).input_levels(LEVELS)
    gained = levels.fragments - own
    assert np.median(gained[:40]) < 5 < 30 < np.median(gained[40:])
    change = np.log(levels.rate[:40, :3].sum(axis=1) / levels.rate[:40, 3:].sum(axis=1))
    assert np.median(change) == pytest.approx(np.log(10), abs=0.25)


def test_a_peak_that_covers_its_gene_keeps_its_own_fragments():
    own = [[4, 5, 6, 4, 5, 6]]
    levels = context_of(ONE_PEAK, own, own, ONE_GENE).input_levels(LEVELS)
    assert levels.rate.tolist() == levels.fragments.tolist() == own
    assert not levels.log_ratio.any()


def test_a_peak_in_an_intron_keeps_its_own_fragments():
    own = [[4, 5, 6, 4, 5, 6]]
    layout = layout_of(G=blocks((0, 900), (1500, 3000)))
    peaks = peaks_of(("G", 1000, 1150, 1070), region="intron")
    levels = context_of(peaks, own, [[300] * 6], layout).input_levels(LEVELS)
    assert levels.rate.tolist() == levels.fragments.tolist() == own


def test_an_only_input_keeps_its_own_fragments():
    only = np.array([0]), np.array([0])
    levels = context_of(ONE_PEAK, [[4]], [[100]], ONE_GENE).input_levels(only)
    assert levels.rate.tolist() == [[4]]


def test_fragments_of_circles_elsewhere_on_the_gene_tell_nothing_of_a_peak():
    own = np.full((1, 6), 20)
    crossing = np.array([200, 200, 200, 0, 0, 0])
    circle = blocks((2000, 2150))
    context = context_of(
        ONE_PEAK, own, 220 + crossing[None, :], ONE_GENE, {"C": circle}, {"C": crossing}
    )
    assert context.gene.tolist() == [[220] * 6]
    assert context.gene_variance[0, 0] == 420 + 200 + (CIRCLE_ERROR * 200) ** 2
    told = context.input_levels(LEVELS).fragments
    better = context_of(ONE_PEAK, own, np.full((1, 6), 220), ONE_GENE).input_levels(LEVELS)
    assert own.sum() < told.sum() < 0.9 * better.fragments.sum()


def test_no_peaks():
    context = context_of(peaks_of(), np.zeros((0, 6)), np.ones((1, 6), int), ONE_GENE)
    assert context.input_levels(LEVELS).rate.shape == (0, 6)
    assert context.explained((np.zeros(0), np.zeros(0)), LEVELS)[0].shape == (0,)


# --- fragments of circles


@pytest.mark.parametrize(
    ("circle", "peak", "factor"),
    [
        # as long as a fragment or shorter: all fragments cross, and all overlap the peak
        (blocks((1000, 1100)), (1000, 1100), 1),
        (blocks((1000, 1100)), (1090, 1200), 1),
        # longer: one in L / F crosses, and (F + u) / L overlap
        (blocks((1000, 1600)), (1100, 1250), 600 / LENGTH * (LENGTH + 150) / 600),
        (blocks((1000, 1600)), (1550, 1700), 600 / LENGTH * (LENGTH + 50) / 600),
        (blocks((1000, 1200)), (1000, 1200), 200 / LENGTH),
        # the peak lies in the circle's intron, or beside it
        (blocks((800, 1000), (1300, 1500)), (1100, 1200), 0),
        (blocks((1000, 1200)), (1200, 1300), 0),
        # on the other strand
        (blocks((1000, 1600), strand="-"), (1100, 1250), 0),
    ],
)
def test_fragments_of_a_circle_at_a_peak(circle, peak, factor):
    peaks = peaks_of(("G", *peak, peak[0] + 10))
    crossing = {"C": np.arange(6)}
    context = context_of(peaks, [[50] * 6], [[500] * 6], ONE_GENE, {"C": circle}, crossing)
    found = context.circles[0].sum(axis=0)
    assert found.tolist() == pytest.approx((factor * np.arange(6)).tolist())
    expected = factor**2 * (5 + (CIRCLE_ERROR * 5) ** 2)
    assert context.circle_variance[0, 5] == pytest.approx(expected)


def test_unstranded_fragments_may_be_of_a_circle_of_the_other_strand():
    circle = {"C": blocks((1000, 1600), strand="-")}
    arguments = (ONE_PEAK, [[50] * 6], [[500] * 6], ONE_GENE, circle, {"C": [10] * 6})
    assert context_of(*arguments, stranded=False).circles[0].sum() > 0
    assert context_of(*arguments, stranded=True).circles[0].sum() == 0


# --- what circles explain


def explained(context, test, reference):
    folds = np.array([test], dtype=float), np.array([reference], dtype=float)
    return [float(value[0]) for value in context.explained(folds, LEVELS)]


def on_circle(linear, circular, circle=None):
    """A peak at which circles and linear RNA have so many fragments in each input."""
    circular = np.array(circular)
    circle = circle or blocks((1000, 1100))
    counts = [np.array(linear) + circular]
    return context_of(ONE_PEAK, counts, [[4000] * 6], ONE_GENE, {"C": circle}, {"C": circular})


@pytest.mark.parametrize(("linear_fold", "circular_fold"), [(1, 12), (12, 1), (3, 6), (1, 1)])
def test_circles_explain_the_change_that_their_share_makes(linear_fold, circular_fold):
    circular = np.array([160, 160, 160, 40, 40, 40])
    context = on_circle([100] * 6, circular)
    folds = [
        (100 * linear_fold + circular[level[0]] * circular_fold) / (100 + circular[level[0]])
        for level in LEVELS
    ]
    low, high = explained_with_strong_peak(context, folds)
    assert low - 0.02 <= np.log(folds[0] / folds[1]) <= high + 0.02
    # more than that is none of theirs
    assert high < np.log(12)


def explained_with_strong_peak(context, folds):
    """The change explained at the first peak where some other peak is enriched 12-fold."""
    more = replace(
        context,
        own=np.vstack([context.own, context.own]),
        circles=(context.circles[0], np.zeros((0, 6))),
        exonic=np.ones(2, dtype=bool),
        neighbours=np.zeros((2, 0), np.int64),
    )
    pairs = [np.array([fold, 12.0]) for fold in folds]
    return [float(value[0]) for value in more.explained(tuple(pairs), LEVELS)]


def test_a_circle_of_constant_share_explains_nothing():
    low, high = explained(on_circle([100, 110, 90] * 2, [50, 55, 45] * 2), 6, 3)
    assert low == pytest.approx(0, abs=1e-9)
    assert high == pytest.approx(0, abs=1e-9)


def test_a_peak_without_circle_or_neighbour_has_nothing_explained():
    context = context_of(ONE_PEAK, [[50] * 6], [[500] * 6], ONE_GENE)
    assert explained(context, 6, 3) == [0, 0]


def test_circles_with_more_fragments_than_there_are_keep_their_change():
    """The number of fragments a back-splice stands for is but roughly known, its change is not."""
    long = blocks((1000, 1600))
    context = context_of(
        ONE_PEAK, [[100] * 6], [[900] * 6], ONE_GENE, {"C": long}, {"C": [100] * 3 + [25] * 3}
    )
    assert context.circles[0][0, 0] > 100
    low, high = explained_with_strong_peak(context, (8, 3))
    assert high > np.log(8 / 3)
    assert low < 0


# --- what neighbours explain


def neighbours_of(*peaks, layout=ONE_GENE):
    table = peaks_of(*peaks)
    size = len(table)
    totals = [[5000] * 6] * len(layout.genes)
    return context_of(table, [[50] * 6] * size, totals, layout)


def test_a_neighbour_explains_the_change_of_what_reaches_over():
    context = neighbours_of(("G", 1000, 1100, 1050), ("G", 1150, 1250, 1175))
    # fragments of 150 nt, 76 nt from 1175 to the first peak and 100 nt from 1050 to the second
    assert context.reach.tolist() == pytest.approx([74 / 150, 50 / 150])
    # the site of the first peak is the same in both levels, that of the second one is not
    sites = np.array([[4.0, 8.0], [4.0, 1.0]])
    folds = tuple(1 + level + context.reach * level[::-1] for level in sites)
    low, high = context.explained(folds, LEVELS)
    assert high[0] == pytest.approx(np.log((5 + 8 * 74 / 150) / (5 + 74 / 150)))
    assert low[0] == 0
    # what the first peak adds to the second one does not differ
    assert high[1] == pytest.approx(0, abs=1e-9)
    assert low[1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("other", "layout"),
    [
        (("G", 1300, 1400, 1350), ONE_GENE),
        (("H", 1150, 1250, 1175), layout_of(G=blocks((0, 3000)), H=blocks((0, 2500)))),
    ],
)
def test_peaks_further_than_a_fragment_or_of_another_gene_are_no_neighbours(other, layout):
    assert not len(neighbours_of(("G", 1000, 1100, 1050), other, layout=layout).reach)


def test_neighbours_are_measured_along_the_rna():
    layout = layout_of(G=blocks((0, 1100), (9000, 10000)))
    context = neighbours_of(("G", 1000, 1100, 1050), ("G", 9020, 9120, 9060), layout=layout)
    assert context.reach[0] == pytest.approx((LENGTH - 61) / LENGTH)


def test_neighbours_in_introns_are_measured_along_the_genome():
    layout = layout_of(G=blocks((0, 900), (1500, 3000)))
    peaks = peaks_of(("G", 1000, 1100, 1050), ("G", 1150, 1250, 1175), region="intron")
    context = context_of(peaks, [[50] * 6] * 2, [[5000] * 6], layout)
    assert context.reach.tolist() == pytest.approx([74 / 150, 50 / 150])
    # a peak in an exon is on other molecules
    peaks.loc["P1", ["start", "end", "summit", "region"]] = [870, 900, 899, "3UTR"]
    assert not len(context_of(peaks, [[50] * 6] * 2, [[5000] * 6], layout).reach)

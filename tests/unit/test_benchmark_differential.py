"""The benchmark of the tests: what it counts, what it holds for true, what it makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.differential import evaluate, run
from benchmarks.differential.counts import Counts, simulate_counts
from benchmarks.differential.variants import VARIANTS
from benchmarks.figures import ALL
from ringmark.enrichment import circle_enrichment
from ringmark.simulate_parameters import PRESETS

SMALL = replace(
    PRESETS["tiny"], genes=60, genome_length=500_000, exonic_circles=14, read_pairs=9_000,
    differential_genes=10, low_coverage_fraction=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def counts() -> Counts:
    return simulate_counts(SMALL)


def test_counts_are_those_of_the_study(counts: Counts) -> None:
    names = [library.name for library in counts.study.libraries]
    for matrix in (counts.genes, counts.circles, counts.linear, counts.peaks):
        assert list(matrix.columns) == names
    assert counts.genes.sum().between(0.5 * SMALL.read_pairs, SMALL.read_pairs).all()
    assert len(counts.circles) == len(counts.linear) == len(counts.plan.circles)
    assert [pair.sample for pair in counts.study.pairs] == [
        library.sample for library in counts.study.inputs
    ]
    assert set(counts.background["ip_library"]) == {pair.ip.name for pair in counts.study.pairs}
    assert counts.circle_background.log_ratio.notna().all().all()


def test_the_background_is_that_of_what_has_no_site(counts: Counts) -> None:
    """The IP keeps the background of the library of fragments without m6A, and most with it."""
    ratios = counts.background.set_index("ip_library")["log_ratio"]
    kept = {library.name: library.background for library in counts.plan.libraries}
    scale = [ratio - np.log(kept[name]) for name, ratio in ratios.items()]
    assert np.ptp(scale) < 0.5
    sites = counts.peaks.sum(axis=0)
    for pair in counts.study.pairs:
        assert np.log(sites[pair.ip.name] / sites[pair.input.name]) > ratios[pair.ip.name] + 0.5


def test_outcomes_follow_what_was_planted(counts: Counts) -> None:
    found = evaluate.outcomes(counts)
    assert [item.test for item in found] == [*evaluate.TESTS, "circle_m6a", "circle_m6a"]
    genes = found[0].table
    assert genes["changed"].sum() == SMALL.differential_genes
    planted = counts.plan.expression.gene_changes
    assert (genes["planted"].to_numpy() == planted).all()
    called = genes[genes["padj"] < 0.05]
    assert (np.sign(called["change"]) == np.sign(called["planted"]))[called["changed"]].all()
    for item in found:
        assert not (item.table["changed"] & item.table["unchanged"]).any()
        assert not (item.table["wanted"] & ~item.table["changed"]).any()
    ratios = found[2].table
    hosts = np.array([circle.gene for circle in counts.plan.circles])
    assert not ratios.loc[hosts < 0, ["changed", "unchanged"]].to_numpy().any()


def test_m6a_out_of_reach_is_known(counts: Counts) -> None:
    tables = [item.table for item in evaluate.outcomes(counts) if item.test == "circle_m6a"]
    table = pd.concat(tables)
    assert table.loc[table["wanted"], "padj"].lt(0.05).mean() > 0.7
    assert not (table["out_of_reach"] & table["wanted"]).any()
    assert not (table["verdict"] == "not_methylated")[table["out_of_reach"]].any()


def test_permuted_labels_keep_the_totals(counts: Counts) -> None:
    random = np.random.default_rng(1)
    pairs = list(counts.study.pairs)
    permuted, background = evaluate._permuted_fragments(counts, pairs, random)
    for pair in pairs:
        both = [pair.ip.name, pair.input.name]
        assert (permuted[both].sum(axis=1) == counts.circles[both].sum(axis=1)).all()
        assert (permuted[both].sum() == counts.circles[both].sum()).all()
    table = circle_enrichment(permuted, pairs, background, 0.05)
    assert table["log2_enrichment"].abs().median() < 0.7
    exchanged, background = evaluate._exchanged_libraries(counts, pairs, random)
    swapped = [pair.ip.assay == "input" for pair in exchanged]
    assert 2 <= sum(swapped) <= 4
    for pair, before in zip(exchanged, pairs, strict=True):
        sign = -1 if pair.ip.assay == "input" else 1
        expected = sign * counts.circle_background.log_ratio[before.ip.name]
        assert (background.log_ratio[pair.ip.name] == expected).all()


def outcome(**columns: list[object]) -> evaluate.Outcome:
    return evaluate.Outcome("genes", pd.DataFrame(columns))


def test_figures_are_shares_of_the_right_features() -> None:
    found = outcome(
        pvalue=[0.01, 0.2, 0.04, 0.9, np.nan],
        padj=[0.02, 0.3, 0.04, 0.9, np.nan],
        change=[2.0, 0.1, 0.5, 0.0, np.nan],
        planted=[2.0, 1.0, 0.0, 0.0, 1.0],
        fragments=[50, 50, 500, 500, 5],
        changed=[True, True, False, False, True],
        wanted=[True, True, False, False, True],
        unchanged=[False, False, True, True, False],
    )
    figures = evaluate.figures_of([found, found], {"fragments": [0, 0, 3]})
    values = {(item.name, item.subset): (item.value, item.size) for item in figures}
    assert values["genes_below_05", ALL] == (0.5, 4)
    assert values["genes_false_discovery", ALL] == (0.5, 4)
    assert values["genes_power", ALL] == (pytest.approx(1 / 3), 6)
    assert values["genes_power", "fragments 50-99"] == (0.5, 4)
    assert values["genes_slope", ALL] == (pytest.approx((4 + 0.1) / 5), 4)
    assert values["permuted_fragments_without_call", ALL] == (pytest.approx(2 / 3), 3)


def test_a_small_run_writes_figures_and_summary(tmp_path: Path, monkeypatch) -> None:
    small = {"genes": 40, "genome_length": 400_000, "contigs": 2, "retro_copies": 0,
             "paralogues": 0, "overlapping_genes": 0, "tandem_duplications": 0,
             "processed_pseudogenes": 0, "repeats": 0, "inverted_repeats": 0, "chimeras": 0,
             "exonic_circles": 6, "short_circles": 2, "exon_intron_circles": 0,
             "intronic_circles": 0, "antisense_circles": 0, "intergenic_circles": 1,
             "novel_circles": 0, "at_ac_circles": 0, "differential_genes": 4,
             "differential_circles": 2, "intron_median": 300.0, "intron_max": 2000,
             "last_exon_max": 900, "replicates": 2}  # fmt: skip
    variant = VARIANTS["null_main"]
    monkeypatch.setitem(
        VARIANTS, "null_main", replace(variant, changes={**small, **variant.changes})
    )
    options = ["--variant", "null_main", "--studies", "1", "--seed", "3", "--read-pairs", "4000"]
    for _ in range(2):
        assert run.main([*options, "--output", str(tmp_path)]) == 0
    results = run.RESULTS.read(tmp_path / "figures.tsv")
    assert not results.duplicated(["variant", "figure", "subset"]).any()
    assert {"genes_below_05", "circle_m6a_false_discovery"} <= set(results["figure"])
    text = (tmp_path / "summary.md").read_text()
    assert "null_main 3 1" in text


def test_every_variant_has_sound_parameters_and_targets() -> None:
    for name, variant in VARIANTS.items():
        parameters = variant.parameters(1)
        assert variant.expect in evaluate.TARGETS
        nothing = parameters.differential_genes == parameters.differential_circles == 0
        assert nothing == (name.startswith("null_") or name == "unadjusted")

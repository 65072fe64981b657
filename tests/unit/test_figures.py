from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
import report_study as study

from ringmark import figures, tables

SHEET = study.libraries()
NAMES = SHEET["library"].tolist()
IDS = study.circle_ids()
COLOURS = figures.condition_colours(SHEET["condition"].tolist(), "resistant", "sensitive")
BACK_SPLICES = study.counts(IDS, NAMES, "circle", 3, 1)
LINEAR = study.counts(IDS, NAMES, "circle", 9, 2)
GENES = study.counts([f"G{place}" for place in range(60)], NAMES, "gene_id", 60, 3)
COMPARISON = figures.Comparison("genes", "genes", "fold change", 0.05, frozenset({"G004"}))


def all_figures() -> list[figures.Figure | None]:
    table = study.differential([f"G{place:03d}" for place in range(1, 41)])
    verdicts = pd.DataFrame(
        {"claim_id": ["a", "b"], "review": ["one", "two"], "verdict": ["confirmed", "odd"]}
    )
    return [
        figures.read_fate(SHEET),
        figures.strandedness(SHEET),
        figures.library_components(GENES, SHEET, COLOURS),
        figures.library_correlation(GENES),
        figures.circles_per_library(BACK_SPLICES, SHEET, COLOURS),
        figures.circle_types(study.circles()),
        figures.circle_lengths(study.circles()),
        figures.circle_exons(study.circles()),
        figures.circle_share_by_expression(BACK_SPLICES, LINEAR, SHEET),
        figures.peak_widths(study.peaks()),
        figures.peak_enrichment(study.peaks()),
        figures.peak_regions(study.peaks(), COLOURS),
        figures.drach_distance(study.peaks()),
        figures.metagene(study.metagene(), COLOURS),
        figures.motif_logo(study.motif()),
        figures.saturation(study.saturation(), COLOURS),
        figures.pair_quality(study.quality(SHEET)),
        figures.circle_tiers(study.circle_m6a()),
        figures.junction_reads(study.circle_m6a()),
        figures.volcano(table, COMPARISON),
        figures.ma_plot(table, COMPARISON),
        figures.claim_verdicts(verdicts),
    ]


@pytest.fixture(scope="module")
def drawn() -> list[figures.Figure]:
    return [figure for figure in all_figures() if figure is not None]


def test_every_figure_is_drawn_and_well_formed(drawn):
    assert len(drawn) == 22
    for figure in drawn:
        root = ElementTree.fromstring(figure.svg)
        assert root.get("role") == "img"
        assert root.get("aria-label") == figure.alt
        assert root.get("viewBox")
        assert root.get("width") is None


def test_text_stays_text_and_nothing_is_fetched(drawn):
    for figure in drawn:
        assert "<text" in figure.svg
        assert not re.search(r'href="(?!#|data:)', figure.svg)
        assert "<metadata" not in figure.svg


def test_identifiers_are_unique_on_a_page(drawn):
    names = [name for figure in drawn for name in re.findall(r'\bid="([^"]+)"', figure.svg)]
    assert len(names) == len(set(names))
    for figure in drawn:
        targets = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', figure.svg)
        assert {a or b for a, b in targets} <= set(names)


def test_theme_colours_become_variables(drawn):
    for figure in drawn:
        assert "var(--figure-ink, #1c2024)" in figure.svg
        assert ": #1c2024" not in figure.svg


def test_the_same_tables_give_the_same_bytes():
    first = figures.circle_lengths(study.circles())
    assert first == figures.circle_lengths(study.circles())


def test_user_settings_of_matplotlib_do_not_matter():
    import matplotlib

    first = figures.circle_types(study.circles())
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path"}):
        assert figures.circle_types(study.circles()) == first


def test_empty_tables_draw_nothing():
    nothing = study.overlap()[:0]
    assert figures.read_fate(tables.LIBRARIES.empty()) is None
    assert figures.strandedness(tables.LIBRARIES.empty()) is None
    assert figures.library_correlation(GENES[:0]) is None
    assert figures.library_components(GENES[:0], SHEET, COLOURS) is None
    assert figures.circles_per_library(BACK_SPLICES[:0], SHEET, COLOURS) is None
    empty = tables.CIRCLES.empty()
    for draw in (figures.circle_types, figures.circle_lengths, figures.circle_exons):
        assert draw(empty) is None
    assert figures.circle_share_by_expression(BACK_SPLICES[:0], LINEAR[:0], SHEET) is None
    empty = tables.PEAKS.empty()
    for draw in (figures.peak_widths, figures.peak_enrichment, figures.drach_distance):
        assert draw(empty) is None
    assert figures.peak_regions(empty, COLOURS) is None
    assert figures.pair_quality(tables.QUALITY.empty()) is None
    assert figures.metagene(tables.METAGENE.empty(), COLOURS) is None
    assert figures.motif_logo(tables.MOTIF.empty()) is None
    assert figures.saturation(tables.SATURATION.empty(), COLOURS) is None
    assert figures.saturation(study.saturation((0, 0, 0, 0)), COLOURS) is None
    assert figures.circle_tiers(tables.CIRCLE_M6A.empty()) is None
    assert figures.junction_reads(tables.CIRCLE_M6A.empty()) is None
    assert figures.volcano(tables.DIFFERENTIAL.empty(), COMPARISON) is None
    assert figures.ma_plot(tables.DIFFERENTIAL.empty(), COMPARISON) is None
    assert figures.claim_verdicts(nothing) is None


def test_one_record_is_drawn():
    one = study.circles(1)
    assert figures.circle_lengths(one) is not None
    assert figures.circle_exons(one) is not None
    assert figures.circle_types(one) is not None
    assert figures.peak_widths(study.peaks(1)) is not None
    assert figures.metagene(study.metagene(1), COLOURS) is not None
    assert figures.motif_logo(study.motif(1)) is not None
    assert figures.saturation(study.saturation((0, 0, 0, 1)), COLOURS) is not None
    assert figures.ma_plot(study.differential(["G001"]), COMPARISON) is not None
    assert figures.library_correlation(GENES[NAMES[:1]]) is None


def test_a_volcano_needs_a_p_value_and_an_ma_plot_does_not():
    table = study.differential(["G001", "G002"], "exploratory")
    assert figures.volcano(table, COMPARISON) is None
    assert figures.ma_plot(table, COMPARISON) is not None


def test_infinite_fold_changes_are_left_out():
    table = study.differential(["G001", "G002", "G003"])
    table.loc[0, "log2FoldChange"] = np.inf
    assert "2 genes" in figures.volcano(table, COMPARISON).alt
    assert "2 genes" in figures.ma_plot(table, COMPARISON).alt


def test_a_p_value_of_zero_is_drawn():
    table = study.differential(["G001", "G002"])
    table.loc[0, ["pvalue", "padj"]] = 0.0
    assert figures.volcano(table, COMPARISON) is not None


def test_reviewed_features_are_named_on_the_volcano():
    table = study.differential([f"G{place:03d}" for place in range(1, 41)], "unchanged")
    figure = figures.volcano(table, COMPARISON)
    assert ">GENE4<" in figure.svg
    assert ">GENE9<" not in figure.svg
    assert "in a review (1)" in figure.svg


def test_many_points_become_a_picture():
    many = study.differential([f"G{place}" for place in range(2000)], "unchanged")
    figure = figures.ma_plot(many, COMPARISON)
    assert "data:image/png;base64," in figure.svg
    assert len(figure.svg) < 200_000


def test_classes_follow_sign_and_threshold_and_missing_is_same():
    table = pd.DataFrame(
        {"padj": [0.01, 0.01, 0.2, np.nan], "log2FoldChange": [1.0, -1.0, 3.0, 3.0]}
    )
    assert figures.classes(table, 0.05).tolist() == ["up", "down", "same", "same"]


def test_circular_share_is_that_of_the_ratio_table():
    back_splices = pd.DataFrame({"a": [3, 0], "b": [1, 0]}, index=["x", "y"])
    linear = pd.DataFrame({"a": [5, 0], "b": [3, 0]}, index=["x", "y"])
    table = figures.circular_share(back_splices, linear)
    assert table.loc["x", "share"] == pytest.approx(4 / 12)
    assert np.isnan(table.loc["y", "share"])


def test_peak_lengths_add_the_blocks():
    peaks = study.peaks(3)
    peaks["block_sizes"] = ["10,20,", "7", None]
    assert figures.peak_lengths(peaks).tolist() == [30, 7, 0]


def test_principal_components_separate_groups_and_need_three_libraries():
    generator = np.random.default_rng(1)
    base = generator.gamma(2, 200, size=(300, 1)) * np.ones((1, 6))
    base[:60, 3:] *= 8
    counts = pd.DataFrame(generator.poisson(base), columns=list("abcdef"))
    scores, shares = figures.principal_components(counts)
    first = scores["PC1"].to_numpy()
    assert max(first[:3]) < min(first[3:]) or min(first[:3]) > max(first[3:])
    assert shares[0] > 0.8
    assert figures.principal_components(counts[["a", "b"]]) is None
    assert figures.principal_components(counts * 0) is None


def test_condition_colours_are_fixed_for_the_contrast():
    colours = figures.condition_colours(["other", "s", "r"], "r", "s")
    assert colours["r"] == figures.VERMILION
    assert colours["s"] == figures.BLUE
    assert len(set(colours.values())) == 3
    assert len(set(figures.condition_colours(["x", "y", "z"], None, None).values())) == 3

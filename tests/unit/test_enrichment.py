"""m6A on circles: the test of back-splice fragments, DRACH motifs and peaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from ringmark.annotation import Annotation, Gene, Transcript
from ringmark.detection import Reach
from ringmark.enrichment import (
    MIN_FRAGMENTS,
    TYPICAL_LOG2_ENRICHMENT,
    CircleBackground,
    PeaksOnCircles,
    circle_enrichment,
    circle_m6a_table,
    drach_on_circle,
    typical_enrichment,
)
from ringmark.intervals import Blocks
from ringmark.study import Library, Pair
from ringmark.tables import CIRCLE_M6A, DETECTION, GENE_BACKGROUND, PEAKS, POOLED

#: IP fragments for one input fragment of background.
RATIO = 0.5


def library(sample: str, condition: str, assay: str) -> Library:
    return Library(
        name=f"{sample}_{assay}",
        sample=sample,
        condition=condition,
        assay=assay,
        strandedness="reverse",
        runs=(),
        covariates={},
        input_library=None,
    )


def pairs(replicates: int, conditions: Sequence[str] = ("a", "b")) -> list[Pair]:
    return [
        Pair(library(sample, condition, "ip"), library(sample, condition, "input"))
        for condition in conditions
        for sample in (f"{condition}{number}" for number in range(replicates))
    ]


def background(
    study: Sequence[Pair], counts: pd.DataFrame, ratio: float = RATIO, error: float = 0.0
) -> CircleBackground:
    """The same ratio of all circles in all pairs, known up to an error."""
    columns = [pair.ip.name for pair in study]
    return CircleBackground(
        pd.DataFrame(np.log(ratio), counts.index, columns),
        pd.DataFrame(error, counts.index, columns),
    )


def draw(
    study: Sequence[Pair],
    circles: int,
    factors: np.ndarray,
    seed: int = 1,
    depth: float = 40,
    noise: float = 0.0,
    ratio: float = RATIO,
) -> pd.DataFrame:
    """Draw fragments of circles; ``factors`` is their enrichment over background."""
    random = np.random.default_rng(seed)
    expected = random.lognormal(np.log(depth), 0.8, circles)
    counts = {}
    for pair in study:
        levels = factors * random.lognormal(0, noise, circles)
        counts[pair.ip.name] = random.poisson(expected * ratio * levels)
        counts[pair.input.name] = random.poisson(expected)
    return pd.DataFrame(counts, index=[f"c{number}" for number in range(circles)])


# ---------------------------------------------------------------- the test


@pytest.mark.parametrize("replicates", [1, 2, 3])
def test_null_gives_no_enrichment(replicates: int) -> None:
    study = pairs(replicates, ("a",))
    counts = draw(study, 400, np.ones(400), noise=0.1 * (replicates > 1))
    result = circle_enrichment(counts, study, background(study, counts), 0.05)
    assert (result["padj"] < 0.05).sum() <= 1
    assert (result["pvalue"] < 0.05).mean() < 0.075


@pytest.mark.parametrize("replicates", [1, 3])
def test_planted_enrichment_is_found(replicates: int) -> None:
    study = pairs(replicates, ("a",))
    factors = np.ones(200)
    factors[:60] = 6
    counts = draw(study, 200, factors, noise=0.1)
    result = circle_enrichment(counts, study, background(study, counts), 0.05)
    hit = (result["padj"] < 0.05).to_numpy()
    assert hit[:60].mean() > 0.85
    assert hit[60:].sum() <= 0.1 * hit.sum()
    found = result["log2_enrichment"].to_numpy()[:60]
    assert np.median(found) == pytest.approx(np.log2(6), abs=0.3)


def test_depletion_is_not_enrichment() -> None:
    study = pairs(3, ("a",))
    counts = draw(study, 50, np.full(50, 0.2))
    result = circle_enrichment(counts, study, background(study, counts), 0.05)
    assert (result["log2_enrichment"] < 0).all()
    assert result["pvalue"].min() > 0.5


@pytest.mark.parametrize("ratio", [0.1, 1.0, 8.0])
def test_enrichment_is_relative_to_the_background(ratio: float) -> None:
    study = pairs(3, ("a",))
    counts = draw(study, 100, np.ones(100), depth=200, ratio=ratio)
    right = circle_enrichment(counts, study, background(study, counts, ratio), 0.05)
    assert abs(right["log2_enrichment"].median()) < 0.15
    assert not (right["padj"] < 0.05).any()
    wrong = circle_enrichment(counts, study, background(study, counts, ratio / 4), 0.05)
    assert wrong["log2_enrichment"].median() == pytest.approx(2, abs=0.2)
    assert (wrong["padj"] < 0.05).mean() > 0.9


def test_each_pair_has_its_own_background() -> None:
    study = pairs(2, ("a",))
    counts = pd.DataFrame(
        {"a0_ip": [100], "a0_input": [50], "a1_ip": [25], "a1_input": [50]}, index=["c"]
    )
    ratios = pd.DataFrame({"a0_ip": np.log(2), "a1_ip": np.log(0.5)}, index=["c"])
    result = circle_enrichment(counts, study, CircleBackground(ratios, ratios * 0), 0.05)
    assert result["log2_enrichment"].item() == pytest.approx(0, abs=0.01)


def test_reads_are_those_of_the_chosen_pairs() -> None:
    study = pairs(2)
    counts = draw(study, 4, np.ones(4))
    result = circle_enrichment(counts, study[:2], background(study, counts), 0.05)
    assert result["ip_reads"].tolist() == (counts["a0_ip"] + counts["a1_ip"]).tolist()
    assert result["input_reads"].tolist() == (counts["a0_input"] + counts["a1_input"]).tolist()


def test_circles_without_enough_fragments_have_no_p_value() -> None:
    study = pairs(1, ("a",))
    counts = pd.DataFrame(
        {"a0_ip": [0, MIN_FRAGMENTS - 1, MIN_FRAGMENTS, 60], "a0_input": [0, 0, 0, 20]},
        index=list("wxyz"),
    )
    result = circle_enrichment(counts, study, background(study, counts), 0.05)
    assert result["pvalue"].isna().tolist() == [True, True, False, False]
    assert result["padj"].isna().tolist() == [True, True, False, False]
    assert np.isnan(result.loc["w", "log2_enrichment"])
    assert result.loc["z", "padj"] < 0.05


def test_no_input_fragment_is_no_division_by_zero() -> None:
    study = pairs(2, ("a",))
    counts = draw(study, 50, np.ones(50))
    counts.loc["c0"] = [30, 0, 25, 0]
    counts.loc["c1"] = [0, 30, 0, 30]
    result = circle_enrichment(counts, study, background(study, counts), 0.05)
    assert np.isfinite(result["log2_enrichment"]).all()
    assert result.loc["c0", "padj"] < 0.01
    assert result.loc["c1", "pvalue"] > 0.5


def test_no_circle_at_all() -> None:
    study = pairs(2)
    counts = draw(study, 0, np.ones(0))
    result = circle_enrichment(counts, study, background(study, counts), 0.05)
    assert result.empty
    assert list(result.columns) == [
        "ip_reads", "input_reads", "log2_enrichment", "pvalue", "padj", "smallest_log2_enrichment",
    ]  # fmt: skip


def test_circles_without_any_fragment() -> None:
    study = pairs(2)
    counts = draw(study, 3, np.ones(3)) * 0
    result = circle_enrichment(counts, study, background(study, counts), 0.05)
    assert result[["ip_reads", "input_reads"]].to_numpy().sum() == 0
    assert result.drop(columns=["ip_reads", "input_reads"]).isna().all().all()


def test_replicates_that_disagree_are_no_evidence() -> None:
    """One replicate enriched 30 times, two not at all: the spread between them counts."""
    study = pairs(3, ("a",))
    counts = draw(study, 60, np.ones(60), depth=60)
    counts.loc["c0", ["a0_ip", "a1_ip", "a2_ip"]] = [900, 30, 30]
    counts.loc["c0", ["a0_input", "a1_input", "a2_input"]] = 60
    counts.loc["c1", ["a0_ip", "a1_ip", "a2_ip"]] = 320
    counts.loc["c1", ["a0_input", "a1_input", "a2_input"]] = 60
    result = circle_enrichment(counts, study, background(study, counts), 0.05)
    assert result.loc["c1", "padj"] < 0.05
    assert result.loc["c0", "pvalue"] > 100 * result.loc["c1", "pvalue"]


def test_what_replicates_share_is_no_evidence() -> None:
    """Host genes that deviate from the library's ratio: without the error too many pass."""
    study = pairs(3, ("a",))
    own = np.random.default_rng(5).lognormal(0, 0.3, 600)
    counts = draw(study, 600, own, depth=200)
    told = circle_enrichment(counts, study, background(study, counts, error=0.3), 0.05)
    untold = circle_enrichment(counts, study, background(study, counts), 0.05)
    assert 0.03 <= (told["pvalue"] < 0.05).mean() <= 0.065
    assert (untold["pvalue"] < 0.05).mean() > 0.15
    assert (told["padj"] < 0.05).sum() <= 1
    assert told["log2_enrichment"].equals(untold["log2_enrichment"])


def test_strong_circles_do_not_make_others_unseeable() -> None:
    """What could have been found is what one more circle would have needed."""
    study = pairs(3, ("a",))
    limits = []
    for strong in (0, 5):
        factors = np.ones(100)
        factors[:strong] = 30
        counts = draw(study, 100, factors, seed=4)
        result = circle_enrichment(counts, study, background(study, counts), 0.05)
        limits.append(result["smallest_log2_enrichment"].iloc[5:].median())
    assert limits[1] == pytest.approx(limits[0], abs=0.4)


def test_a_pair_with_next_to_no_fragment_is_no_replicate() -> None:
    study = pairs(2, ("a",))
    counts = draw(study, 300, np.r_[np.full(60, 8.0), np.ones(240)])
    counts[["a1_ip", "a1_input"]] = 0
    counts.loc["c100", "a1_input"] = 1
    result = circle_enrichment(counts, study, background(study, counts), 0.05)
    assert (result["padj"] < 0.05)[:60].mean() > 0.9
    assert (result["padj"] < 0.05)[60:].sum() <= 6


def test_an_input_that_ips_share_counts_once() -> None:
    """Three IPs over one input know no more of the input than one does."""
    study = pairs(3, ("a",))
    shared = [Pair(pair.ip, study[0].input) for pair in study]
    random = np.random.default_rng(6)
    inputs = random.poisson(12, 600)
    counts = pd.DataFrame(
        {pair.ip.name: random.poisson(12 * RATIO, 600) for pair in study}
        | {study[0].input.name: inputs},
        index=[f"c{number}" for number in range(600)],
    )
    result = circle_enrichment(counts, shared, background(study, counts), 0.05)
    assert (result["input_reads"] == inputs).all()
    assert (result["pvalue"] < 0.05).mean() < 0.075


def genes_background() -> pd.DataFrame:
    rows = [
        (None, "a_ip", -1.0, 0.3),
        (None, "b_ip", -2.0, 0.4),
        ("G1", "a_ip", -0.5, 0.1),
        ("G1", "b_ip", -1.5, 0.1),
        ("G2", "a_ip", -0.8, 0.2),
    ]
    columns = list(GENE_BACKGROUND.columns)
    return GENE_BACKGROUND.frame([dict(zip(columns, row, strict=True)) for row in rows])


def test_background_is_that_of_the_host_gene() -> None:
    hosts = pd.Series({"x": "G1", "y": "G2", "z": "G9", "w": None, "v": "G1"}, dtype="string")
    found = CircleBackground.of_genes(genes_background(), hosts)
    assert found.log_ratio.index.tolist() == list("xyzwv")
    assert found.log_ratio["a_ip"].tolist() == [-0.5, -0.8, -1.0, -1.0, -0.5]
    # G2 has no fragments in b
    assert found.log_ratio["b_ip"].tolist() == [-1.5, -2.0, -2.0, -2.0, -1.5]
    assert found.error["b_ip"].tolist() == [0.1, 0.4, 0.4, 0.4, 0.1]


def test_background_without_genes_or_circles() -> None:
    rows = genes_background().iloc[:2]
    found = CircleBackground.of_genes(rows, pd.Series({"x": "G1"}, dtype="string"))
    assert found.log_ratio.loc["x"].tolist() == [-1.0, -2.0]
    none = CircleBackground.of_genes(genes_background(), pd.Series([], dtype="string"))
    assert none.log_ratio.shape == (0, 2)


# ---------------------------------------------------------------- DRACH


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        ("TTTTTGGACTTTTTTT", (1, 7)),
        ("GGACTTTTTTTTTTTT", (1, 2)),
        ("TTTTTTTTTTTGGACT", (1, 2)),
        # the back-splice makes the motif: GGA|CT, GGAC|T, G|GACT and GG|ACT
        ("CTTTTTTTTTTTTGGA", (1, 0)),
        ("TTTTTTTTTTTTGGAC", (1, 1)),
        ("GACTTTTTTTTTTTTG", (1, 1)),
        ("ACTTTTTTTTTTTTGG", (1, 0)),
        ("TTTTTTTTTTTTTTTT", (0, None)),
        ("GGACTTTTGGACATTT", (2, 2)),
        ("AAACAAACAAAC", (3, 1)),
        ("", (0, None)),
        ("G", (0, None)),
    ],
)
def test_drach_on_circle(sequence: str, expected: tuple[int, int | None]) -> None:
    assert drach_on_circle(sequence) == expected


# ---------------------------------------------------------------- peaks


def gene(strand: str = "+") -> Annotation:
    exons = Blocks(np.array([100, 300, 500]), np.array([200, 400, 600]), strand)
    one = Gene("G", "Gn", "protein_coding", "c", strand, (Transcript("T", exons),))
    return Annotation({"G": one})


def peak(
    name: str,
    start: int,
    end: int,
    conditions: str = "a,b",
    strand: str = "+",
    pvalue: float = 1e-5,
    blocks: Sequence[tuple[int, int]] | None = None,
) -> dict[str, object]:
    parts = blocks or [(start, end)]
    return dict.fromkeys(PEAKS.columns) | {
        "peak": name,
        "chrom": "c",
        "start": start,
        "end": end,
        "strand": strand,
        "block_sizes": ",".join(str(right - left) for left, right in parts),
        "block_starts": ",".join(str(left - start) for left, _ in parts),
        "pvalue": pvalue,
        "conditions": conditions,
    }


CIRCLE = Blocks(np.array([300]), np.array([600]), "+")


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (320, 360, ("3", "p")),
        (420, 460, ("2", "p")),
        (390, 410, ("2", "p")),
        (590, 700, ("3", "p")),
        (599, 700, ("3", "p")),
        (600, 700, ("none", None)),
        (120, 180, ("none", None)),
        (290, 301, ("3", "p")),
    ],
)
def test_tiers_of_peaks(start: int, end: int, expected: tuple[str, str | None]) -> None:
    """The circle keeps the intron 400-500, which no linear exon covers."""
    peaks = PeaksOnCircles(PEAKS.frame([peak("p", start, end)]), gene())
    assert peaks.evidence("c", CIRCLE, POOLED) == expected


def test_a_peak_that_only_spans_the_circles_intron_is_not_on_it() -> None:
    spliced = Blocks(np.array([300, 500]), np.array([400, 600]), "+")
    inside = PeaksOnCircles(PEAKS.frame([peak("p", 420, 460)]), gene())
    assert inside.evidence("c", spliced, POOLED) == ("none", None)
    jumping = peak("p", 150, 650, blocks=[(150, 200), (640, 650)])
    assert PeaksOnCircles(PEAKS.frame([jumping]), gene()).evidence("c", spliced, POOLED) == (
        "none",
        None,
    )


def test_peaks_of_the_other_strand_or_contig_do_not_count() -> None:
    minus = PeaksOnCircles(PEAKS.frame([peak("p", 320, 360, strand="-")]), gene())
    assert minus.evidence("c", CIRCLE, POOLED) == ("none", None)
    plus = PeaksOnCircles(PEAKS.frame([peak("p", 320, 360)]), gene())
    assert plus.evidence("d", CIRCLE, POOLED) == ("none", None)


def test_a_gene_of_the_other_strand_is_no_linear_rival() -> None:
    peaks = PeaksOnCircles(PEAKS.frame([peak("p", 320, 360)]), gene("-"))
    assert peaks.evidence("c", CIRCLE, POOLED) == ("2", "p")


def test_peaks_count_in_their_conditions() -> None:
    table = PEAKS.frame([peak("p", 320, 360, "a"), peak("q", 420, 460, "b")])
    peaks = PeaksOnCircles(table, gene())
    assert peaks.evidence("c", CIRCLE, "a") == ("3", "p")
    assert peaks.evidence("c", CIRCLE, "b") == ("2", "q")
    assert peaks.evidence("c", CIRCLE, POOLED) == ("2", "q")
    assert peaks.evidence("c", CIRCLE, "other") == ("none", None)


def test_the_strongest_peak_of_the_best_tier_is_named() -> None:
    table = PEAKS.frame(
        [
            peak("weak", 310, 320, pvalue=1e-3),
            peak("strong", 330, 340, pvalue=1e-9),
            peak("equal", 350, 360, pvalue=1e-9),
        ]
    )
    assert PeaksOnCircles(table, gene()).evidence("c", CIRCLE, POOLED) == ("3", "equal")


def test_no_peaks_and_no_genes() -> None:
    peaks = PeaksOnCircles(PEAKS.empty(), Annotation())
    assert peaks.evidence("c", CIRCLE, POOLED) == ("none", None)
    alone = PeaksOnCircles(PEAKS.frame([peak("p", 320, 360)]), Annotation())
    assert alone.evidence("c", CIRCLE, POOLED) == ("2", "p")


# ---------------------------------------------------------------- the table


def table_of(
    counts: pd.DataFrame,
    study: Sequence[Pair],
    rows: Sequence[dict[str, object]] = (),
    reach: Reach | None = None,
) -> pd.DataFrame:
    sequence = "T" * 95 + "GGACT" + "T" * 200
    circles = {str(name): ("c", CIRCLE, sequence) for name in counts.index}
    return circle_m6a_table(
        circles,
        counts,
        study,
        background(study, counts),
        PEAKS.frame(list(rows)),
        gene(),
        0.05,
        reach,
    )


def test_table_lists_conditions_and_the_pool() -> None:
    study = pairs(2)
    table = table_of(draw(study, 3, np.ones(3)), study)
    assert set(table.columns) == {*CIRCLE_M6A.columns, *DETECTION.columns}
    assert table["circle"].tolist() == [f"c{n}" for n in range(3) for _ in range(3)]
    assert table["condition"].tolist() == ["a", "b", POOLED] * 3
    assert set(table["drach"]) == {1}
    assert set(table["nearest_drach_to_junction"]) == {97}
    pooled = table[table["condition"] == POOLED].set_index("circle")
    apart = table[table["condition"] != POOLED].groupby("circle")
    assert (apart["ip_reads"].sum() == pooled["ip_reads"]).all()


def test_null_has_no_tier_1_and_peaks_give_the_others() -> None:
    study = pairs(3)
    counts = draw(study, 100, np.ones(100))
    assert set(table_of(counts, study)["tier"]) == {"none"}
    table = table_of(counts, study, [peak("p", 320, 360, "a")])
    tiers = {name: set(group["tier"]) for name, group in table.groupby("condition")}
    assert tiers == {"a": {"3"}, "b": {"none"}, POOLED: {"3"}}
    assert table[table["condition"] == "b"]["linear_peak"].isna().all()


def test_enriched_circles_are_tier_1_where_they_are_enriched() -> None:
    study = pairs(3)
    counts = draw(study, 100, np.ones(100), depth=150)
    counts.loc["c5", [f"a{number}_ip" for number in range(3)]] = 1000
    counts.loc["c5", [f"a{number}_input" for number in range(3)]] = 150
    table = table_of(counts, study, [peak("p", 320, 360)]).set_index(["circle", "condition"])
    assert table.loc[("c5", "a"), "tier"] == "1"
    assert table.loc[("c5", "b"), "tier"] == "3"
    # the peak stands beside the stronger evidence
    assert table.loc[("c5", "a"), "linear_peak"] == "p"
    assert (table[table.index.get_level_values("circle") != "c5"]["tier"] == "3").all()


def test_one_pair_without_replicates() -> None:
    study = pairs(1, ("a",))
    counts = draw(study, 50, np.r_[np.full(10, 8.0), np.ones(40)], depth=150)
    table = table_of(counts, study)
    pooled = table[table["condition"] == POOLED].set_index("circle")["tier"]
    assert (pooled.iloc[:10] == "1").mean() >= 0.8
    assert (pooled.iloc[10:] == "1").sum() <= 1


def test_no_circles() -> None:
    study = pairs(2)
    table = table_of(draw(study, 0, np.ones(0)), study)
    assert table.empty
    assert set(table.columns) == {*CIRCLE_M6A.columns, *DETECTION.columns}


def test_missing_values_are_missing_in_the_table() -> None:
    study = pairs(1, ("a",))
    counts = pd.DataFrame({"a0_ip": [0, 2], "a0_input": [0, 2]}, index=["nothing", "few"])
    table = table_of(counts, study).set_index(["circle", "condition"])
    assert table.loc[("nothing", "a"), ["log2_enrichment", "pvalue", "padj"]].isna().all()
    assert table.loc[("few", "a"), ["pvalue", "padj"]].isna().all()
    assert np.isfinite(table.loc[("few", "a"), "log2_enrichment"])
    assert (table["tier"] == "none").all()
    assert table["linear_peak"].isna().all()


#: Fragments of 150 nt each, and none.
REACH = Reach(150.0, np.maximum(1 - np.arange(151) / 150, 0.0))


def test_three_answers_of_what_is_not_enriched() -> None:
    """The circle of 300 nt is reached everywhere, a peak at the opposite end hardly."""
    study = pairs(3, ("a",))
    counts = draw(study, 40, np.ones(40), depth=60)
    counts.loc["c0"] = [1, 2, 0, 1, 2, 1]
    counts.loc["c1", ["a0_ip", "a1_ip", "a2_ip"]] = 1000
    near = Reach(150.0, np.ones(151))
    for reach, others in ((near, "not_methylated"), (REACH, "not_seen"), (None, "not_seen")):
        table = table_of(counts, study, reach=reach).set_index(["circle", "condition"])
        assert table.loc[("c0", "a"), "verdict"] == "cannot_be_seen"
        assert table.loc[("c1", "a"), "verdict"] == "methylated"
        assert table.loc[("c2", "a"), "verdict"] == others
        assert table["within_reach"].isna().all() == (reach is None)


def test_the_typical_enrichment_is_that_of_the_peaks_of_the_condition() -> None:
    assert typical_enrichment(PEAKS.empty(), "a") == TYPICAL_LOG2_ENRICHMENT
    rows = [peak(f"p{n}", 310, 320, "a") | {"log2_enrichment": 3.0} for n in range(20)]
    rows += [peak(f"q{n}", 310, 320, "b") | {"log2_enrichment": 1.5} for n in range(30)]
    table = PEAKS.frame(rows)
    assert typical_enrichment(table, "a") == 3.0
    assert typical_enrichment(table, "b") == 1.5
    assert typical_enrichment(table, POOLED) == 1.5

"""Claims against a study: matching, verdicts, set tests, chains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ringmark import regulators, tables
from ringmark.regulators import StudyTables

FIRST_TABLE = "Table 1, row 1"


def claim(claim_id: str, **values: object) -> dict[str, object]:
    """Return a claim; the entity is its symbol unless said otherwise."""
    row: dict[str, object] = dict.fromkeys(regulators.CLAIMS.columns, pd.NA)
    row |= {
        "claim_id": claim_id,
        "review": "lin2022",
        "location": FIRST_TABLE,
        "entity": values.get("symbol", claim_id),
        "entity_type": "gene",
        "role": "regulator",
        "reference": "1",
    }
    return row | values


def claims_of(*rows: dict[str, object]) -> pd.DataFrame:
    return regulators.CLAIMS.frame(list(rows))


def edges_of(*edges: tuple[str, str, str, str, int]) -> pd.DataFrame:
    """Return chains from (axis, claim, source, target, sign)."""
    rows = [
        {
            "axis_id": axis,
            "review": "lin2022",
            "claim_id": claim_id,
            "step": 1,
            "source": source,
            "source_type": "gene",
            "relation": "regulates",
            "target": target,
            "target_type": "gene",
            "sign": sign,
            "cancer": pd.NA,
            "therapy": pd.NA,
        }
        for axis, claim_id, source, target, sign in edges
    ]
    return regulators.AXES.frame(rows)


NO_EDGES = regulators.AXES.empty()


def result(
    feature: str, change: float, padj: float, gene: str | None = None, **values: object
) -> dict[str, object]:
    """Return a row of a differential table; its p-value is a tenth of the adjusted one."""
    return {
        "id": feature,
        "gene_id": values.pop("gene_id", f"ID_{gene or feature}"),
        "gene_name": gene or feature,
        "baseMean": 100.0,
        "log2FoldChange": change,
        "lfcSE": 0.25,
        "stat": change / 0.25,
        "pvalue": padj / 10,
        "padj": padj,
        **values,
    }


def differential(*rows: dict[str, object]) -> pd.DataFrame:
    return tables.DIFFERENTIAL.frame(list(rows))


def circle_row(circle: str, gene: str) -> dict[str, object]:
    chrom, span, strand = circle.split(":")
    start, end = span.split("-")
    return {
        "circle": circle,
        "chrom": chrom,
        "start": int(start),
        "end": int(end),
        "strand": strand,
        "type": "exonic",
        "gene_id": f"ID_{gene}",
        "gene_name": gene,
        "exons": 1,
        "spliced_length": 100,
        "splice_motif": "GT-AG",
        "annotated_ends": "both",
        "libraries": 2,
        "reads": 10,
        "confidence": "high",
    }


def verdict_of(claims: pd.DataFrame, study: StudyTables, comparison: str = "expression") -> str:
    table = regulators.overlap(claims, NO_EDGES, study)
    return table.loc[table["comparison"] == comparison, "verdict"].item()


# --- verdicts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "change", "padj", "verdict"),
    [
        ("up", 1.0, 0.01, "confirmed"),
        ("up", -1.0, 0.01, "contradicted"),
        ("down", -1.0, 0.01, "confirmed"),
        ("down", 1.0, 0.01, "contradicted"),
        ("up", 1.0, 0.05, "unchanged"),
        ("up", 0.0, 0.01, "unchanged"),
        (pd.NA, 1.0, 0.01, "not measurable"),
    ],
)
def test_verdict(direction: object, change: float, padj: float, verdict: str):
    claims = claims_of(claim("c-1", symbol="FTO", direction_in_resistance=direction))
    assert verdict_of(claims, StudyTables(differential(result("FTO", change, padj)))) == verdict


@pytest.mark.parametrize(
    ("effect", "verdict"), [("promotes", "confirmed"), ("reverses", "contradicted")]
)
def test_effect_gives_the_sign_where_there_is_no_direction(effect: str, verdict: str):
    claims = claims_of(claim("c-1", symbol="FTO", effect=effect))
    table = regulators.overlap(
        claims, NO_EDGES, StudyTables(differential(result("FTO", 1.0, 0.001)))
    )
    first = table.iloc[0]
    assert first["verdict"] == verdict
    assert "inferred" in first["reason"]


def test_direction_goes_before_effect():
    claims = claims_of(
        claim("c-1", symbol="FTO", direction_in_resistance="down", effect="promotes")
    )
    assert verdict_of(claims, StudyTables(differential(result("FTO", 1, 0.01)))) == "contradicted"


def test_without_replicates_the_change_is_given_and_nothing_concluded():
    genes = differential(
        result("FTO", 2.0, np.nan, stat=np.nan, lfcSE=np.nan),
        result("WTAP", 0.1, np.nan, stat=np.nan, lfcSE=np.nan),
    )
    claims = claims_of(claim("c-1", symbol="FTO", direction_in_resistance="up"))
    row = regulators.overlap(claims, NO_EDGES, StudyTables(genes)).iloc[0]
    assert row["verdict"] == "not measurable"
    assert row["reason"] == "no replicates: exploratory fold change only"
    assert row["log2FoldChange"] == 2.0
    assert row["expected_sign"] == 1


def test_filtered_gene_of_a_replicated_study_is_not_called_unreplicated():
    genes = differential(
        result("FTO", 2.0, np.nan, pvalue=0.01),
        result("YTHDC1", 2.0, np.nan),
        result("WTAP", 0.1, 0.9),
    )
    claims = claims_of(
        claim("c-1", symbol="FTO", direction_in_resistance="up"),
        claim("c-2", symbol="YTHDC1", direction_in_resistance="up"),
    )
    table = regulators.overlap(claims, NO_EDGES, StudyTables(genes))
    reasons = table.loc[table["comparison"] == "expression", "reason"].tolist()
    assert reasons == ["too few reads to be tested", "no p-value: no reads, or an outlier"]


def test_unchanged_gives_the_power():
    genes = differential(result("FTO", 0.1, 0.9, lfcSE=0.1), result("WTAP", 0.1, 0.9, lfcSE=2.0))
    claims = claims_of(
        claim("c-1", symbol="FTO", direction_in_resistance="up"),
        claim("c-2", symbol="WTAP", direction_in_resistance="up"),
    )
    table = regulators.overlap(claims, NO_EDGES, StudyTables(genes))
    reasons = table.loc[table["comparison"] == "expression", "reason"].tolist()
    assert "twofold change 1.00" in reasons[0]
    assert "twofold change 0.0" in reasons[1]


def test_power_is_that_of_simulated_tests():
    generator = np.random.default_rng(3)
    estimates = generator.normal(1.0, 0.4, 200_000)
    share = (2 * stats.norm.sf(np.abs(estimates) / 0.4) < 0.01).mean()
    assert regulators.power_of_twofold(0.4, 0.01) == pytest.approx(share, abs=0.005)


@pytest.mark.parametrize("kind", regulators.UNMEASURED_TYPES)
def test_what_no_library_measures_is_one_row_with_its_reason(kind: str):
    claims = claims_of(claim("c-1", entity="FTO", entity_type=kind, direction_in_resistance="up"))
    table = regulators.overlap(claims, NO_EDGES, StudyTables(differential(result("FTO", 2, 0.01))))
    assert table["verdict"].tolist() == ["not measurable"]
    assert table["reason"].tolist() == [regulators.UNMEASURED_TYPES[kind]]
    assert table["match"].tolist() == ["none"]


# --- matching -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "gene_id", "aliases", "match"),
    [
        ("VIRMA", "G1", pd.NA, "symbol"),
        ("KIAA1429", "G1", "KIAA1429", "alias"),
        ("other", "VIRMA", pd.NA, "gene_id"),
        ("other", "ENSG00000164944.12", "ENSG00000164944", "gene_id"),
        ("other", "G1", "KIAA1429", "none"),
    ],
)
def test_genes_match_by_symbol_alias_or_id(name: str, gene_id: str, aliases: object, match: str):
    claims = claims_of(claim("c-1", symbol="VIRMA", aliases=aliases, direction_in_resistance="up"))
    genes = differential(result("feature", 1.0, 0.01, name, gene_id=gene_id))
    row = regulators.overlap(claims, NO_EDGES, StudyTables(genes)).iloc[0]
    assert row["match"] == match
    assert (row["verdict"] == "confirmed") == (match != "none")


def test_approved_symbol_goes_before_an_alias():
    genes = differential(result("old", -1.0, 0.01), result("NEW", 1.0, 0.01))
    claims = claims_of(claim("c-1", symbol="NEW", aliases="old", direction_in_resistance="up"))
    row = regulators.overlap(claims, NO_EDGES, StudyTables(genes)).iloc[0]
    assert (row["matched_feature"], row["verdict"]) == ("NEW", "confirmed")


def test_gene_without_name_is_never_matched():
    genes = differential(result("a", 1, 0.01) | {"gene_name": pd.NA, "gene_id": pd.NA})
    claims = claims_of(claim("c-1", entity="PFN", symbol=pd.NA, direction_in_resistance="up"))
    row = regulators.overlap(claims, NO_EDGES, StudyTables(genes)).iloc[0]
    assert row["match"] == "none"


CIRCLE = claim(
    "c-1",
    entity="circCUX1",
    symbol="circCUX1",
    entity_type="circRNA",
    host_gene="CUX1",
    direction_in_resistance="up",
)
GENES = differential(result("FTO", 0.1, 0.9))
INSIDE, OTHER = "chr7:100-900:+", "chr7:300-900:+"


def test_every_circle_of_the_host_gene_is_a_row_that_says_so():
    circles = differential(
        result(INSIDE, 1.0, 0.01, "CUX1"),
        result(OTHER, -1.0, 0.01, "CUX1"),
        result("chr8:1-9:+", 1.0, 0.01, "FAT1"),
    )
    table = regulators.overlap(claims_of(CIRCLE), NO_EDGES, StudyTables(GENES, circles=circles))
    rows = table[table["comparison"] == "circle"]
    assert rows["matched_feature"].tolist() == [INSIDE, OTHER]
    assert rows["match"].tolist() == ["host_gene", "host_gene"]
    assert rows["verdict"].tolist() == ["confirmed", "contradicted"]
    assert rows["reason"].str.contains("one of 2 circles of the host gene").all()


@pytest.mark.parametrize(
    ("assembly", "match", "rows"),
    [("hg38", "coordinates", 1), ("hg19", "host_gene", 2), (None, "host_gene", 2)],
)
def test_a_place_counts_only_in_its_assembly(assembly: str | None, match: str, rows: int):
    placed = claims_of(CIRCLE | {"aliases": f"hg38:{INSIDE}"})
    circles = differential(result(INSIDE, 1, 0.01, "CUX1"), result(OTHER, 1, 0.01, "CUX1"))
    study = StudyTables(GENES, circles=circles, assembly=assembly)
    table = regulators.overlap(placed, NO_EDGES, study)
    found = table.loc[table["comparison"] == "circle", "match"].tolist()
    assert found == [match] * rows


def test_circle_of_a_renamed_host_gene_is_found_by_the_old_name():
    renamed = claims_of(CIRCLE | {"host_gene": "DOP1B", "aliases": "circDOPEY2;DOPEY2"})
    study = StudyTables(GENES, circles=differential(result(INSIDE, 1, 0.01, "DOPEY2")))
    table = regulators.overlap(renamed, NO_EDGES, study)
    assert table.loc[table["comparison"] == "circle", "match"].tolist() == ["host_gene"]


def test_circle_without_host_gene_or_place_cannot_be_found():
    unknown = claims_of(CIRCLE | {"host_gene": pd.NA, "symbol": "hsa_circ_0007031"})
    study = StudyTables(GENES, circles=differential(result(INSIDE, 1, 0.01, "CUX1")))
    row = regulators.overlap(unknown, NO_EDGES, study).iloc[0]
    assert (row["match"], row["verdict"]) == ("none", "not measurable")
    assert "neither host gene nor coordinates" in row["reason"]


def test_circle_transcribed_from_its_own_gene_is_found_by_symbol():
    own = claims_of(CIRCLE | {"symbol": "CDR1-AS", "host_gene": pd.NA})
    study = StudyTables(GENES, circles=differential(result(INSIDE, 1, 0.01, "CDR1-AS")))
    row = regulators.overlap(own, NO_EDGES, study).iloc[0]
    assert (row["match"], row["verdict"]) == ("symbol", "confirmed")


def test_circle_in_the_catalogue_but_not_tested_says_both():
    catalogue = tables.CIRCLES.frame([circle_row(INSIDE, "CUX1")])
    study = StudyTables(GENES, circles=differential(), catalogue=catalogue)
    table = regulators.overlap(claims_of(CIRCLE), NO_EDGES, study)
    first = table[table["comparison"] == "circle"].iloc[0]
    assert first["matched_feature"] == INSIDE
    assert first["reason"] == "found in the study, but not tested"
    ratio = table[table["comparison"] == "ratio"].iloc[0]
    assert "no test of the circular-to-linear ratio" in ratio["reason"]


def test_host_gene_without_circle_is_named():
    study = StudyTables(GENES, circles=differential(result(INSIDE, 1, 0.01, "FAT1")))
    row = regulators.overlap(claims_of(CIRCLE), NO_EDGES, study).iloc[0]
    assert row["reason"] == "no circle of CUX1 in the study"


# --- m6A ------------------------------------------------------------------------------------------

METHYLATED = claims_of(
    claim("w-1", symbol="METTL3", entity_type="writer", effect="promotes"),
    CIRCLE | {"claim_id": "k-1", "direction_in_resistance": pd.NA, "effect": "promotes"},
)
METHYLATED_EDGES = edges_of(
    ("a-1", "w-1", "METTL3", "m6A(circCUX1)", 1),
    ("a-1", "k-1", "m6A(circCUX1)", "circCUX1", 1),
    ("a-1", "k-1", "circCUX1", regulators.RESISTANCE, 1),
)


def test_expected_sign_of_m6a_is_that_of_the_path_to_resistance():
    chains = regulators.read_chains(METHYLATED_EDGES, METHYLATED)
    assert regulators.m6a_signs(chains) == {"k-1": 1}
    flipped = METHYLATED_EDGES.assign(sign=[1, -1, 1])
    assert regulators.m6a_signs(regulators.read_chains(flipped, METHYLATED)) == {"k-1": -1}


def test_methylation_of_a_circle_is_judged_and_its_tier_told():
    m6a = tables.CIRCLE_M6A.frame(
        [
            {
                "circle": INSIDE,
                "condition": "pooled",
                "ip_reads": 20,
                "input_reads": 4,
                "log2_enrichment": 2.0,
                "pvalue": 0.001,
                "padj": 0.01,
                "tier": "1",
                "drach": 2,
                "nearest_drach_to_junction": 5,
                "linear_peak": pd.NA,
            }
        ]
    )
    study = StudyTables(
        GENES,
        circle_methylation=differential(result(INSIDE, 1.5, 0.01, "CUX1")),
        circle_m6a=m6a,
        catalogue=tables.CIRCLES.frame([circle_row(INSIDE, "CUX1")]),
    )
    table = regulators.overlap(METHYLATED, METHYLATED_EDGES, study)
    row = table[table["comparison"] == "m6A on the circle"].iloc[0]
    assert row["verdict"] == "confirmed"
    assert "m6A seen, tier 1" in row["reason"]
    untested = regulators.overlap(
        METHYLATED, METHYLATED_EDGES, replace(study, circle_methylation=None)
    )
    row = untested[untested["comparison"] == "m6A on the circle"].iloc[0]
    assert row["verdict"] == "not measurable"
    assert row["matched_feature"] == INSIDE
    assert "m6A seen, tier 1" in row["reason"]


def test_peak_without_claimed_direction_keeps_its_value():
    claims = claims_of(claim("c-1", symbol="FTO", direction_in_resistance="up"))
    study = StudyTables(GENES, methylation=differential(result("chr1:5-9:+", 2, 0.01, "FTO")))
    table = regulators.overlap(claims, NO_EDGES, study)
    row = table[table["comparison"] == "m6A on the entity"].iloc[0]
    assert row["verdict"] == "not measurable"
    assert row["log2FoldChange"] == 2
    assert row["reason"].startswith("the review gives no direction")


def test_study_without_ip_says_so():
    claims = claims_of(claim("c-1", symbol="FTO", direction_in_resistance="up"))
    table = regulators.overlap(claims, NO_EDGES, StudyTables(GENES))
    row = table[table["comparison"] == "m6A on the entity"].iloc[0]
    assert row["reason"] == "the study has no differential test of methylation"


# --- empty ----------------------------------------------------------------------------------------


def test_no_claims_give_empty_tables():
    claims, study = regulators.CLAIMS.empty(), StudyTables(GENES)
    overlaps = regulators.overlap(claims, NO_EDGES, study)
    assert list(overlaps.columns) == list(regulators.OVERLAP.columns)
    assert overlaps.empty
    assert regulators.enrichment(claims, GENES).empty
    assert regulators.judge_chains(NO_EDGES, claims, overlaps).empty


def test_tables_without_rows_leave_everything_not_measurable():
    empty = tables.DIFFERENTIAL.empty()
    study = StudyTables(
        empty,
        circles=empty,
        ratio=tables.CIRCLE_RATIO.empty(),
        methylation=empty,
        circle_methylation=empty,
        catalogue=tables.CIRCLES.empty(),
        peaks=tables.PEAKS.empty(),
        circle_m6a=tables.CIRCLE_M6A.empty(),
    )
    overlaps = regulators.overlap(METHYLATED, METHYLATED_EDGES, study)
    assert set(overlaps["verdict"]) == {"not measurable"}
    assert overlaps["reason"].notna().all()
    sets = regulators.enrichment(METHYLATED, empty)
    assert sets["measured"].tolist() == [0] * len(sets)
    assert sets["pvalue"].isna().all()
    chains = regulators.judge_chains(METHYLATED_EDGES, METHYLATED, overlaps)
    assert chains["coherent"].isna().all()


# --- planted --------------------------------------------------------------------------------------


def planted_study(seed: int, true: int, false: int, null: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return claims and genes: estimates of known changes with noise, tested and adjusted."""
    generator = np.random.default_rng(seed)
    number, error = 3000, 0.3
    names = [f"GENE{index}" for index in range(number)]
    claimed = true + false + null
    directions = generator.choice([-1, 1], claimed)
    effects = np.zeros(number)
    effects[:true] = 2 * directions[:true]
    effects[true : true + false] = -2 * directions[true : true + false]
    change = effects + generator.normal(0, error, number)
    stat = change / error
    pvalue = 2 * stats.norm.sf(np.abs(stat))
    genes = tables.DIFFERENTIAL.frame(
        pd.DataFrame(
            {
                "id": names,
                "gene_id": names,
                "gene_name": names,
                "baseMean": generator.lognormal(4, 2, number),
                "log2FoldChange": change,
                "lfcSE": error,
                "stat": stat,
                "pvalue": pvalue,
                "padj": stats.false_discovery_control(pvalue),
            }
        )
    )
    words = {1: "up", -1: "down"}
    claims = claims_of(
        *(
            claim(f"c-{index}", symbol=names[index], direction_in_resistance=words[sign])
            for index, sign in enumerate(directions.tolist())
        )
    )
    return claims, genes


def test_planted_claims_are_confirmed_contradicted_and_left_alone():
    claims, genes = planted_study(11, true=30, false=10, null=160)
    table = regulators.overlap(claims, NO_EDGES, StudyTables(genes))
    verdicts = table.loc[table["comparison"] == "expression", "verdict"].to_numpy()
    assert (verdicts[:30] == "confirmed").sum() >= 28
    assert (verdicts[30:40] == "contradicted").sum() >= 9
    assert (verdicts[40:] != "unchanged").sum() <= 8
    row = regulators.enrichment(claims, genes).set_index("set").loc["all claims"]
    assert row["measured"] == 200
    assert row["changed"] >= 38
    assert row["pvalue"] < 1e-6
    assert row["rank_pvalue"] < 0.01
    assert row["sign_pvalue"] < 0.05


def test_enrichment_is_not_fooled_by_expression():
    """Highly expressed genes change more often; a set of them alone is no finding."""
    generator = np.random.default_rng(5)
    number = 4000
    mean = np.sort(generator.lognormal(4, 2, number))
    chance = np.linspace(0, 0.6, number)
    pvalue = np.where(generator.random(number) < chance, 1e-6, generator.uniform(0.2, 1, number))
    genes = differential(
        *(
            result(f"GENE{index}", 1.0, float(pvalue[index]), baseMean=float(mean[index]))
            for index in range(number)
        )
    ).assign(stat=stats.norm.isf(pvalue / 2))
    chosen = generator.choice(np.arange(3600, number), 100, replace=False)
    claims = claims_of(
        *(
            claim(f"c-{index}", symbol=f"GENE{index}", direction_in_resistance="up")
            for index in chosen.tolist()
        )
    )
    row = regulators.enrichment(claims, genes).set_index("set").loc["all claims"]
    changed = pvalue < 0.05
    naive = stats.hypergeom.sf(changed[chosen].sum() - 1, number, changed.sum(), len(chosen))
    assert naive < 1e-4
    assert row["pvalue"] > 0.01
    assert row["rank_pvalue"] > 0.01


def test_enrichment_pvalues_are_uniform_or_larger_under_the_null():
    pvalues: dict[str, list[float]] = {"pvalue": [], "sign_pvalue": [], "rank_pvalue": []}
    for seed in range(100):
        generator = np.random.default_rng(seed)
        number = 400
        change = generator.normal(0, 1, number)
        genes = pd.DataFrame(
            {
                "id": [f"GENE{index}" for index in range(number)],
                "baseMean": generator.lognormal(4, 2, number),
                "log2FoldChange": change,
                "lfcSE": 1.0,
                "stat": change,
                "pvalue": 2 * stats.norm.sf(np.abs(change)),
            }
        )
        genes = genes.assign(gene_id=genes["id"], gene_name=genes["id"], padj=genes["pvalue"])
        chosen = generator.choice(number, 40, replace=False).tolist()
        claims = claims_of(
            *(
                claim(
                    f"c-{index}",
                    symbol=f"GENE{index}",
                    direction_in_resistance=("up", "down")[position % 2],
                )
                for position, index in enumerate(chosen)
            )
        )
        row = regulators.enrichment(claims, tables.DIFFERENTIAL.frame(genes), fdr=0.3).iloc[0]
        for name, values in pvalues.items():
            values.append(float(row[name]))
    for name, values in pvalues.items():
        assert stats.kstest(values, "uniform", alternative="greater").pvalue > 0.001, name
    assert stats.kstest(pvalues["rank_pvalue"], "uniform").pvalue > 0.001


# --- set tests ------------------------------------------------------------------------------------


def test_one_stratum_is_fishers_exact_test():
    generator = np.random.default_rng(1)
    inside, changed = generator.random(80) < 0.3, generator.random(80) < 0.4
    found = regulators.stratified_test(inside, changed, np.zeros(80, dtype=np.int64))
    table = [
        [(inside & changed).sum(), (inside & ~changed).sum()],
        [(~inside & changed).sum(), (~inside & ~changed).sum()],
    ]
    expected = stats.fisher_exact(table, alternative="greater")
    assert found["pvalue"] == pytest.approx(expected.pvalue)
    assert found["odds_ratio"] == pytest.approx(expected.statistic)
    assert found["expected_changed"] == pytest.approx(inside.sum() * changed.mean())


def test_strata_agree_with_permutation_inside_them():
    generator = np.random.default_rng(2)
    stratum = np.repeat([0, 1], 60)
    changed = generator.random(120) < np.where(stratum == 0, 0.1, 0.6)
    inside = np.zeros(120, dtype=bool)
    inside[[0, 1, 2, 60, 61, 62, 63, 64, 65, 66]] = True
    observed = (inside & changed).sum()
    hits = []
    for _ in range(4000):
        shuffled = np.concatenate([generator.permutation(part) for part in np.split(changed, 2)])
        hits.append((inside & shuffled).sum())
    found = regulators.stratified_test(inside, changed, stratum)
    assert found["pvalue"] == pytest.approx(np.mean(np.array(hits) >= observed), abs=0.025)
    assert found["expected_changed"] == pytest.approx(np.mean(hits), abs=0.08)


def test_a_gene_counts_once_and_contradicting_claims_have_no_sign():
    claims = claims_of(
        claim("c-1", symbol="FTO", direction_in_resistance="up", entity_type="eraser"),
        claim("c-2", symbol="FTO", direction_in_resistance="down", entity_type="eraser"),
        claim("c-3", symbol="ALKBH5", direction_in_resistance="up", entity_type="eraser"),
    )
    genes = differential(result("FTO", 1, 0.01), result("ALKBH5", 1, 0.01), result("B", -1, 0.01))
    row = regulators.enrichment(claims, genes).set_index("set").loc["erasers"]
    assert (row["size"], row["measured"], row["changed"]) == (2, 2, 2)
    assert (row["agree"], row["disagree"]) == (1, 0)
    assert row["sign_pvalue"] == pytest.approx(2 / 3)


def test_without_replicates_sets_have_counts_and_no_pvalue():
    genes = differential(
        result("FTO", 1, np.nan, stat=np.nan), result("B", -1, np.nan, stat=np.nan)
    )
    claims = claims_of(claim("c-1", symbol="FTO", direction_in_resistance="up"))
    row = regulators.enrichment(claims, genes).iloc[0]
    assert (row["measured"], row["agree"], row["disagree"]) == (1, 1, 0)
    assert pd.isna(row["changed"])
    assert row[["pvalue", "sign_pvalue", "rank_pvalue", "padj"]].isna().all()


def test_sets_are_named_and_circles_are_in_none():
    claims = claims_of(
        claim(
            "c-1",
            symbol="METTL3",
            entity_type="writer",
            mechanism="autophagy;redox",
            therapy_class="targeted",
        ),
        CIRCLE | {"claim_id": "c-2", "location": "Table 2, row 1"},
    )
    names = [name for name, _ in regulators.claim_sets(claims)]
    assert names == [
        "all claims",
        "writers",
        "mechanism: autophagy",
        "mechanism: redox",
        "therapy class: targeted",
        "table: lin2022 Table 1",
    ]


# --- chains ---------------------------------------------------------------------------------------

SPONGE = claims_of(
    CIRCLE,
    claim("c-2", entity="miR-1", entity_type="microRNA", direction_in_resistance="down"),
    claim("c-3", symbol="ABCC1", direction_in_resistance="up"),
)
SPONGE_EDGES = edges_of(
    ("a-1", "c-1", "circCUX1", "miR-1", -1),
    ("a-1", "c-2", "miR-1", "ABCC1", -1),
    ("a-1", "c-3", "ABCC1", regulators.RESISTANCE, 1),
)


def judged(circle: float, gene: float, padj: float = 0.01) -> pd.Series:
    study = StudyTables(
        differential(result("ABCC1", gene, padj)),
        circles=differential(result(INSIDE, circle, 0.01, "CUX1")),
    )
    overlaps = regulators.overlap(SPONGE, SPONGE_EDGES, study)
    return regulators.judge_chains(SPONGE_EDGES, SPONGE, overlaps).iloc[0]


@pytest.mark.parametrize(
    ("circle", "gene", "padj", "agreeing", "disagreeing", "coherent"),
    [
        (1.0, 1.0, 0.01, 2, 0, "yes"),
        (-1.0, -1.0, 0.01, 1, 1, "no"),
        (1.0, -1.0, 0.01, 0, 2, "no"),
        (1.0, 1.0, 0.5, 0, 0, None),
    ],
)
def test_a_sponge_is_seen_through_its_microrna(
    circle: float, gene: float, padj: float, agreeing: int, disagreeing: int, coherent: str | None
):
    row = judged(circle, gene, padj)
    assert row["members"] == "circCUX1;miR-1;ABCC1;resistance"
    assert (row["links"], row["links_seen"]) == (3, 2)
    assert (row["links_agreeing"], row["links_disagreeing"]) == (agreeing, disagreeing)
    assert (None if pd.isna(row["coherent"]) else row["coherent"]) == coherent


def test_measured_members_are_shown_with_their_sign():
    assert judged(1.0, -1.0)["measured"] == "circCUX1:+;ABCC1:-"
    assert judged(1.0, -1.0, 0.5)["measured"] == "circCUX1:+;ABCC1:0"


def test_one_member_alone_agrees_but_makes_no_chain_coherent():
    study = StudyTables(differential(result("ABCC1", 1, 0.01)))
    overlaps = regulators.overlap(SPONGE, SPONGE_EDGES, study)
    row = regulators.judge_chains(SPONGE_EDGES, SPONGE, overlaps).iloc[0]
    assert (row["links_seen"], row["links_agreeing"]) == (1, 1)
    assert pd.isna(row["coherent"])


def test_circles_of_a_host_gene_that_disagree_hide_the_node():
    study = StudyTables(
        differential(result("ABCC1", 1, 0.01)),
        circles=differential(result(INSIDE, 1, 0.01, "CUX1"), result(OTHER, -1, 0.01, "CUX1")),
    )
    overlaps = regulators.overlap(SPONGE, SPONGE_EDGES, study)
    row = regulators.judge_chains(SPONGE_EDGES, SPONGE, overlaps).iloc[0]
    assert row["measured"] == "ABCC1:+"


def test_chain_of_filtered_claims_is_left_out():
    assert regulators.read_chains(SPONGE_EDGES, SPONGE.iloc[:2]) == []


def test_paths_of_both_signs_give_no_sign():
    edges = edges_of(
        ("a-1", "c-1", "circCUX1", "ABCC1", 1),
        ("a-1", "c-1", "circCUX1", regulators.RESISTANCE, -1),
        ("a-1", "c-3", "ABCC1", regulators.RESISTANCE, 1),
    )
    chain = regulators.read_chains(edges, SPONGE)[0]
    assert chain.sign_to_resistance("circCUX1") is None
    assert chain.sign_to_resistance("ABCC1") == 1
    assert chain.sign_to_resistance("absent") is None


def test_a_loop_ends():
    edges = edges_of(
        ("a-1", "c-1", "circCUX1", "ABCC1", 1),
        ("a-1", "c-3", "ABCC1", "circCUX1", 1),
        ("a-1", "c-3", "ABCC1", regulators.RESISTANCE, 1),
    )
    chain = regulators.read_chains(edges, SPONGE)[0]
    assert chain.sign_to_resistance("circCUX1") == 1
    assert chain.visible_links({regulators.RESISTANCE, "circCUX1"}) == [
        ("circCUX1", regulators.RESISTANCE, 1)
    ]


# --- checks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("entity_type", "protein", "entity_type 'protein'"),
        ("direction_in_resistance", "higher", "direction_in_resistance 'higher'"),
        ("effect", "helps", "effect 'helps'"),
        ("therapy_class", "targeted;surgery", "therapy_class 'surgery'"),
        ("mechanism", "magic", "mechanism 'magic'"),
        ("symbol", "fto", "symbol 'fto'"),
        ("location", "page 3", "location 'page 3'"),
        ("reference", pd.NA, "reference is empty"),
        ("entity", pd.NA, "entity is empty"),
        ("partner", "ULK1", "partner and partner_relation"),
        ("symbol", pd.NA, "no symbol and no note"),
        ("claim_id", "no dash?", "claim_id"),
    ],
)
def test_a_wrong_value_is_named(column: str, value: object, message: str):
    claims = claims_of(claim("c-1", symbol="FTO") | {column: value})
    problems = regulators.check_claims(claims)
    assert len(problems) == 1
    assert problems[0].startswith("row 2: ")
    assert message in problems[0]


def test_good_claims_have_no_problem():
    assert regulators.check_claims(SPONGE.assign(symbol=["circCUX1", "hsa-miR-1", "ABCC1"])) == []


def test_circle_without_host_gene_needs_a_note():
    claims = claims_of(CIRCLE | {"host_gene": pd.NA})
    assert regulators.check_claims(claims) == ["row 2: no host gene and no note that says why"]


def test_repeated_claim_is_named():
    claims = claims_of(claim("c-1", symbol="FTO"), claim("c-1", symbol="FTO"))
    assert regulators.check_claims(claims) == ["row 3: claim_id 'c-1' stands twice"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"claim_id": "x-9"}, "claim_id 'x-9' is not in the claims"),
        ({"relation": "likes"}, "relation 'likes' is unknown"),
        ({"relation": "sponges", "sign": 1}, "sign 1 does not fit 'sponges'"),
        ({"relation": "binds", "sign": 0}, "sign 0 does not fit 'binds'"),
        ({"sign": 1}, "the path from circCUX1 to resistance has the sign -1"),
    ],
)
def test_a_wrong_edge_is_named(change: dict[str, object], message: str):
    edges = SPONGE_EDGES.copy()
    for column, value in change.items():
        edges.loc[0, column] = value
    problems = regulators.check_axes(edges, SPONGE)
    assert len(problems) == 1
    assert message in problems[0]


def test_filter_keeps_claims_with_one_of_the_words():
    claims = claims_of(
        claim("c-1", cancer="breast cancer;melanoma", therapy="cisplatin"),
        claim("c-2", cancer="melanoma", therapy="tamoxifen"),
        claim("c-3", therapy="cisplatin"),
    )
    kept = regulators.filter_claims(claims, cancer=["Breast Cancer"])
    assert kept["claim_id"].tolist() == ["c-1"]
    kept = regulators.filter_claims(claims, cancer=["melanoma"], therapy=["tamoxifen"])
    assert kept["claim_id"].tolist() == ["c-2"]
    assert len(regulators.filter_claims(claims)) == 3

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import report_study as study
import yaml

from ringmark import report, tables
from ringmark.study import Contrast

ASSETS = Path(__file__).resolve().parents[2] / "workflow" / "report"
COLUMNS = yaml.safe_load((ASSETS / "columns.yaml").read_text(encoding="utf-8"))
CAPTIONS = yaml.safe_load((ASSETS / "captions.yaml").read_text(encoding="utf-8"))
KIND = report.KINDS[1]


def evidence(**frames: pd.DataFrame) -> report.Evidence:
    frames.setdefault("libraries", study.libraries())
    return report.Evidence(
        tables=frames,
        columns=COLUMNS,
        captions=CAPTIONS,
        contrast=Contrast("condition", "resistant", "sensitive"),
    )


def test_every_column_of_every_table_is_described_once():
    for key, table in report.SCHEMAS.items():
        for column in table.columns:
            assert report.describe(evidence(), key, column), (key, column)
    known = {"path", "bytes", "sha256"}
    known |= {column for table in report.SCHEMAS.values() for column in table.columns}
    assert set(COLUMNS["common"]) <= known
    for key in set(COLUMNS) - {"common"}:
        assert set(COLUMNS[key]) <= set(report.SCHEMAS[key].columns)


def test_changes_count_what_the_table_says():
    table = study.differential(study.circle_ids())
    change = report.changes(table, 0.05)
    significant = table[table["padj"] < 0.05]
    assert change.up == (significant["log2FoldChange"] > 0).sum() > 0
    assert change.down == (significant["log2FoldChange"] < 0).sum() > 0
    assert change.tested == 12
    assert not change.exploratory


def test_change_sentences():
    ids = study.circle_ids()
    key = "circle_differential"
    full = report.change_sentence(evidence(**{key: study.differential(ids)}), KIND)
    assert full.startswith("Of 12 circles tested, 6 are higher and 4 are lower in the resistant")
    assert full.endswith(
        "filtering leaves 1 with too few counts out of the adjustment of p-values."
    )
    none = report.change_sentence(evidence(**{key: study.differential(ids, "unchanged")}), KIND)
    assert "none changed" in none
    single = report.change_sentence(evidence(**{key: study.differential(ids, "exploratory")}), KIND)
    assert single == f"12 circles compared. {report.EXPLORATORY}"
    empty = report.change_sentence(evidence(**{key: tables.DIFFERENTIAL.empty()}), KIND)
    assert empty == "There were no circles to test."
    assert report.change_sentence(evidence(), KIND) == report.NOT_COMPUTED


def test_a_study_without_ip_says_so_for_m6a_only():
    plain = evidence(libraries=study.libraries(with_ip=False))
    assert report.change_sentence(plain, report.KINDS[3]) == report.NO_IP
    assert report.change_sentence(plain, report.KINDS[0]) == report.NOT_COMPUTED
    assert report.NO_IP in report.answer_sentences(plain)


def test_a_study_without_a_genome_says_so():
    config = {"reference": {"fasta": None, "gtf": "genes.gtf"}}
    found = replace(evidence(), provenance={"config": config})
    assert found.absence("circles") == found.absence("circle_m6a") == report.NO_GENOME
    assert found.absence("genes") == report.NOT_COMPUTED
    assert report.NO_GENOME in report.answer_sentences(found)
    parts = report.circles_section(found).parts
    assert [part.paragraphs for part in parts] == [[report.NO_GENOME]]
    named = {"config": {"reference": {"fasta": "genome.fa"}}}
    for known in (None, {}, named):
        assert replace(found, provenance=known).absence("circles") == report.NOT_COMPUTED
    plain = replace(found, tables={"libraries": study.libraries(with_ip=False)})
    assert plain.absence("circle_m6a") == report.NO_IP


def test_peaks_without_motifs_are_described_without_them():
    peaks = study.peaks()
    (with_motifs,) = report.peaks_section(evidence(peaks=peaks)).parts
    assert "contain a DRACH motif." in with_motifs.paragraphs[0]
    bare = peaks.assign(drach=pd.NA, drach_distance=pd.NA)
    (part,) = report.peaks_section(evidence(peaks=tables.PEAKS.frame(bare))).parts
    assert "DRACH" not in part.paragraphs[0]
    assert "-fold. 3 peaks in introns" in part.paragraphs[0]


def test_peaks_in_exons_alone_need_no_word_on_introns():
    peaks = study.peaks()
    (part,) = report.peaks_section(evidence(peaks=peaks[peaks["region"] != "intron"])).parts
    assert "intron" not in part.paragraphs[0]


def test_immunoprecipitation_of_one_condition_says_so():
    sheet = study.libraries()
    sheet = sheet[(sheet["assay"] == "input") | (sheet["condition"] == "resistant")]
    found = evidence(libraries=sheet)
    assert report.change_sentence(found, report.KINDS[3]) == report.ONE_SIDED_IP
    assert found.absence("peaks") == report.NOT_COMPUTED


def test_m6a_tables_are_ignored_without_ip_libraries():
    plain = evidence(
        libraries=study.libraries(with_ip=False), methylation=tables.DIFFERENTIAL.empty()
    )
    assert report.fact_groups(plain) == []


def test_claims_get_one_verdict():
    verdicts = report.claim_verdicts(study.overlap()).set_index("claim_id")["verdict"]
    assert verdicts.to_dict() == {
        "c1": "confirmed",
        "c2": "contradicted",
        "c3": "mixed",
        "c4": "unchanged",
        "c5": "not measurable",
    }


def test_claims_sentence_counts_claims():
    text = report.claims_sentence(report.claim_verdicts(study.overlap()))
    assert text == (
        "Of 5 reviewed claims, 4 could be measured: 1 contradicted, 1 confirmed, 1 mixed, "
        "1 unchanged."
    )


def test_verdicts_of_an_empty_overlap():
    assert report.claim_verdicts(study.overlap()[:0]).empty
    section = report.regulators_section(evidence(overlap=study.overlap()[:0]))
    assert section.parts[0].paragraphs == ["No reviewed claim fits this study."]


def test_unknown_verdicts_are_kept():
    overlap = study.overlap()
    overlap["verdict"] = "exploratory"
    assert set(report.claim_verdicts(overlap)["verdict"]) == {"exploratory"}


def test_decided_claims_come_contradicted_first():
    table = report.decided_claims(evidence(overlap=study.overlap()))
    assert [row[0] for row in table.rows] == ["contradicted"] * 2 + ["confirmed"] * 2
    assert table.rows[0][1] == "GENE6 <entity>"
    assert table.rows[0][3] == "up"


def test_claims_on_one_entity_share_a_row():
    overlap = pd.concat([study.overlap()] * 5, ignore_index=True)
    overlap["location"] = [f"Table {place}" for place in range(len(overlap))]
    table = report.decided_claims(evidence(overlap=overlap), most=3)
    assert len(table.rows) == 3
    assert table.rows[0][-1] == "lin2022, Table 2; lin2022, Table 9; lin2022, Table 16 and 2 more"
    assert "first 3 of 4" in table.caption


@pytest.mark.parametrize(
    ("value", "sign"),
    [(1, 1), (-1.0, -1), (0, 0), (None, 0), (np.nan, 0), (pd.NA, 0)],
)
def test_signs(value, sign):
    assert report._sign(value) == sign


def test_m6a_of_a_circle_names_the_evidence():
    pooled = report.pooled_m6a(evidence(circle_m6a=study.circle_m6a()))
    ids = study.circle_ids()
    first = report.m6a_words(pooled, ids[3])
    assert first == (
        "yes, on the circle itself (tier 1); back-splice reads 17 IP, 8 input, padj 0.008"
    )
    assert report.m6a_words(pooled, ids[1]).startswith("possibly (tier 3)")
    assert report.m6a_words(pooled, ids[2]).startswith("none seen")
    told = evidence(circle_m6a=study.circle_m6a(), circle_detection=study.circle_detection())
    words = report.m6a_words(report.pooled_m6a(told), ids[2])
    assert words.startswith("cannot be seen: too few reads")
    assert report.m6a_words(pooled, "chr9:1-2:+") == "not tested"
    assert report.m6a_words(None, ids[0]) == "not measured"


def test_top_circles_are_the_changed_ones_in_order():
    frames = {
        "circle_differential": study.differential(study.circle_ids()),
        "circles": study.circles(),
        "ratio": study.differential(study.circle_ids(), ratio=True),
    }
    table = report.top_circles(evidence(**frames), most=3)
    assert [row[0].split("\n")[1] for row in table.rows] == study.circle_ids()[:-4:-1]
    assert table.rows[0][3] == "−5.00 (2e−11)"
    assert table.rows[0][-1] == "not measured"


def test_top_circles_without_p_values_are_of_high_confidence():
    frames = {
        "circle_differential": study.differential(study.circle_ids(), "exploratory"),
        "circles": study.circles(),
    }
    table = report.top_circles(evidence(**frames), most=20)
    assert "exploratory" in table.caption
    assert len(table.rows) == 9


def test_no_top_circles_where_none_changed():
    unchanged = study.differential(study.circle_ids(), "unchanged")
    found = evidence(circle_differential=unchanged)
    assert report.top_circles(found) is None
    assert "No circle changed at an adjusted p-value below 0.05." in report.answer_sentences(found)
    assert report.top_circles(evidence(circle_differential=tables.DIFFERENTIAL.empty())) is None


def test_extreme_sentences_name_the_largest_significant_changes():
    found = evidence(circle_differential=study.differential(study.circle_ids()))
    rose, fell = report.extreme_sentences(found)
    assert "rose most in the resistant samples is GENE11 (chr1:11000-11600:+)" in rose
    assert "+4.60" in rose
    assert "GENE12" in fell
    assert "−5.00" in fell


def test_the_design_names_pairs_from_the_quality_table():
    sheet = study.libraries()
    quality = study.quality(sheet)
    quality["input_library"] = "shared_input"
    table = report.design_table(evidence(libraries=sheet, quality=quality))
    assert table.header[-1] == "IP compared with"
    assert {row[-1] for row in table.rows} == {"shared_input"}
    plain = report.design_table(evidence(libraries=study.libraries(with_ip=False)))
    assert plain.header == ["Condition", "Sample", "Input library"]
    assert len(plain.rows) == 4


def test_table_view_keeps_values_and_missing():
    frame = study.differential(study.circle_ids(3))
    view = report.table_view(evidence(), "genes", "Genes", frame, hidden=("stat",))
    data = json.loads(view.json)
    assert [column["name"] for column in data["columns"]] == list(frame.columns)
    assert [c["shown"] for c in data["columns"]].count(False) == 1
    assert data["rows"][1][frame.columns.get_loc("padj")] is None
    assert data["rows"][0][frame.columns.get_loc("log2FoldChange")] == 0.6


def test_table_view_is_cut_to_its_share_of_the_page():
    from dataclasses import replace

    frame = study.differential([f"G{place}" for place in range(500)])
    small = replace(evidence(), table_bytes=5_000)
    view = report.table_view(small, "genes", "Genes", frame)
    assert 0 < len(view.rows) < 100
    assert view.total == 500
    assert len(json.dumps(view.rows)) < 6_000


def test_infinite_numbers_become_text():
    frame = pd.DataFrame({"odds_ratio": [np.inf, -np.inf, np.nan, 1.5]})
    view = report.table_view(evidence(), "enrichment", "Sets", frame)
    assert json.loads(view.json)["rows"] == [["inf"], ["-inf"], [None], [1.5]]


def test_data_cannot_end_its_script_element():
    frame = pd.DataFrame({"entity": ["</script><b>"]})
    view = report.table_view(evidence(), "overlap", "Claims", frame)
    assert "<" not in view.json
    assert json.loads(view.json)["rows"] == [["</script><b>"]]


def test_sections_of_empty_tables_read_naturally():
    found = evidence(
        circles=tables.CIRCLES.empty(),
        peaks=tables.PEAKS.empty(),
        circle_m6a=tables.CIRCLE_M6A.empty(),
    )
    page = report.build_page(found, "Empty")
    texts = [text for s in page.sections for part in s.parts for text in part.paragraphs]
    assert "No circles were found." in texts
    assert "No peaks were found." in texts
    assert "No circles were found to test." in texts
    assert page.sentences[0] == "The study shows no circular RNAs and no m6A peaks."


def test_the_contrast_is_told_in_full():
    plain = Contrast("condition", "resistant", "sensitive")
    told = report.contrast_sentences(plain, ["resistant", "sensitive"])
    assert told.startswith("Every fold change is resistant over sensitive (condition): ")
    assert "adjusted" not in told and "not compared" not in told
    told = report.contrast_sentences(plain, ["resistant", "naive", "sensitive"])
    assert "Samples of naive are not compared" in told
    other = Contrast("response", "PD", "CR", ("batch", "sex"))
    told = report.contrast_sentences(other, ["resistant", "sensitive"])
    assert "adjusted for batch, sex." in told and "not compared" not in told


def test_libraries_without_reads_are_named():
    libraries = study.libraries()
    libraries.loc[1, ["reads", "aligned_fraction", "usable_fraction"]] = [0, np.nan, np.nan]
    section = report.reads_section(evidence(libraries=libraries))
    name = libraries.loc[1, "library"]
    assert f"Without any: {name}; comparisons leave them out." in section.parts[0].paragraphs[0]
    (told,) = report.reads_section(evidence()).parts[0].paragraphs
    assert "Without any" not in told


def test_words_for_numbers():
    assert report.count_of(0, "circle") == "no circles"
    assert report.count_of(1, "library", "libraries") == "1 library"
    assert report.count_of(1200, "gene") == "1,200 genes"
    assert report.signed(-1.234) == "−1.23"
    assert report.signed(np.nan) == "NA"
    assert report.number_range(pd.Series([5500, 5500])) == "5,500"
    assert report.number_range(pd.Series([900, 5500])) == "900 to 5,500"
    assert report.probability(0.0123) == "0.012"


def test_ranking_puts_missing_p_values_last():
    table = study.differential(study.circle_ids(4))
    assert report.rank(table)["id"].tolist()[-1] == study.circle_ids()[1]
    single = study.differential(study.circle_ids(4), "exploratory")
    assert report.rank(single)["id"].tolist()[0] == study.circle_ids()[3]


def test_reviewed_features_are_split():
    overlap = pd.DataFrame({"matched_feature": ["a, b", None, "c;d"]})
    assert report.reviewed_features(overlap) == {"a", "b", "c", "d"}
    assert report.reviewed_features(None) == frozenset()


@pytest.mark.parametrize(
    ("change", "padj", "written"),
    [(-1.5, 0.001, "−1.50 (0.001)"), (2.0, None, "+2.00 (NA)"), (None, None, "NA")],
)
def test_a_change_is_written_with_its_p_value(change, padj, written):
    assert report.change_and_probability(change, padj) == written


def test_answers_of_junctions_and_shrunken_changes_stand_in_the_tables():
    ids = study.circle_ids()
    key = "circle_differential"
    shrunken = study.differential(ids).assign(log2FoldChange_shrunken=0.5, lfcSE_shrunken=0.1)
    told = evidence(
        **{key: study.differential(ids), "shrunken_circles": tables.SHRUNKEN.frame(shrunken)},
        circle_m6a=study.circle_m6a(),
        circle_detection=study.circle_detection(),
    )
    section = report.circle_m6a_section(told)
    (part,) = section.parts
    assert "3 not methylated" in part.paragraphs[1]
    assert "3 cannot be seen" in part.paragraphs[1]
    assert [column.name for column in part.views[0].columns][-1] == "verdict"
    views = [view for part in report.differential_section(told).parts for view in part.views]
    assert views[0].columns[-1].name == "log2FoldChange_shrunken"
    assert views[0].columns[-1].added

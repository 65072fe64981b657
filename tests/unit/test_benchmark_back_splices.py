"""The figures of the benchmark of back-splice detection, on a toy study with a toy run."""

import math

import numpy as np
import pandas as pd
import pytest

from benchmarks.back_splices import evaluate
from benchmarks.back_splices.evaluate import targets_of
from benchmarks.figures import Figure, Target, judged, markdown_of
from ringmark.simulate import TRUTH_CIRCLES, TRUTH_LIBRARIES
from ringmark.tables import CIRCLES, write_matrix

LIBRARIES = ["x", "y"]
EXONIC, LARIAT, SILENT = "c:100-400:+", "c:500-700:-", "c:800-990:+"
FALSE = "c:100-401:+"

#: Fragments by library: crossing at all, crossing with anchors, linear with anchors.
TRUTH = {
    EXONIC: ((10, 4), (8, 4), (32, 16)),
    LARIAT: ((6, 2), (5, 1), (15, 3)),
    SILENT: ((0, 0), (0, 0), (40, 40)),
}


def circle(name, kind="exonic", cases=None, confidence="high", exons=2, length=200):
    chrom, span, strand = name.split(":")
    start, end = span.split("-")
    return {
        "circle": name,
        "chrom": chrom,
        "start": int(start),
        "end": int(end),
        "strand": strand,
        "type": kind,
        "gene_id": "G",
        "gene_name": "Gn",
        "exons": exons,
        "spliced_length": length,
        "block_starts": start,
        "block_ends": end,
        "splice_motif": "GT/AG",
        "annotated_ends": "both",
        "log2_fold_change": 0.0,
        "baseline": 1.0,
        "cases": cases,
        "libraries": 2,
        "reads": 10,
        "confidence": confidence,
    }


@pytest.fixture
def study(tmp_path):
    """Return the folder of a study with three planted circles, of which one is not sequenced."""
    return write_study(tmp_path / "study", TRUTH)


def write_study(folder, truth):
    rows = [
        circle(EXONIC, cases="short,paralogue"),
        circle(LARIAT, "intronic", exons=0),
        circle(SILENT, cases="paralogue"),
    ]
    TRUTH_CIRCLES.write(rows, folder / "truth" / "circles.tsv")
    for number, name in enumerate(("bsj_counts", "bsj_counts_anchor8", "linear_counts_anchor8")):
        table = {name: counts[number] for name, counts in truth.items()}
        matrix = pd.DataFrame.from_dict(table, orient="index", columns=LIBRARIES)
        write_matrix(matrix, folder / "truth" / f"{name}.tsv", "circle")
    libraries = [
        {
            "library": name,
            "sample": name,
            "condition": "a",
            "assay": "input",
            "fragments": 250_000,
            "background": 1.0,
            "efficiency": 0.0,
            "strandedness": "reverse",
            "layout": "paired",
        }
        for name in LIBRARIES
    ]
    TRUTH_LIBRARIES.write(libraries, folder / "truth" / "libraries.tsv")
    return folder


def write_run(folder, circles, counts, libraries=LIBRARIES):
    """Write the tables of a run; ``counts`` are back-splice and linear ones by circle."""
    results = folder / "results"
    CIRCLES.write(circles, results / "circrna" / "circles.tsv")
    for number, name in enumerate(("bsj_counts", "linear_counts")):
        table = {name: values[number] for name, values in counts.items()}
        matrix = pd.DataFrame.from_dict(table, orient="index", columns=libraries)
        write_matrix(matrix, results / "circrna" / f"{name}.tsv", "circle")
    return results


def perfect():
    """Return the circles and counts of a run that finds all anchored fragments and no other."""
    circles = [circle(EXONIC), circle(LARIAT, "intronic", exons=0)]
    return circles, {name: TRUTH[name][1:] for name in (EXONIC, LARIAT)}


def figures(study, results):
    """Return value by figure, and by figure and subset."""
    found = evaluate.evaluate(study, results)
    keys = [(item.name, item.subset) for item in found]
    assert len(keys) == len(set(keys))
    values = {(item.name, item.subset): item.value for item in found}
    return values | {name: value for (name, subset), value in values.items() if subset == "all"}


def test_a_perfect_run(tmp_path, study):
    values = figures(study, write_run(tmp_path, *perfect()))
    for name in (
        "recall_anchored_counted_2",
        "recall_crossing_counted_1",
        "recall_lariats_counted_2",
        "precision_library_counted_2",
        "precision_library_counted_1",
        "precision_study",
        "precision_study_high",
        "recall_study",
        "recall_study_high",
        "fragments_recovered_anchored",
        "type_right",
        "exons_right",
        "spliced_length_right",
    ):
        assert values[name] == 1, name
    assert values["correlation_log2_counts"] == pytest.approx(1)
    # the lariat has two crossing fragments in y, and one of them has anchors
    assert values["recall_crossing_counted_2"] == 3 / 4
    assert values["fragments_recovered_crossing"] == 18 / 22
    for name in (
        "fragments_not_crossing",
        "circular_share_median_error",
        "circular_share_median_absolute_error",
        "false_high",
    ):
        assert values[name] == 0, name
    assert math.isnan(values["precision_study_low"])
    assert values["high_per_million_pairs"] == 4


def test_breakdowns_of_recall(tmp_path, study):
    circles, counts = perfect()
    counts[EXONIC] = ((8, 1), (32, 16))
    values = figures(study, write_run(tmp_path, circles, counts))
    name = "recall_anchored_counted_2"
    assert values[name] == 2 / 3
    assert values["recall_anchored_counted_1"] == 1
    assert values[name, "type exonic"] == 1 / 2
    assert values[name, "type intronic"] == 1
    assert values[name, "case short"] == values[name, "case paralogue"] == 1 / 2
    assert values[name, "case none"] == 1
    assert values[name, "true fragments 2-4"] == 0
    assert values[name, "true fragments 5-9"] == 1
    assert math.isnan(values[name, "true fragments 10+"])
    assert values["fragments_recovered_anchored", "type exonic"] == 9 / 12


def test_a_missed_circle(tmp_path, study):
    circles, counts = perfect()
    del counts[LARIAT]
    values = figures(study, write_run(tmp_path, circles[:1], counts))
    assert values["recall_anchored_counted_2"] == 2 / 3
    assert values["recall_crossing_counted_2"] == 2 / 4
    assert values["recall_lariats_counted_2"] == 0
    assert values["recall_study"] == 1 / 2
    assert values["fragments_recovered_anchored"] == 12 / 18
    assert values["precision_library_counted_2"] == values["precision_study_high"] == 1
    true, told = np.log2([9, 5, 6, 2, 1, 1]), np.log2([9, 5, 1, 1, 1, 1])
    assert values["correlation_log2_counts"] == pytest.approx(np.corrcoef(true, told)[0, 1])


def test_false_circles(tmp_path, study):
    circles, counts = perfect()
    circles += [circle(FALSE), circle(SILENT, confidence="low")]
    counts |= {FALSE: ((3, 1), (0, 0)), SILENT: ((2, 0), (40, 40))}
    values = figures(study, write_run(tmp_path, circles, counts))
    # counted twice or more: the exonic circle in x and y, the lariat, the false and the silent one
    assert values["precision_library_counted_2"] == 3 / 5
    assert values["precision_library_counted_1"] == 4 / 7
    assert values["precision_study"] == 2 / 4
    assert values["precision_study_high"] == 2 / 3
    assert values["precision_study_low"] == 0
    assert values["false_high"] == values["false_low"] == 1
    assert values["precision_study", "counted fragments 2-4"] == 0
    assert values["precision_study", "counted fragments 2-4, high"] == 0
    assert values["precision_study", "counted fragments 5-9"] == 1
    assert values["precision_study", "counted fragments 10+, high"] == 1
    assert math.isnan(values["precision_study", "counted fragments 10+, low"])
    assert values["fragments_not_crossing"] == 6 / 24
    assert values["recall_anchored_counted_2"] == 1


def test_a_circle_is_real_only_in_the_libraries_that_hold_it(tmp_path):
    truth = TRUTH | {LARIAT: ((6, 0), (5, 0), (15, 3))}
    circles, counts = perfect()
    counts[LARIAT] = ((5, 2), (15, 3))
    values = figures(write_study(tmp_path / "s", truth), write_run(tmp_path, circles, counts))
    assert values["precision_library_counted_2"] == 3 / 4
    assert values["precision_study"] == 1
    assert values["fragments_not_crossing"] == 2 / 19


def test_too_many_fragments_of_a_real_circle(tmp_path, study):
    circles, counts = perfect()
    counts[EXONIC] = ((11, 4), (32, 16))
    values = figures(study, write_run(tmp_path, circles, counts))
    assert values["fragments_not_crossing"] == 1 / 21
    assert values["fragments_recovered_anchored"] == 1
    assert values["fragments_recovered_crossing"] == (10 + 4 + 5 + 1) / 22


def test_error_of_the_circular_share(tmp_path, study):
    circles, counts = perfect()
    # true shares .2, .2 and (of the lariat, in x alone 20 fragments) .25
    counts[EXONIC] = ((8, 0), (24, 16))
    counts[LARIAT] = ((5, 9), (5, 1))
    values = figures(study, write_run(tmp_path, circles, counts))
    # told .25, 0 and .5: errors +.25, -1 and +1
    assert values["circular_share_median_error"] == pytest.approx(0.25)
    assert values["circular_share_median_absolute_error"] == pytest.approx(1)


def test_structure_of_the_circles_found(tmp_path, study):
    circles, counts = perfect()
    circles = [circle(EXONIC, "exon_intron", length=260), circle(LARIAT, "intronic", exons=1)]
    values = figures(study, write_run(tmp_path, circles, counts))
    assert values["type_right"] == values["spliced_length_right"] == values["exons_right"] == 1 / 2
    assert values["type_right", "type exonic"] == 0
    assert values["spliced_length_right", "type intronic"] == 1
    assert values["exons_right", "counted fragments 10+"] == 1
    assert values["exons_right", "counted fragments 5-9"] == 0


def test_an_empty_list_of_circles(tmp_path, study):
    values = figures(study, write_run(tmp_path, [], {}))
    assert values["recall_anchored_counted_2"] == 0
    assert values["fragments_recovered_anchored"] == 0
    assert values["high_per_million_pairs"] == values["false_high"] == 0
    for name in (
        "precision_library_counted_2",
        "precision_study_high",
        "fragments_not_crossing",
        "correlation_log2_counts",
        "circular_share_median_error",
        "type_right",
    ):
        assert math.isnan(values[name]), name


def test_a_study_without_circular_molecules(tmp_path):
    truth = {name: ((0, 0), (0, 0), counts[2]) for name, counts in TRUTH.items()}
    study = write_study(tmp_path / "study", truth)
    found = evaluate.evaluate(study, write_run(tmp_path, *perfect()))
    table = judged(found, targets_of(found)).set_index(["figure", "subset"])
    assert table.loc[("high_per_million_pairs", "all"), "value"] == 4
    assert table.loc[("high_per_million_pairs", "all"), "met"] == "no"
    assert table.loc[("fragments_not_crossing", "all"), "value"] == 1
    assert table["target"].notna().sum() == 1


@pytest.mark.parametrize(
    ("libraries", "told"),
    [(["x"], "no library y"), (["x", "y", "z"], "library z is not in the study")],
)
def test_other_libraries_are_told(tmp_path, study, capsys, libraries, told):
    counts = {EXONIC: ([1] * len(libraries),) * 2}
    results = write_run(tmp_path, [circle(EXONIC)], counts, libraries)
    assert evaluate.main(["--study", str(study), "--results", str(results)]) == 1
    message = capsys.readouterr().err
    assert f"bsj_counts.tsv: {told}" in message
    assert "Hint:" in message and "Traceback" not in message


def test_a_circle_without_counts_is_told(tmp_path, study, capsys):
    circles, counts = perfect()
    results = write_run(tmp_path, [*circles, circle(FALSE)], counts)
    assert evaluate.main(["--study", str(study), "--results", str(results)]) == 1
    assert f"no row of circle {FALSE}" in capsys.readouterr().err


def test_a_missing_table_is_told(tmp_path, study, capsys):
    assert evaluate.main(["--study", str(study), "--results", str(tmp_path / "none")]) == 1
    message = capsys.readouterr().err
    assert "circles.tsv" in message and "Traceback" not in message


def test_the_program_writes_a_table_and_markdown(tmp_path, study, capsys):
    results = write_run(tmp_path, *perfect())
    argv = ["--study", str(study), "--results", str(results)]
    assert evaluate.main(argv) == 0
    printed = capsys.readouterr().out
    out, page = tmp_path / "figures.tsv", tmp_path / "figures.md"
    assert evaluate.main([*argv, "--output", str(out), "--markdown", str(page)]) == 0
    assert page.read_text() == printed
    assert "| recall_anchored_counted_2 | all | 1 | 3 | >= 0.97 | yes |" in printed
    assert "| fragments_recovered_crossing | all | 0.8182 | 22 | >= 0.88 | no |" in printed
    table = evaluate.FIGURES.read(out).set_index(["figure", "subset"])
    assert set(table[table["target"].notna()].index) == {(name, "all") for name in evaluate.TARGETS}
    assert evaluate.main([*argv, "--tolerance", "0.1"]) == 0
    assert "| 0.8182 | 22 | >= 0.78 | yes |" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["--study", "x"], ["--tolerance", "much"]])
def test_bad_command_lines(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        evaluate.main(argv)
    assert stop.value.code == 2
    assert capsys.readouterr().err


def test_targets():
    assert Target(True, 0.9).met_by(0.9) and not Target(True, 0.9).met_by(0.89)
    assert Target(False, 0.03).met_by(-0.03) and not Target(False, 0.03).met_by(-0.04)
    assert str(Target(True, 0.9, relaxed=True).eased(0.03)) == ">= 0.87"
    assert str(Target(True, 0.9).eased(0.03)) == ">= 0.9"
    assert str(Target(False, 0.1, relaxed=True).eased(0.03)) == "<= 0.13"


def test_a_figure_without_a_value_has_no_verdict():
    table = judged([Figure("a", math.nan, 0), Figure("a", 1.0, 2, "part")], {"a": Target(True, 1)})
    assert table["target"].tolist()[0] == ">= 1"
    assert table["target"].isna().tolist() == [False, True]
    assert table["met"].isna().all()
    assert "| a | all |  | 0 | >= 1 |  |" in markdown_of(table)

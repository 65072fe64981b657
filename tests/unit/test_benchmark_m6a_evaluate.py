"""The figures of the benchmark of m6A peaks, on toy runs with figures computed by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from toy_m6a import peak, quality_row, quality_rows, site, write_results, write_study

import assess_ip
import call_peaks
from benchmarks.m6a_peaks import evaluate
from benchmarks.m6a_peaks.run import OUTPUTS
from benchmarks.m6a_peaks.truth import Run, Truth
from ringmark.annotation import Annotation
from ringmark.bins import BinLayout, Coverage
from ringmark.peaks import Peak
from ringmark.tables import PEAKS

NEAR = 50


def values(figures):
    """Return value by figure and subset, and by figure alone where the subset is everything."""
    found = list(figures)
    keys = [(item.name, item.subset) for item in found]
    assert len(keys) == len(set(keys))
    table = {(item.name, item.subset): item.value for item in found}
    return table | {name: value for (name, subset), value in table.items() if subset == "all"}


def read(folder, sites, peaks, **tables):
    truth = Truth.read(write_study(folder, sites))
    run = Run.read(write_results(folder, peaks, **tables))
    return truth, run, truth.near(run.regions, NEAR), truth.near(run.regions, 100)


# ---------------------------------------------------------------- peaks

SITES = [
    site(120, "+", "G1", 0.6, 0.6),
    site(390, "+", "G1", 0.3, 0.1),
    site(1200, "+", "G1", 0.01, 0.01),
    site(1395, "+", "G1", 0.9, 0.9, molecule="c:1000-1400:+"),
    site(2250, "-", "G2", 0.8, 0.8),  # in a gene with 40 input fragments a condition
]
PEAKS_FOUND = [
    peak("+", (100, 140), conditions="r,s", summit=127, region="5UTR"),
    # 40 nt of RNA behind the second site, and 35 nt round the circle
    peak("+", (1030, 1060), summit=1030, region="stop_codon"),
    peak("+", (1180, 1220), conditions="s"),
    peak("-", (2200, 2300), conditions="s", gene="G2", region="exon"),
]


def test_precision_recall_and_f1(tmp_path):
    truth, run, near, _ = read(tmp_path, SITES, PEAKS_FOUND)
    found = values(evaluate.detection(truth, run, near))
    assert found["precision", "condition r"] == found["recall", "condition r"] == 1
    assert found["precision", "condition s"] == pytest.approx(2 / 3)
    assert found["recall", "condition s"] == 1
    assert found["f1", "condition s"] == pytest.approx(0.8)
    assert found["f1_worse_condition"] == pytest.approx(0.8)
    assert found["precision"] == pytest.approx(4 / 5)
    assert found["f1"] == pytest.approx(8 / 9)
    assert found["precision", "gene of one exon"] == 1
    assert math.isnan(found["recall", "gene of one exon"])
    assert found["precision", "gene of 600-1499 nt"] == pytest.approx(3 / 4)
    assert found["recall", "stoichiometry .25-.5"] == 1
    assert found["recall", "sites on circles"] == 0.5


def test_sites_are_counted_by_class(tmp_path):
    truth, run, near, _ = read(tmp_path, SITES, PEAKS_FOUND)
    sizes = {(item.name, item.subset): item.size for item in evaluate.detection(truth, run, near)}
    assert sizes["recall", "all"] == sizes["recall", "fragments 50-99"] == 3
    assert sizes["recall", "stoichiometry .5-.75"] == 2
    assert sizes["recall", "stoichiometry .25-.5"] == 1
    assert sizes["recall", "overlapping gene"] == 0
    assert sizes["recall", "sites on circles"] == 2


def test_no_peak_finds_nothing(tmp_path):
    truth, run, near, wide = read(tmp_path, SITES, [])
    found = values(evaluate.detection(truth, run, near))
    assert found["recall"] == found["f1"] == found["f1_worse_condition"] == 0
    assert math.isnan(found["precision"])
    found |= values(evaluate.shape(truth, run, near))
    assert found["peaks"] == 0
    assert math.isnan(found["median_width"]) and math.isnan(found["median_summit_error"])
    assert math.isnan(values(evaluate.changes(truth, run, near, wide))["changes_recall"])
    assert values(evaluate.false_peaks(truth, run, near))["false_peaks"] == 0


def test_no_site_makes_every_peak_false(tmp_path):
    truth, run, near, _ = read(tmp_path, [], PEAKS_FOUND)
    found = values(evaluate.detection(truth, run, near))
    assert found["precision"] == 0
    assert math.isnan(found["recall"]) and math.isnan(found["f1_worse_condition"])
    assert values(evaluate.false_peaks(truth, run, near))["false_peaks"] == 4


def test_shape_of_peaks(tmp_path):
    truth, run, near, _ = read(tmp_path, SITES, PEAKS_FOUND)
    found = values(evaluate.shape(truth, run, near))
    assert found["median_width"] == 40
    assert found["median_summit_error"] == (7 + 40) / 2
    assert found["summit_error_up_to_20"] == 0.5
    assert found["region_right"] == 0.5
    assert found["median_drach_distance"] == 3


# ---------------------------------------------------------------- differential methylation

CHANGED = [
    site(120, "+", "G1", 0.9, 0.35),
    site(1300, "+", "G1", 0.2, 0.75),
    site(2250, "-", "G2", 0.9, 0.2),  # in a gene with 80 input fragments
]
COMPARED = [
    (peak("+", (100, 140)), 2.0, 0.001, 0.01),
    (peak("+", (1290, 1310)), 1.0, 0.001, 0.01),  # the wrong way
    (peak("-", (2200, 2300), gene="G2"), 1.0, 0.001, 0.01),
    (peak("+", (1195, 1205)), -1.0, 0.001, 0.01),  # 96 nt from the site
    (peak("+", (330, 340)), 0.2, 0.04, 0.9),
    (peak("+", (380, 390)), 0.4, 0.5, 0.9),
]


def compared(rows, tested=True):
    table = pd.DataFrame(
        {
            "id": [row["peak"] for row, *_ in rows],
            "log2FoldChange": [change for _, change, _, _ in rows],
        }
    )
    if tested:
        table["pvalue"] = [pvalue for *_, pvalue, _ in rows]
        table["padj"] = [padj for *_, padj in rows]
    return [row for row, *_ in rows], table


def test_changes(tmp_path):
    peaks, table = compared(COMPARED)
    truth, run, near, wide = read(tmp_path, CHANGED, peaks, changes=table)
    found = values(evaluate.changes(truth, run, near, wide))
    assert found["changes_recall"] == found["changes_recall", "sites in peaks"] == 1
    assert found["changes_false_discovery"] == 0.25
    assert found["changes_false_discovery", "fragment"] == 0
    assert found["changes_sign_right"] == 0.5
    assert found["unchanged_below_05"] == 0.5
    assert found["unchanged_median_log2_change"] == pytest.approx(0.3)
    # the antibody pulls down 5 % of all fragments, and 75 % of those with a methylated site
    chances = [1 - 0.95 * (1 - 0.75 * level) for level in (0.9, 0.35, 0.2, 0.75)]
    first, second = math.log2(chances[0] / chances[1]), math.log2(chances[2] / chances[3])
    slope = (2 * first + second) / (first**2 + second**2)
    assert found["changes_slope"] == pytest.approx(slope)


def test_a_missed_change(tmp_path):
    peaks, table = compared([COMPARED[0], (COMPARED[1][0], 1.0, 0.2, 0.3)])
    truth, run, near, wide = read(tmp_path, CHANGED, peaks, changes=table)
    found = values(evaluate.changes(truth, run, near, wide))
    assert found["changes_recall"] == 0.5
    assert found["changes_false_discovery"] == 0
    assert found["changes_sign_right"] == 1


def test_without_replicates_no_change_can_be_found(tmp_path):
    peaks, table = compared(COMPARED, tested=False)
    truth, run, near, wide = read(tmp_path, CHANGED, peaks, changes=table)
    found = values(evaluate.changes(truth, run, near, wide))
    for name in ("changes_recall", "changes_false_discovery", "unchanged_below_05"):
        assert math.isnan(found[name]), name


@pytest.mark.parametrize(
    ("sizes", "count"), [((1, 1), 0), ((2, 2), 2), ((3, 3), 9), ((1, 2), 0), ((6, 6), 10)]
)
def test_permutations(sizes, count):
    ways = evaluate.splits(sizes)
    assert len(ways) == len(set(ways)) == count
    for way in ways:
        assert len(way) == sizes[0] and way[0] == 0
        assert way != tuple(range(sizes[0]))
        assert max(way) < sum(sizes)


def test_permuted_labels(tmp_path):
    # the IPs of the first sample of each condition are alike: one of two ways sets them apart
    counts = [[[900, 90, 910, 95], [100, 100, 100, 100]]]
    truth, run, _, wide = read(tmp_path, [], [peak("+", (100, 140))], counts=counts)
    (figure,) = evaluate.permuted(truth, run, wide)
    assert (figure.name, figure.value, figure.size) == ("permuted_below_05", 0.5, 2)


def test_changed_peaks_are_not_permuted(tmp_path):
    counts = [[[900, 90, 910, 95], [100, 100, 100, 100]]]
    truth, run, _, wide = read(tmp_path, CHANGED, [peak("+", (100, 140))], counts=counts)
    (figure,) = evaluate.permuted(truth, run, wide)
    assert figure.size == 0


# ---------------------------------------------------------------- quality


@pytest.mark.parametrize(
    ("ip", "control", "what"),
    [
        ("r1_ip", "r1_input", "good"),
        ("r1_input", "r1_ip", "swapped"),
        ("r1_ip", "s1_input", "foreign"),
        ("r1_input", "r2_input", "no IP"),
    ],
)
def test_what_happened_to_a_pair(tmp_path, ip, control, what):
    assert evaluate.happened(Truth.read(write_study(tmp_path, [])), ip, control) == what


def test_a_failed_ip(tmp_path):
    truth = Truth.read(write_study(tmp_path, [], efficiency=0.0))
    assert evaluate.happened(truth, "r1_ip", "r1_input") == "failed"


@pytest.mark.parametrize(
    ("what", "verdict", "reason", "right"),
    [
        ("good", "good", "", True),
        ("good", "weak", "", False),
        ("failed", "failed", "IP over input 1-fold", True),
        ("failed", "weak", "", False),
        ("no IP", "failed", "", True),
        ("swapped", "failed", "IP and input are swapped?", True),
        ("swapped", "failed", "the study has no peak", False),
        ("swapped", "weak", "swapped?", False),
        ("foreign", "weak", "of another sample?", True),
        ("foreign", "good", "of another sample?", False),
        ("foreign", "failed", "IP over input 1-fold", False),
    ],
)
def test_verdicts(what, verdict, reason, right):
    assert evaluate.verdict_is_right(what, verdict, reason) is right


def test_quality_of_pairs(tmp_path):
    rows = [
        quality_row("r", 1, enrichment=3.0),
        quality_row("r", 2, enrichment=7.0, verdict="weak"),
        quality_row("s", 1, ip_library="s1_input", input_library="s1_ip", enrichment=0.2),
    ]
    truth, run, _, _ = read(tmp_path, [], [], quality=rows)
    found = values(evaluate.quality(truth, run))
    assert found["verdict_right"] == pytest.approx(1 / 3)
    assert found["verdict_right", "good"] == 0.5
    assert found["verdict_right", "swapped"] == 0
    assert found["median_enrichment", "good"] == 5
    assert found["median_enrichment"] == 3


# ---------------------------------------------------------------- false discovery


def toy_layout(folder):
    return BinLayout.of(Annotation.from_gtf(folder / "study" / "genes.gtf"))


def condition(layout, name, pvalues, genes=("G1", "G2")):
    """Return what is looked at of a condition; bins of other genes have a p-value of 0."""
    own = np.isin([gene.gene_id for gene in layout.genes], genes)[layout.gene_of_bin]
    pvalue, tested = np.zeros(layout.bins), np.zeros(layout.bins, dtype=bool)
    places = np.flatnonzero(own)[: len(pvalues)]
    pvalue[places], tested[places] = pvalues, True
    tested |= ~own
    tests = SimpleNamespace(pvalue=pvalue, tested=tested)
    return SimpleNamespace(name=name, tests=tests, background=SimpleNamespace(dispersion=0.01))


def test_distance_from_uniform(tmp_path):
    truth, *_ = read(tmp_path, [], [])
    layout = toy_layout(tmp_path)
    even, small = (np.arange(10) + 0.5) / 10, np.full(4, 0.03)
    figures = [condition(layout, "r", even), condition(layout, "s", small)]
    found = values(evaluate.calibration(truth, figures, layout))
    assert found["ks_distance", "condition r"] == pytest.approx(0.05)
    assert found["ks_distance", "condition s"] == found["ks_distance"] == pytest.approx(0.97)
    assert found["bin_pvalues_below", "condition r, below 0.05"] == 0
    assert found["bin_pvalues_below", "condition s, below 0.05"] == 1
    assert found["dispersion", "condition r"] == 0.01


def test_bins_of_genes_with_sites_are_left_out(tmp_path):
    truth, *_ = read(tmp_path, [site(120, "+", "G1")], [])
    layout = toy_layout(tmp_path)
    even = (np.arange(10) + 0.5) / 10
    (figure, *_) = evaluate.calibration(truth, [condition(layout, "r", even, ["G2"])], layout)
    assert (figure.value, figure.size) == (pytest.approx(0.05), 10)


def test_no_bin_was_tested(tmp_path):
    truth, *_ = read(tmp_path, [], [])
    layout = toy_layout(tmp_path)
    found = values(evaluate.calibration(truth, [condition(layout, "r", [])], layout))
    assert math.isnan(found["ks_distance"])


def test_observed_against_nominal(tmp_path, monkeypatch):
    truth, *_ = read(tmp_path, SITES, [])
    layout = toy_layout(tmp_path)
    names = [gene.gene_id for gene in layout.genes]
    true, false = Peak(names.index("G1"), 0, 50, 20, 0.0), Peak(names.index("G1"), 480, 500, 490, 0)

    def called(conditions, layout, thresholds):
        return [true, false] if thresholds.fdr >= 0.1 else [true]

    monkeypatch.setattr(evaluate, "call_peaks", called)
    found = values(evaluate.false_discovery(truth, [], layout))
    assert found["false_discovery", "nominal 0.05"] == 0
    assert found["false_discovery", "nominal 0.1"] == 0.5
    assert found["false_peaks", "nominal 0.2"] == 1


# ---------------------------------------------------------------- a whole run


def coverage(layout, generator, fragments, enriched):
    """Return fragments of 100 nt all over the genes; in an IP more of them hold spliced 350."""
    genes = generator.integers(0, len(layout.genes), fragments)
    starts = (generator.random(fragments) * (layout.lengths[genes] - 100)).astype(np.int64)
    if enriched:
        first = [gene.gene_id for gene in layout.genes].index("G1")
        genes = np.concatenate([genes, np.full(fragments, first)])
        starts = np.concatenate([starts, generator.integers(251, 350, fragments)])
    first, last = np.zeros(layout.steps, np.int32), np.zeros(layout.steps, np.int32)
    np.add.at(first, layout.step_offsets[genes] + starts // 5, 1)
    np.add.at(last, layout.step_offsets[genes] + (starts + 99) // 5, 1)
    lengths = np.bincount(np.full(len(genes), 100), minlength=1001)
    totals = np.bincount(genes, minlength=len(layout.genes))
    count = len(genes)
    return Coverage(first, last, totals, lengths, count, count, layout.digest, "reverse")


def write_run(folder, enriched):
    """Write a study with a site at spliced 350 of G1, and what the real programs make of it."""
    study = write_study(folder, [site(1050, "+", "G1", 0.5, 0.5)])
    results = folder / "results"
    annotation = Annotation.from_gtf(study / "genes.gtf")
    (results / "reference").mkdir(parents=True)
    annotation.write(results / "reference" / "transcripts.tsv")
    generator = np.random.default_rng(5)
    letters = "".join(generator.choice(list("ACGT"), 3000))
    (folder / "genome.fa").write_text(f">c\n{letters}\n")
    layout = BinLayout.of(annotation)
    (results / "m6a" / "bins").mkdir(parents=True)
    options = ["--annotation", str(results / "reference" / "transcripts.tsv")]
    options += ["--genome", str(folder / "genome.fa")]
    for row in quality_rows():
        names = (row["ip_library"], row["input_library"])
        for name, more in zip(names, (enriched, False), strict=True):
            path = results / "m6a" / "bins" / f"{name}.npz"
            coverage(layout, generator, 300, more).save(path)
            options += ["--bins", str(path)] if "--bins" not in options else [str(path)]
    for row in quality_rows():
        options += ["--pair", *names_of(row)]
    places = {name: str(results / "m6a" / f"{name.replace('-', '_')}.tsv") for name in OUTPUTS}
    outputs = [word for name, place in places.items() for word in (f"--{name}", place)]
    assert call_peaks.main([*options, *outputs]) == 0
    made = ["--peaks", places["peaks"], "--background", places["background"]]
    quality = ["--output", str(results / "m6a" / "quality.tsv")]
    assert assess_ip.main([*options, *made, *quality]) == 0
    return study, results


def names_of(row):
    return [row[name] for name in ("ip_library", "input_library", "sample", "condition")]


def test_a_run_of_the_programs(tmp_path, capsys):
    study, results = write_run(tmp_path, enriched=True)
    found = values(evaluate.evaluate(study, results))
    assert found["recall"] == found["precision"] == found["f1_worse_condition"] == 1
    assert found["median_summit_error"] <= 20
    assert found["false_peaks"] == found["false_peaks", "nominal 0.2"] == 0
    assert found["ks_distance"] < 0.5
    arguments = ["--study", str(study), "--results", str(results)]
    table = tmp_path / "figures.tsv"
    assert evaluate.main([*arguments, "--expect", "one pair", "--output", str(table)]) == 0
    page = capsys.readouterr().out
    assert "| f1_worse_condition | all | 1 | 2 | >= 0.85 | yes |" in page
    assert evaluate.FIGURES.read(table)["met"].dropna().tolist() == ["yes"]
    assert evaluate.main([*arguments, "--markdown", str(tmp_path / "page.md")]) == 0
    assert (
        "| f1_worse_condition | all | 1 | 2 | >= 0.96 | yes |" in (tmp_path / "page.md").read_text()
    )


def test_a_run_without_peaks(tmp_path):
    study, results = write_run(tmp_path, enriched=False)
    assert PEAKS.read(results / "m6a" / "peaks.tsv").empty
    found = values(evaluate.evaluate(study, results))
    assert found["recall"] == found["f1_worse_condition"] == 0
    assert found["false_peaks"] == 0


def test_a_folder_that_is_no_run_is_told(tmp_path, capsys):
    study = write_study(tmp_path, [])
    assert evaluate.main(["--study", str(study), "--results", str(tmp_path)]) == 1
    assert "peaks.tsv" in capsys.readouterr().err

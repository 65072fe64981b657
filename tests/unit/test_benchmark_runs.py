"""The studies of the benchmark, what their runs cost, and the program that runs them."""

import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import asdict

import pandas as pd
import pytest
import yaml

from benchmarks.back_splices import run as benchmark
from benchmarks.back_splices.cost import DETECTION, cost, cost_of_whole
from benchmarks.back_splices.evaluate import COST_TARGETS
from benchmarks.back_splices.variants import VARIANTS, Variant
from benchmarks.driver import FIRST_SEED, READ_PAIRS, ROOT, write_config
from benchmarks.figures import Figure
from benchmarks.usage import read_usage
from ringmark.errors import InputError
from ringmark.simulate_parameters import PRESETS, SimulationParameters

METER = ROOT / "benchmarks" / "meter"

#: The tiny study instead of the benchmark's, so that a test can simulate it.
SMALL = Variant("small", asdict(PRESETS["tiny"]) | {"replicates": 1}, depth=0.5)

# ---------------------------------------------------------------- variants


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_can_be_simulated(name):
    parameters = VARIANTS[name].parameters(7)
    assert isinstance(parameters, SimulationParameters)
    assert parameters.seed == 7 and not parameters.ip
    assert parameters.genome_length == PRESETS["benchmark"].genome_length
    assert parameters.read_pairs == READ_PAIRS * VARIANTS[name].depth
    assert VARIANTS[name].parameters(7, replicates=5).replicates == 5


def test_variants_differ_in_what_their_name_says():
    made = {name: variant.parameters(7) for name, variant in VARIANTS.items()}
    main = made["main"]
    assert (main.read_length, main.layout, main.strandedness) == (100, "paired", "reverse")
    assert main.read_pairs == 400_000 and main.replicates == 3
    assert made["unstranded"].strandedness == "unstranded"
    assert made["forward"].strandedness == "forward"
    for length in (50, 75, 150):
        assert made[f"2x{length}"].read_length == length
        assert made[f"2x{length}"].layout == "paired"
    for length in (36, 50, 75):
        assert made[f"single{length}"].read_length == length
        assert made[f"single{length}"].layout == "single"
    assert made["negative"].circle_fraction == 0
    assert made["sparse"].circle_fraction < main.circle_fraction < made["dense"].circle_fraction
    depths = [made[f"depth_{times}"].read_pairs for times in (1, 2, 4, 8)]
    assert depths == [100_000, 200_000, 400_000, 800_000]


def test_bad_parameters_are_told():
    with pytest.raises(InputError, match="--read-pairs 0"):
        VARIANTS["main"].parameters(7, read_pairs=0)


# ---------------------------------------------------------------- cost


def usage_table(path, jobs):
    path.write_text(
        "".join(
            f"{name}\t{seconds}\t{peak}\t{json.dumps([name, str(number)])}\n"
            for name, number, seconds, peak in jobs
        )
    )
    return read_usage(path)


JOBS = [
    ("index_star", 0, 50, 3000),
    ("align_star", 1, 40, 2000),
    ("align_star", 2, 34, 2000),
    ("find_back_splices", 1, 99, 9000),
    ("find_back_splices", 1, 3, 150),
    ("find_back_splices", 2, 5, 140),
    ("merge_back_splices", 0, 1, 100),
    ("count_circles", 1, 6, 200),
    ("count_circles", 2, 5, 180),
    ("catalogue_circles", 0, 6, 160),
]


def test_cost_of_a_run(tmp_path):
    usage = usage_table(tmp_path / "usage.tsv", JOBS)
    values = {(item.name, item.subset): item.value for item in cost(usage, 2, 1000)}
    # the first find_back_splices of library 1 was run again
    assert values["pairs_per_cpu_second", "all"] == 1000 / 20
    assert values["peak_memory_mb", "all"] == 200
    assert values["cpu_seconds_detection", "all"] == 26
    assert values["cpu_seconds_pipeline", "all"] == 100
    assert values["share_of_pipeline_cpu", "all"] == 0.26
    assert values["share_of_pipeline_cpu", "program count_circles"] == 0.11
    assert values["peak_memory_mb", "program align_star"] == 2000
    assert ("cpu_seconds", "program index_star") not in values


def test_cost_of_the_whole_workflow(tmp_path):
    usage = usage_table(tmp_path / "usage.tsv", JOBS)
    rest = usage_table(tmp_path / "rest.tsv", [("build_report", 0, 30, 100)])
    values = {item.name: item.value for item in cost_of_whole(usage, rest)}
    assert values["cpu_seconds_whole_workflow"] == 130
    assert values["share_of_whole_workflow_cpu"] == 0.2


@pytest.mark.parametrize("missing", DETECTION)
def test_an_incomplete_account_gives_no_cost(tmp_path, missing):
    jobs = [job for job in JOBS if job[:2] not in ((missing, 0), (missing, 2))]
    figures = cost(usage_table(tmp_path / "usage.tsv", jobs), 2, 1000)
    values = {item.name: item.value for item in figures if item.subset == "all"}
    for name in (*COST_TARGETS, "cpu_seconds_detection", "cpu_seconds_pipeline"):
        assert math.isnan(values[name]), name


def test_no_account_at_all(tmp_path):
    figures = list(cost(read_usage(tmp_path / "none"), 2, 1000))
    assert all(math.isnan(item.value) for item in figures)
    assert {item.name for item in figures} >= set(COST_TARGETS)


# ---------------------------------------------------------------- meter


def metered(folder, *arguments):
    """Run Python under the meter and return its account."""
    path = folder / "usage.tsv"
    environment = os.environ | {"PYTHONPATH": str(METER), "RINGMARK_USAGE": str(path)}
    subprocess.run([sys.executable, *arguments], env=environment, check=True)
    return read_usage(path)


def test_the_meter_counts_a_program_with_what_it_starts(tmp_path):
    busy = "import time; kept = bytearray(60_000_000)\nwhile time.process_time() < 0.3: pass\n"
    (tmp_path / "child.py").write_text(busy)
    (tmp_path / "parent.py").write_text(
        "import subprocess, sys\nsubprocess.run([sys.executable, sys.argv[1]], check=True)\n"
    )
    usage = metered(tmp_path, str(tmp_path / "parent.py"), str(tmp_path / "child.py"))
    assert usage["program"].tolist() == ["parent"]
    assert json.loads(usage["arguments"][0]) == [
        str(tmp_path / "parent.py"),
        str(tmp_path / "child.py"),
    ]
    assert 0.3 <= usage["cpu_seconds"][0] < 5
    assert 57 < usage["peak_memory_mb"][0] < 200


def test_the_meter_leaves_snakemake_out(tmp_path):
    assert metered(tmp_path, "-c", "pass").empty
    assert metered(tmp_path, "-m", "snakemake", "--version").empty


# ---------------------------------------------------------------- runs


@pytest.fixture
def small(monkeypatch):
    """Make the only variant one that is quickly simulated, and return how to run it."""
    monkeypatch.setattr(benchmark, "VARIANTS", {"small": SMALL, "depth_2": SMALL})
    monkeypatch.setattr(benchmark, "require_star", lambda: None)


def case_of(folder, *arguments):
    argv = ["--output", str(folder), "--variant", "small", "--read-pairs", "400", *arguments]
    (case,) = benchmark.cases_of(benchmark.parser().parse_args(argv))
    return case


def write_perfect_results(case, cores, usage, targets=()):
    """Stand in for the workflow: write what the simulation planted."""
    truth, results = case.study / "truth", case.run / "results" / "circrna"
    results.mkdir(parents=True, exist_ok=True)
    circles = pd.read_csv(truth / "circles.tsv", sep="\t", keep_default_na=False)
    circles.assign(libraries=1, reads=9, confidence="high").to_csv(
        results / "circles.tsv", sep="\t", index=False
    )
    shutil.copy(truth / "bsj_counts.tsv", results / "bsj_counts.tsv")
    shutil.copy(truth / "linear_counts.tsv", results / "linear_counts.tsv")
    usage_table(usage, [("build_report", 0, 30, 100)] if not targets else JOBS)


def test_the_benchmark_from_the_command_line(tmp_path, small, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "run_workflow", write_perfect_results)
    argv = ["--output", str(tmp_path), "--read-pairs", "400", "--full"]
    both = ["--aligner", "star", "--aligner", "minimap2"]
    assert benchmark.main([*argv, "--variant", "small", *both]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "summary.md")
    assert list((tmp_path / "runs").iterdir()) == []
    table = benchmark.RESULTS.read(tmp_path / "figures.tsv")
    assert set(table["aligner"]) == {"star", "minimap2"}
    assert set(table["seed"]) == {FIRST_SEED}
    assert set(table["read_pairs"]) == {200}
    rows = table[table["aligner"] == "minimap2"].set_index(["figure", "subset"])
    assert rows.loc[("fragments_recovered_crossing", "all"), "value"] == 1
    assert rows.loc[("fragments_recovered_crossing", "all"), "target"] == ">= 0.85"
    assert rows.loc[("pairs_per_cpu_second", "all"), "met"] == "no"
    assert rows.loc[("share_of_whole_workflow_cpu", "all"), "value"] == 0.2
    # once more: the rows of the same run are replaced, those of others stay
    assert benchmark.main([*argv, "--variant", "depth_2", "small", "--keep"]) == 0
    again = benchmark.RESULTS.read(tmp_path / "figures.tsv")
    assert len(again) == len(table) * 3 / 2
    assert (tmp_path / "runs" / f"small_seed{FIRST_SEED}" / "star").is_dir()
    page = (tmp_path / "summary.md").read_text()
    seed = FIRST_SEED
    assert f"| figure | target | small minimap2 {seed} | depth_2 star {seed} |" in page
    assert "| pairs_per_cpu_second | >= 60000 | **20** | **20** | **20** |" in page
    assert f"| star | {seed} | 200 | 26 | 1 | 200 | 1 |" in page


def test_a_kept_run_of_another_aligner_keeps_its_study(tmp_path, small, monkeypatch):
    monkeypatch.setattr(benchmark, "run_workflow", write_perfect_results)
    argv = ["--output", str(tmp_path), "--read-pairs", "400", "--variant", "small"]
    assert benchmark.main([*argv, "--aligner", "minimap2", "--keep"]) == 0
    assert benchmark.main([*argv, "--aligner", "star"]) == 0
    left = tmp_path / "runs" / f"small_seed{FIRST_SEED}"
    assert sorted(path.name for path in left.iterdir()) == ["minimap2", "study"]


def test_a_study_is_simulated_once_and_not_mixed_up(tmp_path, small):
    case = case_of(tmp_path)
    benchmark.make_study(case)
    made = (case.study / "samples.tsv").stat().st_mtime_ns
    benchmark.make_study(case)
    assert (case.study / "samples.tsv").stat().st_mtime_ns == made
    with pytest.raises(InputError, match="holds a study of other parameters"):
        benchmark.make_study(case_of(tmp_path, "--replicates", "2"))


def test_the_configuration_of_a_run(tmp_path, small):
    case = case_of(tmp_path, "--aligner", "minimap2")
    benchmark.make_study(case)
    settings = yaml.safe_load(write_config(case).read_text())
    assert settings["alignment"] == {"aligner": "minimap2"}
    study = case.study.resolve()
    assert settings["samples"] == str(study / "samples.tsv")
    assert settings["reference"] == {
        "fasta": str(study / "genome.fa"),
        "gtf": str(study / "genes.gtf"),
    }
    assert settings["contrast"]["factor"] == "condition"


def test_a_failed_workflow_is_told(tmp_path, small, capsys):
    case = case_of(tmp_path, "--aligner", "minimap2")
    benchmark.make_study(case)
    (case.study / "samples.tsv").write_text("library\n")
    argv = ["--output", str(tmp_path), "--variant", "small", "--read-pairs", "400"]
    assert benchmark.main([*argv, "--aligner", "minimap2"]) == 1
    message = capsys.readouterr().err
    assert "small, minimap2: the workflow ended with code 1" in message
    assert "snakemake.log" in message and "Traceback" not in message
    assert "samples.tsv" in (case.run / "snakemake.log").read_text()


def test_a_table_of_something_else_is_told_first(tmp_path, small, capsys):
    (tmp_path / "figures.tsv").write_text("figure\tvalue\n")
    assert benchmark.main(["--output", str(tmp_path), "--variant", "small"]) == 1
    assert "the benchmark table has no column variant" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_targets_by_variant_and_aligner(tmp_path):
    def tolerance(name, aligner):
        variant = VARIANTS[name]
        return benchmark.Case(name, variant, variant.parameters(7), aligner, tmp_path).tolerance

    assert tolerance("main", "star") == 0
    assert tolerance("main", "minimap2") == 0.03
    assert tolerance("2x75", "star") == 0.03
    assert tolerance("single36", "minimap2") is None


def test_runs_without_targets_of_detection_are_shown_and_not_judged(tmp_path):
    figures = [Figure("recall_anchored_counted_2", 0.5, 4), Figure("high_per_million_pairs", 9, 4)]
    rows = []
    for name in ("main", "single36"):
        parameters = VARIANTS[name].parameters(7)
        case = benchmark.Case(name, VARIANTS[name], parameters, "star", tmp_path)
        crossing = Figure("fragments_recovered_crossing", math.nan, 4)
        rows.append(benchmark.table_of(case, [*figures, crossing]))
    page = benchmark.overview(pd.concat(rows))
    assert "| recall_anchored_counted_2 | >= 0.97 | **0.5** | 0.5 |\n" in page
    assert "| fragments_recovered_crossing | >= 0.88 |  |  |\n" in page
    assert "high_per_million_pairs" not in page


def test_growth_with_the_reads(tmp_path):
    values = {1: (10.0, 100.0), 8: (60.0, 130.0)}
    rows = []
    for times, (seconds, peak) in values.items():
        variant = VARIANTS[f"depth_{times}"]
        case = benchmark.Case(
            f"depth_{times}", variant, variant.parameters(7), "minimap2", tmp_path
        )
        figures = [Figure("cpu_seconds_detection", seconds, 4), Figure("peak_memory_mb", peak, 4)]
        rows.append(benchmark.table_of(case, figures))
    grown = benchmark.growth(pd.concat(rows))
    assert "| minimap2 | 7 | 100,000 | 10 | 1 | 100 | 1 |\n" in grown
    assert "| minimap2 | 7 | 800,000 | 60 | 6 | 130 | **1.3** |\n" in grown
    assert benchmark.growth(benchmark.RESULTS.empty()) == ""


def test_every_variant_is_listed_and_all_are_the_default():
    assert all(name in benchmark.parser().format_help() for name in VARIANTS)
    cases = list(benchmark.cases_of(benchmark.parser().parse_args([])))
    assert [case.name for case in cases] == list(VARIANTS)
    assert {case.aligner for case in cases} == {"star"}


@pytest.mark.parametrize("argv", [["--variant", "huge"], ["--aligner", "bwa"], ["--seed", "x"]])
def test_bad_command_lines(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        benchmark.main(argv)
    assert stop.value.code == 2
    assert capsys.readouterr().err

"""The studies of the benchmark of m6A peaks, what their runs cost, and what runs them."""

import json
import math
from dataclasses import asdict

import pandas as pd
import pytest
from toy_m6a import quality_rows, write_results

from benchmarks.driver import FIRST_SEED, READ_PAIRS, write_config
from benchmarks.figures import Figure
from benchmarks.m6a_peaks import run as benchmark
from benchmarks.m6a_peaks.cost import PROGRAMS, cost, counted_library
from benchmarks.m6a_peaks.evaluate import TARGETS
from benchmarks.m6a_peaks.variants import (
    VARIANTS,
    Variant,
    exchange_inputs,
    inputs_as_ips,
    swap_first_pair,
)
from ringmark.errors import InputError
from ringmark.simulate_parameters import PRESETS, SimulationParameters
from ringmark.study import Contrast, read_study

# ---------------------------------------------------------------- variants


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_can_be_simulated(name):
    parameters = VARIANTS[name].parameters(7)
    assert isinstance(parameters, SimulationParameters)
    assert parameters.seed == 7
    assert parameters.ip == (name != "null_samples")
    assert parameters.read_pairs == READ_PAIRS * VARIANTS[name].depth
    assert VARIANTS[name].expect in TARGETS


def test_variants_differ_in_what_their_name_says():
    made = {name: variant.parameters(7) for name, variant in VARIANTS.items()}
    main = made["main"]
    assert (main.replicates, main.read_pairs, main.fragment_length) == (3, 400_000, 170)
    assert [made[f"replicates_{count}"].replicates for count in (1, 2, 6)] == [1, 2, 6]
    assert [made[f"depth_{times}"].read_pairs for times in (1, 2, 8)] == [
        100_000,
        200_000,
        800_000,
    ]
    assert made["genes_2"].genes == 2 * main.genes
    assert made["short_genes"].last_exon_max < main.last_exon_min
    assert made["low_stoichiometry"].stoichiometry_max < main.stoichiometry_max
    assert [made[f"fragments_{nt}"].fragment_length for nt in (100, 250)] == [100, 250]
    assert made["overdispersed"].site_noise > main.site_noise
    assert made["background_20"].ip_background == 0.2
    assert (made["single50"].layout, made["single50"].read_length) == ("single", 50)
    assert made["null_unmethylated"].methylated_fraction == 0
    assert made["null_differential"].differential_site_fraction == 0
    assert made["failed"].failed_ips == 1


def test_bad_parameters_are_told():
    with pytest.raises(InputError, match="--replicates 0"):
        VARIANTS["main"].parameters(7, replicates=0)


# ---------------------------------------------------------------- samples sheets


def sheet(samples, assays=("input", "ip")):
    return pd.DataFrame(
        [
            (f"{sample}_{assay}", sample, condition, assay)
            for condition in "rs"
            for sample in (f"{condition}{number}" for number in range(1, samples + 1))
            for assay in assays
        ],
        columns=["library", "sample", "condition", "assay"],
    )


def pairs(rows, folder):
    """Return IP, input, sample and condition of the pairs that the workflow makes of a sheet."""
    rows.to_csv(folder / "samples.tsv", sep="\t", index=False)
    study = read_study(folder / "samples.tsv", Contrast("condition", "r", "s"))
    return [(pair.ip.name, pair.input.name, pair.sample, pair.condition) for pair in study.pairs]


def test_a_swapped_pair(tmp_path):
    made = pairs(swap_first_pair(sheet(2)), tmp_path)
    assert made == [
        ("r1_input", "r1_ip", "r1", "r"),
        ("r2_ip", "r2_input", "r2", "r"),
        ("s1_ip", "s1_input", "s1", "s"),
        ("s2_ip", "s2_input", "s2", "s"),
    ]


def test_exchanged_inputs(tmp_path):
    made = pairs(exchange_inputs(sheet(2)), tmp_path)
    assert sorted(made) == [
        ("r1_ip", "s1_input", "r1", "r"),
        ("r2_ip", "r2_input", "r2", "r"),
        ("s1_ip", "r1_input", "s1", "s"),
        ("s2_ip", "s2_input", "s2", "s"),
    ]


@pytest.mark.parametrize("samples", [2, 3])
def test_inputs_instead_of_ips(tmp_path, samples):
    made = pairs(inputs_as_ips(sheet(samples, ["input"])), tmp_path)
    assert made == [
        ("r2_input", "r1_input", "r1", "r"),
        ("s2_input", "s1_input", "s1", "s"),
    ]


def test_sheets_are_not_changed_in_place():
    for change in (swap_first_pair, exchange_inputs, inputs_as_ips):
        rows = sheet(2)
        change(rows)
        assert rows.equals(sheet(2))


# ---------------------------------------------------------------- cost


def usage(*jobs):
    rows = [
        (program, seconds, peak, json.dumps([program, "--output", f"bins/{library}.npz"]))
        for program, library, seconds, peak in jobs
    ]
    return pd.DataFrame(rows, columns=["program", "cpu_seconds", "peak_memory_mb", "arguments"])


JOBS = (
    ("count_bins", "r1_ip", 2.0, 130.0),
    ("count_bins", "r1_input", 1.0, 120.0),
    ("count_bins", "s1_ip", 4.0, 140.0),
    ("call_peaks", "", 9.0, 400.0),
    ("assess_ip", "", 8.0, 900.0),
)
ALONE = ("call_peaks", "", 5.0, 300.0)


def test_cost_of_one_condition():
    found = cost(usage(*JOBS), usage(ALONE), ["r1_ip", "r1_input"], 800)
    values = {(item.name, item.subset): item.value for item in found}
    assert values["cpu_seconds_one_condition", "all"] == 2 + 1 + 5
    assert values["peak_memory_mb", "all"] == 300
    assert values["cpu_seconds_count_bins", "all"] == 7
    assert values["cpu_seconds_count_bins", "a job"] == pytest.approx(7 / 3)
    assert values["peak_memory_mb_assess_ip", "all"] == 900
    assert math.isnan(values["cpu_seconds_compare_methylation", "all"])


@pytest.mark.parametrize(
    ("jobs", "alone"), [(JOBS[1:], (ALONE,)), (JOBS, ()), ((), (ALONE,)), ((), ())]
)
def test_an_incomplete_account_gives_no_cost(jobs, alone):
    found = list(cost(usage(*jobs), usage(*alone), ["r1_ip", "r1_input"], 800))
    values = {item.name: item.value for item in found if item.subset == "all"}
    assert math.isnan(values["cpu_seconds_one_condition"])
    assert math.isnan(values["peak_memory_mb"])
    assert {f"cpu_seconds_{program}" for program in PROGRAMS} <= set(values)


def test_the_library_of_a_job():
    assert counted_library(json.dumps(["x/count_bins.py", "--output", "a/b.c.npz"])) == "b.c"


# ---------------------------------------------------------------- runs

#: The tiny study instead of the benchmark's, so that a test can simulate it.
SMALL = asdict(PRESETS["tiny"]) | {"replicates": 1}


@pytest.fixture
def small(monkeypatch):
    variants = {
        "main": Variant("small", SMALL, depth=0.5, expect="main"),
        "depth_1": Variant("small", SMALL, depth=0.25),
        "swapped": Variant("small", SMALL, depth=0.5, expect="verdict", sheet=swap_first_pair),
    }
    monkeypatch.setattr(benchmark, "VARIANTS", variants)
    monkeypatch.setattr(benchmark, "require_star", lambda: None)


def case_of(folder, name):
    argv = ["--output", str(folder), "--variant", name, "--read-pairs", "400"]
    (case,) = benchmark.cases_of(benchmark.parser().parse_args(argv))
    return case


def test_the_sheet_of_a_run(tmp_path, small):
    case = case_of(tmp_path, "main")
    benchmark.make_study(case)
    assert case.samples() == case.study.resolve() / "samples.tsv"
    swapped = case_of(tmp_path, "swapped")
    benchmark.make_study(swapped)
    swapped.run.mkdir()
    settings = write_config(swapped).read_text()
    path = swapped.run.resolve() / "samples.tsv"
    assert f"samples: {path}" in settings
    study = read_study(path, Contrast("condition", "resistant", "sensitive"))
    assert [pair.ip.name for pair in study.pairs] == ["resistant_1_input", "sensitive_1_ip"]
    assert all(file.is_file() for lib in study.libraries for run in lib.runs for file in run.files)


def stand_in(monkeypatch, seconds):
    """Stand in for the workflow and the evaluation, which have tests of their own."""

    def run_workflow(case, cores, usage, targets):
        assert targets == benchmark.RESULTS_WANTED
        rows = [
            row | {"condition": row["condition"].replace("r", "resistant")}
            for row in quality_rows(1)
        ]
        write_results(case.run, [], quality=rows)
        jobs = [("count_bins", row[name], seconds, 100.0) for row in rows
                for name in ("ip_library", "input_library")]  # fmt: skip
        write_usage(usage, jobs)

    def call_one_condition(case, pairs, usage):
        assert pairs["ip_library"].tolist() == ["r1_ip"]
        write_usage(usage, [("call_peaks", "", 2 * seconds, 200.0)])

    def figures(study, results):
        return [
            Figure("f1_worse_condition", 0.9, 10),
            Figure("false_discovery", 0.02, 50, "nominal 0.01"),
            Figure("false_peaks", 1, 50, "nominal 0.01"),
            Figure("verdict_right", 1, 2),
        ]

    monkeypatch.setattr(benchmark, "run_workflow", run_workflow)
    monkeypatch.setattr(benchmark, "call_one_condition", call_one_condition)
    monkeypatch.setattr(benchmark, "evaluate", figures)


def write_usage(path, jobs):
    usage(*jobs).to_csv(path, sep="\t", header=False, index=False, quoting=3)


def test_the_benchmark_from_the_command_line(tmp_path, small, monkeypatch, capsys):
    stand_in(monkeypatch, 6.0)
    argv = ["--output", str(tmp_path), "--read-pairs", "400", "--variant", "main", "swapped"]
    assert benchmark.main(argv) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "summary.md")
    assert list((tmp_path / "runs").iterdir()) == []
    stand_in(monkeypatch, 3.0)
    assert benchmark.main([*argv[:-2], "depth_1", "--keep"]) == 0
    assert (tmp_path / "runs" / f"depth_1_seed{FIRST_SEED}" / "star").is_dir()
    table = benchmark.RESULTS.read(tmp_path / "figures.tsv")
    rows = table.set_index(["variant", "figure"])
    assert rows.loc[("main", "f1_worse_condition"), "met"] == "no"
    assert rows.loc[("swapped", "verdict_right"), "met"] == "yes"
    assert pd.isna(rows.loc[("depth_1", "f1_worse_condition"), "target"])
    page = (tmp_path / "summary.md").read_text()
    lines = {
        line.split(" | ")[0]: line.split(" | ")
        for line in page.split("## ")[0].splitlines()
        if line.startswith("| ")
    }
    column = lines["| run"].index("f1_worse_condition")
    assert lines["| target"][column] == ">= 0.96"
    assert lines[f"| main star {FIRST_SEED}"][column] == "**0.9**"
    assert lines[f"| swapped star {FIRST_SEED}"][column] == "0.9"
    column = lines["| run"].index("cpu_seconds_one_condition")
    assert lines[f"| main star {FIRST_SEED}"][column] == "**24**"
    assert f"| main star {FIRST_SEED} | 0.02 (1) |  () |" in page
    # four libraries at 3 CPU seconds against four at 6, of half as many fragments
    assert f"| star | {FIRST_SEED} | 100 | 12 | 1 | 100 | 1 |" in page
    assert f"| star | {FIRST_SEED} | 200 | 24 | 2 | 100 | 1 |" in page


def test_peaks_of_one_condition_that_cannot_be_called(tmp_path, small):
    case = case_of(tmp_path, "main")
    case.run.mkdir(parents=True)
    rows = pd.DataFrame(quality_rows(1)[:1])
    with pytest.raises(InputError, match=r"main: call_peaks\.py failed") as told:
        benchmark.call_one_condition(case, rows, tmp_path / "usage.tsv")
    assert "transcripts.tsv" in str(told.value)


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

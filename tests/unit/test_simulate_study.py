"""The command that simulates a study."""

from dataclasses import fields

import pandas as pd
import pytest

import simulate_study
from ringmark.simulate_parameters import PRESETS, SimulationParameters

SMALL = ["--read-pairs", "50", "--replicates", "1"]


def test_writes_a_study_and_its_parameters(tmp_path):
    argv = ["--output", str(tmp_path / "study"), *SMALL, "--seed", "5", "--no-ip"]
    assert simulate_study.main(argv) == 0
    made = sorted(path.name for path in (tmp_path / "study").iterdir())
    assert made == ["config.yaml", "fastq", "genes.gtf", "genome.fa", "samples.tsv", "truth"]
    table = pd.read_csv(
        tmp_path / "study" / "truth" / "parameters.tsv", sep="\t", index_col=0, dtype=str
    )
    assert table.value["seed"] == "5"
    assert table.value["ip"] == "False"
    assert table.value["genes"] == str(PRESETS["tiny"].genes)


def test_every_parameter_is_an_option_with_help():
    options = {action.dest: action for action in simulate_study.parser()._actions}
    for item in fields(SimulationParameters):
        assert options[item.name].help


def test_a_preset_gives_defaults_and_options_override_it():
    options = simulate_study.parser().parse_args(
        ["--output", "x", "--preset", "benchmark", "--genes", "12", "--circle-fraction", "0"]
    )
    parameters = simulate_study.parameters_from(options)
    assert parameters.genes == 12
    assert parameters.circle_fraction == 0
    assert parameters.genome_length == PRESETS["benchmark"].genome_length


def test_bad_values_are_told_and_nothing_is_written(tmp_path, capsys):
    argv = ["--output", str(tmp_path / "study"), "--replicates", "0", "--layout", "both"]
    assert simulate_study.main(argv) == 1
    message = capsys.readouterr().err
    assert "--replicates 0" in message and "--layout both" in message
    assert "Hint:" in message and "Traceback" not in message
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("argv", [[], ["--output", "x", "--preset", "huge"]])
def test_bad_command_lines(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        simulate_study.main(argv)
    assert stop.value.code == 2
    assert capsys.readouterr().err

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import tomllib
from pathlib import Path

import pytest

import write_provenance

PROJECT = Path(__file__).resolve().parents[2]


def run(folder: Path, *arguments: str) -> dict:
    output = folder / "provenance.json"
    assert write_provenance.main([*arguments, "--output", str(output)]) == 0
    return json.loads(output.read_text(encoding="utf-8"))


def test_packages_are_the_dependencies_of_the_project():
    content = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    named = {item.split(">")[0].strip().lower() for item in content["project"]["dependencies"]}
    assert {name.lower() for name in write_provenance.PACKAGES} == named


def test_versions_inputs_config_and_commit(tmp_path):
    reads = tmp_path / "reads.fastq"
    reads.write_bytes(b"@r\nA\n+\nI\n")
    empty = tmp_path / "empty.txt"
    empty.touch()
    content = run(
        tmp_path,
        *("--input", str(reads), "--input", str(empty), "--input", str(reads)),
        *("--config", '{"b": 1, "a": {"d": [2], "c": null}}', "--commit", "0123abc"),
    )
    assert content["commit"] == "0123abc"
    assert content["versions"]["numpy"] == importlib.metadata.version("numpy")
    assert "samtools (in pysam)" in content["versions"]
    assert [Path(item["path"]).name for item in content["inputs"]] == ["empty.txt", "reads.fastq"]
    assert content["inputs"][1]["sha256"] == hashlib.sha256(reads.read_bytes()).hexdigest()
    assert content["inputs"][1]["bytes"] == 9
    assert content["inputs"][0]["sha256"].startswith("e3b0c44298fc1c14")
    assert list(content["config"]) == ["a", "b"]
    assert content["config"]["a"] == {"c": None, "d": [2]}


def test_nothing_given_and_nothing_left_behind(tmp_path):
    content = run(tmp_path)
    assert content["inputs"] == []
    assert content["config"] is None
    assert "STAR" not in content["versions"]
    assert [path.name for path in tmp_path.iterdir()] == ["provenance.json"]


def test_the_same_run_gives_the_same_bytes(tmp_path):
    texts = []
    for name in ("one", "two"):
        run(tmp_path / name, "--config", '{"a": 1}')
        texts.append((tmp_path / name / "provenance.json").read_bytes())
    assert texts[0] == texts[1]


def test_config_may_be_a_file(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"samples": "samples.tsv"}')
    assert run(tmp_path, "--config", str(path))["config"] == {"samples": "samples.tsv"}


def test_star_is_asked_for_its_version(tmp_path, monkeypatch):
    program = tmp_path / "STAR"
    program.write_text('#!/bin/sh\n[ "$1" = --version ] && echo 2.7.10b\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert run(tmp_path, "--aligner", "star")["versions"]["STAR"] == "2.7.10b"
    assert "STAR" not in run(tmp_path, "--aligner", "minimap2")["versions"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "absent.fastq"], "absent.fastq: No such file"),
        (["--config", "absent.json"], "absent.json: no such file"),
        (["--config", "{"], "--config: not JSON"),
    ],
)
def test_user_mistakes_are_messages(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "provenance.json"
    assert write_provenance.main([*arguments, "--output", str(output)]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.splitlines()[-1].startswith("Hint: ")
    assert not output.exists()


def test_a_missing_aligner_is_a_message(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    output = str(tmp_path / "provenance.json")
    assert write_provenance.main(["--aligner", "star", "--output", output]) == 1
    assert "STAR --version failed" in capsys.readouterr().err

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import tomllib
from pathlib import Path

import pysam
import pytest

import write_provenance
from ringmark.alignments import bam_header

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


@pytest.mark.parametrize("aligner", ["STAR", "minimap2"])
def test_the_bam_tells_the_aligner_which_need_not_be_installed(tmp_path, monkeypatch, aligner):
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "a.bam"
    with pysam.AlignmentFile(
        str(path), "wb", header=bam_header([("chr1", 1000)], "a", "a", aligner, "2.7.10b")
    ):
        pass
    assert run(tmp_path, "--bam", str(path))["versions"][aligner] == "2.7.10b"


def test_all_aligners_of_a_study_are_named(tmp_path):
    paths = []
    made = [("STAR", "2.7.11a"), ("STAR", "2.7.10b"), ("TopHat", "1.4.1"), ("STAR", "2.7.10b")]
    for number, (aligner, version) in enumerate(made):
        paths.append(str(tmp_path / f"{number}.bam"))
        header = bam_header([("chr1", 1000)], "a", "a", aligner, version)
        with pysam.AlignmentFile(paths[-1], "wb", header=header):
            pass
    versions = run(tmp_path, "--bam", *paths)["versions"]
    assert versions["STAR"] == "2.7.10b, 2.7.11a"
    assert versions["TopHat"] == "1.4.1"


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


def test_a_file_without_an_aligner_is_a_message(tmp_path, capsys):
    text, bare = tmp_path / "text.bam", tmp_path / "bare.bam"
    text.write_text("no BAM\n")
    with pysam.AlignmentFile(str(bare), "wb", header={"HD": {"VN": "1.6"}}):
        pass
    for path in (text, bare, tmp_path / "absent.bam"):
        output = tmp_path / "provenance.json"
        assert write_provenance.main(["--bam", str(path), "--output", str(output)]) == 1
        error = capsys.readouterr().err
        assert str(path) in error
        assert "Hint: " in error
        assert not output.exists()

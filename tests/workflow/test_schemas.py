"""Schemas, the configuration files that come along, and what they promise each other."""

from __future__ import annotations

import copy
import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

import check_study
from ringmark.study import FILE_COLUMNS, OPTIONAL_COLUMNS, REQUIRED_COLUMNS

PROJECT = Path(__file__).resolve().parents[2]
SCHEMAS = PROJECT / "workflow" / "schemas"
MAIN = PROJECT / "config" / "config.yaml"
TINY = PROJECT / "tests" / "data" / "tiny"

#: What a user has to say; everything else has a default. Only BAM files do without the FASTA.
NEEDED = {"samples", "reference.fasta", "reference.gtf", "contrast.test", "contrast.reference"}


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def leaves(config: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return dotted key to value."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        deeper = isinstance(value, Mapping) and value
        found |= leaves(value, f"{before}{key}.") if deeper else {f"{before}{key}": value}
    return found


def rules(schema: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield dotted key and rule of everything the schema allows."""
    for key, rule in schema.get("properties", {}).items():
        yield f"{before}{key}", rule
        yield from rules(rule, f"{before}{key}.")


SCHEMA = read(SCHEMAS / "config.schema.yaml")
SECTIONS = {key for key, rule in rules(SCHEMA) if "properties" in rule}
KEYS = {key: rule for key, rule in rules(SCHEMA) if key not in SECTIONS}


@pytest.mark.parametrize("name", ["config", "samples"])
def test_schemas_are_schemas_of_the_draft_they_name(name):
    schema = read(SCHEMAS / f"{name}.schema.yaml")
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


def test_every_key_but_the_needed_has_a_default():
    without = {key for key, rule in KEYS.items() if "default" not in rule}
    assert without == NEEDED - {"reference.fasta"}
    assert KEYS["reference.fasta"]["default"] is None


def test_defaults_are_valid():
    for key, rule in rules(SCHEMA):
        if "default" in rule:
            whole = rule | {"$defs": SCHEMA["$defs"]}
            assert Draft202012Validator(whole).is_valid(rule["default"]), key


def test_unknown_keys_are_refused_at_every_level():
    for section in sorted(SECTIONS):
        config: dict[str, Any] = read(MAIN)
        inner = config
        for key in section.split("."):
            inner = inner[key]
        inner["surplus"] = 1
        problems = check_study.config_problems(config)
        assert len(problems) == 1
        assert f"unknown key '{section}.surplus'" in problems[0][1]


@pytest.mark.parametrize("path", [MAIN, TINY / "config.yaml"], ids=["main", "tiny"])
def test_configuration_is_valid_and_so_is_all_it_names(path, monkeypatch):
    monkeypatch.chdir(PROJECT if path == MAIN else TINY)
    config, study = check_study.load(read(path), str(path), read_files=True)
    assert set(leaves(config)) == set(KEYS)
    assert len(study.libraries) == 12
    assert len(study.pairs) == 6


def test_the_main_configuration_shows_every_key():
    assert set(leaves(read(MAIN))) == set(KEYS)


def test_every_key_of_the_main_configuration_has_a_comment():
    """On its line, on the line of its section, or on the line above, which says it for both."""
    lines = MAIN.read_text(encoding="utf-8").splitlines()
    bare = []
    for key in KEYS:
        section, name = key.split(".")[0], key.split(".")[-1]
        start = next(i for i, line in enumerate(lines) if line.startswith(f"{section}:"))
        end = next(
            (i for i, line in enumerate(lines[start + 1 :], start + 1) if line[:1].isalpha()),
            len(lines),
        )
        at = next(i for i in range(start, end) if f"{name}:" in lines[i])
        if not any("#" in lines[i] for i in {start, at - 1 if at > start + 1 else at, at}):
            bare.append(key)
    assert not bare


def test_the_main_configuration_writes_defaults_unless_it_says_otherwise():
    lines = MAIN.read_text(encoding="utf-8").splitlines()
    for key, value in leaves(read(MAIN)).items():
        if key in NEEDED or value == KEYS[key]["default"]:
            continue
        line = next(line for line in lines if line.strip().startswith(f"{key.split('.')[-1]}:"))
        assert f"default: {KEYS[key]['default']}" in line, key


def test_the_shortest_configuration_is_complete_and_its_defaults_are_not_shared(monkeypatch):
    monkeypatch.chdir(TINY)
    before = copy.deepcopy(SCHEMA)
    config, _ = check_study.load(read(TINY / "config.yaml"), "tiny", read_files=False)
    for key, value in leaves(config).items():
        if key not in NEEDED and key != "alignment.aligner":
            assert value == KEYS[key]["default"], key
    config["contrast"]["covariates"].append("batch")
    again, _ = check_study.load(read(TINY / "config.yaml"), "tiny", read_files=False)
    assert again["contrast"]["covariates"] == []
    assert before == SCHEMA


def sheet(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    for row in rows:
        for column in ("fastq_1", "fastq_2"):
            row[column] = str((path.parent / row[column]).resolve())
            assert Path(row[column]).is_file()
    return rows


def test_the_sheet_of_the_main_configuration_is_the_tiny_study():
    assert sheet(PROJECT / "config" / "samples.tsv") == sheet(TINY / "samples.tsv")


def test_columns_of_the_sheet_are_those_of_its_schema_and_of_its_description():
    schema = read(SCHEMAS / "samples.schema.yaml")
    columns = [*REQUIRED_COLUMNS, *FILE_COLUMNS, *OPTIONAL_COLUMNS]
    assert sorted(schema["properties"]) == sorted(columns)
    assert schema["required"] == list(REQUIRED_COLUMNS)
    text = (PROJECT / "config" / "README.md").read_text(encoding="utf-8")
    for name in [*columns, *SCHEMA["properties"]]:
        assert f"`{name}`" in text


GOOD_ROW = {
    "library": "a_ip",
    "sample": "a",
    "condition": "resistant",
    "assay": "ip",
    "fastq_1": "reads 1.fq.gz",
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"fastq_2": "reads 2.fq.gz"},
        {"fastq_1": None, "accession": "ERR1234567"},
        {"strandedness": "reverse", "input_library": "a.input-1"},
        {"batch": "any text, at all"},
    ],
)
def test_rows_that_are_right(change):
    row = {key: value for key, value in (GOOD_ROW | change).items() if value is not None}
    assert check_study.row_checker()(row) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"library": None}, "library has no value; fill it"),
        ({"assay": "Input"}, "assay 'Input' is not valid; write 'input'"),
        ({"condition": "drug, washed"}, "condition 'drug, washed' is not valid; use any words"),
        ({"condition": "pooled"}, "condition 'pooled' is not valid; choose another word"),
        ({"sample": "-hidden"}, "sample '-hidden' is not valid; use any words"),
        ({"fastq_1": None}, "neither fastq_1 nor accession nor bam has a value"),
        ({"accession": "SRR1234567"}, "both fastq_1 and accession 'SRR1234567' are given"),
        ({"bam": "a.bam"}, "both fastq_1 and bam 'a.bam' are given"),
        ({"fastq_1": "{x}.fq"}, "fastq_1 '{x}.fq' is not valid; give a path without braces"),
        ({"fastq_1": None, "fastq_2": "b.fq", "accession": "SRR1234567"}, "without fastq_1"),
        ({"fastq_1": None, "accession": "PRJNA123456"}, "accession 'PRJNA123456' is not valid"),
        ({"strandedness": "RF"}, "strandedness 'RF' is not valid; write 'auto'"),
        ({"input_library": "a b"}, "input_library 'a b' is not valid"),
    ],
)
def test_rows_that_are_wrong_in_one_way(change, message):
    row = {key: value for key, value in (GOOD_ROW | change).items() if value is not None}
    problems = check_study.row_checker()(row)
    assert len(problems) == 1
    assert message in problems[0]

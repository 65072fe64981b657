"""Rules of the house that no linter knows."""

import ast
import re

import pytest
import yaml
from workflow_runs import ROOT

RULE_FILES = sorted((ROOT / "workflow/rules").glob("*.smk"))
LIBRARY = sorted((ROOT / "workflow/scripts/ringmark").glob("*.py"))
PROGRAMS = sorted((ROOT / "workflow/scripts").glob("*.py"))
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))

#: The library from the ground up. A module imports from floors below its own, or from what stands
#: before it on the same one.
FLOORS = (
    ("errors", "files", "tables", "intervals", "sequence"),
    (
        "study",
        "annotation",
        "alignments",
        "records",
        "fragments",
        "exon_ends",
        "betabinomial",
        "multiple_testing",
        "dispersion_trend",
    ),
    (
        "backsplice",
        "circles",
        "tandem_copies",
        "circle_search",
        "circle_ways",
        "circle_counter",
        "circle_counts",
    ),
    ("bins", "background", "summits", "peaks", "pairing", "saturation", "profiles", "simulate"),
    (
        "detection",
        "enrichment",
        "efficiency",
        "input_levels",
        "peak_context",
        "differential",
        "methylation",
        "circle_changes",
        "regulators",
    ),
    ("figures", "report"),
)
ORDER = [module for floor in FLOORS for module in floor]


def rules_of(path):
    """Return name and text of every rule of a rule file."""
    parts = re.split(r"^\s*rule (\w+):$", path.read_text(), flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


RULES = [pytest.param(text, id=name) for path in RULE_FILES for name, text in rules_of(path)]


@pytest.mark.parametrize("text", RULES)
def test_every_rule_states_what_it_needs(text):
    for directive in ("input", "output", "log", "conda", "threads", "resources", "shell"):
        assert re.search(rf"^\s+{directive}:", text, re.MULTILINE), directive
    assert "mem_mb=scaled(" in text
    assert "runtime=" in text


@pytest.mark.parametrize("text", [rule for rule in RULES if "script=" in rule.values[0]])
def test_every_rule_reruns_when_the_modules_of_its_program_change(text):
    # not a function of input: Snakemake does not compare such parameters with those of the last run
    (program,) = re.findall(r'script=f"{SCRIPTS}/(\w+\.py)"', text)
    assert f'digest=digest_of(f"{{SCRIPTS}}/{program}"),' in text


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.stem)
def test_rules_that_change_another_rerun_with_its_program(path):
    # what they state in place of the other's is all they have
    text = path.read_text()
    rules = dict(rules_of(path))
    for base, rest in re.findall(r"^use rule (\w+) as \w+ with:\n((?:[ \n].*\n?)*)", text, re.M):
        (digest,) = re.findall(r"^\s+(digest=.+),$", rules[base].split("use rule")[0], re.M)
        assert "params:" not in rest or f"{digest}," in rest


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.stem)
def test_rule_files_open_with_what_they_do(path):
    assert path.read_text().startswith('"""')


def test_the_snakefile_is_short():
    assert len((ROOT / "Snakefile").read_text().splitlines()) < 80


def rank(module):
    """Place of a module in the house; the parts of the simulator are one."""
    return ORDER.index("simulate" if module.startswith("simulate") else module)


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
def test_modules_import_from_below(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("ringmark"):
            continue
        _, _, module = (node.module or "").partition(".")
        for name in [module] if module else [alias.name for alias in node.names]:
            simulator = path.stem.startswith("simulate") and name.startswith("simulate")
            assert simulator or rank(name) < rank(path.stem), f"{path.stem} imports {name}"


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_programs_say_what_they_do(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_environments_are_pinned(path):
    environment = yaml.safe_load(path.read_text())
    assert environment["channels"] == ["conda-forge", "bioconda", "nodefaults"]
    assert all(re.fullmatch(r"[a-z0-9-]+=[0-9a-z.]+", item) for item in environment["dependencies"])


def test_every_environment_is_used():
    used = {
        name for path in RULE_FILES for name in re.findall(r"envs/(\w+)\.yaml", path.read_text())
    }
    assert used == {path.stem for path in ENVIRONMENTS}


def test_the_lock_has_hashes_and_no_address():
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    pinned = re.findall(r"^[a-z0-9-]+==", lock, re.MULTILINE)
    assert len(pinned) > 50
    assert lock.count("--hash=sha256:") >= len(pinned)

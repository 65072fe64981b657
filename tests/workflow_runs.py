"""Runs of the whole workflow for the tests: copies of the tiny study, and what they leave."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
TINY = ROOT / "tests" / "data" / "tiny"

#: Result files that must be the same, byte for byte, however often a run was interrupted.
RESULTS = ("study", "expression", "circrna", "m6a", "circrna_m6a", "differential", "regulators")


def command(folder: Path, *arguments: str) -> list[str]:
    """Return the call of Snakemake for a study folder, as the documentation gives it."""
    return [
        sys.executable,
        *("-m", "snakemake"),
        *("--snakefile", str(ROOT / "Snakefile")),
        *("--configfile", str(folder / "config.yaml")),
        *("--directory", str(folder)),
        *arguments,
    ]


def run(folder: Path, *arguments: str, cores: int = 2) -> subprocess.CompletedProcess[str]:
    """Run the workflow in a study folder and return what it printed."""
    return subprocess.run(
        command(folder, "--cores", str(cores), *arguments),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def run_to_end(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the workflow and fail with its output if it does not succeed."""
    finished = run(folder, *arguments)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished


def tiny_study(
    folder: Path,
    libraries: Iterable[str] | None = None,
    single_end: Iterable[str] = (),
    conditions: Mapping[str, str] | None = None,
    config: Mapping[str, object] | None = None,
) -> Path:
    """Make a study folder from the tiny study.

    Parameters
    ----------
    folder
        Where to; its FASTQ files are copies, so that a test may change them.
    libraries
        The libraries to keep; ``None`` for all.
    single_end
        Libraries of which only the first mates are kept.
    conditions
        New names of conditions, also in the contrast.
    config
        Sections to put over those of the tiny study's configuration.
    """
    folder.mkdir(parents=True)
    shutil.copytree(TINY / "fastq", folder / "fastq")
    header, *rows = (TINY / "samples.tsv").read_text().splitlines()
    columns = header.split("\t")
    kept = []
    for row in rows:
        values = dict(zip(columns, row.split("\t"), strict=True))
        if libraries is None or values["library"] in set(libraries):
            if values["library"] in set(single_end):
                values["fastq_2"] = ""
            values["condition"] = (conditions or {}).get(values["condition"], values["condition"])
            kept.append("\t".join(values[name] for name in columns))
    (folder / "samples.tsv").write_text("\n".join([header, *kept]) + "\n")
    settings = yaml.safe_load((TINY / "config.yaml").read_text())
    settings["reference"] = {"fasta": str(TINY / "genome.fa"), "gtf": str(TINY / "genes.gtf")}
    for level in ("test", "reference"):
        name = settings["contrast"][level]
        settings["contrast"][level] = (conditions or {}).get(name, name)
    write_config(folder, settings | dict(config or {}))
    return folder


def write_config(folder: Path, settings: Mapping[str, object]) -> None:
    """Write a study's configuration."""
    (folder / "config.yaml").write_text(yaml.safe_dump(dict(settings), sort_keys=False))


def result_tables(folder: Path) -> dict[str, bytes]:
    """Return the content of every result table of a run by its path under ``results/``."""
    results = folder / "results"
    return {
        str(path.relative_to(results)): path.read_bytes()
        for stage in RESULTS
        for path in sorted((results / stage).rglob("*"))
        if path.suffix in (".tsv", ".bed", ".fa")
    }


def jobs_of(printed: str) -> dict[str, int]:
    """Return rule to number of jobs from the job table that Snakemake prints."""
    jobs: dict[str, int] = {}
    lines = iter(printed.splitlines())
    for line in lines:
        if line.split() == ["job", "count"]:
            next(lines)
            for row in lines:
                fields = row.split()
                if len(fields) != 2 or not fields[1].isdigit():
                    break
                jobs[fields[0]] = int(fields[1])
            break
    jobs.pop("total", None)
    return jobs


def aligners(group: str) -> list[Any]:
    """Return both aligners as parameters; a worker of a parallel test run takes one of them."""
    return [
        pytest.param("minimap2", marks=pytest.mark.xdist_group(f"{group}_minimap2")),
        pytest.param(
            "star",
            marks=[
                pytest.mark.xdist_group(f"{group}_star"),
                pytest.mark.skipif(shutil.which("STAR") is None, reason="STAR is not installed"),
            ],
        ),
    ]


def planted(table: str) -> Path:
    """Return a table of the truth of the tiny study."""
    return TINY / "truth" / table


def bam_rows(folder: Path, libraries: Iterable[str], bams: Path) -> None:
    """Give libraries of a study folder as BAM files in place of reads.

    Parameters
    ----------
    bams
        Folder with a BAM named after each library.
    """
    header, *rows = (folder / "samples.tsv").read_text().splitlines()
    columns = header.split("\t")
    aligned = set(libraries)
    kept = {}
    for number, row in enumerate(rows):
        values = dict(zip(columns, row.split("\t"), strict=True)) | {"bam": ""}
        name = values["library"]
        if name in aligned:
            values |= {"fastq_1": "", "fastq_2": "", "bam": str(bams / f"{name}.bam")}
        # the runs of a library are merged in its BAM
        kept[name if name in aligned else str(number)] = values
    sheet(folder, list(kept.values()))


def real_data(name: str) -> Path | None:
    """Return a folder of the real data, or ``None`` where it is absent."""
    base = Path(os.environ.get("RINGMARK_REAL_DATA", ROOT.parent / "shared" / "real-data"))
    return base / name if (base / name).is_dir() else None


def sheet(folder: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write a samples sheet from rows that share their columns."""
    lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)]
    (folder / "samples.tsv").write_text("\n".join(lines) + "\n")

"""Write provenance.json: what a run was made with, so that it can be made again.

It holds the versions of the tools, the checksum of every input file, the resolved configuration,
the commit of the workflow, the Python version and the platform. It holds no date: the same run
gives the same file.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pysam
from pysam.version import __samtools_version__

from ringmark.errors import InputError, program
from ringmark.files import write_text

#: Python packages whose versions can change a result or the page that shows it.
PACKAGES = (
    "cutadapt",
    "HTSeq",
    "itables",
    "Jinja2",
    "mappy",
    "matplotlib",
    "multiqc",
    "numpy",
    "pandas",
    "pyBigWig",
    "pydeseq2",
    "pysam",
    "PyYAML",
    "jsonschema",
    "scipy",
    "snakemake",
    "snakemake-executor-plugin-slurm",
)


def parser() -> argparse.ArgumentParser:
    """Return the command line of the program."""
    result = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    add = result.add_argument
    add("--bam", type=Path, nargs="+", default=[], help="BAMs whose headers name the aligners")
    add("--input", type=Path, action="append", default=[], help="input file; may be repeated")
    add("--config", help="resolved configuration: JSON, or a JSON file")
    add("--commit", default="", help="commit of the workflow")
    add("--output", type=Path, required=True, help="provenance.json")
    return result


def sha256(path: Path) -> str:
    """Return the SHA-256 checksum of a file as 64 hexadecimal digits.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}", "every --input is a file that can be read"
        ) from error


def input_records(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Return path, size in bytes and checksum of every file, by path, each file once."""
    return [
        {"path": str(path), "bytes": path.stat().st_size, "sha256": digest}
        for path, digest in ((path, sha256(path)) for path in sorted(set(paths)))
    ]


def package_versions() -> dict[str, str]:
    """Return the version of Python and of every package, ``not installed`` where absent."""
    result = {"Python": platform.python_version()}
    for name in sorted(PACKAGES, key=str.lower):
        try:
            result[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            result[name] = "not installed"
    result["samtools (in pysam)"] = str(__samtools_version__)
    return result


def aligner_versions(bams: Sequence[Path]) -> dict[str, str]:
    """Return the aligners that made BAMs and their versions, as the headers tell.

    The aligner need not be installed where this runs: under conda it stands in an environment of
    its own.

    Raises
    ------
    InputError
        If a file is no BAM or its header names no program.
    """
    found: dict[str, set[str]] = {}
    for bam in bams:
        try:
            with pysam.AlignmentFile(str(bam), check_sq=False) as reads:
                record = reads.header.to_dict()["PG"][0]
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{bam}: names no aligner in its header: {error}", "give a BAM of this workflow"
            ) from error
        found.setdefault(str(record["PN"]), set()).add(str(record["VN"]))
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}


def read_config(text: str | None) -> Any:
    """Return the configuration from a JSON text or from a JSON file.

    Raises
    ------
    InputError
        If it is neither.
    """
    if text is None:
        return None
    content, name = text, "--config"
    if not text.lstrip().startswith(("{", "[")):
        path = Path(text)
        if not path.is_file():
            raise InputError(
                f"--config {text}: no such file", "give JSON text or the path of a JSON file"
            )
        content, name = path.read_text(encoding="utf-8"), text
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise InputError(f"{name}: not JSON: {error}", "write it with json.dumps") from error


def sorted_keys(value: Any) -> Any:
    """Return a JSON value with the keys of all its objects sorted."""
    if isinstance(value, dict):
        return {key: sorted_keys(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [sorted_keys(item) for item in value]
    return value


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Run the program."""
    arguments = parser().parse_args(argv)
    content = {
        "commit": arguments.commit,
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": package_versions() | aligner_versions(arguments.bam),
        "inputs": input_records(arguments.input),
        "config": sorted_keys(read_config(arguments.config)),
    }
    write_text(f"{json.dumps(content, indent=2, ensure_ascii=False)}\n", arguments.output)


if __name__ == "__main__":
    sys.exit(main())

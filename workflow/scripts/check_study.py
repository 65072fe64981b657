"""Check a configuration and everything it names before anything runs.

The configuration is held against its schema, the samples sheet against its rules, and the first
records of every FASTQ, FASTA and GTF file are read. All problems of one kind are reported together,
each with file, row, value and remedy, and nothing is written. The workflow calls this when it is
loaded; run by hand it prints who is paired with whom::

    check_study.py --configfile config.yaml
"""

from __future__ import annotations

import argparse
import difflib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from ringmark.annotation import open_text, parse_gtf
from ringmark.errors import InputError, program
from ringmark.study import Contrast, Library, Study, read_study

SCHEMAS = Path(__file__).parent.parent / "schemas"

#: A FASTA file up to this size is read for its contig names at once, a larger one when indexed.
SMALL_FASTA = 200_000_000
#: The longest intron that minimap2's spliced presets are made for.
MINIMAP2_MAX_INTRON = 200_000
#: Lines of the GTF that are looked at before the run; the whole file is read when it is prepared.
GTF_LINES = 20_000


def is_url(place: str) -> bool:
    """Return whether a file of the configuration is to be downloaded."""
    return place.startswith(("http://", "https://", "ftp://"))


def complete(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with the schema's defaults filled in."""
    filled = dict(config)
    for key, rule in schema.get("properties", {}).items():
        if key not in filled and "default" in rule:
            filled[key] = rule["default"]
        if isinstance(filled.get(key), Mapping):
            filled[key] = complete(filled[key], rule)
    return filled


def check_config(config: Mapping[str, Any], name: str = "configuration") -> dict[str, Any]:
    """Return the completed configuration.

    Raises
    ------
    InputError
        With every unknown key (and the nearest known one), missing key and wrong value.
    """
    schema = yaml.safe_load((SCHEMAS / "config.schema.yaml").read_text(encoding="utf-8"))
    errors = sorted(Draft202012Validator(schema).iter_errors(config), key=lambda e: list(e.path))
    problems = [text for error in errors for text in _describe(error)]
    if problems:
        raise InputError(
            [f"{name}: {problem}" for problem in problems],
            "config/config.yaml shows every key with its type and default",
        )
    completed = complete(config, schema)
    alignment = completed["alignment"]
    if alignment["aligner"] == "minimap2" and alignment["max_intron"] > MINIMAP2_MAX_INTRON:
        raise InputError(
            f"{name}: alignment.max_intron: {alignment['max_intron']} is more than minimap2 takes",
            f"lower it to {MINIMAP2_MAX_INTRON} or set alignment.aligner: star",
        )
    return completed


def _describe(error: ValidationError) -> Iterator[str]:
    place = ".".join(map(str, error.absolute_path))
    schema: Any = error.schema
    if error.validator == "additionalProperties":
        known, keys = list(schema["properties"]), dict(error.instance)  # type: ignore[arg-type]
        for key in sorted({str(key) for key in keys} - set(known)):
            nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            remedy = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}"
            yield f"unknown key {'.'.join(filter(None, [place, key]))!r}; {remedy}"
    elif error.validator == "required":
        # one error a missing key; its message begins with the quoted key
        key = error.message.split("'")[1]
        yield f"the key {'.'.join(filter(None, [place, key]))!r} is missing; set it"
    else:
        yield f"{place}: {error.message}"


def row_checker() -> Callable[[Mapping[str, str]], list[str]]:
    """Return a function that says what is wrong inside one row of the sheet, by its schema."""
    schema = yaml.safe_load((SCHEMAS / "samples.schema.yaml").read_text(encoding="utf-8"))
    validator = Draft202012Validator(schema)

    def check(row: Mapping[str, str]) -> list[str]:
        errors = sorted(validator.iter_errors(row), key=lambda error: list(error.path))
        return [_describe_row(error, row) for error in errors]

    return check


def _describe_row(error: ValidationError, row: Mapping[str, str]) -> str:
    schema: Any = error.schema
    if error.validator == "required":
        return f"{error.message.split(chr(39))[1]} has no value; fill it"
    if error.validator == "oneOf":
        if "accession" in row and "fastq_1" in row:
            return f"both fastq_1 and accession {row['accession']!r} are given; keep one"
        return "neither fastq_1 nor accession has a value; fill one of them"
    if error.validator == "dependentRequired":
        return f"fastq_2 {row['fastq_2']!r} stands without fastq_1; give both mates"
    column = str(error.absolute_path[0])
    return f"{column} {error.instance!r} is not valid; {schema['description']}"


def check_reads(libraries: Iterable[Library]) -> list[str]:
    """Return what is wrong with the first record of the FASTQ files, one line a problem."""
    problems = []
    for library in libraries:
        for run in library.runs:
            heads = []
            for path in run.files:
                problem, read_name = _first_record(path)
                if problem:
                    problems.append(f"row {run.row}: {path}: {problem}")
                heads.append(read_name)
            if len(heads) == 2 and all(heads) and heads[0] != heads[1]:
                problems.append(
                    f"row {run.row}: the first reads of {run.fastq_1} and {run.fastq_2} are named "
                    f"{heads[0]!r} and {heads[1]!r}; give the two mate files of one run"
                )
    return problems


def _first_record(path: Path) -> tuple[str, str]:
    """Return a problem, or none, and the name of the first read without its mate number."""
    if not path.is_file():
        return "no such file; mend the path (relative to the sheet's folder)", ""
    try:
        with open_text(path) as handle:
            lines = [line.rstrip("\r\n") for line in itertools.islice(handle, 4)]
    except (OSError, EOFError) as error:
        return f"cannot be read: {error}; transfer the file again", ""
    if not lines:
        return "", ""
    if (
        len(lines) < 4
        or not lines[0].startswith("@")
        or not lines[2].startswith("+")
        or len(lines[1]) != len(lines[3])
    ):
        return f"not FASTQ, begins with {lines[0][:40]!r}; give FASTQ, plain or gzipped", ""
    name = lines[0][1:].split()[0] if len(lines[0].split()) else ""
    return "", name[:-2] if name.endswith(("/1", "/2")) else name


def check_reference(fasta: str, gtf: str) -> list[str]:
    """Return what can be seen to be wrong with the reference files in the first second."""
    problems = [
        f"reference.{key}: {place}: no such file; mend the path (relative to the working folder)"
        for key, place in (("fasta", fasta), ("gtf", gtf))
        if not is_url(place) and not Path(place).is_file()
    ]
    if problems or (is_url(fasta) and is_url(gtf)):
        return problems
    contigs = set() if is_url(fasta) else set(_contigs(Path(fasta), problems))
    if not is_url(gtf):
        try:
            with open_text(gtf) as handle:
                head = list(parse_gtf(itertools.islice(handle, GTF_LINES), gtf))
        except InputError as error:
            return [*problems, *error.problems]
        except (OSError, EOFError) as error:
            return [*problems, f"reference.gtf: {gtf}: cannot be read: {error}"]
        if not head:
            problems.append(f"reference.gtf: {gtf}: no exon line; give a GTF with exon lines")
        named = {record.chrom for record in head}
        if contigs and named and not named & contigs:
            problems.append(contig_mismatch(fasta, gtf, contigs, named))
    return problems


def contig_mismatch(fasta: str, gtf: str, contigs: set[str], named: set[str]) -> str:
    """Say that two reference files do not share one contig, with examples and the remedy."""
    return (
        f"no contig of {gtf} ({', '.join(sorted(named)[:3])}, ...) is in {fasta} "
        f"({', '.join(sorted(contigs)[:3])}, ...); take both from the same source, or rename "
        "the contigs of one (chr1 against 1)"
    )


def _contigs(fasta: Path, problems: list[str]) -> Iterator[str]:
    """Yield contig names of a FASTA file that is small or has an index, else nothing."""
    index = Path(f"{fasta}.fai")
    if index.is_file():
        yield from (line.split("\t")[0] for line in index.read_text().splitlines())
        return
    try:
        with open_text(fasta) as handle:
            first = handle.readline()
            if not first.startswith(">"):
                problems.append(
                    f"reference.fasta: {fasta}: not FASTA, begins with {first[:40]!r}; "
                    "give the genome as FASTA, plain or gzipped"
                )
                return
            if fasta.stat().st_size <= SMALL_FASTA:
                headers = itertools.chain([first], (line for line in handle if line[0] == ">"))
                yield from (line[1:].split()[0] for line in headers if line[1:].strip())
    except (OSError, EOFError) as error:
        problems.append(f"reference.fasta: {fasta}: cannot be read: {error}")


def load(config: Mapping[str, Any], name: str, read_files: bool) -> tuple[dict[str, Any], Study]:
    """Return the completed configuration and the study it names.

    Parameters
    ----------
    config
        The configuration as read.
    name
        Its file, for messages.
    read_files
        Whether to look into the FASTQ, FASTA and GTF files too.

    Raises
    ------
    InputError
        With the problems found.
    """
    config = check_config(config, name)
    contrast = Contrast(
        config["contrast"]["factor"],
        config["contrast"]["test"],
        config["contrast"]["reference"],
        tuple(config["contrast"]["covariates"]),
    )
    study = read_study(config["samples"], contrast, row_checker())
    if read_files:
        problems = [f"{config['samples']}, {text}" for text in check_reads(study.libraries)]
        problems += check_reference(config["reference"]["fasta"], config["reference"]["gtf"])
        if problems:
            raise InputError(problems, "nothing has been run; mend the files named above")
    return config, study


def put_own_programs_first() -> None:
    """Put the programs of this Python's environment first on the path of all jobs.

    Nobody needs to activate it then. A conda environment of a rule still comes before it.
    """
    own = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([own, os.environ.get("PATH", os.defpath)])


def commit_of(folder: str) -> str:
    """Return the commit a folder is at, with ``-dirty`` if files differ; ``unknown`` without git."""
    command = ["git", "-C", folder, "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return answer.stdout.strip()


def describe(study: Study) -> str:
    """Return the design as text: the contrast and who is paired with whom."""
    contrast = study.contrast
    lines = [
        f"{contrast.factor}: {contrast.test} over {contrast.reference}"
        + (f", adjusted for {', '.join(contrast.covariates)}" if contrast.covariates else "")
    ]
    paired = {pair.ip.name: pair.input.name for pair in study.pairs}
    for library in study.libraries:
        partner = f"IP over {paired[library.name]}" if library.name in paired else "input"
        lines.append(f"  {library.condition}\t{library.sample}\t{library.name}\t{partner}")
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    options = argparse.ArgumentParser(description="Check a study before anything runs.")
    options.add_argument("--configfile", type=Path, default=Path("config/config.yaml"))
    return options


def read_config(path: Path) -> Any:
    """Read a YAML configuration.

    Raises
    ------
    InputError
        If it is missing or not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "give the path with --configfile") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: {error}", "mend the YAML at the place named above") from None


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Check a study and print its design."""
    arguments = parser().parse_args(argv)
    _, study = load(read_config(arguments.configfile), str(arguments.configfile), read_files=True)
    print(describe(study))


if __name__ == "__main__":
    sys.exit(main())

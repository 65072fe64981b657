"""Check a configuration and everything it names before anything runs.

The configuration is held against its schema, the samples sheet against its rules, and the first
records of every FASTQ, FASTA and GTF file and the header of every BAM are read. All problems are
reported together, each with file, row, value and remedy, and nothing is written. The workflow calls
this when it is loaded; run by hand it prints who is paired with whom::

    check_study.py --configfile STUDY/config.yaml --directory STUDY
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from ringmark.alignments import read_header
from ringmark.annotation import UNREADABLE, open_text, parse_gtf, unreadable
from ringmark.errors import InputError, program
from ringmark.study import Contrast, Run, Study, check_sheet, read_study, sheet_runs

SCHEMAS = Path(__file__).parent.parent / "schemas"

#: A FASTA file up to this size is read for its contig names at once, a larger one when indexed.
SMALL_FASTA = 200_000_000
#: The longest intron that minimap2's spliced presets are made for.
MINIMAP2_MAX_INTRON = 200_000
#: Bytes of a plain FASTA above which minimap2's index of every 11-mer would take 45 GB or more.
MINIMAP2_MAX_FASTA = 1_000_000_000
#: What a value of each type of the configuration's schema is, and how it is written.
_TYPES = {
    "string": "text; put it in quotes",
    "integer": "a whole number",
    "number": "a number, such as 0.05",
    "boolean": "true or false",
    "array": "a list; write it in brackets, such as [batch]",
    "object": "a section; write its keys below it, indented",
}
#: What the limits of the schema say.
_LIMITS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
}
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


def without_empty(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration without the known keys that have no value.

    A section whose keys are all commented out is such a key: it takes its default.
    """
    known = schema.get("properties", {})
    return {
        key: without_empty(value, known[key])
        if key in known and isinstance(value, Mapping)
        else value
        for key, value in config.items()
        if key not in known or value is not None
    }


def config_schema() -> dict[str, Any]:
    """Return the schema of the configuration."""
    return yaml.safe_load((SCHEMAS / "config.schema.yaml").read_text(encoding="utf-8"))


def config_problems(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is wrong with a configuration: the section's name and the problem.

    Unknown keys are named with the nearest known one, wrong values with what they may be.
    """
    schema = config_schema()
    given = without_empty(config, schema)
    errors = sorted(Draft202012Validator(schema).iter_errors(given), key=lambda e: list(e.path))
    problems = [found for error in errors for found in _describe(error)]
    faulty = {section for section, _ in problems}
    sound = complete({key: given[key] for key in given if key not in faulty}, schema)
    return problems + list(_conflicts(sound))


def _conflicts(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield values that are right by themselves but not together."""
    contrast, alignment, circrna = config.get("contrast"), config["alignment"], config["circrna"]
    if contrast and contrast["test"] == contrast["reference"]:
        yield (
            "contrast",
            f"contrast.test and contrast.reference are both {contrast['test']!r}; name two levels",
        )
    if alignment["aligner"] == "minimap2" and alignment["max_intron"] > MINIMAP2_MAX_INTRON:
        yield (
            "alignment",
            f"alignment.max_intron: {alignment['max_intron']} is more than minimap2 takes; lower "
            f"it to {MINIMAP2_MAX_INTRON} or set alignment.aligner: star",
        )
    if circrna["min_span"] > circrna["max_span"]:
        yield (
            "circrna",
            f"circrna.min_span: {circrna['min_span']} is more than circrna.max_span, "
            f"{circrna['max_span']}; no circle could be found",
        )


def _describe(error: ValidationError) -> Iterator[tuple[str, str]]:
    place = ".".join(map(str, error.absolute_path))
    schema: Any = error.schema
    if error.validator == "additionalProperties":
        known, keys = list(schema["properties"]), dict(error.instance)  # type: ignore[arg-type]
        for key in sorted({str(key) for key in keys} - set(known)):
            nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            remedy = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}"
            full = ".".join(filter(None, [place, key]))
            yield full.split(".")[0], f"unknown key {full!r}; {remedy}"
    elif error.validator == "required":
        # one error a missing key; its message begins with the quoted key
        full = ".".join(filter(None, [place, error.message.split("'")[1]]))
        yield full.split(".")[0], f"the key {full!r} is missing or has no value; set it"
    else:
        yield str(error.absolute_path[0]), f"{place}: {_wrong_value(error, schema)}"


def _wrong_value(error: ValidationError, schema: Mapping[str, Any]) -> str:
    """Say why a value is refused and what it may be."""
    wanted: Any = error.validator_value
    if error.validator == "type":
        kinds = [wanted] if isinstance(wanted, str) else [kind for kind in wanted if kind != "null"]
        return f"{error.instance!r} is not {_TYPES[kinds[0]]}"
    if error.validator == "enum":
        nearest = difflib.get_close_matches(str(error.instance), map(str, wanted), n=1, cutoff=0.5)
        asked = f"; did you mean {nearest[0]!r}?" if nearest else ""
        return f"{error.instance!r} is not one of {', '.join(map(str, wanted))}{asked}"
    if error.validator in _LIMITS:
        return f"{error.instance!r} is not {_LIMITS[error.validator]} {wanted}"
    if error.validator == "minLength":
        return "the text is empty; write a value or leave the key out"
    if error.validator == "uniqueItems":
        return f"{error.instance!r} names something twice; name it once"
    return f"{error.instance!r} is not valid; {schema['description']}"


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
        given = [column for column in ("fastq_1", "accession", "bam") if column in row]
        if given:
            return f"both {given[0]} and {given[1]} {row[given[1]]!r} are given; keep one"
        return "neither fastq_1 nor accession nor bam has a value; fill one of them"
    if error.validator == "dependentRequired":
        return f"fastq_2 {row['fastq_2']!r} stands without fastq_1; give both mates"
    column = str(error.absolute_path[0])
    return f"{column} {error.instance!r} is not valid; {schema['description']}"


def check_run(run: Run) -> list[str]:
    """Return what is wrong with a BAM's header or the first FASTQ records, one line a problem."""
    if run.bam:
        try:
            read_header(run.bam)
        except InputError as error:
            return [f"{problem}; {error.hint}" for problem in error.problems]
        return []
    problems = []
    heads = []
    for path in run.files:
        problem, read_name = _first_record(path)
        if problem:
            problems.append(f"{path}: {problem}")
        heads.append(read_name)
    if len(heads) == 2 and all(heads) and not _are_mates(*heads):
        problems.append(
            f"the first reads of {run.fastq_1} and {run.fastq_2} are named "
            f"{heads[0]!r} and {heads[1]!r}; give the two mate files of one run"
        )
    return problems


def _are_mates(first: str, second: str) -> bool:
    """Compare read names, leaving out the mate's number at their end (``/1``, ``.1``, ``_1``)."""
    if first == second:
        return True
    ends = first[-2:], second[-2:]
    numbers = (("/1", "/2"), (".1", ".2"), ("_1", "_2"))
    return first[:-2] == second[:-2] and ends in numbers


def _first_record(path: Path) -> tuple[str, str]:
    """Return a problem, or none, and the name of the first read."""
    if not path.is_file():
        return "no such file; mend the path (relative to the sheet's folder)", ""
    try:
        with open_text(path) as handle:
            lines = [line.rstrip("\r\n") for line in itertools.islice(handle, 4)]
    except UNREADABLE as error:
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
    return "", next(iter(lines[0][1:].split()), "")


def check_reference(fasta: str | None, gtf: str, bams: Sequence[Path] = ()) -> None:
    """Check what can be seen of the reference files in the first second.

    Parameters
    ----------
    fasta
        ``None`` where the study has none.
    bams
        Alignments to take over; those that cannot be read are told with their row of the sheet.

    Raises
    ------
    InputError
        If a file is missing, cannot be read or is of another format, or shares no contig with the
        GTF.
    """
    places = {"reference.fasta": fasta, "reference.gtf": gtf}
    local = {key: Path(place) for key, place in places.items() if place and not is_url(place)}
    problems = [
        f"{key}: {path}: no such file; mend the path (relative to the working folder)"
        for key, path in local.items()
        if not path.is_file()
    ]
    if problems:
        raise InputError(problems, "nothing has been run; mend the files named above")
    errors: list[InputError] = []
    contigs: dict[Path, set[str]] = {}
    if "reference.fasta" in local:
        path = local["reference.fasta"]
        errors += _caught(lambda: contigs.update({path: set(_contigs(path))}))
    for bam in bams:
        with contextlib.suppress(InputError):
            contigs[bam] = set(read_header(bam).references)
    if "reference.gtf" in local:
        errors += _caught(lambda: _check_gtf(Path(gtf), contigs))
    if errors:
        raise InputError.together(errors)


def check_genome_size(fasta: str, aligner: str) -> None:
    """Check that minimap2 is not asked to index a large genome in short words.

    Raises
    ------
    InputError
        If a local FASTA is too large; a gzipped one is taken to hold four times its size.
    """
    path = Path(fasta)
    if aligner != "minimap2" or is_url(fasta) or not path.is_file():
        return
    with path.open("rb") as handle:
        packed = handle.read(2) == b"\x1f\x8b"
    size = path.stat().st_size * (4 if packed else 1)
    if size > MINIMAP2_MAX_FASTA:
        raise InputError(
            f"reference.fasta: {path}: a genome of about {size / 1e6:,.0f} Mb is too large for "
            "alignment.aligner 'minimap2', whose index would take some 45 bytes a base",
            "set alignment.aligner: star",
        )


def check_genome_given(runs: Sequence[Run], name: str) -> None:
    """Check that a study without a genome has nothing to align.

    Parameters
    ----------
    name
        The configuration's file, for messages.

    Raises
    ------
    InputError
        If a run gives reads.
    """
    if not all(run.bam for run in runs):
        raise InputError(
            f"{name}: the key 'reference.fasta' is missing or has no value; set it",
            "only a study whose rows all give a bam may leave the genome out",
        )


def _caught(check: Callable[[], None]) -> list[InputError]:
    """Run a check and return its error, or none."""
    try:
        check()
    except InputError as error:
        return [error]
    return []


def _check_gtf(gtf: Path, contigs: Mapping[Path, set[str]]) -> None:
    """Check the first lines of a GTF and that it shares a contig with every file that names any."""
    try:
        with open_text(gtf) as handle:
            head = list(parse_gtf(itertools.islice(handle, GTF_LINES), str(gtf)))
            named = {record.chrom for record in head}
            apart = {path: own for path, own in contigs.items() if own and named.isdisjoint(own)}
            # an annotation of the whole genome may begin with contigs that a part of it lacks
            for line in handle if apart else ():
                name = line.split("\t", 1)[0]
                if name not in named and not line.startswith("#"):
                    named.add(name)
                    apart = {path: own for path, own in apart.items() if name not in own}
                    if not apart:
                        break
    except UNREADABLE as error:
        raise unreadable(gtf, error) from None
    if not head:
        raise InputError(
            f"{gtf}: no exon line in the first {GTF_LINES} lines", "give a GTF with exon lines"
        )
    if apart:
        raise InputError.together(
            [contig_mismatch(str(path), str(gtf), own, named) for path, own in apart.items()]
        )


def contig_mismatch(other: str, gtf: str, contigs: set[str], named: set[str]) -> InputError:
    """Return the error of a GTF that shares no contig with a FASTA or BAM, with examples."""
    return InputError(
        f"no contig of {gtf} ({', '.join(sorted(named)[:3])}, ...) is in {other} "
        f"({', '.join(sorted(contigs)[:3])}, ...)",
        "take FASTA and GTF from the same source and release, BAM files made with them, or rename "
        "the contigs of one (chr1 against 1)",
    )


def _contigs(fasta: Path) -> list[str]:
    """Return the contig names of a FASTA file that is small or has an index, else none."""
    index = Path(f"{fasta}.fai")
    if index.is_file():
        return [line.split("\t")[0] for line in index.read_text().splitlines()]
    try:
        with open_text(fasta) as handle:
            first = handle.readline()
            if not first.startswith(">"):
                raise InputError(
                    f"{fasta}: not FASTA, begins with {first[:40]!r}",
                    "give the genome as FASTA, plain or gzipped",
                )
            if fasta.stat().st_size > SMALL_FASTA:
                return []
            headers = itertools.chain([first], (line for line in handle if line[0] == ">"))
            return [line[1:].split()[0] for line in headers if line[1:].strip()]
    except UNREADABLE as error:
        raise unreadable(fasta, error) from None


def load(config: Mapping[str, Any], name: str, read_files: bool) -> tuple[dict[str, Any], Study]:
    """Return the completed configuration and the study it names.

    A section of the configuration that is wrong does not keep the rest from being checked.

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
    problems = config_problems(config)
    errors: list[InputError] = []
    if problems:
        hint = "config/config.yaml shows every key with its type and default"
        errors.append(InputError([f"{name}: {text}" for _, text in problems], hint))
    faulty = {section for section, _ in problems}
    schema = config_schema()
    given = {key: value for key, value in config.items() if key not in faulty}
    sound = complete(without_empty(given, schema), schema)
    contrast = contrast_of(sound) if "contrast" in sound else None
    runs: list[Run] = []
    if "samples" in sound:
        run_check = check_run if read_files else None
        errors += _caught(lambda: check_sheet(sound["samples"], contrast, row_checker(), run_check))
        runs = sheet_runs(sound["samples"])
    if "reference" in sound:
        places = sound["reference"]
        if not places["fasta"]:
            errors += _caught(lambda: check_genome_given(runs, name))
    if read_files and "reference" in sound:
        bams = [run.bam for run in runs if run.bam]
        errors += _caught(lambda: check_reference(places["fasta"], places["gtf"], bams))
        if "alignment" in sound and places["fasta"]:
            aligner = sound["alignment"]["aligner"]
            errors += _caught(lambda: check_genome_size(places["fasta"], aligner))
    if errors or contrast is None:
        raise InputError.together(errors)
    return sound, read_study(sound["samples"], contrast)


def contrast_of(config: Mapping[str, Any]) -> Contrast:
    """Return the contrast of a completed configuration."""
    section = config["contrast"]
    return Contrast(
        section["factor"], section["test"], section["reference"], tuple(section["covariates"])
    )


def put_own_programs_first() -> None:
    """Put the programs of this Python's environment first on the path of all jobs.

    Nobody needs to activate it then. A conda environment of a rule still comes before it.
    """
    own = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([own, os.environ.get("PATH", os.defpath)])


def commit_of(folder: str) -> str:
    """Return the commit a folder is at, ``-dirty`` if files differ; ``unknown`` without git."""
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
    options.add_argument(
        "--directory", type=Path, default=Path(), help="working folder, as given to snakemake"
    )
    return options


def read_config(path: Path) -> dict[str, Any]:
    """Read a YAML configuration.

    Raises
    ------
    InputError
        If it is missing, not YAML or not a set of keys.
    """
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "give the path with --configfile") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        raise InputError(
            f"{path}: not YAML in UTF-8: {text}",
            "mend the line named above; indent by spaces, and write 'key: value'",
        ) from None
    if not isinstance(config, dict):
        raise InputError(
            f"{path}: not a configuration, but {str(config)[:40]!r}",
            "write 'key: value' lines, as config/config.yaml does",
        )
    return config


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Check a study and print its design."""
    arguments = parser().parse_args(argv)
    config = read_config(arguments.configfile)
    if not arguments.directory.is_dir():
        raise InputError(
            f"{arguments.directory}: no such folder", "give the working folder with --directory"
        )
    with contextlib.chdir(arguments.directory):
        _, study = load(config, str(arguments.configfile), read_files=True)
    print(describe(study))


if __name__ == "__main__":
    sys.exit(main())

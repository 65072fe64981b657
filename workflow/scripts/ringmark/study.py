"""The study: libraries, runs, IP/input pairs and the contrast, read from the samples sheet.

Every mistake that can be seen in the sheet is found here, all at once, each with its file, row,
value and remedy.
"""

from __future__ import annotations

import csv
import difflib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ringmark.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

REQUIRED_COLUMNS = ("library", "sample", "condition", "assay")
FILE_COLUMNS = ("fastq_1", "fastq_2", "accession", "bam")
OPTIONAL_COLUMNS = ("strandedness", "input_library")
ASSAYS = ("input", "ip")
_MISSING = ("", "NA")
_DEFAULTS = {"strandedness": "auto"}
_HINT = "mend the rows named above; the columns are explained in config/README.md"


@dataclass(frozen=True)
class Run:
    """One sequencing run: a row of the samples sheet.

    Attributes
    ----------
    row
        Line of the sheet, the header being line 1.
    bam
        Alignments made elsewhere, instead of reads.
    """

    row: int
    fastq_1: Path | None = None
    fastq_2: Path | None = None
    accession: str | None = None
    bam: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The run's FASTQ files or its BAM; none where an accession is given."""
        return tuple(path for path in (self.fastq_1, self.fastq_2, self.bam) if path is not None)


@dataclass(frozen=True)
class Library:
    """What becomes one BAM: one or more runs of one library.

    Attributes
    ----------
    assay
        ``input`` (also plain RNA-seq) or ``ip``.
    strandedness
        As declared: ``auto``, ``unstranded``, ``forward`` or ``reverse``.
    covariates
        The sheet's further columns.
    """

    name: str
    sample: str
    condition: str
    assay: str
    runs: tuple[Run, ...] = ()
    strandedness: str = "auto"
    input_library: str | None = None
    covariates: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_aligned(self) -> bool:
        """Whether the library is given as BAM files; all its runs are then."""
        return any(run.bam for run in self.runs)

    def level(self, factor: str) -> str:
        """Return the library's level of a factor: ``condition``, ``sample`` or a covariate."""
        if factor == "condition":
            return self.condition
        return self.sample if factor == "sample" else self.covariates[factor]


@dataclass(frozen=True)
class Pair:
    """An IP with the input it is compared to."""

    ip: Library
    input: Library

    @property
    def sample(self) -> str:
        """The specimen of the IP."""
        return self.ip.sample

    @property
    def condition(self) -> str:
        """The condition of the IP."""
        return self.ip.condition


@dataclass(frozen=True)
class Contrast:
    """What is compared: ``test`` over ``reference`` of ``factor``, beside ``covariates``."""

    factor: str
    test: str
    reference: str
    covariates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """All libraries of a study, in the order of the sheet."""

    libraries: tuple[Library, ...]
    pairs: tuple[Pair, ...]
    contrast: Contrast

    @property
    def inputs(self) -> tuple[Library, ...]:
        """Libraries that measure expression."""
        return tuple(item for item in self.libraries if item.assay == "input")

    @property
    def ips(self) -> tuple[Library, ...]:
        """Immunoprecipitated libraries."""
        return tuple(item for item in self.libraries if item.assay == "ip")

    def design(self, libraries: Iterable[Library]) -> pd.DataFrame:
        """Return factor and covariates of those libraries that are on the contrast's two levels.

        Returns
        -------
        pandas.DataFrame
            Index: library names; columns: the contrast's factor, then its covariates; all text.
        """
        import pandas as pd

        contrast = self.contrast
        rows = {
            library.name: [library.level(name) for name in (contrast.factor, *contrast.covariates)]
            for library in libraries
            if library.level(contrast.factor) in (contrast.test, contrast.reference)
        }
        return pd.DataFrame.from_dict(
            rows, orient="index", columns=[contrast.factor, *contrast.covariates]
        )


@dataclass(frozen=True)
class _Row:
    """One row of the sheet with its line number; missing values are empty."""

    line: int
    values: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values.get(column) or _DEFAULTS.get(column, "")


RowCheck = Callable[[Mapping[str, str]], Iterable[str]]
RunCheck = Callable[[Run], Iterable[str]]


def check_sheet(
    sheet: str | Path,
    contrast: Contrast | None,
    row_check: RowCheck | None = None,
    run_check: RunCheck | None = None,
) -> None:
    """Check the samples sheet before a run.

    Parameters
    ----------
    sheet
        Tab-separated file with a header; paths in it are absolute or relative to its folder.
    contrast
        What is compared; ``None`` where it is not known, and then not checked.
    row_check
        Returns what is wrong inside one row, given its filled fields.
    run_check
        Returns what is wrong with the files of one run.

    Raises
    ------
    InputError
        With every mistake of the sheet: file, row, value and remedy.
    """
    sheet = Path(sheet)
    rows = _read_rows(sheet)
    problems = []
    for row in rows:
        filled = {column: value for column, value in row.values.items() if value}
        problems += [f"row {row.line}: {text}" for text in (row_check(filled) if row_check else ())]
    problems += _sheet_problems(sheet, rows, contrast)
    for row in rows:
        run = _run(row, sheet.parent)
        problems += [f"row {row.line}: {text}" for text in (run_check(run) if run_check else ())]
    _raise(sheet, problems)


def sheet_runs(sheet: str | Path) -> list[Run]:
    """Return the runs of a sheet as they stand there, none where it cannot be read.

    What is wrong with them `check_sheet` tells.
    """
    sheet = Path(sheet)
    try:
        return [_run(row, sheet.parent) for row in _read_rows(sheet)]
    except InputError:
        return []


def read_study(sheet: str | Path, contrast: Contrast) -> Study:
    """Read the samples sheet.

    The sheet needs no FASTQ columns: a program that starts from counts does not look at them.

    Raises
    ------
    InputError
        With every mistake that its rows make together: file, row, value and remedy.
    """
    sheet = Path(sheet)
    rows = _read_rows(sheet)
    _raise(sheet, _sheet_problems(sheet, rows, contrast))
    libraries = _libraries(rows, sheet.parent)
    return Study(libraries, tuple(_pairs(libraries)), contrast)


def _raise(sheet: Path, problems: Sequence[str]) -> None:
    if problems:
        raise InputError([f"{sheet}, {problem}" for problem in problems], _HINT)


def _sheet_problems(sheet: Path, rows: Sequence[_Row], contrast: Contrast | None) -> list[str]:
    """Return what is wrong between rows.

    Pairs and levels are only looked at where every row says what it is: a mistyped assay would
    otherwise be told a second time, as an input that is missing.
    """
    problems = list(_library_problems(rows, contrast))
    told = all(row[name] for row in rows for name in REQUIRED_COLUMNS) and all(
        row["assay"] in ASSAYS for row in rows
    )
    if told and not problems:
        problems += _pair_problems(rows)
        problems += _contrast_problems(rows, contrast) if contrast else ()
    return [*problems, *_file_problems(rows, sheet.parent)]


def _read_rows(sheet: Path) -> list[_Row]:
    header: list[str] = []
    rows = []
    for number, line in enumerate(_read_text(sheet).split("\n"), start=1):
        fields = _split(sheet, number, line)
        if not fields or fields[0].startswith("#"):
            continue
        if not header:
            header = fields
            _check_header(sheet, number, header)
            continue
        if len(fields) > len(header):
            raise InputError(
                f"{sheet}, row {number}: {len(fields)} fields under {len(header)} columns, "
                f"the last being {fields[-1]!r}",
                "separate the fields by single tabs",
            )
        fields += [""] * (len(header) - len(fields))
        pairs = zip(header, fields, strict=True)
        rows.append(_Row(number, {k: "" if v in _MISSING else v for k, v in pairs}))
    if not rows:
        raise InputError(f"{sheet}: no rows", "list one sequencing run a row below the header")
    return rows


def _read_text(sheet: Path) -> str:
    """Return the sheet with plain line ends; UTF-8, or what Excel calls Unicode text."""
    try:
        content = sheet.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{sheet}: no such samples sheet",
            "set 'samples' in the configuration to its path (relative to the working folder)",
        ) from None
    except OSError as error:
        raise InputError(
            f"{sheet}: cannot be read: {error.strerror}", "give a tab-separated text file"
        ) from None
    utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"{sheet}, row {row}: {content[error.start : error.end]!r} is not UTF-8 text",
            "save the sheet as tab-separated text in UTF-8",
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _split(sheet: Path, number: int, line: str) -> list[str]:
    """Return the fields of a line, trimmed and without the empty ones at its end."""
    try:
        fields = [value.strip() for value in next(csv.reader([line], "excel-tab", strict=True), [])]
    except csv.Error as error:
        raise InputError(
            f"{sheet}, row {number}: {error}: {line[:80]!r}", "take out the stray quotation mark"
        ) from None
    while fields and not fields[-1]:
        fields.pop()
    return fields


def _check_header(sheet: Path, number: int, header: Sequence[str]) -> None:
    place = f"{sheet}, row {number}"
    if len(header) == 1:
        raise InputError(
            f"{place}: the header {header[0]!r} is not separated by tabs",
            "save the sheet as tab-separated text",
        )
    problems = []
    missing = [name for name in REQUIRED_COLUMNS if name not in header]
    if missing:
        problems.append(f"{place}: no column {', '.join(missing)} (found: {', '.join(header)})")
    if "" in header:
        problems.append(f"{place}: column {header.index('') + 1} has no name")
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        problems.append(f"{place}: column {', '.join(twice)} stands twice")
    problems += [
        f"{place}: the column {name!r} is not known; did you mean {meant!r}?"
        for name, meant in _misspelt(header)
    ]
    if problems:
        raise InputError(
            problems,
            f"the sheet needs the columns {', '.join(REQUIRED_COLUMNS)}, each once, and fastq_1, "
            "accession or bam; all are explained in config/README.md",
        )


def _misspelt(header: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield columns that would be taken for covariates but resemble a column that is not there."""
    known = (*REQUIRED_COLUMNS, *FILE_COLUMNS, *OPTIONAL_COLUMNS)
    absent = [name for name in known if name not in header]
    for name in header:
        plain = name.lower().replace(" ", "_").replace("-", "_")
        nearest = difflib.get_close_matches(plain, absent, n=1, cutoff=0.85)
        if name not in known and nearest:
            yield name, nearest[0]


def _library_problems(rows: Sequence[_Row], contrast: Contrast | None) -> Iterator[str]:
    """Yield where rows of one library disagree and where a sample has two conditions."""
    first: dict[str, _Row] = {}
    compared = (contrast.factor, *contrast.covariates) if contrast else ()
    constant = dict.fromkeys([*REQUIRED_COLUMNS[1:], *OPTIONAL_COLUMNS, *compared])
    for row in rows:
        known = first.setdefault(row["library"], row)
        for column in constant:
            if known[column] != row[column]:
                yield (
                    f"row {row.line}: library {row['library']!r} has {column} {row[column]!r} here "
                    f"and {known[column]!r} in row {known.line}; runs of one library agree in all "
                    "but their files"
                )
        if _layout(known) != _layout(row):
            yield (
                f"row {row.line}: library {row['library']!r} has {_layout(row)} here and "
                f"{_layout(known)} in row {known.line}; give them two library names"
            )
    conditions: dict[str, _Row] = {}
    for row in rows:
        known = conditions.setdefault(row["sample"], row)
        if known["condition"] != row["condition"] and known["library"] != row["library"]:
            yield (
                f"row {row.line}: sample {row['sample']!r} has condition {row['condition']!r} here "
                f"and {known['condition']!r} in row {known.line}; a specimen has one condition: "
                "give two specimens two names, and what they share a column of its own"
            )


def _layout(row: _Row) -> str:
    """Return how a run is given; only the archive knows the layout of an accession."""
    if row["accession"]:
        return "an accession"
    if row["bam"]:
        return "a BAM"
    return "paired-end files" if row["fastq_2"] else "single-end files"


def _file_problems(rows: Sequence[_Row], folder: Path) -> Iterator[str]:
    """Yield files and accessions that stand twice, however their paths are written."""
    used: dict[str, _Row] = {}
    for row in rows:
        for column in FILE_COLUMNS:
            value = row[column]
            if not value:
                continue
            key = value if column == "accession" else os.path.normpath(folder / value)
            if key in used:
                yield (
                    f"row {row.line}: {column} {value!r} is already used in row {used[key].line}"
                    f" (library {used[key]['library']!r}); every file belongs to one row"
                )
            used.setdefault(key, row)


def _pair_problems(rows: Sequence[_Row]) -> Iterator[str]:
    """Yield IPs whose input is missing, ambiguous or not an input."""
    assays = {row["library"]: row["assay"] for row in rows}
    inputs: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["assay"] == "input" and row["library"] not in inputs[row["sample"]]:
            inputs[row["sample"]].append(row["library"])
    for row in {row["library"]: row for row in rows}.values():
        named = row["input_library"]
        place = f"row {row.line}: library {row['library']!r}"
        if row["assay"] == "input":
            if named:
                yield f"{place} is an input but names the input_library {named!r}; leave it empty"
        elif named:
            if assays.get(named) != "input":
                what = "is not in the sheet" if named not in assays else "is not an input"
                yield f"{place}: input_library {named!r} {what}; name a library of assay 'input'"
        elif not inputs[row["sample"]]:
            yield (
                f"{place} is an IP of sample {row['sample']!r}, which has no input; add the "
                "input's row or name another sample's input in input_library"
            )
        elif len(inputs[row["sample"]]) > 1:
            yield (
                f"{place} is an IP of sample {row['sample']!r}, which has the inputs "
                f"{', '.join(inputs[row['sample']])}; name one in input_library"
            )


def _contrast_problems(rows: Sequence[_Row], contrast: Contrast) -> Iterator[str]:
    """Yield levels without library, and covariates that are missing or aliased."""
    columns = set(rows[0].values) - set(FILE_COLUMNS) - {"library", "assay", *OPTIONAL_COLUMNS}
    absent = [name for name in (contrast.factor, *contrast.covariates) if name not in columns]
    for name in absent:
        yield (
            f"row 1: the contrast names {name!r}, which is not a column of the sheet; "
            f"use one of {', '.join(sorted(columns))}"
        )
    if absent:
        return
    chosen = []
    for level in (contrast.test, contrast.reference):
        having = [row for row in rows if row[contrast.factor] == level and row["assay"] == "input"]
        if not having:
            levels = sorted({row[contrast.factor] for row in rows})
            yield (
                f"column {contrast.factor}: no input library has the contrast's level {level!r}; "
                f"the sheet has {', '.join(levels)}"
            )
        chosen += having
    if contrast.test == contrast.reference:
        yield (
            f"column {contrast.factor}: the contrast compares {contrast.test!r} with itself; "
            "name two levels"
        )
    else:
        yield from _design_problems(rows, contrast)


def _design_problems(rows: Sequence[_Row], contrast: Contrast) -> Iterator[str]:
    """Yield what is wrong with the covariates, of inputs and, where both levels have some, of IPs.

    What is wrong among the inputs is not said of the IPs once more.
    """
    told: set[str] = set()
    for assay, name in (("input", "input"), ("ip", "IP")):
        having = [
            row
            for row in rows
            if row["assay"] == assay and row[contrast.factor] in (contrast.test, contrast.reference)
        ]
        unique = list({row["library"]: row for row in having}.values())
        if len({row[contrast.factor] for row in unique}) < 2:
            continue
        found = dict(_covariate_problems(unique, contrast, name))
        yield from (text for key, text in found.items() if key not in told)
        told |= set(found)


def _covariate_problems(
    rows: Sequence[_Row], contrast: Contrast, assay: str
) -> Iterator[tuple[str, str]]:
    """Yield the covariates that cannot be adjusted for among some libraries, and why."""
    design = [np.ones(len(rows)), np.array([row[contrast.factor] == contrast.test for row in rows])]
    replicated = len(rows) > len(design)
    for name in contrast.covariates:
        values = [row[name] for row in rows]
        if "" in values:
            line = rows[values.index("")].line
            yield (
                name,
                f"row {line}: covariate {name!r} has no value; fill it or leave {name!r} out",
            )
            continue
        levels = sorted(set(values))
        if len(levels) == 1:
            yield (
                name,
                f"column {name}: covariate {name!r} is {levels[0]!r} in every library of the "
                f"contrast ({assay}); leave it out of contrast.covariates",
            )
            continue
        added = [np.array([value == level for value in values]) for level in levels[1:]]
        matrix = np.column_stack([*design, *added]).astype(float)
        if np.linalg.matrix_rank(matrix) < matrix.shape[1]:
            yield (
                name,
                f"column {name}: covariate {name!r} is aliased with {contrast.factor!r} or an "
                f"earlier covariate among the {assay} libraries (their effects cannot be told "
                "apart); leave it out of contrast.covariates",
            )
            continue
        # as many coefficients as libraries explain everything, whatever it is; too few IPs alone
        # leave the methylation without p-values, and the rest of the study as it is
        if assay == "input" and replicated and np.linalg.matrix_rank(matrix) >= len(rows):
            yield (
                name,
                f"column {name}: covariate {name!r} with its {len(levels)} levels leaves no "
                f"residual degrees of freedom among {len(rows)} libraries, so that nothing "
                "could be tested; leave it out of contrast.covariates, join levels, or add "
                "replicates",
            )
            continue
        design += added


def _libraries(rows: Sequence[_Row], folder: Path) -> tuple[Library, ...]:
    grouped: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        grouped[row["library"]].append(row)
    known = {*REQUIRED_COLUMNS, *FILE_COLUMNS, *OPTIONAL_COLUMNS}
    return tuple(
        Library(
            name=name,
            sample=members[0]["sample"],
            condition=members[0]["condition"],
            assay=members[0]["assay"],
            runs=tuple(_run(row, folder) for row in members),
            strandedness=members[0]["strandedness"],
            input_library=members[0]["input_library"] or None,
            covariates={k: v for k, v in members[0].values.items() if k not in known},
        )
        for name, members in grouped.items()
    )


def _run(row: _Row, folder: Path) -> Run:
    fastq_1, fastq_2, bam = (
        folder / row[column] if row[column] else None for column in ("fastq_1", "fastq_2", "bam")
    )
    return Run(row.line, fastq_1, fastq_2, row["accession"] or None, bam)


def _pairs(libraries: Sequence[Library]) -> Iterator[Pair]:
    by_name = {library.name: library for library in libraries}
    of_sample = {item.sample: item for item in reversed(libraries) if item.assay == "input"}
    for library in libraries:
        if library.assay == "ip":
            named = library.input_library
            yield Pair(library, by_name[named] if named else of_sample[library.sample])

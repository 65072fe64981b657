"""Every table of a run: its columns, their types and how it is read, written and checked.

Here stand the tables that several stages share; one that a single stage makes and reads (junctions,
reviewed claims) stands in the module of that stage. All tables are tab-separated with a header, a
missing value is ``NA``, and a table without rows still has its header.

Programs that stream reads take and give rows as mappings, without pandas: to import it takes longer
than they need for a small library.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringmark.errors import InputError
from ringmark.files import whole_file

if TYPE_CHECKING:
    import pandas as pd

#: Column types: ``string``, ``integer`` (missing allowed), ``number``.
STRING, INTEGER, NUMBER = "string", "Int64", "float64"
#: What stands for a missing value.
MISSING = "NA"
#: How numbers are written: with six significant digits.
NUMBER_FORMAT = "%.6g"


@dataclass(frozen=True)
class Table:
    """Columns of one kind of table.

    Attributes
    ----------
    name
        What the table holds, for messages.
    columns
        Column name to type, in the order of the file.
    """

    name: str
    columns: Mapping[str, str]

    def empty(self) -> pd.DataFrame:
        """Return the table without rows, every column typed."""
        import pandas as pd

        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in self.columns.items()})

    def frame(self, rows: Sequence[Mapping[str, object]] | pd.DataFrame) -> pd.DataFrame:
        """Return rows as a DataFrame with exactly these columns, typed.

        Raises
        ------
        KeyError
            If a column is missing.
        """
        import pandas as pd

        frame = pd.DataFrame(rows)
        if frame.empty:
            return self.empty()
        self._require(frame.columns)
        return frame[list(self.columns)].astype(dict(self.columns)).reset_index(drop=True)

    def write(self, rows: Sequence[Mapping[str, object]] | pd.DataFrame, path: str | Path) -> None:
        """Write the table, complete or not at all (see `write_tsv`).

        Raises
        ------
        KeyError
            If a column is missing.
        """
        if not isinstance(rows, Sequence):
            write_tsv(self.frame(rows), path)
            return
        for row in rows:
            self._require(row)
        texts = ([_text(row[name], kind) for name, kind in self.columns.items()] for row in rows)
        _write_lines(self.columns, texts, path)

    def _require(self, present: Container[str]) -> None:
        missing = [name for name in self.columns if name not in present]
        if missing:
            raise KeyError(f"{self.name}: no column {', '.join(missing)}")

    def rows(self, path: str | Path) -> list[dict[str, Any]]:
        """Read the table as rows: column to text, whole number or number, or ``None``.

        Raises
        ------
        InputError
            As `read` does.
        """
        try:
            return self._plain_rows(path)
        except (ValueError, csv.Error):
            # names what is wrong, or reads what is only unusual
            frame = self.read(path).astype(object)
            return frame.where(frame.notna(), None).to_dict("records")

    def _plain_rows(self, path: str | Path) -> list[dict[str, Any]]:
        """Read a table as rows; `ValueError` says that something in it asks for a closer look."""
        with Path(path).open(encoding="utf-8", newline="") as handle:
            lines = csv.reader(handle, delimiter="\t", strict=True)
            header = next(lines, [])
            if len(set(header)) < len(header):
                raise ValueError("a column stands twice")
            places = [(name, header.index(name), kind) for name, kind in self.columns.items()]
            found = []
            for line in lines:
                if len(line) != len(header):
                    raise ValueError("not a field a column")
                found.append({name: _value(line[place], kind) for name, place, kind in places})
            return found

    def read(self, path: str | Path) -> pd.DataFrame:
        """Read the table and check its columns.

        Raises
        ------
        InputError
            If a column is missing or stands twice, or a value is not of its column's type.
        """
        missing = [name for name in self.columns if name not in _header(path)]
        if missing:
            raise InputError(
                f"{path}: the {self.name} table has no column {', '.join(missing)}",
                f"it needs the columns {', '.join(self.columns)}",
            )
        kinds = ", ".join(f"{name} {kind}" for name, kind in self.columns.items())
        hint = f"the columns of the {self.name} table are {kinds}"
        return _read(path, dict(self.columns), hint, na_values=[MISSING])


def _value(text: str, kind: str) -> str | int | float | None:
    """Return what a cell holds; `ValueError` if it is not plainly of its column's type."""
    if text == MISSING:
        return None
    if kind == STRING:
        return text
    # Python reads digits with underscores between them
    if "_" in text:
        raise ValueError(text)
    return int(text) if kind == INTEGER else float(text)


def _is_missing(value: Any) -> bool:
    try:
        return value is None or bool(value != value)
    except TypeError:
        # what pandas has for a missing value is neither true nor false
        return True


def _text(value: Any, kind: str) -> str:
    """Return a value as `write_tsv` writes it."""
    if _is_missing(value):
        return MISSING
    if kind == NUMBER:
        return NUMBER_FORMAT % value
    if kind == STRING:
        return str(value)
    whole = int(value)
    if whole != value:
        raise TypeError(f"{value!r} is not a whole number")
    return str(whole)


def _header(path: str | Path) -> list[str]:
    """Return the column names of a table as they are written.

    Raises
    ------
    InputError
        If there is no header, or a name stands twice.
    """
    import pandas as pd

    try:
        first = pd.read_csv(path, sep="\t", header=None, nrows=1, dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError:
        raise InputError(
            f"{path}: empty, without a header", "a table without rows still has its header"
        ) from None
    except ValueError as error:
        raise InputError(
            f"{path}: not a table: {error}", "give a tab-separated text file"
        ) from error
    header = first.iloc[0].tolist()
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InputError(f"{path}: column {', '.join(twice)} stands twice", "name each column once")
    return header


def _read(
    path: str | Path, kinds: Mapping[str, str], hint: str, na_values: Sequence[str] = ()
) -> pd.DataFrame:
    """Read the rows of a table, each column of the type given."""
    import pandas as pd

    try:
        frame = pd.read_csv(
            path, sep="\t", dtype=dict(kinds), na_values=na_values, keep_default_na=False
        )
    except (TypeError, ValueError) as error:
        problem = _wrong_cell(path, kinds, na_values) or f": {error}"
        raise InputError(f"{path}{problem}", hint) from error
    # pandas takes the first column of rows that are longer than the header for an index
    if not isinstance(frame.index, pd.RangeIndex):
        raise InputError(f"{path}: the rows have more fields than the header", hint)
    return frame


def _wrong_cell(path: str | Path, kinds: Mapping[str, str], na_values: Sequence[str]) -> str:
    """Say which cell of a table is not of its column's type; nothing if that is not the fault."""
    import pandas as pd

    try:
        cells = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    except ValueError:
        return ""
    for name, kind in kinds.items():
        if kind == STRING:
            continue
        numbers = pd.to_numeric(cells[name], errors="coerce")
        whole = kind == NUMBER or numbers % 1 == 0
        wrong = cells[name][~((numbers.notna() & whole) | cells[name].isin(na_values))]
        if len(wrong):
            what = "a number" if kind == NUMBER else "a whole number"
            return f", row {wrong.index[0] + 2}: {name} {wrong.iloc[0]!r} is not {what}"
    return ""


def write_tsv(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a DataFrame as TSV through a temporary file, so that no half table is ever seen.

    Floating point numbers keep six significant digits.
    """
    with whole_file(path) as temporary:
        frame.to_csv(
            temporary,
            sep="\t",
            index=False,
            na_rep=MISSING,
            float_format=NUMBER_FORMAT,
            lineterminator="\n",
        )


def read_matrix(path: str | Path) -> pd.DataFrame:
    """Read a count matrix: first column the id, then one integer column a library.

    Returns
    -------
    pandas.DataFrame
        Shape (features, libraries); the index holds the ids and carries the first column's name.

    Raises
    ------
    InputError
        If there is no header, a library stands twice or a count is not a whole number.
    """
    header = _header(path)
    kinds = {header[0]: STRING, **dict.fromkeys(header[1:], "int64")}
    hint = "a count matrix holds ids, then whole numbers, a column a library"
    return _read(path, kinds, hint).set_index(header[0])


def write_matrix(matrix: pd.DataFrame, path: str | Path, id_name: str) -> None:
    """Write a count matrix of shape (features, libraries) with its index as the first column.

    Raises
    ------
    ValueError
        If a count is not a whole number: it would be cut off silently.
    """
    frame = matrix.astype("int64").copy()
    if not (frame == matrix).all(axis=None):
        raise ValueError(f"{path}: a count matrix holds whole numbers")
    frame.insert(0, id_name, frame.index.astype(str))
    write_tsv(frame, path)


def write_counts(
    ids: Sequence[str], columns: Mapping[str, Iterable[int]], path: str | Path, id_name: str
) -> None:
    """Write a count matrix from its columns, as `write_matrix` does, without pandas."""
    _write_lines([id_name, *columns], zip(ids, *columns.values(), strict=True), path)


def _write_lines(header: Iterable[str], rows: Iterable[Iterable[object]], path: str | Path) -> None:
    """Write a table of texts, complete or not at all, without pandas."""
    with (
        whole_file(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as handle,
    ):
        writer = csv.writer(handle, delimiter="\t", lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


LIBRARIES = Table(
    "libraries",
    {
        "library": STRING,
        "sample": STRING,
        "condition": STRING,
        "assay": STRING,
        "layout": STRING,
        "read_length": INTEGER,
        "strandedness": STRING,
        "strandedness_declared": STRING,
        "sense_fraction": NUMBER,
        "reads": INTEGER,
        "aligned_fraction": NUMBER,
        "usable_fraction": NUMBER,
    },
)

CIRCLES = Table(
    "circles",
    {
        "circle": STRING,
        "chrom": STRING,
        "start": INTEGER,
        "end": INTEGER,
        "strand": STRING,
        "type": STRING,
        "gene_id": STRING,
        "gene_name": STRING,
        "exons": INTEGER,
        "spliced_length": INTEGER,
        "splice_motif": STRING,
        "annotated_ends": STRING,
        "libraries": INTEGER,
        "reads": INTEGER,
        "confidence": STRING,
    },
)

PEAKS = Table(
    "peaks",
    {
        "peak": STRING,
        "chrom": STRING,
        "start": INTEGER,
        "end": INTEGER,
        "strand": STRING,
        "block_sizes": STRING,
        "block_starts": STRING,
        "gene_id": STRING,
        "gene_name": STRING,
        "region": STRING,
        "summit": INTEGER,
        "log2_enrichment": NUMBER,
        "pvalue": NUMBER,
        "padj": NUMBER,
        "conditions": STRING,
        "samples": INTEGER,
        "drach": INTEGER,
        "drach_distance": INTEGER,
    },
)

QUALITY = Table(
    "m6A quality",
    {
        "sample": STRING,
        "condition": STRING,
        "ip_library": STRING,
        "input_library": STRING,
        "enrichment": NUMBER,
        "ip_fraction_in_peaks": NUMBER,
        "drach_rate_summits": NUMBER,
        "drach_rate_background": NUMBER,
        "drach_odds_ratio": NUMBER,
        "drach_pvalue": NUMBER,
        "stop_codon_enrichment": NUMBER,
        "replicate_jaccard": NUMBER,
        "closest_input": STRING,
        "verdict": STRING,
        "reason": STRING,
    },
)

#: Peaks of one condition at a part of its fragments, one row a condition and part.
SATURATION = Table(
    "saturation",
    {
        "condition": STRING,
        "fraction": NUMBER,
        "ip_fragments": INTEGER,
        "input_fragments": INTEGER,
        "peaks": INTEGER,
        "recovered": NUMBER,
    },
)

#: Summits along the transcript, one row a condition and part of a region.
METAGENE = Table(
    "metagene",
    {
        "condition": STRING,
        "region": STRING,
        "start": NUMBER,
        "end": NUMBER,
        "summits": INTEGER,
        "uniform": NUMBER,
    },
)

#: Letters around the methylated adenosine of the motifs at summits, one row a place.
MOTIF = Table(
    "motif",
    {
        "offset": INTEGER,
        "A": INTEGER,
        "C": INTEGER,
        "G": INTEGER,
        "U": INTEGER,
        "information": NUMBER,
        "all_A": INTEGER,
        "all_C": INTEGER,
        "all_G": INTEGER,
        "all_U": INTEGER,
    },
)

#: Natural logarithm of the IP-to-input ratio of background fragments, one row a pair.
BACKGROUND = Table(
    "background ratios", {"ip_library": STRING, "input_library": STRING, "log_ratio": NUMBER}
)

#: The same of genes, one row a gene and IP; rows without a gene are of any gene. ``error`` is the
#: standard deviation of what all replicates share and the ratio does not say.
GENE_BACKGROUND = Table(
    "background ratios of genes",
    {"gene_id": STRING, "ip_library": STRING, "log_ratio": NUMBER, "error": NUMBER},
)

#: How many reads or fragments each filter of a step removed and kept, one row a filter.
FILTERS = Table(
    "filter log", {"step": STRING, "filter": STRING, "removed": INTEGER, "kept": INTEGER}
)

#: The condition of rows that join all pairs of a study.
POOLED = "pooled"

#: What the junction of a circle tells of its m6A (``ringmark.detection``).
METHYLATED, NOT_METHYLATED = "methylated", "not_methylated"
NOT_SEEN, CANNOT_BE_SEEN = "not_seen", "cannot_be_seen"
M6A_ANSWERS = (METHYLATED, NOT_METHYLATED, NOT_SEEN, CANNOT_BE_SEEN)

#: One row a circle and condition, and one with the condition `POOLED`.
CIRCLE_M6A = Table(
    "m6A on circles",
    {
        "circle": STRING,
        "condition": STRING,
        "ip_reads": INTEGER,
        "input_reads": INTEGER,
        "log2_enrichment": NUMBER,
        "pvalue": NUMBER,
        "padj": NUMBER,
        "tier": STRING,
        "drach": INTEGER,
        "nearest_drach_to_junction": INTEGER,
        "linear_peak": STRING,
    },
)
#: What the reads of the same circles could have shown, in the same rows (``ringmark.detection``).
DETECTION = Table(
    "detection of m6A on circles",
    {
        "circle": STRING,
        "condition": STRING,
        "tier": STRING,
        "input_reads": INTEGER,
        "log2_enrichment": NUMBER,
        "smallest_log2_enrichment": NUMBER,
        "within_reach": NUMBER,
        "verdict": STRING,
    },
)

#: What every comparison of two conditions gives, under the names of DESeq2.
TEST_COLUMNS = {
    "baseMean": NUMBER,
    "log2FoldChange": NUMBER,
    "lfcSE": NUMBER,
    "stat": NUMBER,
    "pvalue": NUMBER,
    "padj": NUMBER,
}
#: Of expression alone: the fold change shrunken by its uncertainty, and its standard deviation.
SHRUNKEN_COLUMNS = {"log2FoldChange_shrunken": NUMBER, "lfcSE_shrunken": NUMBER}
_RAW_COLUMNS = {"baseMean": NUMBER, "log2FoldChange": NUMBER, "padj": NUMBER}
_FEATURE_COLUMNS = {"id": STRING, "gene_id": STRING, "gene_name": STRING}

DIFFERENTIAL = Table("differential", {**_FEATURE_COLUMNS, **TEST_COLUMNS})
SHRUNKEN = Table("shrunken fold changes", {**_FEATURE_COLUMNS, **_RAW_COLUMNS, **SHRUNKEN_COLUMNS})
CIRCLE_RATIO = Table(
    "circular-to-linear ratio",
    {
        **_FEATURE_COLUMNS,
        "ratio_test": NUMBER,
        "ratio_reference": NUMBER,
        **TEST_COLUMNS,
    },
)


#: What changes of a circle, side by side (``ringmark.circle_changes``).
CIRCLE_CHANGES = Table(
    "changes of circles",
    {
        "circle": STRING,
        "gene_id": STRING,
        "gene_name": STRING,
        "type": STRING,
        "confidence": STRING,
        **{
            f"{what}_{column}": NUMBER
            for what in ("circle", "ratio", "gene", "methylation")
            for column in ("log2FoldChange", "padj")
        },
        "m6a_tier": STRING,
        "m6a_verdict": STRING,
        "reading": STRING,
    },
)


def read_background(path: str | Path, ip_libraries: Iterable[str]) -> dict[str, float]:
    """Return IP library to the log ratio of its pair on background.

    Raises
    ------
    InputError
        If the table is malformed or holds no finite ratio of an IP.
    """
    table = BACKGROUND.read(path)
    ratios = dict(zip(table["ip_library"], table["log_ratio"], strict=True))
    missing = [name for name in ip_libraries if not math.isfinite(ratios.get(name, math.nan))]
    if missing:
        raise InputError(
            [f"{path}: no background ratio of {name}" for name in missing],
            "give the table that call_peaks.py made of the same pairs",
        )
    return ratios

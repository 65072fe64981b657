"""The report: what the tables of a run say, as sentences, facts, figures and tables of one page.

The page is described by small dataclasses (`Page`, `Section`, `Part`, `TableView`) that a template
turns into HTML. Every number in a sentence is computed here from the tables; a part that was not
computed becomes one plain sentence that says why.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ringmark import figures, regulators, tables
from ringmark.figures import Comparison, Figure
from ringmark.study import Contrast
from ringmark.tables import Table

#: Tables that the report reads.
SCHEMAS: dict[str, Table] = {
    "libraries": tables.LIBRARIES,
    "circles": tables.CIRCLES,
    "peaks": tables.PEAKS,
    "quality": tables.QUALITY,
    "saturation": tables.SATURATION,
    "metagene": tables.METAGENE,
    "motif": tables.MOTIF,
    "circle_m6a": tables.CIRCLE_M6A,
    "circle_detection": tables.DETECTION,
    "shrunken_genes": tables.SHRUNKEN,
    "shrunken_circles": tables.SHRUNKEN,
    "genes": tables.DIFFERENTIAL,
    "circle_differential": tables.DIFFERENTIAL,
    "ratio": tables.CIRCLE_RATIO,
    "methylation": tables.DIFFERENTIAL,
    "circle_methylation": tables.DIFFERENTIAL,
    "circle_changes": tables.CIRCLE_CHANGES,
    "overlap": regulators.OVERLAP,
    "enrichment": regulators.ENRICHMENT,
    "axes": regulators.AXIS_RESULTS,
    "filters": tables.FILTERS,
}
#: Count matrices: first column the id, then one column a library.
MATRICES = ("bsj_counts", "linear_counts", "ip_counts", "input_counts", "gene_counts")
NEEDS_IP = frozenset(
    {
        "peaks",
        "quality",
        "saturation",
        "metagene",
        "motif",
        "circle_m6a",
        "methylation",
        "circle_methylation",
    }
)

NEEDS_GENOME = frozenset(
    {"circles", "circle_m6a", "circle_differential", "ratio", "circle_methylation"}
)
COMPARED_IP = frozenset({"methylation", "circle_methylation"})

NO_IP = "This study has no immunoprecipitated libraries, so m6A was not measured."
NO_GENOME = (
    "This study was run without a genome (reference.fasta), so circles and DRACH motifs were not "
    "looked for."
)
ONE_SIDED_IP = "Only one condition has immunoprecipitated libraries, so m6A was not compared."
NOT_COMPUTED = "Not computed: this run made no table for this part."
EXPLORATORY = (
    "Exploratory fold changes, no p-values: without replicates there is no variance to test "
    "against."
)
VERDICTS = ("contradicted", "confirmed", "mixed", "unchanged", "not measurable")
TIER_MEANINGS = {
    "1": "yes, on the circle itself (tier 1)",
    "2": "yes, in an intron, which linear RNA does not contain once spliced (tier 2)",
    "3": "possibly (tier 3): the peak lies on exons shared with linear RNA",
    "none": "none seen",
}


#: What is said of circles by how they read beside their gene, the most telling first.
READING_MEANINGS = {
    "beyond_gene": "change beyond what their gene does (the circular-to-linear ratio changes)",
    "against_gene": "change against their gene",
    "gene_alone": "stay behind where their gene changes",
    "with_gene": "change with their gene",
    "unclear": "change, with or without their gene",
    "unchanged": "are not shown to change",
    "not_tested": "could not be tested",
}

#: What the junction of a circle without a peak tells.
VERDICT_MEANINGS = {
    tables.NOT_METHYLATED: "no: it would have been found",
    tables.NOT_SEEN: "none seen, which some of the circle could hide",
    tables.CANNOT_BE_SEEN: "cannot be seen: too few reads",
}


@dataclass(frozen=True)
class Kind:
    """One of the five comparisons between conditions.

    Attributes
    ----------
    key
        Name of its table.
    title
        Heading.
    features
        What a row is, plural.
    measure
        What the fold change is of.
    """

    key: str
    title: str
    features: str
    measure: str


KINDS = (
    Kind("genes", "Genes", "genes", "fold change of expression"),
    Kind("circle_differential", "Circles", "circles", "fold change of back-splice reads"),
    Kind("ratio", "Circular-to-linear ratio", "circles", "change of the circular-to-linear odds"),
    Kind("methylation", "m6A of peaks", "peaks", "change of m6A enrichment"),
    Kind("circle_methylation", "m6A of circles", "circles", "change of m6A enrichment"),
)


#: Comparisons whose fold changes are shrunken too, and in which table.
SHRUNKEN_OF = {"genes": "shrunken_genes", "circle_differential": "shrunken_circles"}


@dataclass(frozen=True)
class Evidence:
    """All a report is made of.

    Attributes
    ----------
    tables
        Key (see `SCHEMAS`, `MATRICES`) to table; absent keys were not computed.
    links
        Key to the address of the full table, relative to the page.
    contrast
        What is compared, if anything.
    alpha
        Threshold on adjusted p-values.
    columns
        Column descriptions: ``common``, and one mapping a table key that wants another wording.
    captions
        ``figures``: figure name to title and caption; ``sections``; ``methods``.
    provenance
        Content of provenance.json, if given.
    multiqc
        Relative address of the MultiQC report, if given.
    table_bytes
        Most bytes of JSON one table may take in the page.
    """

    tables: Mapping[str, pd.DataFrame]
    columns: Mapping[str, Any]
    captions: Mapping[str, Any]
    links: Mapping[str, str] = field(default_factory=dict)
    contrast: Contrast | None = None
    alpha: float = 0.05
    provenance: Mapping[str, Any] | None = None
    multiqc: str | None = None
    table_bytes: int = 350_000

    def get(self, key: str) -> pd.DataFrame | None:
        """Return a table, or ``None`` where it was not computed."""
        return self.tables.get(key)

    @property
    def libraries(self) -> pd.DataFrame:
        """The libraries of the study."""
        return self.tables["libraries"]

    @property
    def has_ip(self) -> bool:
        """Whether the study has immunoprecipitated libraries."""
        return bool((self.libraries["assay"] == "ip").any())

    @property
    def has_genome(self) -> bool:
        """Whether the configuration names a genome, as far as it is known."""
        config = (self.provenance or {}).get("config") or {}
        return bool(config.get("reference", {}).get("fasta", True))

    @property
    def colours(self) -> dict[str, str]:
        """Colour of each condition."""
        test = self.contrast.test if self.contrast else None
        reference = self.contrast.reference if self.contrast else None
        return figures.condition_colours(self.libraries["condition"].tolist(), test, reference)

    def absence(self, key: str) -> str:
        """Say why a part is not on the page."""
        if key in NEEDS_IP and not self.has_ip:
            return NO_IP
        if key in NEEDS_GENOME and not self.has_genome:
            return NO_GENOME
        if key not in NEEDS_IP:
            return NOT_COMPUTED
        immunoprecipitated = self.libraries.loc[self.libraries["assay"] == "ip", "condition"]
        one_sided = key in COMPARED_IP and immunoprecipitated.nunique() == 1
        return ONE_SIDED_IP if one_sided else NOT_COMPUTED


@dataclass(frozen=True)
class Column:
    """One column of a table of the page.

    Attributes
    ----------
    kind
        ``text``, ``integer`` or ``number``.
    shown
        Whether it is visible before the reader asks for it.
    added
        Whether the page added it to help reading; a download leaves it out.
    """

    name: str
    kind: str
    description: str
    shown: bool = True
    added: bool = False


@dataclass(frozen=True)
class TableView:
    """A searchable table of the page.

    Attributes
    ----------
    rows
        Values of the rows the page carries, `None` where missing.
    total
        Rows of the whole table.
    link
        Address of the whole table, or ``None``.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: list[list[Any]]
    total: int
    link: str | None = None

    @property
    def json(self) -> str:
        """Columns and rows as JSON that may stand inside a ``<script>`` element."""
        columns = [vars(column) for column in self.columns]
        text = json.dumps(
            {"columns": columns, "rows": self.rows, "total": self.total},
            ensure_ascii=False,
            separators=(",", ":"),
            allow_nan=False,
        )
        return text.replace("<", "\\u003c").replace("\u2028", " ").replace("\u2029", " ")


@dataclass(frozen=True)
class StaticTable:
    """A short table that needs no script; ``caption`` says what it holds."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Illustration:
    """A figure with its title and caption."""

    figure: Figure
    title: str
    caption: str


@dataclass(frozen=True)
class Part:
    """A stretch of a section: a heading (may be empty), sentences, figures and tables."""

    title: str = ""
    paragraphs: Sequence[str] = ()
    static: StaticTable | None = None
    illustrations: Sequence[Illustration] = ()
    views: Sequence[TableView] = ()
    links: Sequence[tuple[str, str]] = ()
    listing: str = ""
    terms: Sequence[tuple[str, str]] = ()
    anchor: str = ""


@dataclass(frozen=True)
class Section:
    """A section of the page with its anchor."""

    anchor: str
    title: str
    introduction: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Fact:
    """A number of the answer.

    Attributes
    ----------
    key
        Stable name, found again as ``data-fact`` in the page.
    value
        The number.
    label
        What is counted.
    tone
        ``up``, ``down`` or ``plain``.
    """

    key: str
    value: int
    label: str
    tone: str = "plain"


@dataclass(frozen=True)
class FactGroup:
    """Facts on one subject with a note below."""

    title: str
    anchor: str
    facts: Sequence[Fact]
    note: str = ""


@dataclass(frozen=True)
class Page:
    """The whole report."""

    title: str
    contrast: str
    sentences: Sequence[str]
    groups: Sequence[FactGroup]
    circles: StaticTable | None
    claims: StaticTable | None
    sections: Sequence[Section]

    @property
    def views(self) -> list[TableView]:
        """All searchable tables, in the order of the page."""
        return [view for section in self.sections for part in section.parts for view in part.views]


# ---- numbers and words -------------------------------------------------------------------------


def count_of(number: int, singular: str, plural: str | None = None) -> str:
    """Write a number with its noun: ``no circles``, ``1 circle``, ``1,200 circles``."""
    noun = singular if number == 1 else plural or f"{singular}s"
    return f"{number:,} {noun}" if number else f"no {noun}"


def number_range(values: pd.Series) -> str:
    """Write smallest and largest of whole numbers, or the one they all are."""
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def signed(value: float | None) -> str:
    """Write a fold change with its sign, ``NA`` where missing."""
    return "NA" if pd.isna(value) else f"{value:+.2f}".replace("-", "−")


def probability(value: float | None) -> str:
    """Write a p-value with two significant digits, ``NA`` where missing."""
    return "NA" if pd.isna(value) else f"{value:.2g}".replace("-", "−")


def change_and_probability(change: float | None, padj: float | None) -> str:
    """Write a fold change with its p-value in brackets; ``NA`` where there is no fold change."""
    return "NA" if pd.isna(change) else f"{signed(change)} ({probability(padj)})"


def word(value: object, missing: str = "–") -> str:
    """Write any cell of a table."""
    return missing if pd.isna(value) else str(value)


def place_name(gene_name: object, identifier: str) -> str:
    """Name a circle or peak by its gene and its place."""
    return identifier if pd.isna(gene_name) else f"{gene_name} ({identifier})"


# ---- what changed ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """How many features of a differential table change.

    Attributes
    ----------
    rows
        Features in the table.
    tested
        Features with a p-value.
    filtered
        Of the tested, those without an adjusted p-value: their counts are too low for it.
    up, down
        Features with an adjusted p-value below the threshold, by the sign of the fold change.
    """

    rows: int
    tested: int
    filtered: int
    up: int
    down: int

    @property
    def exploratory(self) -> bool:
        """Whether there are fold changes but not one p-value."""
        return self.rows > 0 and self.tested == 0


def changes(table: pd.DataFrame, alpha: float) -> Change:
    """Count what a differential table says."""
    kinds = figures.classes(table, alpha)
    return Change(
        rows=len(table),
        tested=int(table["pvalue"].notna().sum()),
        filtered=int((table["pvalue"].notna() & table["padj"].isna()).sum()),
        up=int((kinds == "up").sum()),
        down=int((kinds == "down").sum()),
    )


def change_sentence(evidence: Evidence, kind: Kind) -> str:
    """Say in one sentence what one comparison found."""
    table = evidence.get(kind.key)
    if table is None or (kind.key in NEEDS_IP and not evidence.has_ip):
        return evidence.absence(kind.key)
    change = changes(table, evidence.alpha)
    if not change.rows:
        return f"There were no {kind.features} to test."
    if change.exploratory:
        return f"{count_of(change.rows, kind.features[:-1])} compared. {EXPLORATORY}"
    test = evidence.contrast.test if evidence.contrast else "test"
    text = f"Of {count_of(change.tested, kind.features[:-1])} tested, "
    filtered = (
        f" Independent filtering leaves {change.filtered:,} with too few counts out of the "
        "adjustment of p-values."
        if change.filtered
        else ""
    )
    if not change.up + change.down:
        return f"{text}none changed at an adjusted p-value below {evidence.alpha:g}.{filtered}"
    return (
        f"{text}{change.up:,} {_is_are(change.up)} higher and {change.down:,} "
        f"{_is_are(change.down)} lower in the {test} samples at an adjusted p-value below "
        f"{evidence.alpha:g}.{filtered}"
    )


def _is_are(number: int) -> str:
    return "is" if number == 1 else "are"


def rank(table: pd.DataFrame) -> pd.DataFrame:
    """Order a differential table: smallest adjusted p-value, then p-value, then largest change."""
    keys = table.assign(_size=-table["log2FoldChange"].abs())
    return table.loc[keys.sort_values(["padj", "pvalue", "_size"], kind="stable").index]


def claim_verdicts(overlap: pd.DataFrame) -> pd.DataFrame:
    """Reduce the overlap, a row a claim and comparison, to one verdict a claim.

    A claim is ``confirmed`` or ``contradicted`` if one comparison says so and none the opposite,
    ``mixed`` if two comparisons disagree, ``not measurable`` only if no comparison measured it.

    Returns
    -------
    pandas.DataFrame
        Columns ``claim_id``, ``review``, ``verdict``, in the order of the overlap.
    """
    if overlap.empty:
        return pd.DataFrame({"claim_id": [], "review": [], "verdict": []}, dtype="str")
    verdicts = overlap["verdict"].fillna("not measurable").str.replace("_", " ")
    grouped = overlap.assign(verdict=verdicts).groupby("claim_id", sort=False)
    result = grouped.agg(
        review=("review", "first"), verdict=("verdict", lambda seen: _one_verdict(set(seen)))
    )
    return result.reset_index()


def _one_verdict(seen: set[str]) -> str:
    decided = seen & {"confirmed", "contradicted"}
    if decided:
        return decided.pop() if len(decided) == 1 else "mixed"
    measured = seen - {"not measurable"}
    if not measured:
        return "not measurable"
    return "unchanged" if "unchanged" in measured else min(measured)


def m6a_words(pooled: pd.DataFrame | None, circle: str) -> str:
    """Say whether a circle carries m6A and on what evidence.

    Parameters
    ----------
    pooled
        Rows of the m6A table of all conditions together, indexed by circle; ``None`` if not
        measured.
    """
    if pooled is None:
        return "not measured"
    if circle not in pooled.index:
        return "not tested"
    row = pooled.loc[circle]
    tier = word(row["tier"], "none")
    text = TIER_MEANINGS.get(tier, f"tier {tier}")
    if tier == "none" and "verdict" in row:
        text = VERDICT_MEANINGS.get(word(row["verdict"]), text)
    if tier in ("1", "none"):
        text += (
            f"; back-splice reads {word(row['ip_reads'])} IP, {word(row['input_reads'])} input, "
            f"padj {probability(row['padj'])}"
        )
    return text


def pooled_m6a(evidence: Evidence) -> pd.DataFrame | None:
    """Return the pooled rows of the m6A-on-circles table, indexed by circle."""
    table = evidence.get("circle_m6a")
    if table is None or not evidence.has_ip:
        return None
    pooled = table[table["condition"] == tables.POOLED]
    pooled = pooled.drop_duplicates("circle").set_index("circle")
    detection = evidence.get("circle_detection")
    if detection is None:
        return pooled
    own = detection[detection["condition"] == tables.POOLED].drop_duplicates("circle")
    return pooled.join(own.set_index("circle")["verdict"])


# ---- searchable tables -------------------------------------------------------------------------


def describe(evidence: Evidence, key: str, column: str) -> str:
    """Return the description of a column, the table's own wording before the common one."""
    own = evidence.columns.get(key) or {}
    return str(own.get(column) or evidence.columns["common"].get(column) or "")


def _column_kind(values: pd.Series) -> str:
    if pd.api.types.is_integer_dtype(values.dtype):
        return "integer"
    return "number" if pd.api.types.is_float_dtype(values.dtype) else "text"


def _cells(values: pd.Series, kind: str) -> list[Any]:
    """Return the values of a column as JSON has them, numbers with six significant digits.

    JSON has no infinity: an infinite number becomes the text ``inf`` or ``-inf``, as in the file.
    """
    missing = values.isna()
    if kind == "integer":
        return [None if gap else int(item) for item, gap in zip(values, missing, strict=True)]
    if kind == "number":
        return [
            None if gap else float(f"{item:.6g}") if np.isfinite(item) else f"{item:g}"
            for item, gap in zip(values, missing, strict=True)
        ]
    return [None if gap else str(item) for item, gap in zip(values, missing, strict=True)]


def table_view(
    evidence: Evidence,
    key: str,
    title: str,
    frame: pd.DataFrame,
    hidden: Iterable[str] = (),
    added: Iterable[str] = (),
) -> TableView:
    """Prepare a table for the page, with as many rows as its share of the page allows.

    Parameters
    ----------
    frame
        Rows, most important first.
    hidden
        Columns that are shown on demand only.
    added
        Columns that the file does not have.
    """
    hidden, added = frozenset(hidden), frozenset(added)
    kinds = {name: _column_kind(frame[name]) for name in frame.columns}
    columns = tuple(
        Column(name, kinds[name], describe(evidence, key, name), name not in hidden, name in added)
        for name in frame.columns
    )
    cells = [_cells(frame[name], kinds[name]) for name in frame.columns]
    rows: list[list[Any]] = []
    room = evidence.table_bytes
    for values in zip(*cells, strict=True):
        room -= len(json.dumps(values, ensure_ascii=False).encode())
        if room < 0:
            break
        rows.append(list(values))
    return TableView(key, title, columns, rows, len(frame), evidence.links.get(key))


def _illustrations(evidence: Evidence, drawn: Iterable[Figure | None]) -> list[Illustration]:
    """Give figures their titles and captions; what could not be drawn is left out."""
    texts = evidence.captions["figures"]
    result = []
    for figure in drawn:
        if figure is None:
            continue
        name = figure.name if figure.name in texts else figure.name.rsplit("-", 1)[-1]
        result.append(Illustration(figure, texts[name]["title"], texts[name]["caption"]))
    return result


def _section(evidence: Evidence, anchor: str, parts: Sequence[Part]) -> Section:
    texts = evidence.captions["sections"][anchor]
    return Section(anchor, texts["title"], texts.get("introduction", ""), parts)


# ---- sections ----------------------------------------------------------------------------------


def design_table(evidence: Evidence) -> StaticTable:
    """List every sample with its libraries, so that a reader sees who is paired with whom.

    The pairs come from the m6A quality table where there is one, else from the samples.
    """
    sheet = evidence.libraries
    inputs = sheet[sheet["assay"] == "input"].groupby("sample")["library"].agg(", ".join)
    ips = sheet[sheet["assay"] == "ip"].groupby("sample")["library"].agg(", ".join)
    quality = evidence.get("quality")
    paired: dict[str, str] = {}
    if quality is not None:
        known = quality.dropna(subset=["ip_library", "input_library"])
        paired = dict(zip(known["ip_library"], known["input_library"], strict=True))
    rows = []
    for sample, condition in (
        sheet[["sample", "condition"]].drop_duplicates().itertuples(index=False)
    ):
        row = [word(condition), word(sample), inputs.get(sample, "none")]
        if evidence.has_ip:
            ip = ips.get(sample, "none")
            row += [ip, paired.get(ip, inputs.get(sample, "none")) if ip != "none" else "–"]
        rows.append(row)
    header = ["Condition", "Sample", "Input library"]
    if evidence.has_ip:
        header += ["IP library", "IP compared with"]
    return StaticTable("Samples and their libraries", header, sorted(rows, key=lambda r: r[0]))


def contrast_sentences(contrast: Contrast, conditions: Sequence[str]) -> str:
    """Say what is compared, what is adjusted for, and which conditions stand outside."""
    levels = (contrast.test, contrast.reference)
    text = (
        f"Every fold change is {contrast.test} over {contrast.reference} ({contrast.factor}): "
        f"positive means higher in the {contrast.test} samples."
    )
    if contrast.covariates:
        text += f" Comparisons are adjusted for {', '.join(contrast.covariates)}."
    outside = [name for name in conditions if name not in levels]
    if contrast.factor == "condition" and outside:
        text += (
            f" Samples of {', '.join(outside)} are not compared; circles and peaks are found and "
            "counted in them too."
        )
    return text


def study_section(evidence: Evidence) -> Section:
    """Describe the libraries and their pairing."""
    sheet = evidence.libraries
    samples = sheet.drop_duplicates("sample").groupby("condition", sort=False).size()
    listed = "; ".join(f"{name}: {count_of(int(n), 'sample')}" for name, n in samples.items())
    inputs, ips = (int((sheet["assay"] == assay).sum()) for assay in ("input", "ip"))
    text = (
        f"{count_of(len(sheet), 'library', 'libraries').capitalize()}: {inputs} input and {ips} IP."
    )
    paragraphs = [f"{text} {listed}." if listed else text]
    if not evidence.has_ip:
        paragraphs.append(NO_IP)
    if evidence.contrast:
        paragraphs.append(contrast_sentences(evidence.contrast, list(samples.index)))
    hidden = ("layout", "read_length", "strandedness_declared")
    view = table_view(evidence, "libraries", "All libraries", sheet, hidden)
    parts = [Part(paragraphs=paragraphs, static=design_table(evidence)), Part(views=[view])]
    return _section(evidence, "study", parts)


def reads_section(evidence: Evidence) -> Section:
    """Show what became of the reads, and how alike the libraries are."""
    sheet = evidence.libraries
    paragraphs = []
    reads = sheet["reads"].dropna()
    if len(reads):
        paragraphs.append(
            f"Libraries have {number_range(reads)} reads or read pairs after trimming "
            f"({int(reads.sum()):,} in all)."
        )
    empty = sheet.loc[sheet["reads"] == 0, "library"]
    if len(empty):
        paragraphs.append(f"Without any: {', '.join(empty)}; comparisons leave them out.")
    usable = sheet["usable_fraction"].dropna()
    if len(usable):
        paragraphs.append(f"Usable are {usable.min():.1%} to {usable.max():.1%} of them.")
    used = sheet["strandedness"].dropna().value_counts()
    if len(used):
        listed = ", ".join(f"{name} ({n})" for name, n in used.items())
        paragraphs.append(f"Strandedness used: {listed}.")
    genes = evidence.get("gene_counts")
    drawn = [figures.read_fate(sheet), figures.strandedness(sheet)]
    if genes is not None:
        drawn.append(figures.library_correlation(genes))
        drawn.append(figures.library_components(genes, sheet, evidence.colours))
    links = [("MultiQC: trimming and read quality, file by file", evidence.multiqc)]
    part = Part(
        paragraphs=[" ".join(paragraphs)],
        illustrations=_illustrations(evidence, drawn),
        links=[(label, address) for label, address in links if address],
    )
    return _section(evidence, "reads", [part])


def _matrix_links(evidence: Evidence, keys: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(label, evidence.links[key]) for key, label in keys.items() if key in evidence.links]


def circles_section(evidence: Evidence) -> Section:
    """Describe the catalogue of circles."""
    circles = evidence.get("circles")
    if circles is None:
        return _section(evidence, "circles", [Part(paragraphs=[evidence.absence("circles")])])
    if circles.empty:
        return _section(evidence, "circles", [Part(paragraphs=["No circles were found."])])
    counted = circles["type"].value_counts()
    listed = ", ".join(f"{n:,} {name.replace('_', '-')}" for name, n in counted.items())
    high = int((circles["confidence"] == "high").sum())
    genes = circles["gene_id"].nunique()
    text = (
        f"{count_of(len(circles), 'circle')} from {count_of(genes, 'gene')}: {listed}. "
        f"{high:,} {_is_are(high)} of high confidence. "
        f"{int(circles['reads'].sum()):,} back-splice reads support them."
    )
    drawn: list[Figure | None] = []
    back_splices, linear = evidence.get("bsj_counts"), evidence.get("linear_counts")
    if back_splices is not None:
        drawn.append(
            figures.circles_per_library(back_splices, evidence.libraries, evidence.colours)
        )
    drawn += [figures.circle_types(circles), figures.circle_lengths(circles)]
    drawn.append(figures.circle_exons(circles))
    if back_splices is not None and linear is not None:
        drawn.append(figures.circle_share_by_expression(back_splices, linear, evidence.libraries))
    ordered = circles.sort_values(["reads", "circle"], ascending=[False, True], kind="stable")
    hidden = ("chrom", "start", "end", "strand", "gene_id", "annotated_ends")
    matrices = {
        "bsj_counts": "Back-splice reads a library",
        "linear_counts": "Linear reads a library",
    }
    part = Part(
        paragraphs=[text],
        illustrations=_illustrations(evidence, drawn),
        views=[table_view(evidence, "circles", "All circles", ordered, hidden)],
        links=_matrix_links(evidence, matrices),
    )
    return _section(evidence, "circles", [part])


def peaks_section(evidence: Evidence) -> Section:
    """Describe the m6A peaks and the quality of the immunoprecipitation."""
    if not evidence.has_ip:
        return _section(evidence, "peaks", [Part(paragraphs=[NO_IP])])
    parts = []
    quality = evidence.get("quality")
    if quality is not None and len(quality):
        hidden = ("sample", "condition", "input_library", "drach_rate_background")
        more = (*hidden, "drach_pvalue", "reason")
        counted = quality["verdict"].value_counts()
        listed = ", ".join(f"{n} {name}" for name, n in counted.items())
        parts.append(
            Part(
                "Did the immunoprecipitation work?",
                [f"{count_of(len(quality), 'pair')} of IP and input: {listed}."],
                StaticTable(
                    "Verdict on each pair",
                    ["IP", "Input", "Verdict", "Reason"],
                    [
                        [word(r.ip_library), word(r.input_library), word(r.verdict), word(r.reason)]
                        for r in quality.itertuples()
                    ],
                ),
                _illustrations(evidence, [figures.pair_quality(quality)]),
                [table_view(evidence, "quality", "Quality of each pair", quality, more)],
            )
        )
    saturation = evidence.get("saturation")
    if saturation is not None and len(saturation):
        parts.append(_saturation_part(evidence, saturation))
    parts.append(_peaks_part(evidence))
    return _section(evidence, "peaks", parts)


def _saturation_part(evidence: Evidence, saturation: pd.DataFrame) -> Part:
    """Say and show how many peaks less depth would have found."""
    sentences = []
    for name, rows in saturation.groupby("condition", sort=False):
        peaks = rows.set_index("fraction")["peaks"]
        whole, half = int(peaks.loc[1.0]), int(peaks.loc[0.5])
        text = f"{name}: {count_of(whole, 'peak')}"
        sentences.append(f"{text}, {half:,} of half of the fragments." if whole else f"{text}.")
    return Part(
        "Is the sequencing deep enough?",
        [" ".join(sentences)],
        None,
        _illustrations(evidence, [figures.saturation(saturation, evidence.colours)]),
        [table_view(evidence, "saturation", "Peaks at parts of the depth", saturation)],
    )


def _peaks_part(evidence: Evidence) -> Part:
    peaks = evidence.get("peaks")
    if peaks is None:
        return Part("Peaks", [NOT_COMPUTED])
    if peaks.empty:
        return Part("Peaks", ["No peaks were found."])
    lengths = pd.Series(figures.peak_lengths(peaks))
    introns = int((peaks["region"] == "intron").sum())
    apart = (
        f" {count_of(introns, 'peak')} in introns: depth, quality of the IPs, summits along the "
        "transcript and letters around the motif are of the others."
        if introns
        else ""
    )
    motifs = peaks["drach"].dropna()
    with_motif = f"; {float((motifs > 0).mean()):.0%} contain a DRACH motif" if len(motifs) else ""
    text = (
        f"{count_of(len(peaks), 'peak')} in {count_of(peaks['gene_id'].nunique(), 'gene')}, "
        f"median width {lengths.median():.0f} nt, median enrichment "
        f"{2 ** peaks['log2_enrichment'].median():.1f}-fold{with_motif}.{apart}"
    )
    metagene, motif = evidence.get("metagene"), evidence.get("motif")
    drawn = [
        figures.peak_regions(peaks, evidence.colours),
        None if metagene is None else figures.metagene(metagene, evidence.colours),
        None if motif is None else figures.motif_logo(motif),
        figures.drach_distance(peaks),
        figures.peak_widths(peaks),
        figures.peak_enrichment(peaks),
    ]
    hidden = ("chrom", "start", "end", "strand", "block_sizes", "block_starts", "gene_id", "pvalue")
    ordered = peaks.sort_values(["padj", "pvalue", "peak"], kind="stable")
    views = [table_view(evidence, "peaks", "All peaks", ordered, (*hidden, "summit", "samples"))]
    for key, title, table in (
        ("metagene", "Summits along the transcript", metagene),
        ("motif", "Letters around the motif", motif),
    ):
        if table is not None and len(table):
            views.append(table_view(evidence, key, title, table))
    matrices = {
        "ip_counts": "IP fragments of each peak and library",
        "input_counts": "Input fragments of each peak and library",
    }
    links = _matrix_links(evidence, matrices)
    return Part("Peaks", [text], None, _illustrations(evidence, drawn), views, links)


def circle_m6a_section(evidence: Evidence) -> Section:
    """Describe which circles carry m6A and on what evidence."""
    anchor = "circle-m6a"
    table = evidence.get("circle_m6a")
    if table is None or not evidence.has_ip:
        return _section(evidence, anchor, [Part(paragraphs=[evidence.absence("circle_m6a")])])
    pooled = pooled_m6a(evidence)
    if pooled is None or pooled.empty:
        return _section(evidence, anchor, [Part(paragraphs=["No circles were found to test."])])
    counted = pooled["tier"].fillna("none").value_counts()
    text = (
        f"Of {count_of(len(pooled), 'circle')}, {counted.get('1', 0):,} carry m6A on evidence from "
        f"their own back-splice reads (tier 1), {counted.get('2', 0):,} in an intron, which linear "
        f"RNA does not contain once spliced (tier 2), and {counted.get('3', 0):,} on exons shared "
        f"with linear RNA, where the linear RNA cannot be excluded (tier 3). On "
        f"{counted.get('none', 0):,} none was seen."
    )
    order = table.assign(_tier=table["tier"].fillna("none"))
    order = order.sort_values(["_tier", "padj", "circle"], kind="stable").drop(columns="_tier")
    hidden = ("pvalue", "drach", "nearest_drach_to_junction", "linear_peak")
    names = evidence.get("circles")
    if names is not None:
        known = names.drop_duplicates("circle").set_index("circle")["gene_name"]
        order.insert(1, "gene_name", order["circle"].map(known))
    added = ["gene_name"]
    detection = evidence.get("circle_detection")
    if detection is not None:
        limits = ["smallest_log2_enrichment", "within_reach", "verdict"]
        keys = ["circle", "condition"]
        order = order.merge(detection.drop_duplicates(keys)[keys + limits], on=keys, how="left")
        added += limits
    part = Part(
        paragraphs=[text, *_answers(pooled)],
        illustrations=_illustrations(
            evidence, [figures.circle_tiers(table), figures.junction_reads(table)]
        ),
        views=[
            table_view(evidence, "circle_m6a", "Every circle and condition", order, hidden, added)
        ],
    )
    return _section(evidence, anchor, [part])


def _answers(pooled: pd.DataFrame) -> list[str]:
    """Say what is to be made of junctions that are not enriched; nothing where it is not known."""
    if "verdict" not in pooled:
        return []
    answers = pooled["verdict"].value_counts()
    count = {name: int(answers.get(name, 0)) for name in tables.M6A_ANSWERS}
    others = len(pooled) - count[tables.METHYLATED]
    return [
        f"Of the {count_of(others, 'circle')} whose junction is not enriched, by what the reads "
        "could have shown of the m6A of a typical peak of this study: "
        f"{count[tables.NOT_METHYLATED]:,} not methylated (it would have been found anywhere on "
        f"the circle), {count[tables.NOT_SEEN]:,} not seen (it would have been found at the "
        "junction, but a site further from it than a fragment's length is not, or the evidence is "
        f"in between), {count[tables.CANNOT_BE_SEEN]:,} cannot be seen (too few reads)."
    ]


def reviewed_features(overlap: pd.DataFrame | None) -> frozenset[str]:
    """Return the ids of the features that reviewed claims were matched to."""
    if overlap is None or overlap.empty:
        return frozenset()
    matched = overlap["matched_feature"].dropna().astype(str).str.split("[,;]", regex=True)
    return frozenset(matched.explode().str.strip()) - {""}


def differential_section(evidence: Evidence) -> Section:
    """Show the five comparisons between conditions, and circles beside their genes."""
    reviewed = reviewed_features(evidence.get("overlap"))
    parts = [_differential_part(evidence, kind, reviewed) for kind in KINDS]
    return _section(evidence, "differential", [*parts, *_circle_changes_part(evidence)])


def _circle_changes_part(evidence: Evidence) -> list[Part]:
    """Tell circles that follow their gene from those that do not; nothing without circles."""
    table = evidence.get("circle_changes")
    if table is None or table.empty:
        return []
    counted = table["reading"].value_counts()
    told = [
        f"{number:,} {meaning}"
        for reading, meaning in READING_MEANINGS.items()
        if (number := int(counted.get(reading, 0)))
    ]
    sentence = f"Of {count_of(len(table), 'circle')}: {', '.join(told)}." if told else ""
    order = {reading: place for place, reading in enumerate(READING_MEANINGS)}
    rows = table.assign(_place=table["reading"].map(order))
    rows = rows.sort_values(["_place", "circle_padj", "ratio_padj", "circle"], kind="stable")
    hidden = ("gene_id", "type", "confidence", "m6a_verdict")
    view = table_view(
        evidence,
        "circle_changes",
        "Circle, ratio, gene and m6A",
        rows.drop(columns="_place"),
        hidden,
    )
    title = "Circles beside their genes"
    return [Part(title, [sentence], views=[view], anchor="differential-circle-changes")]


def _differential_part(evidence: Evidence, kind: Kind, reviewed: frozenset[str]) -> Part:
    table = evidence.get(kind.key)
    sentence = change_sentence(evidence, kind)
    anchor = f"differential-{kind.key.replace('_', '-')}"
    if table is None or table.empty or (kind.key in NEEDS_IP and not evidence.has_ip):
        return Part(kind.title, [sentence], anchor=anchor)
    name = kind.key.replace("_", "-")
    comparison = Comparison(name, kind.features, kind.measure, evidence.alpha, reviewed)
    drawn = [figures.volcano(table, comparison), figures.ma_plot(table, comparison)]
    # the id of a gene is its gene_id
    hidden = ("gene_id", "lfcSE", "stat")
    rows, added = rank(table), []
    shrunken = evidence.get(SHRUNKEN_OF.get(kind.key, ""))
    if shrunken is not None:
        added = ["log2FoldChange_shrunken"]
        own = shrunken.drop_duplicates("id").set_index("id")
        rows = rows.assign(**{name: rows["id"].map(own[name]) for name in added})
    view = table_view(evidence, kind.key, f"{kind.title}, by p-value", rows, hidden, added)
    return Part(
        kind.title, [sentence], None, _illustrations(evidence, drawn), [view], anchor=anchor
    )


def regulators_section(evidence: Evidence) -> Section:
    """Show what the study says to the reviewed claims."""
    overlap = evidence.get("overlap")
    if overlap is None:
        return _section(evidence, "regulators", [Part(paragraphs=[NOT_COMPUTED])])
    parts = []
    if overlap.empty:
        parts.append(Part("Claims", ["No reviewed claim fits this study."]))
    else:
        verdicts = claim_verdicts(overlap)
        drawn = [figures.claim_verdicts(verdicts)]
        place = {name: number for number, name in enumerate(VERDICTS)}
        order = overlap["verdict"].str.replace("_", " ").map(place).fillna(len(place))
        ordered = overlap.assign(_place=order).sort_values(["_place", "padj"], kind="stable")
        hidden = ("claim_id", "entity_type", "symbol", "match", "pvalue", "reference")
        view = table_view(
            evidence,
            "overlap",
            "Reviewed claims and what was measured",
            ordered.drop(columns="_place"),
            (*hidden, "matched_feature", "cancer", "therapy"),
        )
        parts.append(
            Part(
                "Claims",
                [claims_sentence(verdicts)],
                None,
                _illustrations(evidence, drawn),
                [view],
            )
        )
    review_place = ("review", "location", "cancer", "therapy", "reference")
    more: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
        (
            "enrichment",
            "Sets of regulators",
            "No set of regulators could be tested.",
            ("size", "sign_pvalue", "rank_pvalue"),
        ),
        ("axes", "Axes", "No reviewed axis could be followed.", review_place),
    )
    for key, title, nothing, less in more:
        table = evidence.get(key)
        if table is None:
            continue
        views = (
            [table_view(evidence, key, f"All {title.lower()}", table, less)] if len(table) else []
        )
        parts.append(Part(title, [] if views else [nothing], views=views))
    return _section(evidence, "regulators", parts)


def claims_sentence(verdicts: pd.DataFrame) -> str:
    """Say how many reviewed claims hold."""
    counted = verdicts["verdict"].value_counts()
    measured = len(verdicts) - int(counted.get("not measurable", 0))
    listed = [f"{int(counted[name]):,} {name}" for name in VERDICTS[:4] if name in counted]
    listed += [
        f"{int(number):,} {name}" for name, number in counted.items() if name not in VERDICTS
    ]
    text = f"Of {count_of(len(verdicts), 'reviewed claim')}, {measured:,} could be measured"
    return f"{text}: {', '.join(listed)}." if listed else f"{text}."


def methods_section(evidence: Evidence) -> Section:
    """List how each number was made, with versions, inputs, configuration and filters."""
    parts = [Part("How the numbers were made", terms=list(evidence.captions["methods"].items()))]
    filters = evidence.get("filters")
    if filters is not None:
        text = "Nothing was filtered." if filters.empty else "What every filter removed and kept."
        views = [table_view(evidence, "filters", "Filters", filters)] if len(filters) else []
        parts.append(Part("Filters", [text], views=views))
    provenance = evidence.provenance
    if provenance is None:
        parts.append(Part("Versions", [NOT_COMPUTED]))
        return _section(evidence, "methods", parts)
    versions = [[name, str(number)] for name, number in provenance.get("versions", {}).items()]
    commit = provenance.get("commit") or "unknown"
    platform = provenance.get("platform") or "unknown"
    parts.append(
        Part(
            "Versions",
            [f"Commit of the workflow: {commit}. Platform: {platform}."],
            StaticTable("Versions of the tools", ["Tool", "Version"], versions),
        )
    )
    inputs = pd.DataFrame(provenance.get("inputs", []), columns=["path", "bytes", "sha256"])
    if len(inputs):
        views = [table_view(evidence, "inputs", "Input files", inputs)]
        parts.append(Part("Input files", views=views))
    if provenance.get("config") is not None:
        listing = json.dumps(provenance["config"], indent=2, sort_keys=True, ensure_ascii=False)
        parts.append(Part("Configuration", listing=listing))
    return _section(evidence, "methods", parts)


# ---- the answer --------------------------------------------------------------------------------


def fact_groups(evidence: Evidence) -> list[FactGroup]:
    """Return the numbers of the answer: one group a comparison that was made, one on claims."""
    groups = []
    for kind in KINDS:
        table = evidence.get(kind.key)
        if table is None or (kind.key in NEEDS_IP and not evidence.has_ip):
            continue
        name = kind.key.replace("_", "-")
        change = changes(table, evidence.alpha)
        anchor = f"differential-{name}"
        if change.tested == 0:
            fact = Fact(f"{name}-compared", change.rows, "compared")
            note = "exploratory, no p-values" if change.rows else "nothing to test"
            groups.append(FactGroup(kind.title, anchor, [fact], note))
            continue
        facts = [
            Fact(f"{name}-up", change.up, "higher", "up"),
            Fact(f"{name}-down", change.down, "lower", "down"),
        ]
        groups.append(FactGroup(kind.title, anchor, facts, f"of {change.tested:,} tested"))
    overlap = evidence.get("overlap")
    if overlap is not None:
        groups.append(_claims_group(claim_verdicts(overlap)))
    return groups


def _claims_group(verdicts: pd.DataFrame) -> FactGroup:
    counted = verdicts["verdict"].value_counts()
    facts = [
        Fact(f"claims-{name}", int(counted.get(name, 0)), name)
        for name in ("confirmed", "contradicted")
    ]
    rest = [name for name in ("mixed", "unchanged", "not measurable") if counted.get(name, 0)]
    note = ", ".join(f"{int(counted[name]):,} {name}" for name in rest)
    return FactGroup("Reviewed claims", "regulators", facts, note)


def top_circles(evidence: Evidence, most: int = 10) -> StaticTable | None:
    """List the circles that change most, with their ratio and m6A.

    Those with an adjusted p-value below the threshold, ordered by it; where no p-value could be
    computed, the largest fold changes among circles of high confidence.
    """
    table = evidence.get("circle_differential")
    if table is None or table.empty:
        return None
    change = changes(table, evidence.alpha)
    circles = evidence.get("circles")
    known = circles.drop_duplicates("circle").set_index("circle") if circles is not None else None
    if change.exploratory:
        if known is not None:
            sure = known.index[known["confidence"] == "high"]
            table = table[table["id"].isin(sure)]
        caption = "Largest fold changes among circles of high confidence (exploratory, not tested)"
    else:
        table = table[figures.classes(table, evidence.alpha) != "same"]
        caption = "Circles that change most, by adjusted p-value"
    chosen = rank(table)[:most]
    if chosen.empty:
        return None
    ratio = evidence.get("ratio")
    odds = ratio.drop_duplicates("id").set_index("id") if ratio is not None else None
    pooled = pooled_m6a(evidence)
    rows = [_circle_row(row, known, odds, pooled) for row in chosen.itertuples()]
    header = [
        "Circle",
        "Type",
        "Reads",
        "log2 fold change (padj)",
        "Circular-to-linear (padj)",
        "m6A",
    ]
    return StaticTable(caption, header, rows)


def _circle_row(
    row: Any,
    known: pd.DataFrame | None,
    odds: pd.DataFrame | None,
    pooled: pd.DataFrame | None,
) -> list[str]:
    """Return the cells of one circle of `top_circles`."""
    kind = reads = "–"
    if known is not None and row.id in known.index:
        kind = word(known.loc[row.id, "type"]).replace("_", "-")
        reads = f"{known.loc[row.id, 'reads']:,}"
    change = change_and_probability(row.log2FoldChange, row.padj)
    ratio = "–"
    if odds is not None and row.id in odds.index:
        found = odds.loc[row.id]
        ratio = change_and_probability(found["log2FoldChange"], found["padj"])
    return [
        "\n".join(filter(None, (word(row.gene_name, ""), row.id))),
        kind,
        reads,
        change,
        ratio,
        m6a_words(pooled, row.id),
    ]


def extreme_sentences(evidence: Evidence) -> list[str]:
    """Say which circle rose and which fell most in the test condition, with its m6A."""
    table = evidence.get("circle_differential")
    if table is None or evidence.contrast is None or table["log2FoldChange"].dropna().empty:
        return []
    if changes(table, evidence.alpha).exploratory:
        return []
    kinds = figures.classes(table, evidence.alpha)
    pooled = pooled_m6a(evidence)
    result = []
    for kind, verb in (("up", "rose"), ("down", "fell")):
        members = table[kinds == kind]
        if members.empty:
            continue
        row = members.loc[members["log2FoldChange"].abs().idxmax()]
        result.append(
            f"The circle that {verb} most in the {evidence.contrast.test} samples is "
            f"{place_name(row['gene_name'], row['id'])}: log2 fold change "
            f"{signed(row['log2FoldChange'])}, padj {probability(row['padj'])}; "
            f"m6A: {m6a_words(pooled, row['id'])}."
        )
    return result


def decided_claims(evidence: Evidence, most: int = 20) -> StaticTable | None:
    """List what the study says against or for reviewed claims, one row a measured entity.

    Claims of the same entity, direction and comparison share a row, which says where they stand.
    """
    overlap = evidence.get("overlap")
    if overlap is None or overlap.empty:
        return None
    decided = overlap[overlap["verdict"].isin(["contradicted", "confirmed"])]
    if decided.empty:
        return None
    place = decided["verdict"].map({"contradicted": 0, "confirmed": 1})
    ordered = decided.assign(_place=place).sort_values(["_place", "padj"], kind="stable")
    keys = ["verdict", "entity", "comparison", "matched_feature", "expected_sign"]
    grouped = [group for _, group in ordered.groupby(keys, sort=False, dropna=False)]
    rows = [_claim_row(group) for group in grouped[:most]]
    caption = "What this study contradicts or confirms of the reviews"
    if len(grouped) > most:
        caption += f" (first {most} of {len(grouped):,}; all are under Reviewed regulators)"
    header = ["Verdict", "Entity", "Comparison", "Reviewed", "Measured log2 (padj)", "Claimed in"]
    return StaticTable(caption, header, rows)


def _claim_row(group: pd.DataFrame, most: int = 3) -> list[str]:
    """Return the cells of claims that share entity, comparison and measurement."""
    row = group.iloc[0]
    places = (group["review"].fillna("?") + ", " + group["location"].fillna("?")).unique()
    where = "; ".join(places[:most])
    if len(places) > most:
        where += f" and {len(places) - most} more"
    return [
        word(row["verdict"]),
        word(row["entity"]),
        word(row["comparison"]).replace("_", " "),
        {1: "up", -1: "down"}.get(_sign(row["expected_sign"]), "–"),
        change_and_probability(row["log2FoldChange"], row["padj"]),
        where,
    ]


def _sign(value: Any) -> int:
    """Return the sign of a number, 0 where it is missing."""
    return 0 if pd.isna(value) else int(np.sign(value))


def answer_sentences(evidence: Evidence) -> list[str]:
    """Return the opening sentences: what was found, what changed, which claims hold."""
    found = []
    circles, peaks = evidence.get("circles"), evidence.get("peaks")
    if circles is not None:
        found.append(count_of(len(circles), "circular RNA"))
    if peaks is not None and evidence.has_ip:
        found.append(count_of(len(peaks), "m6A peak"))
    sentences = []
    if found:
        sentences.append(f"The study shows {' and '.join(found)}.")
    if not evidence.has_ip:
        sentences.append(NO_IP)
    if not evidence.has_genome:
        sentences.append(NO_GENOME)
    made = [evidence.get(kind.key) for kind in KINDS]
    if any(table is not None and changes(table, evidence.alpha).exploratory for table in made):
        sentences.append(EXPLORATORY)
    elif all(table is None for table in made):
        sentences.append("No conditions were compared in this run.")
    sentences += extreme_sentences(evidence)
    circle_table = evidence.get("circle_differential")
    if circle_table is not None and len(circle_table):
        change = changes(circle_table, evidence.alpha)
        if change.tested and not change.up + change.down:
            sentences.append(f"No circle changed at an adjusted p-value below {evidence.alpha:g}.")
    overlap = evidence.get("overlap")
    if overlap is not None and len(overlap):
        sentences.append(claims_sentence(claim_verdicts(overlap)))
    return sentences


def build_page(evidence: Evidence, title: str) -> Page:
    """Describe the whole page."""
    contrast = evidence.contrast
    sections = [
        study_section(evidence),
        reads_section(evidence),
        circles_section(evidence),
        peaks_section(evidence),
        circle_m6a_section(evidence),
        differential_section(evidence),
        regulators_section(evidence),
        methods_section(evidence),
    ]
    return Page(
        title=title,
        contrast=f"{contrast.test} against {contrast.reference}" if contrast else "",
        sentences=answer_sentences(evidence),
        groups=fact_groups(evidence),
        circles=top_circles(evidence),
        claims=decided_claims(evidence),
        sections=sections,
    )

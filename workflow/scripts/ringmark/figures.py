"""Figures of the report, drawn from the tables of a run as inline SVG.

Each function takes tables (see `ringmark.tables`) and returns a `Figure`, or ``None`` where there
is nothing to draw. The SVG is made for a web page: text stays text, colours of ink, grid and paper
are CSS variables with a fallback so that the page's dark theme applies, and identifiers carry the
figure's name so that many figures live on one page. The same tables give the same bytes.

Colours are those of Okabe and Ito (2008), which people with colour-blindness can tell apart.
"""

from __future__ import annotations

import functools
import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure as Canvas
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch
from matplotlib.textpath import TextPath
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
)
from matplotlib.transforms import Affine2D, Bbox

from ringmark.intervals import IntArray
from ringmark.profiles import information
from ringmark.tables import POOLED

BLUE, VERMILION, GREEN, ORANGE = "#0072b2", "#d55e00", "#009e73", "#e69f00"
SKY, PURPLE, YELLOW = "#56b4e9", "#cc79a7", "#f0e442"
INK, MUTED, GRID, PAPER = "#1c2024", "#636b74", "#dfe3e8", "#fefefd"
CROWD = "#9aa3ad"

#: Colours that the page replaces by its own, so that they follow its light or dark theme.
THEME = {INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper"}
TIER_COLOURS = {"1": GREEN, "2": SKY, "3": ORANGE, "none": CROWD}
VERDICT_COLOURS = {
    "confirmed": GREEN,
    "contradicted": VERMILION,
    "mixed": PURPLE,
    "unchanged": SKY,
    "not measurable": CROWD,
}
LETTER_COLOURS = {"A": GREEN, "C": BLUE, "G": ORANGE, "U": VERMILION}
REGIONS = ("5UTR", "CDS", "stop_codon", "3UTR", "exon", "intron")
WIDTH = 5.0
#: More points than this are drawn as a picture inside the SVG, which keeps the page small.
MAXIMUM_VECTOR_POINTS = 800

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ringmark",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.handlelength": 1.2,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True)
class Figure:
    """A drawn figure.

    Attributes
    ----------
    name
        Unique on the page; letters, digits and hyphens.
    svg
        The ``<svg>`` element.
    alt
        What the figure shows, for readers who do not see it.
    """

    name: str
    svg: str
    alt: str


def _styled(draw: Callable[..., Figure | None]) -> Callable[..., Figure | None]:
    """Draw with the style of the report, whatever the user's matplotlib settings are."""

    @functools.wraps(draw)
    def wrapped(*args: Any, **options: Any) -> Figure | None:
        with style.context(["default", _STYLE]):
            return draw(*args, **options)

    return wrapped


def _canvas(height: float, width: float = WIDTH) -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=(width, height), layout="constrained")
    return canvas, canvas.add_subplot()


def _settle(canvas: Canvas) -> None:
    """Lay out a canvas once and for all; saving would otherwise draw it twice."""
    engine = canvas.get_layout_engine()
    if engine is not None:
        engine.execute(canvas)
        canvas.set_layout_engine(None)


def _finish(canvas: Canvas, name: str, alt: str) -> Figure:
    """Save a canvas as the SVG of a page."""
    _settle(canvas)
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    canvas.savefig(buffer, format="svg", dpi=150, metadata=metadata)
    return Figure(name, page_svg(buffer.getvalue(), name, alt), alt)


def page_svg(text: str, name: str, alt: str) -> str:
    """Turn an SVG document into an element of a page.

    Parameters
    ----------
    text
        SVG document as matplotlib writes it.
    name
        Prefix of all identifiers.
    alt
        Label for assistive technology.

    Returns
    -------
    str
        The ``<svg>`` element, without prologue, metadata or a fixed size.
    """
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = text.replace("*{stroke-linejoin", f"#{name}-svg *{{stroke-linejoin")
    for colour, role in THEME.items():
        text = text.replace(f": {colour}", f": var(--figure-{role}, {colour})")
    opening = re.sub(r' (?:width|height)="[^"]*"', "", text[: text.index(">")])
    label = html.escape(alt, quote=True)
    return f'{opening} id="{name}-svg" role="img" aria-label="{label}"{text[text.index(">") :]}'


def condition_colours(
    conditions: Sequence[str], test: str | None, reference: str | None
) -> dict[str, str]:
    """Give each condition a colour: vermilion for the test level, blue for the reference."""
    fixed = {level: colour for level, colour in ((reference, BLUE), (test, VERMILION)) if level}
    spare = [GREEN, PURPLE, ORANGE, SKY, YELLOW]
    if not fixed:
        spare = [BLUE, VERMILION, *spare]
    others = [item for item in dict.fromkeys(conditions) if item not in fixed]
    return fixed | {item: spare[place % len(spare)] for place, item in enumerate(others)}


def _plain(value: float, _: int | None = None) -> str:
    """Write a number of a logarithmic axis in few characters."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if letter == 'k' else size):,g}{letter}"
    return f"{value:,.0f}" if value >= 10 else f"{value:g}"


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _logarithmic(axis: Axis, low: float, high: float) -> None:
    """Make an axis logarithmic with plain numbers, and enough of them on a short range."""
    (axis.axes.set_xscale if isinstance(axis, XAxis) else axis.axes.set_yscale)("log")
    short = np.log10(max(high, 1e-9) / max(low, 1e-9)) < 2
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if short else (1.0,)))
    axis.set_major_formatter(FuncFormatter(_plain))
    axis.set_minor_formatter(NullFormatter())


def _bar_height(bars: int) -> float:
    """Height in inches that leaves each horizontal bar and its label room."""
    return 0.95 + 0.26 * max(bars, 2)


def _legend_above(axes: Axes, columns: int) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=columns,
        borderaxespad=0.2,
        markerscale=1.4,
    )


def _label_rows(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)


def _horizontal_counts(
    name: str, labels: Sequence[str], values: Sequence[float], colours: Sequence[str], axis: str
) -> Figure:
    """Draw one bar a label with its number at the end."""
    canvas, axes = _canvas(_bar_height(len(labels)))
    bars = axes.barh(range(len(labels)), values, color=colours, height=0.7)
    axes.bar_label(bars, labels=[f"{value:,.0f}" for value in values], padding=3, color=INK)
    _label_rows(axes, labels)
    axes.margins(x=0.14)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel(axis)
    axes.grid(axis="x")
    listed = "; ".join(f"{label} {value:,.0f}" for label, value in zip(labels, values, strict=True))
    return _finish(canvas, name, f"Bar chart of {axis.lower()}: {listed}.")


def _histogram(
    name: str, values: npt.NDArray[np.float64], axis: str, unit: str, what: str, logarithmic: bool
) -> Figure | None:
    """Draw the distribution of one quantity with its median."""
    values = values[np.isfinite(values)]
    if logarithmic:
        values = values[values > 0]
    if not len(values):
        return None
    canvas, axes = _canvas(2.8)
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low * 0.8 - (low == 0), high * 1.25 + (high == 0)
        low, high = min(low, high), max(low, high)
    bins = int(np.clip(2 * np.sqrt(len(values)), 8, 40)) + 1
    edges = np.geomspace(low, high, bins) if logarithmic else np.linspace(low, high, bins)
    axes.hist(values, bins=edges.tolist(), color=BLUE, edgecolor=PAPER, linewidth=0.5)
    median = float(np.median(values))
    axes.axvline(median, color=VERMILION, linewidth=1.4)
    axes.annotate(
        f"median {_three_digits(median)}{unit}",
        (median, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(4, 2),
        textcoords="offset points",
        color=INK,
    )
    if logarithmic:
        _logarithmic(axes.xaxis, low, high)
    axes.set_xlabel(axis)
    axes.set_ylabel(what)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.grid(axis="y")
    alt = (
        f"Histogram of {axis.lower()} of {len(values):,} {what.lower()}: "
        f"median {_three_digits(median)}{unit}, smallest {_three_digits(values.min())}, "
        f"largest {_three_digits(values.max())}."
    )
    return _finish(canvas, name, alt)


@_styled
def read_fate(libraries: pd.DataFrame) -> Figure | None:
    """Draw the shares of each library's reads that are usable, aligned only, and not aligned."""
    known = libraries.dropna(subset=["aligned_fraction", "usable_fraction"])
    if known.empty:
        return None
    aligned = known["aligned_fraction"].to_numpy(dtype=float)
    usable = np.minimum(known["usable_fraction"].to_numpy(dtype=float), aligned)
    canvas, axes = _canvas(_bar_height(len(known)) + 0.25)
    rows = np.arange(len(known))
    left = np.zeros(len(known))
    for values, colour, label in (
        (usable, BLUE, "usable"),
        (aligned - usable, SKY, "aligned, not usable"),
        (1 - aligned, CROWD, "not aligned"),
    ):
        axes.barh(rows, values, left=left, color=colour, height=0.7, label=label)
        left = left + values
    _label_rows(axes, known["library"].tolist())
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("Share of reads")
    _legend_above(axes, 3)
    alt = "Stacked bars of read fate. Usable: " + "; ".join(
        f"{library} {value:.1%}" for library, value in zip(known["library"], usable, strict=True)
    )
    return _finish(canvas, "read-fate", alt + ".")


@_styled
def strandedness(libraries: pd.DataFrame) -> Figure | None:
    """Draw the share of sense reads of each library, beside what that share means."""
    known = libraries.dropna(subset=["sense_fraction"])
    if known.empty:
        return None
    canvas, axes = _canvas(_bar_height(len(known)) + 0.3)
    for place, word in ((0.0, "reverse"), (0.5, "unstranded"), (1.0, "forward")):
        axes.axvline(place, color=GRID, linewidth=6, zorder=0)
        axes.annotate(
            word,
            (place, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            color=MUTED,
        )
    axes.scatter(known["sense_fraction"], range(len(known)), color=BLUE, s=34, zorder=3)
    _label_rows(axes, known["library"].tolist())
    axes.set_xlim(-0.05, 1.05)
    axes.set_ylim(len(known) - 0.4, -0.6)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("First reads on the strand of their gene")
    alt = "Share of first reads on the strand of their gene: " + "; ".join(
        f"{library} {value:.1%}, used as {used}"
        for library, value, used in zip(
            known["library"], known["sense_fraction"], known["strandedness"], strict=True
        )
    )
    return _finish(canvas, "strandedness", alt + ".")


def log_counts(counts: pd.DataFrame, minimum: int = 10) -> pd.DataFrame:
    """Return log2 counts per million of the features with at least ``minimum`` counts in all.

    Parameters
    ----------
    counts
        Shape (features, libraries). Libraries without counts are dropped.

    Returns
    -------
    pandas.DataFrame
        Shape (features kept, libraries kept).
    """
    counts = counts.loc[counts.sum(axis=1) >= minimum, counts.sum(axis=0) > 0]
    return np.log2(counts / counts.sum(axis=0) * 1e6 + 1)


def principal_components(
    counts: pd.DataFrame, features: int = 500
) -> tuple[pd.DataFrame, npt.NDArray[np.float64]] | None:
    """Return the first two principal components of libraries.

    The ``features`` most variable log2 counts per million are used, centred. The sign of a
    component is fixed so that its largest score is positive.

    Returns
    -------
    tuple or None
        Scores of shape (libraries, 2) and the share of variance of each component; ``None`` with
        fewer than three libraries or without any variance.
    """
    values = log_counts(counts)
    if values.shape[1] < 3 or len(values) < 2:
        return None
    order = np.argsort(-values.var(axis=1).to_numpy(), kind="stable")[:features]
    centred = values.to_numpy()[order]
    centred = centred - centred.mean(axis=1, keepdims=True)
    _, singular, right = np.linalg.svd(centred, full_matrices=False)
    total = float((singular**2).sum())
    if total <= 1e-12:
        return None
    scores = right[:2].T * singular[:2]
    scores = scores * np.sign(scores[np.abs(scores).argmax(axis=0), [0, 1]])
    frame = pd.DataFrame(scores, index=values.columns, columns=["PC1", "PC2"])
    return frame, singular[:2] ** 2 / total


@_styled
def library_components(
    counts: pd.DataFrame, libraries: pd.DataFrame, colours: Mapping[str, str]
) -> Figure | None:
    """Draw the first two principal components of the gene counts of libraries."""
    result = principal_components(counts)
    if result is None:
        return None
    scores, shares = result
    sheet = libraries.set_index("library")
    canvas, axes = _canvas(3.5)
    scores = scores.loc[[item for item in scores.index if item in sheet.index]]
    groups = sheet.loc[scores.index].groupby(["condition", "assay"], sort=False)
    for (condition, assay), members in groups:
        place = scores.loc[members.index]
        axes.scatter(
            place["PC1"],
            place["PC2"],
            color=colours.get(condition, CROWD),
            marker="^" if assay == "ip" else "o",
            s=46,
            label=f"{condition}, {'IP' if assay == 'ip' else 'input'}",
            zorder=3,
        )
    axes.margins(0.16)
    axes.set_xlabel(f"PC1, {shares[0]:.0%} of variance")
    axes.set_ylabel(f"PC2, {shares[1]:.0%} of variance")
    axes.grid()
    _legend_above(axes, 2)
    _place_labels(canvas, axes, scores.to_numpy(), list(scores.index))
    alt = "Principal components of the libraries' gene counts: " + "; ".join(
        f"{library} at {row.PC1:.2g}, {row.PC2:.2g}" for library, row in scores.iterrows()
    )
    return _finish(canvas, "library-components", alt + ".")


@_styled
def library_correlation(counts: pd.DataFrame) -> Figure | None:
    """Draw Pearson's correlation of log2 counts per million between libraries."""
    values = log_counts(counts)
    if values.shape[1] < 2 or len(values) < 2:
        return None
    table = values.corr().fillna(0.0)
    matrix = table.to_numpy()
    names = list(table.columns)
    size = min(1.6 + 0.34 * len(names), 6.5)
    canvas, axes = _canvas(max(size, 2.8))
    shades = LinearSegmentedColormap.from_list("agreement", ["#f4f8fb", SKY, BLUE, "#00324f"])
    low = min(float(matrix.min()), 0.9)
    picture = axes.pcolormesh(matrix, cmap=shades, vmin=low, vmax=1, edgecolors="none")
    axes.set_xticks(
        np.arange(len(names)) + 0.5, names, rotation=60, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(np.arange(len(names)) + 0.5, names)
    axes.tick_params(length=0)
    axes.invert_yaxis()
    for side in axes.spines.values():
        side.set_visible(False)
    if len(names) <= 8:
        for row, column in np.ndindex(matrix.shape):
            dark = matrix[row, column] > low + (1 - low) * 0.45
            axes.text(
                column + 0.5,
                row + 0.5,
                f"{matrix[row, column]:.2f}",
                ha="center",
                va="center",
                fontsize=7.5,
                color="#ffffff" if dark else "#000000",
            )
    canvas.colorbar(picture, ax=axes, shrink=0.8, label="Correlation").outline.set_visible(False)
    outside = matrix[~np.eye(len(names), dtype=bool)]
    alt = (
        f"Heat map of the correlation of gene counts between {len(names)} libraries: "
        f"from {outside.min():.2f} to {outside.max():.2f}."
    )
    return _finish(canvas, "library-correlation", alt)


@_styled
def circles_per_library(
    back_splices: pd.DataFrame, libraries: pd.DataFrame, colours: Mapping[str, str]
) -> Figure | None:
    """Draw how many circles each library shows with at least one and with at least two reads."""
    sheet = libraries[libraries["library"].isin(back_splices.columns)]
    if sheet.empty or back_splices.empty:
        return None
    names = sheet["library"].tolist()
    once = (back_splices[names] >= 1).sum().to_numpy()
    twice = (back_splices[names] >= 2).sum().to_numpy()
    shades = [colours.get(condition, CROWD) for condition in sheet["condition"]]
    canvas, axes = _canvas(_bar_height(len(names)) + 0.25)
    bars = axes.barh(range(len(names)), once, color=shades, height=0.7, alpha=0.45)
    axes.barh(range(len(names)), twice, color=shades, height=0.7)
    axes.bar_label(
        bars, [f"{a:,} ({b:,})" for a, b in zip(once, twice, strict=True)], padding=3, color=INK
    )
    marks = [f"{row.library}{' (IP)' if row.assay == 'ip' else ''}" for row in sheet.itertuples()]
    _label_rows(axes, marks)
    axes.margins(x=0.2)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("Circles")
    axes.grid(axis="x")
    for condition in dict.fromkeys(sheet["condition"]):
        axes.barh([0], [0], color=colours.get(condition, CROWD), label=condition)
    _legend_above(axes, 4)
    alt = "Circles with at least one (two) back-splice reads: " + "; ".join(
        f"{name} {a:,} ({b:,})" for name, a, b in zip(names, once, twice, strict=True)
    )
    return _finish(canvas, "circles-per-library", alt + ".")


@_styled
def circle_types(circles: pd.DataFrame) -> Figure | None:
    """Draw the number of circles of each type."""
    if circles.empty:
        return None
    order = ["exonic", "exon_intron", "intronic", "antisense", "intergenic"]
    counted = circles["type"].value_counts()
    names = [*order, *sorted(set(counted.index) - set(order))]
    values = [int(counted.get(name, 0)) for name in names]
    labels = [name.replace("_", "-") for name in names]
    return _horizontal_counts("circle-types", labels, values, [BLUE] * len(names), "Circles")


@_styled
def circle_lengths(circles: pd.DataFrame) -> Figure | None:
    """Draw the spliced lengths of circles."""
    values = circles["spliced_length"].dropna().to_numpy(dtype=float)
    return _histogram("circle-lengths", values, "Spliced length (nt)", " nt", "Circles", True)


@_styled
def circle_exons(circles: pd.DataFrame) -> Figure | None:
    """Draw the numbers of exons in circles; ten and more together."""
    exons = circles["exons"].dropna().to_numpy(dtype=int)
    if not len(exons):
        return None
    counted = np.bincount(np.minimum(exons, 10), minlength=2)
    values = [int(value) for value in counted]
    labels = [str(count) if count < 10 else "10+" for count in range(len(values))]
    start = 0 if values[0] else 1
    canvas, axes = _canvas(2.8)
    bars = axes.bar(labels[start:], values[start:], color=BLUE, width=0.75)
    axes.bar_label(
        bars, labels=[f"{v:,}" if v else "" for v in values[start:]], padding=2, color=INK
    )
    axes.margins(y=0.12)
    axes.set_xlabel("Exons in the circle")
    axes.set_ylabel("Circles")
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.grid(axis="y")
    listed = "; ".join(
        f"{label} {value:,}" for label, value in zip(labels[start:], values[start:], strict=True)
    )
    return _finish(canvas, "circle-exons", f"Circles by number of exons: {listed}.")


def circular_share(back_splices: pd.DataFrame, linear: pd.DataFrame) -> pd.DataFrame:
    """Return the circular share B / (B + L) of each circle over all the given libraries.

    As the linear count is the mean of both ends, this is the share 2B / (2B + F) of CIRIquant
    (Zhang 2020), of which F is the sum of the ends.

    Returns
    -------
    pandas.DataFrame
        Index: circles; columns ``back_splices``, ``linear``, ``share`` (``NaN`` without reads).
    """
    shared = [name for name in back_splices.columns if name in linear.columns]
    circular = back_splices[shared].sum(axis=1).astype(float)
    spliced = linear[shared].sum(axis=1).reindex(circular.index).fillna(0).astype(float)
    total = circular + spliced
    share = (circular / total).where(total > 0)
    return pd.DataFrame({"back_splices": circular, "linear": spliced, "share": share})


@_styled
def circle_share_by_expression(
    back_splices: pd.DataFrame, linear: pd.DataFrame, libraries: pd.DataFrame
) -> Figure | None:
    """Draw the circular share of each circle against the reads at its ends, inputs together."""
    inputs = libraries.loc[libraries["assay"] == "input", "library"]
    names = [name for name in inputs if name in back_splices.columns]
    table = circular_share(back_splices[names], linear).dropna()
    if table.empty:
        return None
    canvas, axes = _canvas(3.2)
    total = table["back_splices"] + table["linear"]
    _scatter(axes, total.to_numpy(), table["share"].to_numpy(), BLUE, 16, 0.7)
    _logarithmic(axes.xaxis, total.min(), total.max())
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("Back-splice + linear reads at the ends, all inputs")
    axes.set_ylabel("Circular share")
    axes.grid()
    above = int((table["share"] > 0.5).sum())
    alt = (
        f"Circular share against expression for {len(table):,} circles: median "
        f"{table['share'].median():.1%}; {above:,} above one half."
    )
    return _finish(canvas, "circle-share", alt)


def peak_lengths(peaks: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return the length of each peak in nucleotides of the transcript (sum of its blocks)."""
    sizes = peaks["block_sizes"].fillna("").astype(str)
    return np.array(
        [sum(int(size) for size in text.split(",") if size) for text in sizes], dtype=float
    )


@_styled
def peak_widths(peaks: pd.DataFrame) -> Figure | None:
    """Draw the widths of peaks along the transcript."""
    return _histogram("peak-widths", peak_lengths(peaks), "Peak width (nt)", " nt", "Peaks", False)


@_styled
def peak_enrichment(peaks: pd.DataFrame) -> Figure | None:
    """Draw the enrichment of peaks."""
    values = peaks["log2_enrichment"].to_numpy(dtype=float)
    return _histogram(
        "peak-enrichment", values, "log2 enrichment, IP over input", "", "Peaks", False
    )


@_styled
def peak_regions(peaks: pd.DataFrame, colours: Mapping[str, str]) -> Figure | None:
    """Draw the share of each condition's peaks in the regions of a transcript, 5' to 3'."""
    if peaks.empty:
        return None
    expanded = peaks[["region", "conditions"]].copy()
    expanded["conditions"] = expanded["conditions"].fillna("all").str.split(",")
    expanded = expanded.explode("conditions")
    table = pd.crosstab(expanded["region"], expanded["conditions"], normalize="columns")
    regions = [*REGIONS, *sorted(set(table.index) - set(REGIONS))]
    table = table.reindex(regions).fillna(0.0)
    names = [name for name in colours if name in table.columns]
    names += sorted(set(table.columns) - set(names))
    canvas, axes = _canvas(3.0)
    width = 0.8 / len(names)
    for place, name in enumerate(names):
        offsets = np.arange(len(regions)) - 0.4 + width * (place + 0.5)
        axes.bar(offsets, table[name], width * 0.94, color=colours.get(name, CROWD), label=name)
    axes.set_xticks(range(len(regions)), [_region_label(region) for region in regions])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylabel("Share of peaks")
    axes.grid(axis="y")
    _legend_above(axes, 4)
    alt = "Share of peaks by region: " + "; ".join(
        f"{name}: " + ", ".join(f"{_region_label(r)} {table.loc[r, name]:.0%}" for r in regions)
        for name in names
    )
    return _finish(canvas, "peak-regions", alt.replace("\n", " ") + ".")


def _region_label(region: str) -> str:
    return {"5UTR": "5′ UTR", "3UTR": "3′ UTR", "stop_codon": "stop\ncodon"}.get(region, region)


@_styled
def metagene(table: pd.DataFrame, colours: Mapping[str, str]) -> Figure | None:
    """Draw where summits lie along the transcript, beside uniform placement, by condition."""
    if table.empty:
        return None
    canvas, axes = _canvas(3.0)
    listed = []
    for name, rows in table.groupby("condition", sort=False):
        edges = np.arange(len(rows) + 1) / len(rows) * 3
        summits, uniform = (rows[column].to_numpy(dtype=float) for column in ("summits", "uniform"))
        colour = colours.get(name, CROWD)
        axes.stairs(uniform / uniform.sum(), edges, color=colour, linestyle=(0, (3, 2)))
        axes.stairs(summits / summits.sum(), edges, color=colour, linewidth=1.6, label=name)
        shares = rows.groupby("region", sort=False)[["summits", "uniform"]].sum()
        shares = shares / shares.sum()
        listed.append(
            f"{name}: "
            + ", ".join(
                f"{_region_label(row.Index)} {row.summits:.0%} (uniform {row.uniform:.0%})"
                for row in shares.itertuples()
            )
        )
    for border in (1, 2):
        axes.axvline(border, color=GRID, zorder=0)
    regions = [_region_label(region) for region in table["region"].unique()]
    axes.set_xticks([0.5, 1.5, 2.5], regions)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(0, 3)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylabel("Share of summits")
    axes.grid(axis="y")
    _legend_above(axes, 4)
    return _finish(canvas, "metagene", "Summits by region: " + "; ".join(listed) + ".")


@_styled
def motif_logo(table: pd.DataFrame) -> Figure | None:
    """Draw the letters around the motif at summits, and around all motifs of the same genes."""
    if table.empty:
        return None
    canvas = Canvas(figsize=(WIDTH, 3.6), layout="constrained")
    counts = {
        "at summits": table[list(LETTER_COLOURS)],
        "of the same genes in all": table[[f"all_{letter}" for letter in LETTER_COLOURS]],
    }
    offsets = table["offset"].to_numpy(dtype=int)
    for axes, (where, own) in zip(canvas.subplots(2, sharex=True), counts.items(), strict=True):
        values = own.to_numpy(dtype=np.int64)
        _draw_logo(axes, offsets, values)
        axes.set_ylabel("Bits")
        axes.set_title(
            f"{int(values.sum(axis=1).max()):,} motifs {where}", loc="left", fontsize=9.5
        )
    axes.set_xlabel("Nucleotides from the adenosine of the motif")
    best = table[list(LETTER_COLOURS)].astype(int).idxmax(axis=1)
    alt = "Sequence logo of motifs at summits; commonest letters: " + "".join(best)
    return _finish(canvas, "motif-logo", f"{alt}, from {offsets[0]} to {offsets[-1]}.")


def _draw_logo(axes: Axes, offsets: IntArray, counts: IntArray) -> None:
    """Draw a sequence logo: letters as high as their share of the information of their place.

    Parameters
    ----------
    offsets
        Places, shape (places,).
    counts
        Of the letters of `LETTER_COLOURS`, shape (places, 4).
    """
    heights = information(counts)[:, None] * counts / counts.sum(axis=1, keepdims=True).clip(1)
    for place, row in zip(offsets, heights, strict=True):
        floor = 0.0
        for number in np.argsort(row, kind="stable"):
            if row[number] > 0:
                _draw_letter(axes, list(LETTER_COLOURS)[number], place, floor, row[number])
            floor += row[number]
    axes.set_xlim(offsets[0] - 0.6, offsets[-1] + 0.6)
    axes.set_ylim(0, 2)
    axes.set_yticks([0, 1, 2])
    axes.xaxis.set_major_locator(MaxNLocator(9, integer=True))


def _draw_letter(axes: Axes, letter: str, place: float, floor: float, height: float) -> None:
    """Draw a letter stretched to the width of a place and a height in data units."""
    path = TextPath(
        (0, 0), letter, size=1, prop=FontProperties(family="DejaVu Sans", weight="bold")
    )
    box = path.get_extents()
    stretch = Affine2D().translate(-box.x0, -box.y0).scale(0.9 / box.width, height / box.height)
    outline = stretch.translate(place - 0.45, floor).transform_path(path)
    axes.add_patch(PathPatch(outline, facecolor=LETTER_COLOURS[letter], linewidth=0))


@_styled
def saturation(table: pd.DataFrame, colours: Mapping[str, str]) -> Figure | None:
    """Draw the peaks at parts of the fragments, by condition."""
    if table.empty or not table["peaks"].any():
        return None
    canvas, axes = _canvas(2.8)
    listed = []
    for name, rows in table.groupby("condition", sort=False):
        shares, peaks = (rows[column].to_numpy(dtype=float) for column in ("fraction", "peaks"))
        axes.plot(shares, peaks, color=colours.get(name, CROWD), marker="o", label=name)
        listed.append(
            f"{name} "
            + ", ".join(
                f"{count:,.0f} at {share:.0%}" for share, count in zip(shares, peaks, strict=True)
            )
        )
    axes.set_xlim(0, 1.04)
    axes.set_ylim(0, 1.08 * table["peaks"].max())
    axes.set_xticks(sorted(table["fraction"].unique()))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_xlabel("Share of the fragments")
    axes.set_ylabel("Peaks")
    axes.grid()
    _legend_above(axes, 4)
    return _finish(canvas, "saturation", "Peaks at parts of the depth: " + "; ".join(listed) + ".")


@_styled
def drach_distance(peaks: pd.DataFrame) -> Figure | None:
    """Draw the distance from the summit of a peak to the nearest DRACH motif."""
    values = peaks["drach_distance"].dropna().to_numpy(dtype=float)
    if not len(values):
        return None
    canvas, axes = _canvas(2.8)
    axes.hist(
        np.clip(values, 0, 104),
        bins=list(range(0, 106, 5)),
        color=BLUE,
        edgecolor=PAPER,
        linewidth=0.5,
    )
    axes.set_xlabel("Summit to the nearest DRACH (nt; beyond 100 at the edge)")
    axes.set_ylabel("Peaks")
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.grid(axis="y")
    near = float((values <= 25).mean())
    alt = (
        f"Distance from summit to nearest DRACH of {len(values):,} peaks: {near:.0%} within 25 nt."
    )
    return _finish(canvas, "drach-distance", alt)


@_styled
def pair_quality(quality: pd.DataFrame) -> Figure | None:
    """Draw, for each IP and input pair, the DRACH rate at summits beside that of the background."""
    known = quality.dropna(subset=["drach_rate_summits", "drach_rate_background"])
    if known.empty:
        return None
    canvas, axes = _canvas(_bar_height(len(known)) + 0.25)
    rows = range(len(known))
    summits, background = known["drach_rate_summits"], known["drach_rate_background"]
    axes.hlines(rows, background, summits, color=CROWD, linewidth=2, zorder=1)
    axes.scatter(background, rows, color=CROWD, s=40, label="matched background", zorder=2)
    axes.scatter(summits, rows, color=GREEN, s=40, label="summits of peaks", zorder=3)
    _label_rows(axes, known["ip_library"].tolist())
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(len(known) - 0.4, -0.6)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("Windows with a DRACH motif")
    axes.grid(axis="x")
    _legend_above(axes, 2)
    alt = "DRACH rate at summits against background: " + "; ".join(
        f"{row.ip_library} {row.drach_rate_summits:.0%} against {row.drach_rate_background:.0%}"
        for row in known.itertuples()
    )
    return _finish(canvas, "pair-quality", alt + ".")


@_styled
def circle_tiers(circle_m6a: pd.DataFrame) -> Figure | None:
    """Draw how many circles stand in each tier of evidence for m6A, all conditions pooled."""
    pooled = circle_m6a[circle_m6a["condition"] == POOLED]
    if pooled.empty:
        return None
    labels = {
        "1": "1: on the junction",
        "2": "2: in an intron",
        "3": "3: shared exons",
        "none": "none seen",
    }
    counted = pooled["tier"].fillna("none").value_counts()
    values = [int(counted.get(tier, 0)) for tier in labels]
    shades = [TIER_COLOURS[tier] for tier in labels]
    return _horizontal_counts("circle-tiers", list(labels.values()), values, shades, "Circles")


@_styled
def junction_reads(circle_m6a: pd.DataFrame) -> Figure | None:
    """Draw the back-splice reads of each circle in the IPs against those in the inputs."""
    pooled = circle_m6a[circle_m6a["condition"] == POOLED].dropna(
        subset=["ip_reads", "input_reads"]
    )
    if pooled.empty:
        return None
    canvas, axes = _canvas(3.2)
    tiers = pooled["tier"].fillna("none")
    for tier in ("none", "3", "2", "1"):
        members = pooled[tiers == tier]
        if members.empty:
            continue
        _scatter(
            axes,
            members["input_reads"].to_numpy(dtype=float) + 1,
            members["ip_reads"].to_numpy(dtype=float) + 1,
            TIER_COLOURS[tier],
            18,
            0.85,
            label=f"tier {tier}" if tier != "none" else "none seen",
        )
    for axis, column in ((axes.xaxis, "input_reads"), (axes.yaxis, "ip_reads")):
        _logarithmic(axis, pooled[column].min() + 1, pooled[column].max() + 1)
    axes.set_xlabel("Back-splice reads in inputs + 1")
    axes.set_ylabel("Back-splice reads in IPs + 1")
    axes.grid()
    _legend_above(axes, 4)
    first = int((tiers == "1").sum())
    alt = (
        f"Back-splice reads in IPs against inputs for {len(pooled):,} circles; {first:,} of them "
        "are enriched on the junction itself (tier 1)."
    )
    return _finish(canvas, "junction-reads", alt)


def _scatter(
    axes: Axes,
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    colour: str,
    size: float,
    alpha: float,
    label: str | None = None,
) -> None:
    """Draw points, as a picture where they are many."""
    axes.scatter(
        x,
        y,
        color=colour,
        s=size,
        alpha=alpha,
        linewidths=0,
        label=label,
        rasterized=len(x) > MAXIMUM_VECTOR_POINTS,
    )


def _place_labels(
    canvas: Canvas, axes: Axes, points: npt.NDArray[np.float64], labels: Sequence[str]
) -> None:
    """Write labels beside their points, first come first placed, none over another.

    To be called last: it fixes the layout.

    Parameters
    ----------
    points
        Shape (labels, 2), data coordinates.
    """
    _settle(canvas)
    frame = axes.get_window_extent()
    taken: list[Bbox] = []
    offsets = [(5, 4, "left"), (-5, 4, "right"), (5, -11, "left"), (-5, -11, "right")]
    offsets += [(0, 9, "center"), (0, -16, "center"), (14, 14, "left"), (-14, 14, "right")]
    for (x, y), label in zip(points, labels, strict=True):
        for dx, dy, side in offsets:
            text = axes.annotate(
                label,
                (x, y),
                xytext=(dx, dy),
                textcoords="offset points",
                ha=side,
                fontsize=8.5,
                color=INK,
                zorder=5,
                annotation_clip=False,
            )
            text.set_in_layout(False)
            box = text.get_window_extent()
            inside = frame.x0 - 4 <= box.x0 and box.x1 <= frame.x1 + 4 and box.y1 <= frame.y1 + 4
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()


@dataclass(frozen=True)
class Comparison:
    """How a differential table is drawn.

    Attributes
    ----------
    name
        Prefix of the figures' names.
    features
        What a row is, plural: ``genes``, ``circles`` ...
    axis
        Meaning of the fold change, for the axis.
    alpha
        Threshold on ``padj``.
    reviewed
        Ids of features that a review names.
    """

    name: str
    features: str
    axis: str
    alpha: float
    reviewed: frozenset[str] = frozenset()


def classes(table: pd.DataFrame, alpha: float) -> pd.Series:
    """Return ``up``, ``down`` or ``same`` for each row of a differential table.

    A row without an adjusted p-value is ``same``: it was not shown to change.
    """
    changed = (table["padj"] < alpha).fillna(False).to_numpy(dtype=bool)
    positive = (table["log2FoldChange"] > 0).fillna(False).to_numpy(dtype=bool)
    return pd.Series(np.where(~changed, "same", np.where(positive, "up", "down")), table.index)


def _labelled(table: pd.DataFrame, comparison: Comparison, most: int = 12) -> pd.DataFrame:
    """Choose the rows to name: changed ones of reviews, the most changed, others of reviews."""
    ranked = table.sort_values(["padj", "pvalue", "log2FoldChange"], kind="stable")
    reviewed = ranked["id"].isin(comparison.reviewed)
    changed = ranked["kind"] != "same"
    return pd.concat(
        [
            ranked[reviewed & changed],
            ranked[~reviewed & changed][:5],
            ranked[reviewed & ~changed][:4],
        ]
    )[:most]


def _draw_changes(
    canvas: Canvas, axes: Axes, table: pd.DataFrame, x: str, y: str, comparison: Comparison
) -> None:
    """Draw the points of a volcano or MA plot with their names."""
    for kind, colour, label in (
        ("same", CROWD, None),
        ("down", BLUE, "lower"),
        ("up", VERMILION, "higher"),
    ):
        members = table[table["kind"] == kind]
        if len(members):
            legend = f"{label} ({len(members):,})" if label else None
            size, alpha = (9, 0.5) if kind == "same" else (14, 0.85)
            xs, ys = members[x].to_numpy(dtype=float), members[y].to_numpy(dtype=float)
            _scatter(axes, xs, ys, colour, size, alpha, legend)
    reviewed = table[table["id"].isin(comparison.reviewed)]
    if len(reviewed):
        axes.scatter(
            reviewed[x],
            reviewed[y],
            s=42,
            facecolors="none",
            edgecolors=INK,
            linewidths=1.1,
            label=f"in a review ({len(reviewed):,})",
            zorder=4,
        )
    axes.grid()
    axes.margins(0.07)
    if axes.get_legend_handles_labels()[0]:
        _legend_above(axes, 3)
    named = _labelled(table, comparison)
    names = named["gene_name"].fillna(named["id"]).astype(str).tolist()
    _place_labels(canvas, axes, named[[x, y]].to_numpy(dtype=float), names)


def _finite(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return a copy of the rows whose values in the columns are neither missing nor infinite."""
    return table[np.isfinite(table[columns].to_numpy(dtype=float)).all(axis=1)].copy()


def _count_sentence(table: pd.DataFrame, comparison: Comparison) -> str:
    up, down = (int((table["kind"] == kind).sum()) for kind in ("up", "down"))
    return (
        f"{len(table):,} {comparison.features}; {up:,} higher and {down:,} lower "
        f"at padj below {comparison.alpha:g}"
    )


@_styled
def volcano(table: pd.DataFrame, comparison: Comparison) -> Figure | None:
    """Draw fold change against p-value; nothing where no p-value could be computed."""
    drawn = _finite(table, ["log2FoldChange", "pvalue"])
    if drawn.empty:
        return None
    drawn["kind"] = classes(drawn, comparison.alpha)
    smallest = drawn.loc[drawn["pvalue"] > 0, "pvalue"].min()
    floor = smallest if pd.notna(smallest) else 1e-300
    drawn["evidence"] = -np.log10(drawn["pvalue"].clip(lower=floor).to_numpy(dtype=float))
    canvas, axes = _canvas(3.5)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set_xlabel(f"log2 {comparison.axis}")
    axes.set_ylabel("−log10 p-value")
    _draw_changes(canvas, axes, drawn, "log2FoldChange", "evidence", comparison)
    alt = f"Volcano plot of {_count_sentence(drawn, comparison)}."
    return _finish(canvas, f"{comparison.name}-volcano", alt)


@_styled
def ma_plot(table: pd.DataFrame, comparison: Comparison) -> Figure | None:
    """Draw fold change against mean count."""
    drawn = _finite(table, ["log2FoldChange", "baseMean"])
    drawn = drawn[drawn["baseMean"] > 0].copy()
    if drawn.empty:
        return None
    drawn["kind"] = classes(drawn, comparison.alpha)
    canvas, axes = _canvas(3.5)
    _logarithmic(axes.xaxis, drawn["baseMean"].min(), drawn["baseMean"].max())
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.set_xlabel("Mean count")
    axes.set_ylabel(f"log2 {comparison.axis}")
    _draw_changes(canvas, axes, drawn, "baseMean", "log2FoldChange", comparison)
    alt = f"Fold change against mean count of {_count_sentence(drawn, comparison)}."
    return _finish(canvas, f"{comparison.name}-ma", alt)


@_styled
def claim_verdicts(verdicts: pd.DataFrame) -> Figure | None:
    """Draw the verdicts on reviewed claims, one bar a review.

    Parameters
    ----------
    verdicts
        One row a claim: ``claim_id``, ``review``, ``verdict``.
    """
    if verdicts.empty:
        return None
    table = pd.crosstab(verdicts["review"].fillna("unnamed review"), verdicts["verdict"])
    order = [name for name in VERDICT_COLOURS if name in table.columns]
    order += sorted(set(table.columns) - set(order))
    spare = iter([YELLOW, ORANGE, BLUE] * len(order))
    canvas, axes = _canvas(_bar_height(len(table)) + 0.45)
    left = np.zeros(len(table))
    for verdict in order:
        values = table[verdict].to_numpy(dtype=float)
        colour = VERDICT_COLOURS.get(verdict) or next(spare)
        bars = axes.barh(
            range(len(table)), values, left=left, color=colour, height=0.7, label=verdict
        )
        wide = table.to_numpy().sum(axis=1).max() * 0.06
        texts = [f"{value:.0f}" if value > wide else "" for value in values]
        axes.bar_label(bars, texts, label_type="center", color="#000000", fontsize=8.5)
        left = left + values
    _label_rows(axes, table.index.tolist())
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("Reviewed claims")
    axes.grid(axis="x")
    _legend_above(axes, 3)
    alt = "Verdicts on reviewed claims: " + "; ".join(
        f"{review}: " + ", ".join(f"{row[name]} {name}" for name in order)
        for review, row in table.iterrows()
    )
    return _finish(canvas, "claim-verdicts", alt + ".")

"""The figures of a benchmark: what one is, what it should be, and how figures are shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ringmark.tables import INTEGER, NUMBER, STRING, Table

Mask = npt.NDArray[np.bool_]

FIGURES = Table(
    "figures of the benchmark",
    {
        "figure": STRING,
        "subset": STRING,
        "value": NUMBER,
        "size": INTEGER,
        "target": STRING,
        "met": STRING,
    },
)

#: The subset that is everything.
ALL = "all"


@dataclass(frozen=True)
class Target:
    """What a figure should be.

    Attributes
    ----------
    at_least
        Whether the limit is the lowest good value; else it is the highest.
    limit
        The limit, itself good.
    relaxed
        Whether the limit moves by the tolerance given to variants of the main study.
    """

    at_least: bool
    limit: float
    relaxed: bool = False

    def eased(self, tolerance: float) -> Target:
        """Return the target of a variant."""
        if not self.relaxed:
            return self
        sign = -1 if self.at_least else 1
        return Target(self.at_least, round(self.limit + sign * tolerance, 6), True)

    def met_by(self, value: float) -> bool:
        """Return whether a value is good; a bias is judged by its size."""
        return value >= self.limit if self.at_least else abs(value) <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}"


@dataclass(frozen=True)
class Figure:
    """One number of the benchmark.

    Attributes
    ----------
    name
        What it is.
    value
        The number; NaN where there was nothing to measure.
    size
        Over how many circles, pairs of circle and library, or fragments.
    subset
        Of which part of the study; `ALL` for the whole.
    """

    name: str
    value: float
    size: int
    subset: str = ALL


def share(name: str, hits: Mask | pd.Series, subset: str = ALL) -> Figure:
    """Return the share of true values; NaN of none."""
    values = np.asarray(hits, dtype=bool)
    return Figure(name, float(values.mean()) if values.size else float("nan"), values.size, subset)


def ratio(name: str, part: int, whole: int, subset: str = ALL) -> Figure:
    """Return a share of fragments; NaN of none."""
    return Figure(name, part / whole if whole else float("nan"), whole, subset)


def judged(figures: Iterable[Figure], targets: Mapping[str, Target]) -> pd.DataFrame:
    """Return the figures as a table (`FIGURES`) with target and whether it is met.

    A figure without a value has no verdict.
    """
    rows = []
    for figure in figures:
        target = targets.get(figure.name) if figure.subset == ALL else None
        met = None
        if target is not None and not np.isnan(figure.value):
            met = "yes" if target.met_by(figure.value) else "no"
        rows.append(
            {
                "figure": figure.name,
                "subset": figure.subset,
                "value": figure.value,
                "size": figure.size,
                "target": None if target is None else str(target),
                "met": met,
            }
        )
    return FIGURES.frame(rows)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def markdown_of(figures: pd.DataFrame) -> str:
    """Return a table of figures (`FIGURES`) as Markdown, those with a target first."""
    ordered = pd.concat([figures[figures["target"].notna()], figures[figures["target"].isna()]])
    rows = [
        [row.figure, row.subset, text_of(row.value), str(row.size), *_texts(row.target, row.met)]
        for row in ordered.itertuples(index=False)
    ]
    return markdown(list(FIGURES.columns), rows)


def text_of(value: float) -> str:
    """Return a number as text: four digits, or whole if it is large; nothing for NaN."""
    if pd.isna(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _texts(*cells: object) -> list[str]:
    return ["" if pd.isna(cell) else str(cell) for cell in cells]

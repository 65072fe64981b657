"""What changes of a circle, side by side: itself, its ratio, its host gene, its m6A.

A circle that goes up because its gene does is another finding than one that goes up by itself. The
comparisons are made apart (`ringmark.differential`, `ringmark.methylation`); here they are joined,
a row a circle, with a word for how expression reads. *Changed* is what has an adjusted p-value
below the threshold.

=================  ================================================================================
``beyond_gene``    the circular-to-linear ratio changed: the circle does not merely follow its gene
``gene_alone``     the gene changed, and the ratio the other way: the circle stays behind
``against_gene``   circle and gene changed in opposite directions
``with_gene``      circle and gene changed in the same direction, and no more is shown
``unclear``        the circle changed; whether its gene did is not shown, nor does the ratio tell
``unchanged``      neither circle nor ratio is shown to change
``not_tested``     no test had anything to say
=================  ================================================================================
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ringmark.tables import CIRCLE_CHANGES, POOLED

Signs = NDArray[np.int64]

BEYOND_GENE, GENE_ALONE, AGAINST_GENE = "beyond_gene", "gene_alone", "against_gene"
WITH_GENE, UNCLEAR, UNCHANGED, NOT_TESTED = "with_gene", "unclear", "unchanged", "not_tested"


def circle_changes(
    circles: pd.DataFrame,
    expression: pd.DataFrame,
    ratio: pd.DataFrame,
    genes: pd.DataFrame,
    methylation: pd.DataFrame | None,
    detection: pd.DataFrame | None,
    alpha: float,
) -> pd.DataFrame:
    """Join the comparisons of each circle.

    Parameters
    ----------
    circles
        The catalogue (`ringmark.tables.CIRCLES`).
    expression, ratio, genes, methylation
        Results of the comparisons, with the columns id, log2FoldChange and padj; ``methylation`` is
        that of circles, ``None`` where there is none.
    detection
        m6A on circles (`ringmark.tables.DETECTION`), or ``None``.
    alpha
        Adjusted p-value below which something has changed.

    Returns
    -------
    pandas.DataFrame
        `ringmark.tables.CIRCLE_CHANGES`, in the order of the catalogue.
    """
    table = circles[["circle", "gene_id", "gene_name", "type", "confidence"]].copy()
    sources = (
        ("circle", expression, table["circle"]),
        ("ratio", ratio, table["circle"]),
        ("gene", genes, table["gene_id"]),
        ("methylation", methylation, table["circle"]),
    )
    signs: dict[str, Signs] = {}
    tested = np.zeros(len(table), dtype=bool)
    for name, source, keys in sources:
        change, padj = _looked_up(source, keys)
        table[f"{name}_log2FoldChange"], table[f"{name}_padj"] = change, padj
        signs[name] = np.where(padj < alpha, np.sign(np.nan_to_num(change)), 0).astype(np.int64)
        tested |= ~np.isnan(padj) if name in ("circle", "ratio") else False
    pooled = None
    if detection is not None:
        pooled = detection[detection["condition"] == POOLED].set_index("circle")
    for column, own in (("m6a_tier", "tier"), ("m6a_verdict", "verdict")):
        table[column] = pd.NA if pooled is None else table["circle"].map(pooled[own])
    table["reading"] = readings(signs["circle"], signs["ratio"], signs["gene"], tested)
    return CIRCLE_CHANGES.frame(table)


def _looked_up(
    source: pd.DataFrame | None, keys: pd.Series
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return fold change and adjusted p-value of the features named; NaN where there are none."""
    if source is None:
        nothing = np.full(len(keys), np.nan)
        return nothing, nothing
    known = source.drop_duplicates("id").set_index("id")[["log2FoldChange", "padj"]]
    found = known.reindex(keys.fillna("").astype(str)).to_numpy(dtype=float)
    return found[:, 0], found[:, 1]


def readings(
    circle: Signs, ratio: Signs, gene: Signs, tested: NDArray[np.bool_]
) -> NDArray[np.str_]:
    """Return the word of the module for each circle.

    Parameters
    ----------
    circle, ratio, gene
        Sign of the change, 0 where none is shown; shape (circles,).
    tested
        Whether circle or ratio have an adjusted p-value.
    """
    opposite = (circle != 0) & (gene == -circle)
    together = (circle != 0) & (gene == circle)
    lost = (circle != 0) & (ratio == -circle) & (gene == 0)
    behind = (ratio != 0) & (gene == -ratio) & (circle != ratio)
    return np.select(
        [
            opposite,
            behind & (circle == 0),
            # the gene went further in the same direction
            behind & together,
            lost,
            ratio != 0,
            together,
            circle != 0,
            tested,
        ],
        [AGAINST_GENE, GENE_ALONE, WITH_GENE, UNCLEAR, BEYOND_GENE, WITH_GENE, UNCLEAR, UNCHANGED],
        NOT_TESTED,
    )

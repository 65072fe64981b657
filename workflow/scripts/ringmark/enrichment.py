"""m6A on circles: back-splice fragments in the IP against those in the input.

Only a fragment across the back-splice is certain to come from the circle. If the circle carries no
m6A near the junction, its fragments are pulled down like background: in each pair of IP and input
the odds of an IP fragment are those of the background of the host gene in that pair. The test is
the one-sided beta-binomial likelihood ratio test of a common excess over the background odds
(`ringmark.betabinomial`), replicates as replicates.

The antibody does not drag along every RNA equally, and what deviates in all replicates alike does
not average out. The ratio of a host gene is estimated from all its background fragments
(`ringmark.background`), with an error; to that comes what a stretch of RNA deviates from its gene.
Under the null the log odds are normal around the background with the variance of both together
(``null_spread``). A circle without a host gene, and one on its other strand, has the ratio of the
library and the variance between genes.

Where fragments are few the tail of the likelihood ratio is not that of a normal distribution; there
the p-value is at least the chance of so many IP fragments in all pairs together
(`ringmark.betabinomial.sum_tail`).

The evidence comes in tiers:

1. the back-splice fragments themselves are enriched;
2. a peak lies on sequence that no linear exon has, in an intron: where peaks in introns are called,
   and then of linear RNA only that before splicing has it too;
3. a peak lies on exons that the linear transcripts of the gene have too, so that the linear RNA
   cannot be excluded;
none. nothing was seen, which is not the same as unmethylated. What the counts could have shown is
   told beside it (`ringmark.detection`).

References
----------
Zhou et al. 2017, Cell Reports 20:2262 (m6A circles often come from exons without m6A in the mRNA).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ringmark.annotation import Annotation
from ringmark.background import independent
from ringmark.betabinomial import estimate_prior, likelihood_ratio_test, sum_tail
from ringmark.detection import Reach, smallest_enrichment, verdicts
from ringmark.intervals import Blocks, merge
from ringmark.multiple_testing import adjust
from ringmark.sequence import drach_positions
from ringmark.study import Pair
from ringmark.tables import CIRCLE_M6A, DETECTION, POOLED

#: Fragments of a circle, IP and input together, below which no test could tell anything.
MIN_FRAGMENTS = 5
#: Up to so many fragments ...
FEW_FRAGMENTS = 200
#: ... and below this p-value the distribution of their sum is computed.
CLOSER_LOOK = 0.1
#: Intra-class correlation assumed where circles have fewer residual degrees of freedom, all
#: together, to estimate it from: without replicates, where one of two pairs holds next to no
#: fragment, or where all IPs share one input.
UNREPLICATED_DISPERSION, LEAST_DEGREES = 0.02, 5
#: Log2 enrichment taken for that of a typical peak where there are few, and how many few are.
TYPICAL_LOG2_ENRICHMENT, FEW_PEAKS = 2.0, 20

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CircleBackground:
    """What background leads to expect of the fragments across back-splices.

    Attributes
    ----------
    log_ratio
        Natural logarithm of IP to input fragments, shape (circles, IP libraries).
    error
        Standard deviation of what all replicates share and the ratio does not say, same shape.
    """

    log_ratio: pd.DataFrame
    error: pd.DataFrame

    @classmethod
    def of_genes(cls, genes: pd.DataFrame, hosts: pd.Series) -> CircleBackground:
        """Take the background of circles from that of their host genes.

        Parameters
        ----------
        genes
            Table of genes (`ringmark.tables.GENE_BACKGROUND`).
        hosts
            Index: circles; the host gene, missing where there is none.
        """
        any_gene = genes[genes["gene_id"].isna()].set_index("ip_library")
        known = genes.dropna(subset="gene_id").set_index(["gene_id", "ip_library"])
        names = hosts.fillna("").astype(str)
        found = {}
        for column in ("log_ratio", "error"):
            of_hosts = known[column].unstack("ip_library").reindex(names)
            of_hosts = of_hosts.reindex(columns=any_gene.index).set_axis(hosts.index, axis=0)
            found[column] = of_hosts.fillna(any_gene[column]).astype(float)
        return cls(found["log_ratio"], found["error"])


def circle_enrichment(
    counts: pd.DataFrame, pairs: Sequence[Pair], background: CircleBackground, fdr: float
) -> pd.DataFrame:
    """Test every circle for enrichment of its back-splice fragments in the IP.

    Parameters
    ----------
    counts
        Back-splice fragments, shape (circles, libraries).
    pairs
        The pairs that are tested together as replicates.
    background
        Of the same circles.
    fdr
        Largest adjusted p-value of an enriched circle.

    Returns
    -------
    pandas.DataFrame
        Index: circles; columns ip_reads, input_reads, log2_enrichment, pvalue, padj, and
        smallest_log2_enrichment, which would have been found with a chance of 80 %. A circle
        without any fragment has NA; one with fewer than `MIN_FRAGMENTS` has no p-value, and takes
        no part in the adjustment.
    """
    ip, inputs, offset, error = _evidence(counts, pairs, background)
    totals = ip + inputs
    result = pd.DataFrame(
        {
            "ip_reads": ip.sum(axis=1).astype(int),
            "input_reads": inputs.sum(axis=1).astype(int),
            "log2_enrichment": np.nan,
            "pvalue": np.nan,
            "padj": np.nan,
            "smallest_log2_enrichment": np.nan,
        },
        index=counts.index,
    )
    seen = np.flatnonzero(totals.sum(axis=1) > 0)
    if len(seen) == 0:
        return result
    ip, inputs, totals, offset, error = (
        values[seen] for values in (ip, inputs, totals, offset, error)
    )
    data = (ip, totals, np.ones((ip.shape[1], 1)))
    prior = estimate_prior(*data, offset)
    replicated = prior is not None and prior.degrees >= LEAST_DEGREES
    test = likelihood_ratio_test(
        *data,
        column=0,
        offset=offset,
        dispersion=None if replicated else UNREPLICATED_DISPERSION,
        prior=prior,
        alternative="greater",
        null_spread=error,
    )
    fragments = totals.sum(axis=1)
    pvalue = np.where(fragments >= MIN_FRAGMENTS, test.pvalue, np.nan)
    few = np.flatnonzero((fragments <= FEW_FRAGMENTS) & (pvalue < CLOSER_LOOK))
    exact = sum_tail(ip[few], totals[few], offset[few], test.dispersion[few], error[few])
    pvalue[few] = np.maximum(pvalue[few], exact)
    padj = adjust(pvalue)
    smallest = smallest_enrichment(
        inputs, offset, error, test.dispersion, test.degrees, _threshold(pvalue, padj, fdr)
    )
    for name, values in (
        ("log2_enrichment", test.log2FoldChange),
        ("pvalue", pvalue),
        ("padj", padj),
        ("smallest_log2_enrichment", np.where(np.isfinite(smallest), smallest, np.nan)),
    ):
        result.iloc[seen, result.columns.get_loc(name)] = values
    return result


def _evidence(
    counts: pd.DataFrame, pairs: Sequence[Pair], background: CircleBackground
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return IP, input and log odds of every independent pair, and the error all pairs share.

    IPs that share an input are no independent pairs: their fragments are summed, over the one
    input (`ringmark.background.independent`).
    """
    names = [pair.ip.name for pair in pairs]
    shared: dict[str, list[int]] = {}
    for number, pair in enumerate(pairs):
        shared.setdefault(pair.input.name, []).append(number)
    ip, inputs, offset = independent(
        counts[names].to_numpy(dtype=np.int64),
        counts[[pair.input.name for pair in pairs]].to_numpy(dtype=np.int64),
        background.log_ratio.loc[counts.index, names].to_numpy(dtype=float),
        list(shared.values()),
    )
    error = background.error.loc[counts.index, names].to_numpy(dtype=float)
    return ip.astype(float), inputs.astype(float), offset, error.max(axis=1)


def _threshold(pvalue: FloatArray, padj: FloatArray, fdr: float) -> float:
    """Return the p-value up to which one more circle would have been found."""
    tested, found = int((~np.isnan(pvalue)).sum()), int((padj < fdr).sum())
    return min((found + 1) * fdr / max(tested, 1), fdr)


def typical_enrichment(peaks: pd.DataFrame, condition: str) -> float:
    """Return the median log2 enrichment of the peaks called in a condition, `POOLED` for all."""
    called = peaks["conditions"].fillna("").str.split(",")
    own = [condition in (POOLED, *names) for names in called]
    levels = peaks.loc[own, "log2_enrichment"].dropna()
    return float(levels.median()) if len(levels) >= FEW_PEAKS else TYPICAL_LOG2_ENRICHMENT


def drach_on_circle(sequence: str) -> tuple[int, int | None]:
    """Count the DRACH motifs of a circle and measure the nearest one to its junction.

    The sequence is closed: a motif that the back-splice itself makes counts.

    Parameters
    ----------
    sequence
        Spliced sequence from the back-splice acceptor on.

    Returns
    -------
    tuple
        Number of motifs, and nucleotides from the junction to the adenosine of the nearest one;
        ``None`` without a motif.
    """
    if not sequence:
        return 0, None
    positions = drach_positions(sequence + sequence[:4]) % len(sequence)
    if len(positions) == 0:
        return 0, None
    return len(positions), int(np.minimum(positions, len(sequence) - 1 - positions).min())


class PeaksOnCircles:
    """Peaks that overlap circles, on their own sequence or on shared exons.

    Parameters
    ----------
    peaks
        Table of peaks (`ringmark.tables.PEAKS`).
    annotation
        Linear transcripts.
    """

    def __init__(self, peaks: pd.DataFrame, annotation: Annotation) -> None:
        self.annotation = annotation
        self._peaks: dict[tuple[str, str], list[tuple[Blocks, str, frozenset[str], float]]]
        self._peaks = defaultdict(list)
        for row in peaks.itertuples(index=False):
            sizes, starts = row.block_sizes.rstrip(","), row.block_starts.rstrip(",")
            blocks = Blocks.from_bed(row.start, sizes, starts, row.strand)
            conditions = frozenset(str(row.conditions).split(","))
            self._peaks[row.chrom, row.strand].append(
                (blocks, row.peak, conditions, float(row.pvalue))
            )
        for found in self._peaks.values():
            found.sort(key=lambda peak: int(peak[0].starts[0]))

    def evidence(self, chrom: str, circle: Blocks, condition: str) -> tuple[str, str | None]:
        """Return the tier that peaks give a circle, and the strongest of these peaks.

        Parameters
        ----------
        circle
            The circle's exons.
        condition
            Only peaks called in it; `POOLED` for all.

        Returns
        -------
        tuple
            ``2``, ``3`` or ``none``; the peak's id or ``None``.
        """
        start, end = int(circle.starts[0]), int(circle.ends[-1])
        own = self._own_sequence(chrom, circle)
        best: tuple[str, float, str] | None = None
        for blocks, name, conditions, pvalue in self._peaks.get((chrom, circle.strand), ()):
            if int(blocks.starts[0]) >= end:
                break
            if int(blocks.ends[-1]) <= start or condition not in (POOLED, *conditions):
                continue
            tier = "2" if blocks.overlap(own) else "3" if blocks.overlap(circle) else ""
            if tier and (best is None or (tier, pvalue, name) < best):
                best = (tier, pvalue, name)
        return (best[0], best[2]) if best else ("none", None)

    def _own_sequence(self, chrom: str, circle: Blocks) -> Blocks:
        """Return the parts of a circle that no linear exon of its strand covers."""
        start, end = int(circle.starts[0]), int(circle.ends[-1])
        genes = self.annotation.overlapping(chrom, start, end, circle.strand)
        starts = np.concatenate([np.empty(0, np.int64), *(gene.union.starts for gene in genes)])
        ends = np.concatenate([np.empty(0, np.int64), *(gene.union.ends for gene in genes)])
        linear_starts, linear_ends = merge(starts, ends)
        gap_starts = np.concatenate([[start], linear_ends]).astype(np.int64)
        gap_ends = np.concatenate([linear_starts, [end]]).astype(np.int64)
        parts = [
            circle.clip(left, right)
            for left, right in zip(gap_starts.tolist(), gap_ends.tolist(), strict=True)
            if right > left
        ]
        return Blocks(
            np.concatenate([np.empty(0, np.int64), *(part.starts for part in parts)]),
            np.concatenate([np.empty(0, np.int64), *(part.ends for part in parts)]),
            circle.strand,
        )


def circle_m6a_table(
    circles: Mapping[str, tuple[str, Blocks, str]],
    counts: pd.DataFrame,
    pairs: Sequence[Pair],
    background: CircleBackground,
    peaks: pd.DataFrame,
    annotation: Annotation,
    fdr: float,
    reach: Reach | None = None,
) -> pd.DataFrame:
    """Return the table of m6A on circles: each circle by condition, and pooled.

    Parameters
    ----------
    circles
        Circle id to contig, exons and spliced sequence.
    counts
        Back-splice fragments, shape (circles, libraries).
    pairs, background
        As for `circle_enrichment`.
    peaks
        The study's peaks (`ringmark.tables.PEAKS`).
    annotation
        Linear transcripts.
    fdr
        Adjusted p-value below which a circle is tier 1.
    reach
        Of the fragments of the IPs; None: not known, and no circle is said not to be methylated.

    Returns
    -------
    pandas.DataFrame
        The columns of `ringmark.tables.CIRCLE_M6A` and of `ringmark.tables.DETECTION`.
    """
    conditions = list(dict.fromkeys(pair.condition for pair in pairs))
    lengths = pd.Series(
        {name: exons.length for name, (_, exons, _) in circles.items()}, dtype=float
    )
    tables = []
    for condition in [*conditions, POOLED]:
        chosen = [pair for pair in pairs if condition in (POOLED, pair.condition)]
        table = circle_enrichment(counts, chosen, background, fdr)
        table.insert(0, "condition", condition)
        enriched = (table["padj"] < fdr) & (table["log2_enrichment"] > 0)
        table["tier"] = np.where(enriched, "1", "")
        known = lengths.reindex(table.index).to_numpy()
        table["within_reach"] = reach.within(known) if reach else np.nan
        table["verdict"] = verdicts(
            enriched.to_numpy(),
            table["pvalue"].to_numpy(),
            table["smallest_log2_enrichment"].to_numpy(),
            typical_enrichment(peaks, condition),
            reach.share_at_farthest(known) if reach else np.zeros(len(table)),
        )
        tables.append(table.rename_axis("circle").reset_index())
    table = pd.concat(tables, ignore_index=True)
    order = {name: rank for rank, name in enumerate(circles)}
    table = table.sort_values("circle", key=lambda names: names.map(order), kind="stable")
    motifs = {name: drach_on_circle(sequence) for name, (_, _, sequence) in circles.items()}
    near = PeaksOnCircles(peaks, annotation)
    rows = []
    for row in table.to_dict("records"):
        chrom, exons, _ = circles[row["circle"]]
        tier, peak = near.evidence(chrom, exons, row["condition"])
        drach, nearest = motifs[row["circle"]]
        row |= {"tier": row["tier"] or tier, "linear_peak": peak}
        row |= {"drach": drach, "nearest_drach_to_junction": nearest}
        rows.append(row)
    return pd.DataFrame(rows, columns=list({**CIRCLE_M6A.columns, **DETECTION.columns}))

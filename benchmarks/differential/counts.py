"""Counts of a simulated study that an error-free aligner, caller and counter would find.

The fragments of every library are drawn as for reads, but no read is written: what is measured here
are the tests alone, on as many studies as their rates ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ringmark.background import gene_ratios
from ringmark.enrichment import CircleBackground
from ringmark.intervals import IntArray
from ringmark.simulate import Plan, plan_study
from ringmark.simulate_counts import linear_boundaries, true_counts
from ringmark.simulate_molecules import LINEAR, Pool
from ringmark.simulate_parameters import SimulationParameters
from ringmark.simulate_reads import Fragments, draw_fragments, local_bias
from ringmark.study import Contrast, Library, Pair, Study
from ringmark.tables import BACKGROUND, GENE_BACKGROUND

Array = npt.NDArray[np.float64]

#: Counted are fragments with so many nucleotides on each side of a junction in one read.
_ANCHOR = "_anchor8"
#: Types of circles that are not of the RNA of their gene.
_WITHOUT_HOST = ("antisense", "intergenic")


@dataclass(frozen=True)
class Counts:
    """A study as the tests see it, and what was planted.

    Attributes
    ----------
    study
        Libraries, pairs and contrast.
    genes, circles, linear
        Fragments of genes, back-splices and linear junctions in every library.
    peaks
        Fragments over each m6A site of linear RNA in every library.
    background
        Log ratio of IP over input on background of each pair (`BACKGROUND`).
    circle_background
        The same of each circle, from its host gene.
    plan
        What was planted.
    """

    study: Study
    genes: pd.DataFrame
    circles: pd.DataFrame
    linear: pd.DataFrame
    peaks: pd.DataFrame
    background: pd.DataFrame
    circle_background: CircleBackground
    plan: Plan


def simulate_counts(parameters: SimulationParameters, covariates: Sequence[str] = ()) -> Counts:
    """Draw the fragments of all libraries and count them."""
    plan = plan_study(parameters)
    pool = plan.pool
    bias = local_bias(int(pool.genome_positions.max()) + 1, parameters)
    boundaries = linear_boundaries(pool, plan.circles)
    sites = np.zeros(len(pool.letters) + 1, dtype=np.int64)
    np.add.at(sites, pool.site_positions + 1, 1)
    before = np.cumsum(sites)
    counted: dict[str, dict[str, IntArray]] = {}
    free: dict[str, IntArray] = {}
    over: dict[str, IntArray] = {}
    for library in plan.libraries:
        fragments = draw_fragments(pool, plan.expression, library, bias, parameters)
        counted[library.name] = true_counts(
            pool, fragments, library, boundaries, len(plan.genes), parameters
        )
        over[library.name] = _over_sites(plan, fragments)
        free[library.name] = _without_site(pool, fragments, before, len(plan.genes))
    study = _study(plan, covariates)
    background, of_circles = _background(plan, study, free)
    genes = [gene.gene_id for gene in plan.genes]

    def matrix(kind: str, index: list[str]) -> pd.DataFrame:
        return pd.DataFrame({name: found[kind] for name, found in counted.items()}, index=index)

    return Counts(
        study,
        matrix("gene_counts", genes),
        matrix(f"bsj_counts{_ANCHOR}", plan.circle_names),
        matrix(f"linear_counts{_ANCHOR}", plan.circle_names),
        pd.DataFrame(over),
        background,
        of_circles,
        plan,
    )


def _over_sites(plan: Plan, fragments: Fragments) -> IntArray:
    """Count the fragments that hold each site of linear RNA."""
    starts, ends = np.sort(fragments.starts), np.sort(fragments.starts + fragments.lengths)
    pool = plan.pool
    over = np.searchsorted(starts, pool.site_positions, side="right")
    over = over - np.searchsorted(ends, pool.site_positions, side="right")
    counts = np.bincount(pool.site_numbers, weights=over, minlength=len(plan.sites))
    linear = np.array([site.circle < 0 for site in plan.sites], dtype=bool)
    return counts[linear].astype(np.int64)


def _without_site(pool: Pool, fragments: Fragments, before: IntArray, genes: int) -> IntArray:
    """Count the linear fragments of genes that hold no m6A site."""
    ends = fragments.starts + fragments.lengths
    chosen = pool.kinds[fragments.molecules] == LINEAR
    chosen &= before[ends] == before[fragments.starts]
    return np.bincount(pool.genes[fragments.molecules[chosen]], minlength=genes)


def _study(plan: Plan, covariates: Sequence[str]) -> Study:
    libraries = {
        item.name: Library(
            item.name, item.sample, item.condition, item.assay, covariates={"batch": item.batch}
        )
        for item in plan.libraries
    }
    inputs = {item.sample: item for item in libraries.values() if item.assay == "input"}
    pairs = [Pair(item, inputs[item.sample]) for item in libraries.values() if item.assay == "ip"]
    test, reference = plan.parameters.conditions
    contrast = Contrast("condition", test, reference, tuple(covariates))
    return Study(tuple(libraries.values()), tuple(pairs), contrast)


def _background(
    plan: Plan, study: Study, free: dict[str, IntArray]
) -> tuple[pd.DataFrame, CircleBackground]:
    """Estimate the background of pairs and genes from fragments without m6A, by condition."""
    names = [gene.gene_id for gene in plan.genes]
    rows, genes = [], []
    for condition in plan.parameters.conditions:
        pairs = [pair for pair in study.pairs if pair.condition == condition]
        ip, inputs = (
            np.stack([free[library.name] for library in chosen], axis=1)
            for chosen in ([pair.ip for pair in pairs], [pair.input for pair in pairs])
        )
        log_ratio = np.log(ip.sum(axis=0) / inputs.sum(axis=0))
        known = np.ones(len(names), dtype=bool)
        ratios, deviations = gene_ratios(ip, ip + inputs, log_ratio, 1.0, known)
        for column, pair in enumerate(pairs):
            ip_name, ratio = pair.ip.name, float(log_ratio[column])
            rows.append(
                dict(zip(BACKGROUND.columns, (ip_name, pair.input.name, ratio), strict=True))
            )
            genes.append((None, ip_name, ratio, deviations.prior))
            genes += [
                (name, ip_name, *values)
                for name, *values in zip(names, ratios[:, column], deviations.error, strict=True)
            ]
    table = GENE_BACKGROUND.frame(pd.DataFrame(genes, columns=list(GENE_BACKGROUND.columns)))
    hosts = {
        name: names[circle.gene] if circle.gene >= 0 and circle.kind not in _WITHOUT_HOST else None
        for name, circle in zip(plan.circle_names, plan.circles, strict=True)
    }
    of_circles = CircleBackground.of_genes(table, pd.Series(hosts, dtype="string"))
    return BACKGROUND.frame(rows), of_circles

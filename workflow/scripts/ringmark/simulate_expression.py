"""Abundances of a simulated study: conditions, samples, libraries and what differs between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ringmark.simulate_molecules import CHIMERA, CIRCULAR, LINEAR, PREMRNA, RETRO, Pool, Site
from ringmark.simulate_parameters import SimulationParameters
from ringmark.simulate_random import FloatArray, Stream

#: How much rarer a low-coverage circle is.
_RARER = 15.0


@dataclass(frozen=True)
class Library:
    """A library to sequence.

    Attributes
    ----------
    sample_number
        Column of the sample in the arrays of `Expression`.
    fragments
        Number of fragments to sequence.
    background, efficiency
        Chance to pull down an unmethylated fragment, and the fragment of a methylated site;
        both 1 and 0 for an input.
    """

    name: str
    number: int
    sample: str
    sample_number: int
    condition: str
    assay: str
    layout: str
    batch: str
    fragments: int
    background: float
    efficiency: float


@dataclass(frozen=True)
class Expression:
    """Abundance of everything in every sample.

    Attributes
    ----------
    gene_baseline, circle_baseline
        Abundance between the conditions (geometric mean), in molecules of an arbitrary unit.
    gene_changes, circle_changes
        Planted log2 fold changes, test over reference.
    genes, circles
        Abundance in each sample, shape (genes or circles, samples).
    gene_background
        Factor on the IP's background of each gene, shape (genes,).
    stoichiometry
        Of each site in each sample, shape (sites, samples).
    """

    gene_baseline: FloatArray
    circle_baseline: FloatArray
    gene_changes: FloatArray
    circle_changes: FloatArray
    genes: FloatArray
    circles: FloatArray
    gene_background: FloatArray
    stoichiometry: FloatArray


def plan_libraries(parameters: SimulationParameters) -> list[Library]:
    """Return the libraries in order of the sheet: of each sample the input, then the IP."""
    stream = Stream(parameters.seed, 5)
    assays = ("input", "ip") if parameters.ip else ("input",)
    libraries: list[Library] = []
    failed = parameters.failed_ips
    for sample_number in range(2 * parameters.replicates):
        which, replicate = divmod(sample_number, parameters.replicates)
        condition = parameters.conditions[which]
        sample = f"{condition}_{replicate + 1}"
        for assay in assays:
            depth, spread, ease = stream.normal(3).tolist()
            background, efficiency = 1.0, 0.0
            if assay == "ip":
                background = parameters.ip_background
                background *= float(np.exp(parameters.ip_background_spread * spread))
                efficiency = float(np.clip(parameters.ip_efficiency * (1 + 0.06 * ease), 0, 1))
                if failed > 0:
                    failed, efficiency = failed - 1, 0.0
            libraries.append(
                Library(
                    f"{sample}_{assay}",
                    len(libraries),
                    sample,
                    sample_number,
                    condition,
                    assay,
                    _layout(assay, parameters.layout),
                    _batch(which, replicate, parameters),
                    max(int(parameters.read_pairs * np.exp(parameters.depth_spread * depth)), 1),
                    min(background, 1.0),
                    efficiency,
                )
            )
    return libraries


def _layout(assay: str, layout: str) -> str:
    """Return a library's layout; of a mixed study the inputs are single-end, the IPs paired."""
    if layout == "mixed":
        return "paired" if assay == "ip" else "single"
    return layout


def _batch(which: int, replicate: int, parameters: SimulationParameters) -> str:
    """Return a sample's batch: balanced, or following the condition in all but one sample."""
    if parameters.confounded_batches:
        other = replicate == parameters.replicates - 1
        return f"batch{(which + other) % 2 + 1}"
    return f"batch{replicate % 2 + 1}"


def _changes(size: int, count: int, parameters: SimulationParameters, stream: Stream) -> FloatArray:
    """Return planted log2 fold changes, up and down in turn, zero for most."""
    changes = np.zeros(size)
    chosen = stream.permutation(size)[:count]
    sizes = stream.uniform(
        len(chosen), parameters.log2_fold_change_min, parameters.log2_fold_change_max
    )
    changes[chosen] = np.round(np.where(np.arange(len(chosen)) % 2 == 0, sizes, -sizes), 3)
    return changes


def _per_sample(
    baseline: FloatArray, changes: FloatArray, parameters: SimulationParameters, stream: Stream
) -> FloatArray:
    """Return abundances with planted changes, biological variance and batches; by sample."""
    columns = []
    shift = parameters.batch_effect * stream.normal(len(baseline))
    for number in range(2 * parameters.replicates):
        which, replicate = divmod(number, parameters.replicates)
        sign = 0.5 if which == 0 else -0.5
        outlier = number < parameters.outlier_samples
        dispersion = parameters.dispersion * (10 if outlier else 1)
        factor = stream.gamma_factor(len(baseline), dispersion)
        batch = 0.5 if _batch(which, replicate, parameters) == "batch1" else -0.5
        columns.append(baseline * 2 ** (sign * changes) * factor * np.exp(batch * shift))
    return np.column_stack(columns)


def _stoichiometry(sites: list[Site], parameters: SimulationParameters) -> FloatArray:
    """Return each site's stoichiometry in each sample, with noise on the logit."""
    stream = Stream(parameters.seed, 7)
    levels = np.array([site.stoichiometry for site in sites]).reshape(-1, 2)
    columns = []
    for number in range(2 * parameters.replicates):
        level = np.clip(levels[:, number // parameters.replicates], 1e-9, 1 - 1e-9)
        logit = np.log(level / (1 - level)) + parameters.site_noise * stream.normal(len(level))
        columns.append(1 / (1 + np.exp(-logit)))
    return np.column_stack(columns)


def simulate_expression(
    genes: int, circles: int, sites: list[Site], parameters: SimulationParameters
) -> Expression:
    """Draw the abundance of ``genes`` genes and ``circles`` circles in every sample.

    Circles are drawn independently of their hosts, both in abundance and in change.
    """
    stream = Stream(parameters.seed, 6)
    gene_baseline = stream.lognormal(genes, 1.0, parameters.gene_spread)
    circle_baseline = stream.lognormal(circles, 1.0, parameters.circle_spread)
    rare = stream.permutation(circles)[: round(parameters.low_coverage_fraction * circles)]
    circle_baseline[rare] /= _RARER
    gene_changes = _changes(genes, parameters.differential_genes, parameters, stream)
    common = np.setdiff1d(np.arange(circles), rare)
    circle_changes = np.zeros(circles)
    circle_changes[common] = _changes(
        len(common), parameters.differential_circles, parameters, stream
    )
    return Expression(
        gene_baseline,
        circle_baseline,
        gene_changes,
        circle_changes,
        _per_sample(gene_baseline, gene_changes, parameters, stream),
        _per_sample(circle_baseline, circle_changes, parameters, stream),
        stream.lognormal(genes, 1.0, parameters.gene_background_spread),
        _stoichiometry(sites, parameters),
    )


def _class_fractions(pool: Pool, parameters: SimulationParameters) -> dict[int, float]:
    """Return the share of fragments from each kind of molecule that there is."""
    wanted = {
        CIRCULAR: parameters.circle_fraction,
        PREMRNA: parameters.premrna_fraction,
        RETRO: parameters.retro_fraction,
        CHIMERA: parameters.chimera_fraction,
    }
    present = {kind: share for kind, share in wanted.items() if (pool.kinds == kind).any()}
    return {LINEAR: max(1 - sum(present.values()), 0.0), **present}


def molecule_weights(
    pool: Pool, expression: Expression, library: Library, parameters: SimulationParameters
) -> FloatArray:
    """Return how many fragments each kind of molecule gives in a library, relative to others.

    A molecule gives fragments in proportion to its abundance and length. Kinds are scaled to
    their shares at baseline abundance, so that changes between samples remain.

    Returns
    -------
    numpy.ndarray
        Shape (molecules,).
    """
    baseline = pool.shares * pool.lengths
    sampled = baseline.copy()
    circular = pool.kinds == CIRCULAR
    hosted = np.isin(pool.kinds, (LINEAR, PREMRNA, CHIMERA))
    for chosen, owner, average, samples in (
        (circular, pool.circles, expression.circle_baseline, expression.circles),
        (hosted, pool.genes, expression.gene_baseline, expression.genes),
    ):
        baseline[chosen] *= average[owner[chosen]]
        sampled[chosen] *= samples[owner[chosen], library.sample_number]
    # Template switching happens in the tube: most chimeras arise in every fourth library only.
    arises = Stream(parameters.seed, 8).integers(-12, 48, len(pool.kinds))
    elsewhere = (arises >= 0) & (arises % 4 != library.number % 4)
    sampled[(pool.kinds == CHIMERA) & elsewhere] = 0
    for kind, share in _class_fractions(pool, parameters).items():
        total = baseline[pool.kinds == kind].sum()
        sampled[pool.kinds == kind] *= share / total if total > 0 else 0
    return sampled

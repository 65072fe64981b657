"""Assess how well each immunoprecipitation worked, and say so in one word with its reason.

Peaks are those in exons; peaks in introns, if there are any, are left out. For each pair of IP and
input:

enrichment
    Fragments of the IP in the peaks of the study, over what background leads to expect of the
    input's fragments there (one fragment added to both).
ip_fraction_in_peaks
    Share of the IP's coverage of genes that lies in the peaks of the study.
drach_rate_summits, drach_rate_background, drach_odds_ratio, drach_pvalue
    Share of the summits of this pair's own peaks that have the adenosine of a DRACH motif within
    `DRACH_WINDOW` nucleotides; the same of places drawn from the same genes, where bins are covered
    well enough to be tested but outside of the peaks, `PLACES_A_PEAK` for each peak; odds ratio
    (0.5 added to each count) and one-sided Fisher test. Own peaks are called from the counts of
    this pair alone, on the background ratios that all pairs of the condition give.
stop_codon_enrichment
    Share of the own summits near a stop codon over the share of those places.
replicate_jaccard
    Nucleotides in own peaks of this pair and of another one of the condition, over those in peaks
    of either; mean over the other pairs that have own peaks.
closest_input
    The input of the study that the IP belongs to by the background of its genes
    (``ringmark.pairing``): its own, or another one; missing where this cannot be told.

Verdict
-------
``failed``: IP or input has no fragment in genes (its enrichment is missing), nothing was pulled
down (enrichment below `FAILED_ENRICHMENT`, or `ENOUGH_PEAKS` own peaks and more without more DRACH
than background), IP and input are swapped, or the input is that of another sample: the background
of the IP follows another input. Beside other pairs a swap shows in the enrichment: below 1. In a
study of one pair it shows in this: m6A raises few places far above the background, so that more of
the IP stands out of its input than of the input stands out of the IP, each judged against the
background ratio found in that direction (not judged below `JUDGED_FRAGMENTS` fragments in genes).

``weak``: enrichment below `GOOD_ENRICHMENT`, DRACH odds ratio below `GOOD_ODDS_RATIO`, fewer than
`ENOUGH_PEAKS` own peaks, no replicate with which it shares `GOOD_JACCARD`, or genes that scatter as
between two samples though no other input fits better. Else ``good``. The reason also says where it
cannot be told whose input it is.

Saturation
----------
The peaks of each condition at parts of its fragments (``ringmark.saturation``). These and own peaks
have to pass the thresholds given, which should be those that the peaks of the study passed.

All that is random is drawn from fixed seeds.

References
----------
Dominissini et al. 2012, Nature 485:201, and Meyer et al. 2012, Cell 149:1635 (the motif, and m6A
near stop codons); McIntyre et al. 2020, Scientific Reports 10:6590 (how few peaks replicates and
studies share).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import fisher_exact

from call_peaks import (
    add_study_options,
    add_threshold_options,
    bin_paths,
    check_contigs,
    check_thresholds,
    conditions_of,
    in_exons,
    read_pairs,
    sequence_reader,
)
from count_bins import layout_of
from ringmark.bins import BinLayout
from ringmark.errors import InputError, program
from ringmark.pairing import InputMatch, match_inputs
from ringmark.peaks import (
    Condition,
    Genome,
    PairCoverage,
    Peak,
    Thresholds,
    call_peaks,
    gene_sequence,
    near_stop_codon,
    peak_counts,
    prepare_condition,
    single_pair,
)
from ringmark.saturation import saturation
from ringmark.sequence import drach_positions
from ringmark.tables import PEAKS, QUALITY, SATURATION, read_background

#: A DRACH motif belongs to a summit up to this distance, spliced nucleotides.
DRACH_WINDOW = 15
#: Background places drawn for each peak.
PLACES_A_PEAK = 20
#: Enrichment below which nothing was pulled down, and from which the IP is good.
FAILED_ENRICHMENT, GOOD_ENRICHMENT = 1.5, 2.5
#: DRACH odds ratio from which the IP is good.
GOOD_ODDS_RATIO = 1.5
#: Jaccard index of the peaks of replicates from which the IP is good.
GOOD_JACCARD = 0.2
#: Own peaks that are enough to judge their motifs.
ENOUGH_PEAKS = 10
#: Fragments in genes of IP and input from which it is judged whether they are swapped.
JUDGED_FRAGMENTS = 1000

_STANDS_OUT = 2.0
#: Share of a library that chance makes stand out.
_LITTLE = 0.02
_SEED = 20_120


@dataclass(frozen=True)
class Motifs:
    """How often summits and background places have a DRACH motif, and lie at a stop codon.

    Attributes
    ----------
    summits, places
        Number of each.
    summits_with, places_with
        Number of each with a motif.
    summits_at_stop, places_at_stop
        Number of each near a stop codon.
    known
        Whether there is a genome to find motifs in.
    """

    summits: int = 0
    places: int = 0
    summits_with: int = 0
    places_with: int = 0
    summits_at_stop: int = 0
    places_at_stop: int = 0
    known: bool = True

    @property
    def odds_ratio(self) -> float:
        """Odds of a motif at a summit over those at a background place."""
        if not (self.known and self.summits and self.places):
            return float("nan")
        inside = (self.summits_with + 0.5) / (self.summits - self.summits_with + 0.5)
        return inside / ((self.places_with + 0.5) / (self.places - self.places_with + 0.5))

    @property
    def pvalue(self) -> float:
        """One-sided Fisher test of more motifs at summits."""
        if not (self.known and self.summits and self.places):
            return float("nan")
        rows = [
            [self.summits_with, self.summits - self.summits_with],
            [self.places_with, self.places - self.places_with],
        ]
        return float(fisher_exact(rows, alternative="greater")[1])


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    command = argparse.ArgumentParser(description="Assess how well each IP worked.")
    add_study_options(command)
    command.add_argument("--genome", type=Path, help="FASTA, for DRACH motifs; NA without it")
    add_threshold_options(command)
    command.add_argument("--peaks", type=Path, required=True, help="peaks of the study")
    command.add_argument("--background", type=Path, required=True, help="log ratio of each pair")
    command.add_argument("--output", type=Path, required=True, help="table of quality")
    command.add_argument("--saturation", type=Path, help="table of peaks at less depth, if wanted")
    return command


def study_peaks(table: pd.DataFrame, layout: BinLayout) -> list[Peak]:
    """Return the peaks of a table in spliced coordinates.

    Raises
    ------
    InputError
        If a gene is not in the annotation.
    """
    index = {gene.gene_id: number for number, gene in enumerate(layout.genes)}
    missing = sorted(set(table["gene_id"]) - set(index))
    if missing:
        raise InputError(
            f"--peaks: gene {missing[0]} is not in the annotation",
            "give the annotation that the peaks were called with",
        )
    found = []
    for row in table.itertuples(index=False):
        gene = index[str(row.gene_id)]
        places = layout.genes[gene].union.to_spliced(np.array([row.start, row.end - 1, row.summit]))
        first, last = sorted(places[:2].tolist())
        found.append(Peak(gene, first, last + 1, int(places[2]), 0.0))
    return found


def enrichment_in(
    peaks: Sequence[Peak], pair: PairCoverage, log_ratio: float, layout: BinLayout
) -> tuple[float, float]:
    """Return the enrichment of an IP in peaks, and the share of its coverage inside them."""
    if not peaks or not pair.ip.counted:
        return float("nan"), 0.0
    ip, control = (peak_counts(peaks, item, layout).sum() for item in (pair.ip, pair.input))
    depth = pair.ip.steps()
    inside = depth[covered_steps(peaks, layout)].sum()
    enrichment = (ip + 1) / (control * np.exp(log_ratio) + 1)
    return enrichment if pair.input.counted else np.nan, float(inside / max(depth.sum(), 1))


def covered_steps(peaks: Sequence[Peak], layout: BinLayout) -> npt.NDArray[np.bool_]:
    """Return which steps of all genes lie in a peak."""
    inside = np.zeros(layout.steps, dtype=bool)
    for peak in peaks:
        offset = layout.step_offsets[peak.gene]
        inside[offset + peak.start // layout.step : offset + -(-peak.end // layout.step)] = True
    return inside


def jaccard(first: Sequence[Peak], second: Sequence[Peak], layout: BinLayout) -> float:
    """Return the nucleotides in both sets of peaks over those in either."""
    one, other = covered_steps(first, layout), covered_steps(second, layout)
    return float((one & other).sum() / max(int((one | other).sum()), 1))


def background_places(
    peaks: Sequence[Peak], alone: Condition, layout: BinLayout, generator: np.random.Generator
) -> list[tuple[int, int]]:
    """Draw places as (gene, spliced position) from the genes of peaks, outside of the peaks."""
    first, end = layout.bin_steps
    inside = np.concatenate([[0], np.cumsum(covered_steps(peaks, layout))])
    free = alone.tests.tested & (inside[end] == inside[first])
    places = []
    for peak in peaks:
        bins = slice(*layout.bin_offsets[peak.gene : peak.gene + 2])
        choice = np.flatnonzero(free[bins])
        if not len(choice):
            continue
        drawn = generator.choice(choice, PLACES_A_PEAK) * layout.width
        drawn += generator.integers(0, layout.width, PLACES_A_PEAK)
        last = int(layout.lengths[peak.gene]) - 1
        places += [(peak.gene, min(int(place), last)) for place in drawn]
    return places


def count_motifs(
    peaks: Sequence[Peak],
    places: Sequence[tuple[int, int]],
    layout: BinLayout,
    genome: Genome | None,
) -> Motifs:
    """Count motifs and stop codons at summits and at background places."""
    looked_at = [*((peak.gene, peak.summit) for peak in peaks), *places]
    genes, where = np.array(looked_at, dtype=np.int64).reshape(-1, 2).T
    with_motif, at_stop = np.zeros((2, len(genes)), dtype=bool)
    for gene in np.unique(genes).tolist():
        record, own = layout.genes[gene], np.flatnonzero(genes == gene)
        at_stop[own] = near_stop_codon(record, record.union.to_genome(where[own]))
        if genome is not None:
            motifs = drach_positions(gene_sequence(record, genome))
            first = np.searchsorted(motifs, where[own] - DRACH_WINDOW)
            last = np.searchsorted(motifs, where[own] + DRACH_WINDOW, side="right")
            with_motif[own] = last > first
    summits = len(peaks)
    return Motifs(
        summits,
        len(places),
        int(with_motif[:summits].sum()),
        int(with_motif[summits:].sum()),
        int(at_stop[:summits].sum()),
        int(at_stop[summits:].sum()),
        known=genome is not None,
    )


def standing_out(alone: Condition) -> float:
    """Return the share of the first library's counts that stand out of the background.

    That is the excess over background of the bins that are `_STANDS_OUT` standard deviations up.
    """
    ip, control = alone.ip[:, 0], alone.input[:, 0]
    expected = control * np.exp(alone.background.log_ratio[0])
    high = alone.tests.statistic > _STANDS_OUT
    return float((ip - expected)[high].clip(0).sum() / max(ip.sum(), 1))


def swapped(
    pair: PairCoverage, alone: Condition, layout: BinLayout, thresholds: Thresholds
) -> bool:
    """Return whether more of the input stands out of the IP than of the IP out of the input."""
    if min(pair.ip.counted, pair.input.counted) < JUDGED_FRAGMENTS:
        return False
    turned = replace(pair, ip=pair.input, input=pair.ip)
    other = prepare_condition(alone.name, [turned], layout, thresholds)
    return standing_out(other) > max(standing_out(alone), _LITTLE)


def verdict(
    enrichment: float,
    own: int,
    motifs: Motifs,
    best_jaccard: float,
    turned: bool,
    match: InputMatch,
) -> tuple[str, str]:
    """Return the verdict on a pair and its reason.

    Parameters
    ----------
    enrichment
        Of the IP in the peaks of the study.
    own
        Number of peaks called from this pair alone.
    best_jaccard
        Jaccard index with the replicate that is most alike; NaN without any.
    turned
        Whether IP and input look swapped.
    match
        Which input the IP belongs to.
    """
    odds = motifs.odds_ratio
    failed, weak = [], []
    if turned:
        failed.append("the input stands out of the IP and not the other way: are they swapped?")
    if match.foreign:
        failed.append(
            f"the IP's background follows {match.closest}, not its own input: "
            "is that of another sample?"
        )
    if match.strange:
        weak.append(
            f"genes' background varies {np.exp(match.scatter):.2g}-fold between IP and input, "
            f"{np.exp(match.usual):.2g}-fold in other pairs: is one of another sample?"
        )
    if own < ENOUGH_PEAKS:
        weak.append(f"{own or 'no'} peak{'s' * (own != 1)} in this pair alone")
    if not enrichment >= FAILED_ENRICHMENT:
        failed.append(
            "the study has no peak"
            if np.isnan(enrichment)
            else f"IP over input {enrichment:.2g}-fold in peaks"
        )
    elif enrichment < GOOD_ENRICHMENT:
        weak.append(f"IP over input {enrichment:.2g}-fold in peaks")
    if own >= ENOUGH_PEAKS and odds <= 1:
        failed.append(f"DRACH at summits no more than background, odds ratio {odds:.2g}")
    elif odds < GOOD_ODDS_RATIO:
        weak.append(f"DRACH odds ratio {odds:.2g}")
    if best_jaccard < GOOD_JACCARD:
        weak.append(f"Jaccard index with replicates up to {best_jaccard:.2g}")
    known = turned or match.strange or match.closest
    note = [] if known else ["whether the input is its own cannot be told"]
    if failed:
        return "failed", "; ".join(failed + note)
    if weak:
        return "weak", "; ".join(weak + note)
    motif = f"DRACH odds ratio {odds:.2g}" if motifs.known else "no genome to find DRACH in"
    return "good", "; ".join([f"IP over input {enrichment:.2g}-fold in peaks, {motif}", *note])


@dataclass(frozen=True)
class Judged:
    """What the study says of a pair.

    Attributes
    ----------
    enrichment, fraction
        Of the IP in the peaks of the study, and the share of its coverage in them.
    turned
        Whether IP and input look swapped.
    match
        Which input the IP belongs to.
    """

    enrichment: float
    fraction: float
    turned: bool
    match: InputMatch


def judge_pairs(
    conditions: Sequence[Condition],
    alone: Mapping[str, Condition],
    peaks: Sequence[Peak],
    ratios: Mapping[str, float],
    layout: BinLayout,
    thresholds: Thresholds,
) -> dict[str, Judged]:
    """Hold each pair against the peaks and the other pairs of the study; by IP library."""
    pairs = [pair for condition in conditions for pair in condition.pairs]
    found = {}
    for pair in pairs:
        name = pair.ip_library
        enrichment, fraction = enrichment_in(peaks, pair, ratios[name], layout)
        if len(pairs) > 1:
            turned = enrichment < 1
        else:
            turned = swapped(pair, alone[name], layout, thresholds)
        found[name] = (enrichment, fraction, bool(turned))
    swaps = [name for name, (_, _, turned) in found.items() if turned]
    matches = match_inputs(conditions, layout, swaps)
    return {name: Judged(*values, matches[name]) for name, values in found.items()}


def quality_row(
    pair: PairCoverage,
    alone: Condition,
    own: Mapping[str, Sequence[Peak]],
    others: Sequence[PairCoverage],
    judged: Judged,
    layout: BinLayout,
    genome: Genome | None,
) -> dict[str, object]:
    """Return the row of one pair.

    Parameters
    ----------
    alone
        The pair as a condition of its own.
    own
        Peaks of each pair alone, by IP library.
    others
        Other pairs of the study.
    judged
        What the study says of the pair.
    """
    peaks = own[pair.ip_library]
    generator = np.random.default_rng(_SEED)
    motifs = count_motifs(peaks, background_places(peaks, alone, layout, generator), layout, genome)
    replicates = [own[item.ip_library] for item in others if item.condition == pair.condition]
    shared = [jaccard(peaks, other, layout) for other in replicates if other and peaks]
    stops = (
        share(motifs.summits_at_stop, motifs.summits),
        share(motifs.places_at_stop, motifs.places),
    )
    row = {
        "enrichment": judged.enrichment,
        "ip_fraction_in_peaks": judged.fraction,
        "drach_rate_summits": share(motifs.summits_with, motifs.known * motifs.summits),
        "drach_rate_background": share(motifs.places_with, motifs.known * motifs.places),
        "drach_odds_ratio": motifs.odds_ratio,
        "drach_pvalue": motifs.pvalue,
        "stop_codon_enrichment": stops[0] / stops[1] if stops[1] else float("nan"),
        "replicate_jaccard": float(np.mean(shared)) if shared else float("nan"),
        "closest_input": judged.match.closest,
    }
    word, reason = verdict(
        judged.enrichment,
        len(peaks),
        motifs,
        max(shared, default=float("nan")),
        judged.turned,
        judged.match,
    )
    empty = [name for name, part in (("IP", pair.ip), ("input", pair.input)) if not part.counted]
    if empty:
        word, reason = "failed", f"no fragment in genes: {' and '.join(empty)}"
    names = {
        "sample": pair.sample,
        "condition": pair.condition,
        "ip_library": pair.ip_library,
        "input_library": pair.input_library,
    }
    return {**names, **row, "verdict": word, "reason": reason}


def share(part: int, whole: int) -> float:
    """Return a proportion; NaN of nothing."""
    return part / whole if whole else float("nan")


def assess(
    pairs: Sequence[PairCoverage],
    conditions: Sequence[Condition],
    peaks: Sequence[Peak],
    ratios: Mapping[str, float],
    layout: BinLayout,
    thresholds: Thresholds,
    genome: Genome | None,
) -> pd.DataFrame:
    """Return the table of quality, one row a pair, in the order of the pairs.

    Parameters
    ----------
    conditions
        The same pairs by condition.
    peaks
        Of the study.
    ratios
        Log ratio of each pair on background, by IP library.
    thresholds
        That own peaks have to pass.
    """
    alone = {
        pair.ip_library: single_pair(condition, index, layout, thresholds)
        for condition in conditions
        for index, pair in enumerate(condition.pairs)
    }
    own = {name: call_peaks([single], layout, thresholds) for name, single in alone.items()}
    judged = judge_pairs(conditions, alone, peaks, ratios, layout, thresholds)
    rows = []
    for pair in pairs:
        name = pair.ip_library
        others = [other for other in pairs if other.ip_library != name]
        rows.append(quality_row(pair, alone[name], own, others, judged[name], layout, genome))
    return QUALITY.frame(rows)


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Run the program."""
    options = parser().parse_args(argv)
    thresholds = check_thresholds(options)
    layout = layout_of(options.annotation, options.bin_width)
    pairs = read_pairs(options.pair, bin_paths(options.bins), layout)
    ratios = read_background(options.background, [pair.ip_library for pair in pairs])
    peaks = study_peaks(in_exons(PEAKS.read(options.peaks)), layout)
    with sequence_reader(options.genome) as genome:
        check_contigs({gene.chrom for gene in layout.genes}, genome)
        conditions = conditions_of(pairs, layout, thresholds)
        table = assess(pairs, conditions, peaks, ratios, layout, thresholds, genome)
    QUALITY.write(table, options.output)
    if options.saturation:
        rows = [row for item in conditions for row in saturation(item, layout, thresholds)]
        SATURATION.write(rows, options.saturation)


if __name__ == "__main__":
    sys.exit(main())

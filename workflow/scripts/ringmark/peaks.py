r"""m6A peaks: where immunoprecipitated fragments outnumber what the input leads to expect.

The model
---------
In pair ``p`` (an IP and its input) a bin ``b`` of gene ``g`` is overlapped by ``y`` fragments of
the IP and ``x`` of the input. Given ``n = x + y``, ``y`` is beta-binomial with

    logit(mean) = a[p, g] + beta[b],    variance n m (1 - m) (1 + (n - 1) rho)

``a`` is the log ratio of IP over input on background (``ringmark.background``), ``beta`` the log
enrichment, and ``rho`` the over-dispersion. The null is ``beta = 0``: not a ratio of 1, and not the
ratio of the libraries' totals, of which peaks are a part.

Test
----
The signed root of the likelihood ratio of ``beta = 0``, one-sided, over all pairs of a condition. A
bin without input is tested like any other. IPs that share an input are no independent pairs: their
fragments are summed, over the one input, with the sum of their ratios on background. What deviates
in all replicates alike (the affinity of a stretch of RNA) does not average out over them; its
variance ``s^2`` is such that the lower half of the statistics, which peaks do not reach, has mean
square 1, and the statistic of a bin with information ``I`` is divided by ``sqrt(1 + s^2 I)``. The
conditions of a study have one ``s``, since the RNA and the antibody are the same in each.

Peaks
-----
Genes with a bin of `CANDIDATE_PVALUE` are searched for summits (``ringmark.summits``). The p-value
of a peak is that of the bin of its summit, given what its neighbours contribute there.

False discovery
---------------
Each tested bin is a hypothesis, but a peak is one discovery: Benjamini-Hochberg over the bins
tested in all conditions, with peaks as discoveries. Neighbouring bins share fragments, so that a
false peak is several false bins, which makes this conservative.

Introns
-------
Where introns are searched too (``ringmark.bins``), all of the above is done for them apart: ratios
on background, over-dispersion, ``s`` and false discovery rate are those of introns, and the peaks
of exons are what they are without. Of introns without a bin that could be tested nothing is used.

One list for the study
----------------------
Peaks of two conditions are the same if the summit of one lies in the other, up to half a fragment's
length away; interval and summit of the stronger one stay. A condition supports a peak if it was
called there, or if its own test of that place has an adjusted p-value (over the peaks of the list)
and an enrichment that pass; a sample, if its pair alone has the enrichment and a p-value below
`SAMPLE_PVALUE`. A peak that overlapping genes share is kept in the gene in which it is strongest;
that holds for genes on opposite strands too where a library does not tell strands apart.

Related models: exomePeak (Meng 2014, Methods 69:274), MeTPeak (Cui 2016, Bioinformatics 32:i378),
RADAR (Zhang 2019, Genome Biology 20:294); peaks as discoveries: Schwartzman 2011 (Annals of
Statistics 39:3290); a null fitted to the unaffected part of the statistics: Efron 2004 (Journal of
the American Statistical Association 99:96).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from ringmark.annotation import Gene, Intron, Transcript
from ringmark.background import (
    Background,
    background_dispersion,
    estimate_background,
    independent,
    signed_root,
)
from ringmark.bins import BinLayout, Coverage
from ringmark.intervals import IntArray
from ringmark.multiple_testing import adjust
from ringmark.sequence import drach_positions, reverse_complement
from ringmark.summits import (
    find_extents,
    fragment_length,
    make_profile,
    site_shape,
    transcript_places,
)

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: A gene is searched for peaks if one of its bins has at most this p-value.
CANDIDATE_PVALUE = 0.005
#: A pair supports a peak if its own p-value is below this.
SAMPLE_PVALUE = 0.05
#: Summits within this distance of the stop codon, in spliced nucleotides, are in its region.
STOP_CODON_DISTANCE = 100


@dataclass(frozen=True)
class Thresholds:
    """What a peak has to pass.

    Attributes
    ----------
    fdr
        Largest adjusted p-value.
    min_log2_enrichment
        Smallest log2 ratio of IP over what is expected of background, at the summit.
    min_fragments
        Bins with fewer fragments, IP and input of all pairs together, are not tested.
    """

    fdr: float = 0.05
    min_log2_enrichment: float = 1.0
    min_fragments: int = 10


@dataclass(frozen=True)
class PairCoverage:
    """Coverage of an IP and of its input."""

    sample: str
    condition: str
    ip_library: str
    input_library: str
    ip: Coverage
    input: Coverage


@dataclass(frozen=True)
class BinTests:
    """Tests of all bins of a condition, arrays of shape (bins,).

    Attributes
    ----------
    tested
        Bins with enough fragments.
    root
        Signed root of the likelihood ratio, not calibrated; 0 where not tested.
    information
        On the log odds; 0 where not tested.
    spread
        Variance, on the log scale, of what deviates in all replicates alike.
    """

    tested: Mask
    root: Array
    information: Array
    spread: float

    @cached_property
    def statistic(self) -> Array:
        """Signed root of the likelihood ratio, calibrated; 0 where not tested."""
        return self.root / np.sqrt(1 + self.spread * self.information)

    @cached_property
    def pvalue(self) -> Array:
        """One-sided p-value; 1 where not tested."""
        return np.where(self.tested, ndtr(-self.statistic), 1.0)


@dataclass(frozen=True)
class Peak:
    """A peak in spliced coordinates of a gene.

    Attributes
    ----------
    gene
        Index of the gene in the layout.
    start, end, summit
        Spliced nucleotides from the 5' end; half-open.
    shadow
        Log ratio by which neighbouring peaks raise the IP at the summit, 0 for a lone peak.
    log2_enrichment, pvalue, padj
        At the summit.
    conditions
        Names of the conditions that support it.
    samples
        Number of pairs that support it.
    """

    gene: int
    start: int
    end: int
    summit: int
    shadow: float
    log2_enrichment: float = 0.0
    pvalue: float = 1.0
    padj: float = 1.0
    conditions: tuple[str, ...] = ()
    samples: int = 0


@dataclass(frozen=True)
class Condition:
    """One condition: its pairs, their counts by bin, background and tests."""

    name: str
    pairs: tuple[PairCoverage, ...]
    ip: IntArray = field(repr=False)
    input: IntArray = field(repr=False)
    background: Background = field(repr=False)
    tests: BinTests = field(repr=False)

    @property
    def shared(self) -> list[list[int]]:
        """Pairs grouped by their input."""
        return group_by_input(self.pairs)


def group_by_input(pairs: Sequence[PairCoverage]) -> list[list[int]]:
    """Return the numbers of the pairs that have the same input, in order of appearance."""
    groups: dict[str, list[int]] = {}
    for index, pair in enumerate(pairs):
        groups.setdefault(pair.input_library, []).append(index)
    return list(groups.values())


class Genome(Protocol):
    """What is needed of a FASTA file, for example of ``pysam.FastaFile``."""

    def fetch(self, reference: str, start: int, end: int) -> str:
        """Return the sequence of a 0-based, half-open interval."""


def score_bins(
    ip: IntArray,
    inputs: IntArray,
    background: Background,
    layout: BinLayout,
    min_fragments: int,
    shared: Sequence[Sequence[int]],
) -> BinTests:
    """Test all bins of a condition for more IP than background.

    Parameters
    ----------
    ip, inputs
        Fragments of each bin in each pair, shape (bins, pairs).
    min_fragments
        Bins with fewer fragments in all pairs together are not tested.
    shared
        Pairs grouped by their input, as numbers of columns.
    """
    tested = (ip + inputs).sum(axis=1) >= max(min_fragments, 1)
    offset = background.gene_log_ratio[layout.pool_of_bin[tested]]
    own_ip, own_inputs, offset = independent(ip[tested], inputs[tested], offset, shared)
    root, information = signed_root(own_ip, own_ip + own_inputs, offset, background.dispersion)
    all_roots, all_information = np.zeros(layout.bins), np.zeros(layout.bins)
    all_roots[tested], all_information[tested] = root, information
    return BinTests(tested, all_roots, all_information, _shared_spread(root, information))


def _shared_spread(root: Array, information: Array) -> float:
    """Return the variance that makes the mean square of the negative statistics 1."""
    below = (root < 0) & (information > 1)
    if below.sum() < 50:
        return 0.0
    squared, size = root[below] ** 2, information[below]
    low, high = 0.0, 2.0
    if squared.mean() <= 1:
        return 0.0
    for _ in range(40):
        middle = (low + high) / 2
        if (squared / (1 + middle * size)).mean() > 1:
            low = middle
        else:
            high = middle
    return high


def with_common_spread(conditions: Sequence[Condition]) -> list[Condition]:
    """Return conditions with the one spread that the bins of all of them show.

    The affinity of a stretch of RNA is the same in each; a condition with few bins cannot tell it.
    """
    if not conditions:
        return []
    spread = _shared_spread(
        np.concatenate([item.tests.root for item in conditions]),
        np.concatenate([item.tests.information for item in conditions]),
    )
    return [replace(item, tests=replace(item.tests, spread=spread)) for item in conditions]


def find_candidates(condition: Condition, layout: BinLayout) -> list[Peak]:
    """Return all peaks of a condition that a bin of `CANDIDATE_PVALUE` leads to.

    They are in the order of the layout; p-values and enrichment are those of this condition.
    """
    shape = site_shape([pair.ip for pair in condition.pairs], layout.step)
    promising = condition.tests.pvalue <= CANDIDATE_PVALUE
    ratios = condition.background.gene_log_ratio
    found: list[Peak] = []
    for gene in np.unique(layout.gene_of_bin[promising]).tolist():
        first, last = layout.step_offsets[gene : gene + 2].tolist()
        places = transcript_places(layout.genes[gene], layout.step)
        profile = make_profile(
            [
                (pair.ip.depth(first, last), pair.input.depth(first, last))
                for pair in condition.pairs
            ],
            ratios[layout.pool_of_gene[gene]],
            places,
            shape,
            condition.background.dispersion,
            condition.shared,
        )
        bins = promising[slice(*layout.bin_offsets[gene : gene + 2])]
        searched = np.repeat(bins, layout.width // layout.step)[: len(profile.ip)]
        length, step = int(layout.lengths[gene]), layout.step
        for extent in find_extents(profile, searched):
            summit = min(extent.summit * step + step // 2, length - 1)
            start, end = extent.start * step, min(extent.end * step, length)
            found.append(
                Peak(gene, start, end, summit, extent.shadow, conditions=(condition.name,))
            )
    tests = score_peaks(found, condition, layout)
    return [
        replace(peak, pvalue=float(pvalue), log2_enrichment=float(enrichment))
        for peak, pvalue, enrichment in zip(found, tests.pvalue, tests.log2_enrichment, strict=True)
    ]


def _summit_bins(peaks: Sequence[Peak], layout: BinLayout) -> IntArray:
    genes = np.array([peak.gene for peak in peaks], dtype=np.int64)
    summits = np.array([peak.summit for peak in peaks], dtype=np.int64)
    return layout.bin_offsets[genes] + summits // layout.width


@dataclass(frozen=True)
class PeakTests:
    """Tests of given places in one condition or pair, arrays of shape (peaks,)."""

    pvalue: Array
    log2_enrichment: Array


def score_peaks(
    peaks: Sequence[Peak], condition: Condition, layout: BinLayout, pair: int | None = None
) -> PeakTests:
    """Test the bins of the summits of peaks, in all pairs of a condition or in one of them.

    The enrichment is that of the IP over what background leads to expect of the input, with one
    fragment added to both, and includes what neighbouring peaks contribute; the p-value does not.
    """
    if not peaks:
        return PeakTests(np.empty(0), np.empty(0))
    columns = slice(None) if pair is None else slice(pair, pair + 1)
    rows = _summit_bins(peaks, layout)
    ip, inputs = condition.ip[rows, columns], condition.input[rows, columns]
    offset = condition.background.gene_log_ratio[layout.pool_of_bin[rows], columns]
    expected = (inputs * np.exp(offset)).sum(axis=1)
    enrichment = np.log2((ip.sum(axis=1) + 1) / (expected + 1))
    offset = offset + np.array([peak.shadow for peak in peaks])[:, None]
    shared = condition.shared if pair is None else [[0]]
    ip, inputs, offset = independent(ip, inputs, offset, shared)
    root, information = signed_root(ip, ip + inputs, offset, condition.background.dispersion)
    pvalue = ndtr(-root / np.sqrt(1 + condition.tests.spread * information))
    return PeakTests(pvalue, enrichment)


def prepare_condition(
    name: str, pairs: Sequence[PairCoverage], layout: BinLayout, thresholds: Thresholds
) -> Condition:
    """Count bins, estimate the background and test all bins of a condition.

    Raises
    ------
    ValueError
        If there is no pair.
    """
    if not pairs:
        raise ValueError(f"condition {name} has no pair")
    ip = np.stack([pair.ip.bins(layout) for pair in pairs], axis=1)
    inputs = np.stack([pair.input.bins(layout) for pair in pairs], axis=1)
    length = fragment_length([pair.ip for pair in pairs])
    shared = group_by_input(pairs)
    background = estimate_background(ip, inputs, layout, length, shared)
    tests = score_bins(ip, inputs, background, layout, thresholds.min_fragments, shared)
    return Condition(name, tuple(pairs), ip, inputs, background, tests)


def well_covered(pairs: Sequence[PairCoverage], layout: BinLayout, thresholds: Thresholds) -> Mask:
    """Return which genes have a bin with enough fragments in all pairs together, shape (genes,).

    In the other genes no bin is tested in any condition.
    """
    libraries = [coverage for pair in pairs for coverage in (pair.ip, pair.input)]

    def enough(first: IntArray, end: IntArray) -> Mask:
        fragments = sum((item.overlapping(first, end) for item in libraries), np.zeros_like(first))
        return fragments >= thresholds.min_fragments

    # most introns do not have enough in all their bins together
    some = enough(layout.step_offsets[:-1], layout.step_offsets[1:])
    bins = np.flatnonzero(some[layout.gene_of_bin])
    first, end = layout.bin_steps
    covered = np.zeros(len(layout.genes), dtype=bool)
    covered[layout.gene_of_bin[bins[enough(first[bins], end[bins])]]] = True
    return covered


def recount_condition(
    condition: Condition,
    pairs: Sequence[PairCoverage],
    layout: BinLayout,
    thresholds: Thresholds,
) -> Condition:
    """Return a condition with other coverage of its pairs, tested on the background it has."""
    ip = np.stack([pair.ip.bins(layout) for pair in pairs], axis=1)
    inputs = np.stack([pair.input.bins(layout) for pair in pairs], axis=1)
    background, shared = condition.background, group_by_input(pairs)
    tests = score_bins(ip, inputs, background, layout, thresholds.min_fragments, shared)
    return Condition(condition.name, tuple(pairs), ip, inputs, background, tests)


def single_pair(
    condition: Condition, index: int, layout: BinLayout, thresholds: Thresholds
) -> Condition:
    """Return one pair of a condition as a condition of its own, named after its IP library.

    The ratios on background stay those that all pairs together gave, since one pair alone may have
    too few fragments to tell them; over-dispersion and tests are those of the pair.
    """
    own = slice(index, index + 1)
    ip, inputs = condition.ip[:, own], condition.input[:, own]
    together = condition.background
    ratios = together.gene_log_ratio[:, own]
    dispersion = background_dispersion(
        ip, ip + inputs, ratios[layout.pool_of_bin], together.is_background
    )
    background = replace(
        together, log_ratio=together.log_ratio[own], gene_log_ratio=ratios, dispersion=dispersion
    )
    tests = score_bins(ip, inputs, background, layout, thresholds.min_fragments, [[0]])
    pair = condition.pairs[index]
    return Condition(pair.ip_library, (pair,), ip, inputs, background, tests)


def call_peaks(
    conditions: Sequence[Condition],
    layout: BinLayout,
    thresholds: Thresholds,
    report: Callable[[str], None] = lambda line: None,
) -> list[Peak]:
    """Return the peaks of a study, in the order of the layout.

    Parameters
    ----------
    report
        Is given a line on what each filter left.
    """
    enriched = []
    for condition in conditions:
        candidates = find_candidates(condition, layout)
        high = [
            peak for peak in candidates if peak.log2_enrichment >= thresholds.min_log2_enrichment
        ]
        report(
            f"{condition.name}: {int(condition.tests.tested.sum())} of {layout.bins} bins have "
            f"{thresholds.min_fragments} fragments or more; {len(candidates)} candidates, "
            f"{len(high)} of them with a log2 enrichment of {thresholds.min_log2_enrichment:g}"
        )
        enriched.append(high)
    length = fragment_length([pair.ip for item in conditions for pair in item.pairs])
    merged = merge_conditions(enriched, length / 2)
    tests = sum(int(condition.tests.tested.sum()) for condition in conditions)
    padj = adjust(np.array([peak.pvalue for peak in merged]), tests)
    significant = [
        replace(peak, padj=float(value))
        for peak, value in zip(merged, padj, strict=True)
        if value <= thresholds.fdr
    ]
    own = _without_shared(_set_apart(significant, layout), layout, _stranded(conditions))
    report(
        f"study: {len(merged)} candidates after joining conditions, {len(significant)} with padj "
        f"up to {thresholds.fdr:g}, {len(own)} after overlaps between genes"
    )
    return _with_support(own, conditions, layout, thresholds)


def _stranded(conditions: Sequence[Condition]) -> bool:
    return all(pair.ip.strandedness != "unstranded" for item in conditions for pair in item.pairs)


def merge_conditions(lists: Sequence[Sequence[Peak]], reach: float) -> list[Peak]:
    """Join the peaks of several conditions to one list; the strongest of those that agree stays.

    Parameters
    ----------
    reach
        Two peaks of different conditions agree if the summit of one lies in the other, and the
        summits are up to this many nucleotides apart.
    """
    ranked = sorted(
        (peak.pvalue, peak.gene, peak.summit, source, peak)
        for source, peaks in enumerate(lists)
        for peak in peaks
    )
    kept: dict[int, list[tuple[Peak, set[int]]]] = {}
    for _, gene, summit, source, peak in ranked:
        for other, sources in kept.setdefault(gene, []):
            inside = other.start <= summit < other.end or peak.start <= other.summit < peak.end
            if inside and source not in sources and abs(summit - other.summit) <= reach:
                sources.add(source)
                break
        else:
            kept[gene].append((peak, {source}))
    return [
        peak
        for gene in sorted(kept)
        for peak, _ in sorted(kept[gene], key=lambda item: (item[0].summit, item[0].pvalue))
    ]


def _set_apart(peaks: Sequence[Peak], layout: BinLayout) -> list[Peak]:
    """Cut overlapping peaks of a gene apart between their summits.

    Of two peaks with summits in one bin, the stronger one stays.
    """
    result: list[Peak] = []
    for peak in sorted(peaks, key=lambda item: (item.gene, item.summit, item.pvalue)):
        last = result[-1] if result else None
        if last is None or last.gene != peak.gene or last.end <= peak.start:
            result.append(peak)
        elif last.summit // layout.width == peak.summit // layout.width:
            result[-1] = min(last, peak, key=lambda item: item.pvalue)
        else:
            middle = (last.summit + peak.summit) // 2 // layout.step * layout.step
            border = max(middle, last.summit // layout.step * layout.step + layout.step)
            result[-1] = replace(last, end=min(last.end, border))
            result.append(replace(peak, start=max(peak.start, border)))
    return result


def _without_shared(peaks: Sequence[Peak], layout: BinLayout, stranded: bool) -> list[Peak]:
    """Keep a peak that overlapping genes share only in the gene where it is strongest."""
    kept: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
    chosen: list[Peak] = []
    for peak in sorted(peaks, key=lambda item: (item.pvalue, item.gene, item.start)):
        gene = layout.genes[peak.gene]
        blocks = gene.union.slice(peak.start, peak.end)
        bounds = list(zip(blocks.starts.tolist(), blocks.ends.tolist(), strict=True))
        others = kept.setdefault((gene.chrom, gene.strand if stranded else "."), [])
        if any(
            index != peak.gene and start < right and left < end
            for index, left, right in others
            for start, end in bounds
        ):
            continue
        others.extend((peak.gene, start, end) for start, end in bounds)
        chosen.append(peak)
    return sorted(chosen, key=lambda item: (item.gene, item.start))


def _with_support(
    peaks: Sequence[Peak],
    conditions: Sequence[Condition],
    layout: BinLayout,
    thresholds: Thresholds,
) -> list[Peak]:
    """Say which conditions and how many samples support each peak."""
    supporting = [set(peak.conditions) for peak in peaks]
    samples = np.zeros(len(peaks), dtype=np.int64)
    for condition in conditions:
        tests = score_peaks(peaks, condition, layout)
        high = tests.log2_enrichment >= thresholds.min_log2_enrichment
        for index in np.flatnonzero(high & (adjust(tests.pvalue, 0) <= thresholds.fdr)):
            supporting[index].add(condition.name)
        for pair in range(len(condition.pairs)):
            alone = score_peaks(peaks, condition, layout, pair)
            high = alone.log2_enrichment >= thresholds.min_log2_enrichment
            samples += high & (alone.pvalue < SAMPLE_PVALUE)
    order = [condition.name for condition in conditions]
    return [
        replace(peak, conditions=tuple(sorted(names, key=order.index)), samples=int(number))
        for peak, names, number in zip(peaks, supporting, samples, strict=True)
    ]


def peak_counts(peaks: Sequence[Peak], coverage: Coverage, layout: BinLayout) -> IntArray:
    """Return the fragments of a library that overlap each peak, shape (peaks,)."""
    offsets = layout.step_offsets[np.array([peak.gene for peak in peaks], dtype=np.int64)]
    first = offsets + np.array([peak.start // layout.step for peak in peaks], dtype=np.int64)
    end = offsets + np.array([-(-peak.end // layout.step) for peak in peaks], dtype=np.int64)
    return coverage.overlapping(first, end)


@dataclass(frozen=True)
class CodingPlace:
    """A place on a coding transcript, in spliced nucleotides from its 5' end.

    Attributes
    ----------
    place
        The place itself.
    start, end
        The coding sequence, half-open.
    length
        Of the transcript.
    """

    place: int
    start: int
    end: int
    length: int


def coding_place(gene: Gene | Intron, position: int) -> CodingPlace | None:
    """Return where a genomic position lies on a coding transcript; ``None`` if on none.

    The transcript is the one with the longest coding sequence among those whose exons hold the
    position.
    """
    best = None
    for transcript in gene.transcripts:
        bounds = _coding_bounds(transcript)
        place = int(transcript.exons.to_spliced(np.array([position]))[0])
        if bounds is None or place < 0:
            continue
        start, end = bounds
        if best is None or end - start > best.end - best.start:
            best = CodingPlace(place, start, end, transcript.exons.length)
    return best


def region_of(gene: Gene | Intron, position: int) -> str:
    """Return the region of a transcript (see `coding_place`) that a genomic position lies in.

    Returns
    -------
    str
        ``stop_codon`` up to `STOP_CODON_DISTANCE` spliced nucleotides from the last base of the
        coding sequence; else ``5UTR``, ``CDS`` or ``3UTR``; ``exon`` without coding transcript;
        ``intron`` wherever in an intron.
    """
    if isinstance(gene, Intron):
        return "intron"
    found = coding_place(gene, position)
    if found is None:
        return "exon"
    if abs(found.place - (found.end - 1)) <= STOP_CODON_DISTANCE:
        return "stop_codon"
    if found.place < found.start:
        return "5UTR"
    return "CDS" if found.place < found.end else "3UTR"


def near_stop_codon(gene: Gene, positions: IntArray) -> Mask:
    """Return which genomic positions `region_of` puts in the region of the stop codon."""
    coding = [(_coding_bounds(item), item.exons) for item in gene.transcripts]
    longest_first = sorted(
        ((bounds, exons) for bounds, exons in coding if bounds is not None),
        key=lambda item: item[0][0] - item[0][1],
    )
    near, known = np.zeros(len(positions), dtype=bool), np.zeros(len(positions), dtype=bool)
    for (_, end), exons in longest_first:
        places = exons.to_spliced(positions)
        own = ~known & (places >= 0)
        near |= own & (np.abs(places - (end - 1)) <= STOP_CODON_DISTANCE)
        known |= own
    return near


def _coding_bounds(transcript: Transcript) -> tuple[int, int] | None:
    """Return the spliced interval of a transcript's coding sequence."""
    if transcript.cds_start is None or transcript.cds_end is None:
        return None
    ends = np.array([transcript.cds_start, transcript.cds_end - 1])
    first, last = sorted(transcript.exons.to_spliced(ends).tolist())
    return None if first < 0 else (first, last + 1)


def gene_sequence(gene: Gene | Intron, genome: Genome) -> str:
    """Return the spliced sequence of a gene's exons, 5' to 3' of the RNA."""
    blocks = zip(gene.union.starts.tolist(), gene.union.ends.tolist(), strict=True)
    sequence = "".join(genome.fetch(gene.chrom, start, end) for start, end in blocks)
    return reverse_complement(sequence) if gene.strand == "-" else sequence


def describe_peaks(
    peaks: Sequence[Peak], layout: BinLayout, genome: Genome | None
) -> list[dict[str, object]]:
    """Return the rows of the table of peaks (`ringmark.tables.PEAKS`), in the order given.

    Without a genome the motifs are missing values.
    """
    motifs: dict[int, IntArray] = {}
    rows = []
    for peak in peaks:
        gene = layout.genes[peak.gene]
        if genome is not None and peak.gene not in motifs:
            motifs[peak.gene] = drach_positions(gene_sequence(gene, genome))
        rows.append(_row(peak, gene, motifs.get(peak.gene)))
    return rows


def _row(peak: Peak, gene: Gene | Intron, motifs: IntArray | None) -> dict[str, object]:
    blocks = gene.union.slice(peak.start, peak.end)
    start, end = int(blocks.starts[0]), int(blocks.ends[-1])
    summit = int(gene.union.to_genome(np.array([peak.summit]))[0])
    inside = nearest = None
    if motifs is not None:
        inside = int(((motifs >= peak.start) & (motifs < peak.end)).sum())
        nearest = int(np.abs(motifs - peak.summit).min()) if len(motifs) else None
    return {
        "peak": f"{gene.chrom}:{start}-{end}:{gene.strand}",
        "chrom": gene.chrom,
        "start": start,
        "end": end,
        "strand": gene.strand,
        "block_sizes": ",".join(map(str, blocks.ends - blocks.starts)),
        "block_starts": ",".join(map(str, blocks.starts - start)),
        "gene_id": gene.gene_id,
        "gene_name": gene.name,
        "region": region_of(gene, summit),
        "summit": summit,
        "log2_enrichment": peak.log2_enrichment,
        "pvalue": peak.pvalue,
        "padj": peak.padj,
        "conditions": ",".join(peak.conditions),
        "samples": peak.samples,
        "drach": inside,
        "drach_distance": nearest,
    }

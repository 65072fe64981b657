from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstest

from ringmark.annotation import Annotation, Gene, Transcript
from ringmark.background import Background
from ringmark.bins import BinLayout, Coverage
from ringmark.intervals import Blocks
from ringmark.peaks import (
    PairCoverage,
    Peak,
    Thresholds,
    call_peaks,
    describe_peaks,
    gene_sequence,
    merge_conditions,
    near_stop_codon,
    peak_counts,
    prepare_condition,
    region_of,
    score_bins,
    well_covered,
    with_common_spread,
)
from ringmark.tables import PEAKS

LENGTH, FRAGMENT = 1500, 150


def gene(gene_id, start, strand="+", chrom="c", coding=None, length=LENGTH):
    exons = Blocks(np.array([start]), np.array([start + length]), strand)
    return Gene(
        gene_id, gene_id, "x", chrom, strand, (Transcript(gene_id, exons, *(coding or ())),)
    )


def layout_of(*genes):
    return BinLayout.of(Annotation({item.gene_id: item for item in genes}))


def many_genes(number=30, overlap=0):
    return layout_of(*(gene(f"G{index}", index * (LENGTH - overlap)) for index in range(number)))


def coverage(layout, genes, starts, strandedness="forward"):
    first, last = np.zeros(layout.steps, np.int32), np.zeros(layout.steps, np.int32)
    offsets = layout.step_offsets[genes]
    np.add.at(first, offsets + starts // layout.step, 1)
    np.add.at(last, offsets + (starts + FRAGMENT - 1) // layout.step, 1)
    totals = np.bincount(genes, minlength=len(layout.genes))
    lengths = np.bincount(np.full(len(genes), FRAGMENT), minlength=1001)
    number = len(genes)
    return Coverage(first, last, totals, lengths, number, number, layout.digest, strandedness)


def no_background(pairs, pools, bins):
    """A ratio of 1 everywhere, exactly known."""
    return Background(
        np.zeros(pairs), np.zeros((pools, pairs)), np.zeros(pools), 0.0, 0.0, np.ones(bins, bool)
    )


def uniform(layout, generator, number):
    genes = generator.integers(0, len(layout.genes), number)
    return genes, generator.integers(0, LENGTH - FRAGMENT + 1, number)


def pair(layout, generator, sites=(), number=6000, name="s", condition="c", **more):
    """An input, and an IP with half of the background and extra fragments at the sites."""
    genes, starts = uniform(layout, generator, number // 2)
    for at, place, fragments in sites:
        genes = np.append(genes, np.full(fragments, at))
        starts = np.append(starts, generator.integers(place - FRAGMENT + 1, place + 1, fragments))
    return PairCoverage(
        name,
        condition,
        f"{name}_ip",
        f"{name}_input",
        coverage(layout, genes, starts, **more),
        coverage(layout, *uniform(layout, generator, number), **more),
    )


def study(layout, sites, conditions=("c",), replicates=3, seed=0, **more):
    generator = np.random.default_rng(seed)
    prepared = []
    for condition in conditions:
        own = sites.get(condition, ()) if isinstance(sites, dict) else sites
        pairs = [
            pair(layout, generator, own, name=f"{condition}{index}", condition=condition, **more)
            for index in range(replicates)
        ]
        prepared.append(prepare_condition(condition, pairs, layout, Thresholds()))
    return prepared


SITES = ((2, 400, 60), (2, 900, 60), (5, 700, 60), (11, 1200, 60))


def test_sites_are_found():
    layout = many_genes()
    found = call_peaks(study(layout, SITES), layout, Thresholds())
    assert [(item.gene, item.conditions, item.samples) for item in found] == [
        (at, ("c",), 3) for at, _, _ in SITES
    ]
    assert [item.summit for item in found] == pytest.approx([item[1] for item in SITES], abs=20)
    assert all(item.start <= item.summit < item.end for item in found)
    assert all(item.padj < 1e-4 and item.log2_enrichment > 1 for item in found)


@pytest.mark.parametrize("replicates", [1, 2])
def test_few_replicates(replicates):
    layout = many_genes()
    found = call_peaks(study(layout, SITES, replicates=replicates), layout, Thresholds())
    for at, place, _ in SITES:
        assert any(item.gene == at and abs(item.summit - place) <= 25 for item in found)
    assert len(found) <= len(SITES) + 1


def test_pvalues_are_uniform_without_sites():
    layout = many_genes(80)
    (condition,) = study(layout, (), number=40_000)
    pvalues = condition.tests.pvalue[condition.tests.tested]
    assert len(pvalues) > 4000
    assert kstest(pvalues, "uniform").statistic < 0.06
    assert call_peaks([condition], layout, Thresholds()) == []


def test_shared_deviation_of_bins_widens_the_null():
    """What all replicates share does not average out: without regard to it too many pass."""
    layout = many_genes(60)
    generator = np.random.default_rng(3)
    mean = np.exp(generator.normal(0, 0.5, (layout.bins, 1)))
    ip = generator.poisson(60 * mean, (layout.bins, 6))
    inputs = generator.poisson(60, (layout.bins, 6))
    flat = no_background(6, 60, layout.bins)
    tests = score_bins(ip, inputs, flat, layout, 10, [[column] for column in range(6)])
    assert tests.spread == pytest.approx(0.25, rel=0.3)
    assert (tests.pvalue < 0.01).mean() < 0.03


def test_conditions_have_one_spread():
    layout = many_genes(60)
    generator = np.random.default_rng(4)
    mean = np.exp(generator.normal(0, 0.5, (layout.bins, 1)))
    flat = no_background(6, 60, layout.bins)
    (prepared,) = study(layout, (), replicates=6)
    conditions = []
    for covered in (layout.bins, 60):
        inputs = generator.poisson(60, (layout.bins, 6))
        ip = generator.poisson(60 * mean, (layout.bins, 6))
        ip[covered:], inputs[covered:] = 0, 0
        tests = score_bins(ip, inputs, flat, layout, 10, [[column] for column in range(6)])
        conditions.append(replace(prepared, tests=tests))
    alone = [item.tests.spread for item in conditions]
    assert alone[1] == 0.0
    spreads = [item.tests.spread for item in with_common_spread(conditions)]
    assert spreads == [pytest.approx(alone[0], rel=0.1)] * 2
    assert with_common_spread([]) == []


def test_bins_with_few_fragments_are_not_tested():
    layout = many_genes(2)
    ip, inputs = np.zeros((layout.bins, 1), int), np.zeros((layout.bins, 1), int)
    ip[:4, 0], inputs[:4, 0] = [9, 10, 0, 4], [0, 0, 10, 5]
    flat = no_background(1, 2, layout.bins)
    tests = score_bins(ip, inputs, flat, layout, 10, [[0]])
    assert np.flatnonzero(tests.tested).tolist() == [1, 2]
    assert tests.pvalue[1] < 0.001 < 0.999 < tests.pvalue[2]
    assert tests.pvalue[0] == 1


def test_ips_that_share_an_input_are_not_independent():
    layout = many_genes(80)
    generator = np.random.default_rng(5)
    first = pair(layout, generator, number=40_000)
    second = replace(pair(layout, generator, number=40_000, name="t"), input=first.input)
    second = replace(second, input_library=first.input_library)
    shared = prepare_condition("c", [first, second], layout, Thresholds())
    assert shared.shared == [[0, 1]]
    assert kstest(shared.tests.pvalue[shared.tests.tested], "uniform").statistic < 0.06
    apart = prepare_condition(
        "c", [first, replace(second, input_library="other")], layout, Thresholds()
    )
    assert (apart.tests.statistic**2).mean() > 1.05 * (shared.tests.statistic**2).mean()


def test_a_condition_needs_a_pair():
    with pytest.raises(ValueError, match="no pair"):
        prepare_condition("c", [], many_genes(1), Thresholds())


def test_no_condition_no_peak():
    assert call_peaks([], many_genes(2), Thresholds()) == []


def test_thresholds_are_kept():
    layout = many_genes()
    prepared = study(layout, ((2, 400, 60), (5, 700, 12)))
    loose = call_peaks(prepared, layout, Thresholds(fdr=0.2, min_log2_enrichment=0.3))
    strict = call_peaks(prepared, layout, Thresholds(min_log2_enrichment=2.0))
    assert {5} <= {item.gene for item in loose}
    assert [item.gene for item in strict] == [2]


def test_conditions_are_told_apart_and_joined():
    layout = many_genes()
    sites = {"a": ((2, 400, 60), (5, 700, 60)), "b": ((2, 410, 60), (8, 300, 60))}
    found = call_peaks(study(layout, sites, ("a", "b")), layout, Thresholds())
    assert [(item.gene, item.conditions) for item in found] == [
        (2, ("a", "b")),
        (5, ("a",)),
        (8, ("b",)),
    ]
    assert [item.samples for item in found] == [6, 3, 3]


def test_gene_shared_by_two_models_has_one_peak():
    """The same fragments count for two genes that share their exons."""
    genes = [gene(f"G{index}", index * LENGTH) for index in range(20)]
    twin = gene("twin", 2 * LENGTH)
    layout = layout_of(*genes, twin)
    generator = np.random.default_rng(1)
    made = []
    for library in range(2):
        places, starts = uniform(layout_of(*genes), generator, 6000)
        if library == 0:
            places = np.append(places, np.full(100, 2))
            starts = np.append(starts, generator.integers(351, 501, 100))
        again = places == 2
        made.append(
            coverage(
                layout,
                np.append(places, np.full(again.sum(), 20)),
                np.append(starts, starts[again]),
            )
        )
    pairs = [PairCoverage("s", "c", "ip", "input", *made)]
    prepared = prepare_condition("c", pairs, layout, Thresholds())
    assert [item.gene for item in call_peaks([prepared], layout, Thresholds())] == [2]


@pytest.mark.parametrize("strandedness, peaks", [("forward", 2), ("unstranded", 1)])
def test_peaks_on_both_strands(strandedness, peaks):
    genes = [gene(f"G{index}", index * LENGTH) for index in range(20)]
    layout = layout_of(*genes, gene("anti", 2 * LENGTH, "-"))
    sites = ((2, 500, 80), (20, LENGTH - 500, 80))
    found = call_peaks(study(layout, sites, strandedness=strandedness), layout, Thresholds())
    assert len(found) == peaks


def make_peak(at, start, end, summit, pvalue=1e-6):
    return Peak(at, start, end, summit, 0.0, pvalue=pvalue)


def test_merge_keeps_the_stronger_one():
    strong, weak = make_peak(1, 100, 200, 150, 1e-9), make_peak(1, 120, 240, 180)
    assert merge_conditions([[weak], [strong]], 75) == [strong]


def test_merge_keeps_distant_summits_and_other_genes():
    left, right = make_peak(1, 100, 300, 120), make_peak(1, 100, 300, 280)
    other = make_peak(2, 100, 200, 120)
    assert merge_conditions([[left], [right], [other]], 75) == [left, right, other]


def test_merge_never_joins_peaks_of_one_condition():
    left, right = make_peak(1, 100, 160, 150), make_peak(1, 160, 220, 170)
    assert merge_conditions([[left, right]], 75) == [left, right]
    both = make_peak(1, 110, 210, 160, 1e-9)
    assert merge_conditions([[left, right], [both]], 75) == [both, right]


def test_merge_of_nothing():
    assert merge_conditions([], 75) == merge_conditions([[], []], 75) == []


def test_counts_of_peaks_are_overlapping_fragments():
    layout = many_genes(2)
    library = coverage(layout, np.array([0, 0, 1, 1]), np.array([0, 400, 0, 1350]))
    peaks = [make_peak(0, 100, 200, 150), make_peak(0, 150, 400, 200), make_peak(1, 0, LENGTH, 9)]
    assert peak_counts(peaks, library, layout).tolist() == [1, 0, 2]
    assert peak_counts([], library, layout).tolist() == []


@pytest.mark.parametrize(
    "strand, place, region",
    [
        ("+", 150, "5UTR"),
        ("+", 300, "CDS"),
        ("+", 701, "stop_codon"),
        ("+", 899, "stop_codon"),
        ("+", 900, "3UTR"),
        ("-", 1050, "5UTR"),
        ("-", 799, "CDS"),
        ("-", 210, "stop_codon"),
        ("-", 90, "3UTR"),
    ],
)
def test_region(strand, place, region):
    """Coding from 200 to 800 of 1200."""
    assert region_of(gene("G", 0, strand, coding=(200, 800), length=1200), place) == region


def test_region_of_noncoding_gene_and_of_the_longest_coding_transcript():
    assert region_of(gene("G", 0), 500) == "exon"
    blocks = Blocks(np.array([0]), np.array([2000]), "+")
    short, long = Transcript("a", blocks, 0, 300), Transcript("b", blocks, 600, 1500)
    record = Gene("G", "G", "x", "c", "+", (short, long))
    assert region_of(record, 290) == "5UTR"
    elsewhere = Transcript("b", Blocks(np.array([5000]), np.array([9000]), "+"), 5100, 8000)
    record = Gene("G", "G", "x", "c", "+", (short, elsewhere))
    assert region_of(record, 290) == "stop_codon"


@pytest.mark.parametrize("strand", ["+", "-"])
def test_near_stop_codon_is_the_region_of_many_places(strand):
    first = Blocks(np.array([0, 500]), np.array([300, 900]), strand)
    second = Blocks(np.array([100, 700]), np.array([400, 1200]), strand)
    transcripts = (
        Transcript("a", first, 50, 600),
        Transcript("b", second, 150, 1000),
        Transcript("c", first),
    )
    record = Gene("G", "G", "x", "c", strand, transcripts)
    places = np.arange(1200)
    regions = [region_of(record, place) == "stop_codon" for place in places.tolist()]
    near = near_stop_codon(record, places)
    assert near.tolist() == regions
    assert 0 < near.sum() < len(near)
    assert not near_stop_codon(gene("G", 0), places).any()
    assert near_stop_codon(record, places[:0]).shape == (0,)


class Sequences:
    """Stands in for a FASTA file."""

    def __init__(self, sequence):
        self.sequence = sequence

    def fetch(self, reference, start, end):
        return self.sequence[start:end]


def spliced(strand):
    exons = Blocks(np.array([10, 30]), np.array([20, 40]), strand)
    return Gene("G", "G", "x", "c", strand, (Transcript("T", exons),))


def test_sequence_is_spliced_and_of_the_strand():
    genome = Sequences("N" * 10 + "AAAAAAAAGG" + "N" * 10 + "ACTTTTTTTT" + "N" * 10)
    assert gene_sequence(spliced("+"), genome) == "AAAAAAAAGGACTTTTTTTT"
    assert gene_sequence(spliced("-"), genome) == "AAAAAAAAGTCCTTTTTTTT"


def test_rows_of_the_table():
    genome = Sequences("N" * 10 + "AAAAAAAAGG" + "N" * 10 + "ACTTTTTTTT" + "N" * 10)
    layout = layout_of(spliced("+"))
    peak = replace(make_peak(0, 5, 15, 12), conditions=("a", "b"), samples=4, padj=0.01)
    table = PEAKS.frame(describe_peaks([peak], layout, genome))
    assert table.iloc[0].to_dict() == {
        "peak": "c:15-35:+",
        "chrom": "c",
        "start": 15,
        "end": 35,
        "strand": "+",
        "block_sizes": "5,5",
        "block_starts": "0,15",
        "gene_id": "G",
        "gene_name": "G",
        "region": "exon",
        "summit": 32,
        "log2_enrichment": 0.0,
        "pvalue": 1e-6,
        "padj": 0.01,
        "conditions": "a,b",
        "samples": 4,
        "drach": 1,
        "drach_distance": 2,
    }


def test_without_motif_the_distance_is_missing():
    layout = layout_of(gene("G", 0))
    table = PEAKS.frame(describe_peaks([make_peak(0, 5, 15, 12)], layout, Sequences("T" * 2000)))
    assert table["drach"].tolist() == [0]
    assert table["drach_distance"].isna().all()


def with_introns(number=30, strand="+"):
    """Genes with two introns of `LENGTH` each, between which lies an exon of 20 nt."""
    starts = np.array([0, LENGTH + 20, 2 * LENGTH + 40])
    genes = {}
    for index in range(number):
        exons = Blocks(starts + 10_000 * index, starts + 10_000 * index + 20, strand)
        name = f"G{index}"
        genes[name] = Gene(name, f"N{index}", "x", "c", strand, (Transcript(name, exons),))
    return genes


def test_peaks_in_introns_are_found_where_the_background_is_that_of_introns():
    layout = BinLayout.of_introns(Annotation(with_introns()))
    found = call_peaks(study(layout, SITES, number=12_000), layout, Thresholds())
    assert [item.gene for item in found] == [at for at, _, _ in SITES]
    assert [item.summit for item in found] == pytest.approx([item[1] for item in SITES], abs=25)
    rows = describe_peaks(found, layout, Sequences("C" * 2 + "GGACT" * 80_000))
    assert {row["region"] for row in rows} == {"intron"}
    # the third intron is the first one of the second gene
    assert rows[0]["gene_id"] == "G1" and rows[0]["gene_name"] == "N1"
    assert rows[0]["summit"] == 10_020 + found[0].summit
    assert rows[0]["block_starts"] == "0" and rows[0]["drach"] > 10


@pytest.mark.parametrize("strand", ["+", "-"])
def test_a_peak_ends_with_its_intron(strand):
    """Sites at the end of an intron and at the beginning of the next one stay apart."""
    layout = BinLayout.of_introns(Annotation(with_introns(strand=strand)))
    sites = ((4, LENGTH - FRAGMENT, 80), (5, FRAGMENT, 80))
    found = call_peaks(study(layout, sites, number=12_000), layout, Thresholds())
    assert [item.gene for item in found] == [4, 5]
    rows = describe_peaks(found, layout, None)
    for row, left in zip(rows, (20_020, 20_040 + LENGTH), strict=True):
        assert left <= row["start"] < row["end"] <= left + LENGTH
        assert row["block_sizes"] == str(row["end"] - row["start"])


def test_a_peak_in_an_intron_of_two_genes_is_that_of_one():
    exons = Blocks(np.array([0, LENGTH + 20]), np.array([20, LENGTH + 40]), "+")
    other = Gene("H", "H", "x", "c", "+", (Transcript("H", exons),))
    layout = BinLayout.of_introns(Annotation({"H": other} | with_introns()))
    assert [(item.gene_id, item.start) for item in layout.genes[:2]] == [("H", 20), ("G0", 20)]
    sites = ((0, 700, 60), (1, 700, 60))
    found = call_peaks(study(layout, sites, number=12_000), layout, Thresholds())
    assert len(found) == 1 and found[0].gene in (0, 1)


def test_introns_without_fragments_are_left_out():
    layout = BinLayout.of_introns(Annotation(with_introns(5)))
    genes, starts = np.full(12, 3), np.full(12, 400)
    some = coverage(layout, genes, starts)
    few = coverage(layout, np.append(genes[:4], 0), np.append(starts[:4], 10))
    none = coverage(layout, genes[:0], starts[:0])
    assert np.flatnonzero(
        well_covered([PairCoverage("s", "c", "ip", "in", some, none)], layout, Thresholds())
    ).tolist() == [3]
    enough = [PairCoverage(name, "c", "ip", "in", few, few) for name in "st"]
    assert np.flatnonzero(well_covered(enough, layout, Thresholds())).tolist() == [3]
    assert not well_covered(enough[:1], layout, Thresholds()).any()
    assert not well_covered([], layout, Thresholds()).any()

import itertools

import numpy as np
import pytest

from ringmark import bins
from ringmark.alignments import Fragment
from ringmark.annotation import Annotation, Gene, Transcript
from ringmark.bins import MAX_GAP, BinLayout, Coverage
from ringmark.errors import InputError
from ringmark.fragments import FragmentBatch
from ringmark.intervals import Blocks


def gene(gene_id, strand, *exons, chrom="chr1"):
    bounds = np.array(exons, dtype=np.int64).reshape(-1, 2)
    blocks = Blocks(bounds[:, 0], bounds[:, 1], strand)
    return Gene(gene_id, gene_id, "lncRNA", chrom, strand, (Transcript(f"{gene_id}.1", blocks),))


def layout_of(*genes, **widths):
    return BinLayout.of(Annotation({item.gene_id: item for item in genes}), **widths)


def fragment(*blocks, strand="+", introns=(), chrom="chr1"):
    return Fragment(chrom, strand, tuple(blocks), tuple(introns), 60)


def count_fragments(fragments, *arguments, **options):
    """Count fragments, one batch for each run of a contig."""
    runs = itertools.groupby(fragments, key=lambda item: item.chrom)
    batches = [FragmentBatch.of(run, chrom) for chrom, run in runs]
    return bins.count_fragments(batches, *arguments, **options)


TWO_EXONS = gene("A", "+", (100, 160), (300, 390))


def test_layout_cuts_genes_into_bins_and_steps():
    layout = layout_of(TWO_EXONS, gene("B", "-", (500, 512)))
    assert layout.lengths.tolist() == [150, 12]
    assert layout.bin_offsets.tolist() == [0, 6, 7]
    assert layout.step_offsets.tolist() == [0, 30, 33]
    first, end = layout.bin_steps
    assert first.tolist() == [0, 5, 10, 15, 20, 25, 30]
    assert end.tolist() == [5, 10, 15, 20, 25, 30, 33]
    assert layout.gene_of_bin.tolist() == [0] * 6 + [1]


def test_layout_without_genes():
    layout = layout_of()
    coverage = count_fragments([fragment((1, 50))], layout)
    assert (layout.bins, layout.steps, coverage.fragments, coverage.counted) == (0, 0, 1, 0)
    assert coverage.bins(layout).tolist() == []


@pytest.mark.parametrize("width, step", [(12, 5), (0, 5), (5, 0), (3, 5)])
def test_layout_refuses_bins_that_are_no_whole_number_of_steps(width, step):
    with pytest.raises(ValueError, match="whole number"):
        layout_of(TWO_EXONS, width=width, step=step)


def test_digest_knows_exons_and_width():
    digest = layout_of(TWO_EXONS).digest
    assert digest == layout_of(gene("A", "+", (100, 160), (300, 390))).digest
    assert digest != layout_of(gene("A", "+", (100, 160), (300, 391))).digest
    assert digest != layout_of(gene("A", "-", (100, 160), (300, 390))).digest
    assert digest != layout_of(TWO_EXONS, width=50).digest


def test_no_fragments():
    layout = layout_of(TWO_EXONS)
    coverage = count_fragments([], layout)
    assert coverage.fragments == coverage.counted == 0
    assert coverage.bins(layout).tolist() == [0] * 6
    assert coverage.overlapping(np.array([3]), np.array([9])).tolist() == [0]


def test_spliced_fragment_is_one_interval():
    layout = layout_of(TWO_EXONS)
    read = fragment((140, 160), (300, 330), introns=[(160, 300)])
    coverage = count_fragments([read], layout)
    assert np.flatnonzero(coverage.steps()).tolist() == list(range(8, 18))
    assert coverage.bins(layout).tolist() == [0, 1, 1, 1, 0, 0]
    assert coverage.gene_totals.tolist() == [1]
    assert coverage.lengths[50] == 1 and coverage.lengths.sum() == 1


def test_minus_strand_counts_from_the_right():
    layout = layout_of(gene("A", "-", (100, 160), (300, 390)))
    coverage = count_fragments([fragment((380, 390), strand="-")], layout)
    assert np.flatnonzero(coverage.steps()).tolist() == [0, 1]


def test_gap_between_mates_is_filled():
    layout = layout_of(gene("A", "+", (0, 1000)))
    coverage = count_fragments([fragment((100, 130), (200, 230))], layout)
    assert np.flatnonzero(coverage.steps()).tolist() == list(range(20, 46))


def test_gap_longer_than_a_fragment_stays_open():
    layout = layout_of(gene("A", "+", (0, 3000)))
    far = 130 + MAX_GAP + 5
    coverage = count_fragments([fragment((100, 130), (far, far + 20))], layout)
    expected = [*range(20, 26), *range(far // 5, far // 5 + 4)]
    assert np.flatnonzero(coverage.steps()).tolist() == expected
    assert coverage.gene_totals.tolist() == [1]


@pytest.mark.parametrize(
    "strandedness, strand, steps",
    [
        ("forward", "+", range(20, 40)),
        ("reverse", "+", range(6, 26)),
        ("unstranded", "+", range(20, 40)),
        ("unstranded", "-", range(6, 26)),
    ],
)
def test_single_reads_are_extended_in_their_direction(strandedness, strand, steps):
    layout = layout_of(gene("A", "+", (0, 600)))
    read = fragment((100, 130), strand=strand)
    coverage = count_fragments([read], layout, strandedness, extension=100)
    assert np.flatnonzero(coverage.steps()).tolist() == list(steps)
    assert coverage.lengths[100] == 1


def test_extension_runs_along_the_spliced_rna_and_ends_with_it():
    layout = layout_of(gene("A", "-", (100, 160), (300, 390)))
    inwards = fragment((310, 340), strand="-")
    coverage = count_fragments([inwards], layout, "forward", extension=60)
    assert np.flatnonzero(coverage.steps()).tolist() == list(range(10, 22))
    outwards = fragment((110, 140), strand="-")
    coverage = count_fragments([outwards], layout, "forward", extension=60)
    assert np.flatnonzero(coverage.steps()).tolist() == list(range(22, 30))


def test_long_reads_are_not_shortened_by_extension():
    layout = layout_of(gene("A", "+", (0, 600)))
    read = fragment((100, 180))
    assert count_fragments([read], layout, "forward", extension=50).lengths[80] == 1


def test_skipped_exon_is_not_covered():
    cassette = gene("A", "+", (0, 100), (200, 300), (400, 500))
    skipping = fragment((60, 100), (400, 440), introns=[(100, 400)])
    unknown = fragment((60, 100), (400, 440))
    skipped = count_fragments([skipping], layout_of(cassette))
    assert not skipped.steps()[20:40].any()
    assert skipped.gene_totals.tolist() == [1]
    assert count_fragments([unknown], layout_of(cassette)).steps()[20:40].all()


def test_intron_of_one_fragment_does_not_open_the_gap_of_another():
    cassette = gene("A", "+", (0, 100), (200, 300), (400, 500))
    spliced = fragment((60, 100), (400, 440), introns=[(100, 400)])
    unspliced = fragment((60, 100), (400, 440))
    both = count_fragments([spliced, unspliced], layout_of(cassette))
    assert both.steps()[20:40].tolist() == [1] * 20


@pytest.mark.parametrize(
    "blocks, counted",
    [
        ([(150, 170)], 0),
        ([(145, 165)], 1),
        ([(200, 250)], 0),
        ([(140, 160), (220, 240)], 0),
    ],
)
def test_mostly_intronic_fragments_are_not_counted(blocks, counted):
    layout = layout_of(TWO_EXONS)
    coverage = count_fragments([fragment(*blocks)], layout)
    assert (coverage.fragments, coverage.counted) == (1, counted)
    assert coverage.gene_totals.sum() == counted


def test_strand_decides_between_overlapping_genes():
    layout = layout_of(gene("A", "+", (0, 100)), gene("B", "-", (0, 100)))
    reads = [fragment((10, 40), strand="-"), fragment((10, 40), strand="-")]
    assert count_fragments(reads, layout, "reverse").gene_totals.tolist() == [0, 2]
    assert count_fragments(reads, layout, "unstranded").gene_totals.tolist() == [2, 2]


def test_without_strand_both_strands_are_counted():
    layout = layout_of(gene("A", "+", (0, 100)), gene("B", "-", (0, 100)))
    coverage = count_fragments([fragment((10, 40), strand=".")], layout)
    assert coverage.gene_totals.tolist() == [1, 1]
    assert coverage.counted == 1


def test_most_exonic_overlap_decides_on_one_strand():
    layout = layout_of(gene("A", "+", (0, 100)), gene("B", "+", (20, 200)))
    reads = [fragment((10, 60)), fragment((60, 110)), fragment((30, 80))]
    assert count_fragments(reads, layout).gene_totals.tolist() == [2, 2]


def test_long_exon_under_short_ones_is_found():
    layout = layout_of(
        gene("A", "+", (0, 5000)), gene("B", "+", (100, 200)), gene("C", "+", (300, 400))
    )
    assert count_fragments([fragment((4000, 4100))], layout).gene_totals.tolist() == [1, 0, 0]


def test_contigs_are_kept_apart_and_unknown_ones_passed_over():
    layout = layout_of(TWO_EXONS, gene("B", "+", (100, 160), chrom="chr2"))
    reads = [
        fragment((110, 140), chrom="chr2"),
        fragment((110, 140), chrom="chrUn"),
        fragment((110, 140)),
    ]
    coverage = count_fragments(reads, layout)
    assert coverage.gene_totals.tolist() == [1, 1]
    assert (coverage.fragments, coverage.counted) == (3, 2)


def test_batches_do_not_change_the_counts():
    layout = layout_of(TWO_EXONS)
    reads = [fragment((100 + index % 40, 120 + index % 40)) for index in range(107)]
    parts = [FragmentBatch.of(reads[start : start + 10], "chr1") for start in range(0, 107, 10)]
    coverage, whole = bins.count_fragments(parts, layout), count_fragments(reads, layout)
    assert coverage.gene_totals.tolist() == [107]
    assert coverage.first.tolist() == whole.first.tolist()
    assert coverage.last.tolist() == whole.last.tolist()
    assert coverage.first.sum() == coverage.last.sum() == 107


def test_overlapping_counts_each_fragment_once():
    generator = np.random.default_rng(5)
    layout = layout_of(gene("A", "+", (0, 1003)), gene("B", "+", (2000, 2500)))
    starts = generator.integers(0, 900, 300)
    ends = starts + generator.integers(20, 100, 300)
    reads = [fragment((a, b)) for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
    coverage = count_fragments(reads, layout)
    first, end = 40, 77
    expected = ((starts < end * 5) & (ends > first * 5)).sum()
    assert coverage.overlapping(np.array([first]), np.array([end])).tolist() == [expected]
    bins = [((starts < (i + 1) * 25) & (ends > i * 25)).sum() for i in range(41)]
    assert coverage.bins(layout)[:41].tolist() == bins


def test_saved_coverage_is_the_same_bytes_and_the_same_counts(tmp_path):
    layout = layout_of(TWO_EXONS)
    coverage = count_fragments([fragment((110, 140))], layout, "reverse")
    coverage.save(tmp_path / "a.npz")
    coverage.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]
    loaded = Coverage.load(tmp_path / "a.npz", layout)
    assert loaded.strandedness == "reverse"
    assert (loaded.fragments, loaded.counted) == (1, 1)
    for name in ("first", "last", "gene_totals", "lengths"):
        assert np.array_equal(getattr(loaded, name), getattr(coverage, name))


def test_coverage_of_another_annotation_is_refused(tmp_path):
    count_fragments([], layout_of(TWO_EXONS)).save(tmp_path / "a.npz")
    with pytest.raises(InputError, match="another annotation"):
        Coverage.load(tmp_path / "a.npz", layout_of(TWO_EXONS, width=50))


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04broken"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match="not a table of bins"):
        Coverage.load(tmp_path / "a.npz", layout_of(TWO_EXONS))


def test_missing_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", first=np.zeros(3))
    with pytest.raises(InputError, match="not a table of bins"):
        Coverage.load(tmp_path / "a.npz", layout_of(TWO_EXONS))


def introns_of(*genes, **widths):
    return BinLayout.of_introns(Annotation({item.gene_id: item for item in genes}), **widths)


#: Its introns are 160-300 and 390-450, the exon between them is short.
THREE_EXONS = gene("A", "+", (100, 160), (300, 390), (450, 500))


def test_each_intron_has_bins_of_its_own_and_those_of_a_gene_are_one_pool():
    layout = introns_of(THREE_EXONS, gene("B", "-", (1000, 1100)), gene("C", "-", (0, 9), (50, 60)))
    assert layout.lengths.tolist() == [140, 60, 41]
    assert layout.bin_offsets.tolist() == [0, 6, 9, 11]
    assert layout.pools.tolist() == [0, 2, 3]
    assert layout.pool_of_gene.tolist() == [0, 0, 1]
    assert layout.pool_offsets.tolist() == [0, 9, 11]
    assert layout.pool_lengths.tolist() == [200, 41]
    assert layout.pool_of_bin.tolist() == [0] * 9 + [1] * 2


def test_each_gene_is_a_pool():
    layout = layout_of(TWO_EXONS, gene("B", "-", (500, 512)))
    assert layout.pools.tolist() == [0, 1, 2]
    assert layout.pool_of_bin.tolist() == layout.gene_of_bin.tolist()
    assert layout.pool_lengths.tolist() == layout.lengths.tolist()


@pytest.mark.parametrize("genes", [(), (gene("A", "+", (0, 100)),)])
def test_layout_without_introns(genes):
    layout = introns_of(*genes)
    coverage = count_fragments([fragment((10, 60))], layout).sparse()
    assert (layout.bins, coverage.fragments, coverage.counted) == (0, 1, 0)
    assert layout.pools.tolist() == [0] and coverage.bins(layout).tolist() == []
    assert coverage.select(layout, np.empty(0, bool)).places.tolist() == []


def test_one_fragment_in_an_intron():
    layout = introns_of(gene("A", "-", (100, 160), (300, 390)))
    coverage = count_fragments([fragment((200, 250), strand="-")], layout, "reverse")
    assert coverage.gene_totals.tolist() == [1]
    assert np.flatnonzero(coverage.steps()).tolist() == list(range(10, 20))
    assert coverage.bins(layout).tolist() == [0, 0, 1, 1, 0, 0]


@pytest.mark.parametrize(
    "block, exonic, intronic",
    [
        ((140, 160), 1, 0),
        ((145, 165), 1, 0),
        ((146, 166), 0, 0),
        ((150, 170), 0, 0),
        ((154, 174), 0, 0),
        ((155, 175), 0, 1),
        ((160, 180), 0, 1),
        ((290, 310), 0, 0),
    ],
)
def test_a_fragment_over_the_end_of_an_exon_is_counted_once_or_not_at_all(block, exonic, intronic):
    exons = count_fragments([fragment(block)], layout_of(THREE_EXONS))
    introns = count_fragments([fragment(block)], introns_of(THREE_EXONS))
    assert (exons.counted, introns.counted) == (exonic, intronic)


def test_what_a_fragment_covers_ends_with_the_intron():
    coverage = count_fragments([fragment((155, 175))], introns_of(THREE_EXONS))
    assert np.flatnonzero(coverage.steps()).tolist() == [0, 1, 2]
    read = fragment((270, 300))
    coverage = count_fragments([read], introns_of(THREE_EXONS), "forward", extension=100)
    assert np.flatnonzero(coverage.steps()).tolist() == list(range(22, 28))


def test_a_fragment_of_two_introns_covers_part_of_each_and_counts_once():
    tiny = gene("A", "+", (0, 100), (200, 210), (300, 400))
    layout = introns_of(tiny)
    coverage = count_fragments([fragment((180, 230))], layout)
    assert coverage.counted == 1
    assert coverage.gene_totals.tolist() == [1, 1]
    # 180-200 of the first intron, 210-230 of the second one
    assert np.flatnonzero(coverage.steps()).tolist() == [16, 17, 18, 19, 20, 21, 22, 23]
    assert coverage.lengths[20] == 2


def test_an_intron_of_two_genes_is_counted_in_both():
    layout = introns_of(
        gene("A", "+", (100, 200), (900, 999)), gene("B", "+", (300, 400), (500, 600))
    )
    coverage = count_fragments([fragment((420, 470)), fragment((700, 750))], layout)
    assert coverage.gene_totals.tolist() == [0, 1, 1, 1]
    assert coverage.counted == 2


@pytest.mark.parametrize(
    "strandedness, totals", [("forward", [1, 0]), ("reverse", [1, 0]), ("unstranded", [1, 1])]
)
def test_strand_decides_between_introns_that_lie_across(strandedness, totals):
    layout = introns_of(gene("A", "+", (0, 100), (300, 400)), gene("B", "-", (0, 100), (300, 400)))
    assert count_fragments([fragment((150, 200))], layout, strandedness).gene_totals.tolist() == (
        totals
    )


def test_introns_and_exons_have_different_digests(tmp_path):
    count_fragments([], introns_of(THREE_EXONS)).sparse().save(tmp_path / "a.npz")
    with pytest.raises(InputError, match="another annotation"):
        Coverage.load(tmp_path / "a.npz", layout_of(THREE_EXONS))


@pytest.fixture
def scattered():
    """Three introns, of which the second holds nothing, and fragments on the others."""
    layout = introns_of(gene("A", "+", (0, 100), (703, 800), (900, 950), (1400, 1450)))
    starts = np.random.default_rng(3).integers(0, 1400, 80)
    reads = [fragment((start, start + 40)) for start in starts.tolist() if not 750 < start < 950]
    return layout, count_fragments(reads, layout, "forward")


def test_sparse_coverage_tells_the_same(scattered):
    layout, dense = scattered
    sparse = dense.sparse()
    assert 0 < len(sparse.places) < layout.steps
    assert sparse.bins(layout).tolist() == dense.bins(layout).tolist()
    assert sparse.depth(0, layout.steps).tolist() == dense.steps().tolist()
    assert sparse.depth(7, 90).tolist() == dense.steps()[7:90].tolist()
    first, end = np.array([0, 3, 50]), np.array([layout.steps, 60, 51])
    assert sparse.overlapping(first, end).tolist() == dense.overlapping(first, end).tolist()


def test_sparse_coverage_comes_back(scattered, tmp_path):
    layout, dense = scattered
    sparse = dense.sparse()
    sparse.save(tmp_path / "a.npz")
    loaded = Coverage.load(tmp_path / "a.npz", layout)
    for name in ("first", "last", "places", "gene_totals", "lengths"):
        assert np.array_equal(getattr(loaded, name), getattr(sparse, name))
    dense.save(tmp_path / "b.npz")
    assert Coverage.load(tmp_path / "b.npz", layout).places is None


def test_coverage_of_some_introns(scattered):
    layout, dense = scattered
    kept = np.array([False, True, True])
    part, remaining = dense.sparse().select(layout, kept), layout.select(kept)
    assert part.digest == remaining.digest
    assert part.bins(remaining).tolist() == dense.bins(layout)[layout.bin_offsets[1] :].tolist()
    assert part.gene_totals.tolist() == dense.gene_totals[1:].tolist()
    nothing = dense.sparse().select(layout, np.zeros(3, bool))
    assert nothing.bins(layout.select(np.zeros(3, bool))).tolist() == []
    with pytest.raises(ValueError, match="sparse"):
        dense.select(layout, kept)

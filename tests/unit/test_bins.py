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

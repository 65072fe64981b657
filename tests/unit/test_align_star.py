from __future__ import annotations

import shutil
from array import array
from dataclasses import replace
from pathlib import Path

import pysam
import pytest
from contract import check_contract, records_by_name
from toy_reads import EXONS, Pair, genome, library, pair_of, write_fasta, write_gtf, write_pairs

import align_star
import index_star

needs_star = pytest.mark.skipif(shutil.which("STAR") is None, reason="STAR is not installed")

CONTIGS = genome()
HEADER = pysam.AlignmentHeader.from_references(["one"], [10_000])


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    fasta, gtf = write_fasta(folder / "genome.fa", CONTIGS), write_gtf(folder / "genes.gtf")
    output = folder / "index"
    command = ["--fasta", str(fasta), "--gtf", str(gtf), "--output", str(output)]
    assert index_star.main(command) == 0
    return output


def command(index: Path, folder: Path, pairs: list[Pair], *options: str) -> list[str]:
    first, second = write_pairs(folder, pairs)
    return [
        "--index", str(index), "--fastq-1", str(first), "--fastq-2", str(second),
        "--library", "lib", "--sample", "specimen", "--output", str(folder / "toy.bam"),
        "--gene-counts", str(folder / "toy.ReadsPerGene.out.tab"),
        "--log", str(folder / "toy.Log.final.out"), *options,
    ]  # fmt: skip


def align(index: Path, folder: Path, pairs: list[Pair]) -> Path:
    assert align_star.main(command(index, folder, pairs)) == 0
    return folder / "toy.bam"


@needs_star
@pytest.mark.parametrize("layout", ["paired", "single", "none"])
def test_bam_keeps_the_contract(index: Path, tmp_path: Path, layout: str) -> None:
    pairs = library(CONTIGS)
    if layout == "single":
        pairs = [replace(pair, second="") for pair in pairs]
    bam = align(index, tmp_path, [] if layout == "none" else pairs)
    check_contract(bam, "lib", "specimen")
    names = [] if layout == "none" else sorted(pair.name for pair in pairs)
    assert sorted(records_by_name(bam)) == names
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "toy.Log.final.out", "toy.ReadsPerGene.out.tab", "toy.bam", "toy.bam.bai",
        "toy_1.fastq.gz", "toy_2.fastq.gz",
    ]  # fmt: skip


@needs_star
def test_pairs_are_flagged_as_minimap2s_are(index: Path, tmp_path: Path) -> None:
    reads = records_by_name(align(index, tmp_path, library(CONTIGS)))
    assert [read.flag for read in reads["linear"]] == [99, 147]
    assert {read.flag for read in reads["unknown"]} == {77, 141}
    known = next(read for read in reads["half"] if read.is_read1)
    assert (known.reference_name, known.reference_start) == ("chrB", 3000)
    first = next(read for read in reads["spliced"] if read.is_read1)
    assert first.cigarstring == "20M600N30M"
    assert first.get_tag("XS", with_value_type=True) == ("+", "A")


@needs_star
@pytest.mark.parametrize("name", ["circle_first", "circle_second"])
def test_back_spliced_reads_are_split(index: Path, tmp_path: Path, name: str) -> None:
    reads = records_by_name(align(index, tmp_path, library(CONTIGS)))[name]
    split = [read for read in reads if read.has_tag("SA")]
    assert len(split) == 2
    assert min(read.reference_start for read in split) == pytest.approx(EXONS[1][0], abs=3)
    assert max(read.reference_end or 0 for read in split) == pytest.approx(EXONS[1][1], abs=3)


@needs_star
def test_neighbours_of_one_name_stay_two_fragments(index: Path, tmp_path: Path) -> None:
    pair = pair_of("same", CONTIGS["chrB"], 1000, 180, 50)
    bam = align(index, tmp_path, [pair, pair])
    with pysam.AlignmentFile(bam) as reads:
        flags = sorted(read.flag for read in reads.fetch(until_eof=True))
    assert flags == [99, 99, 147, 147]


@needs_star
def test_a_failure_of_star_is_quoted(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = library(CONTIGS)
    broken = [replace(pairs[0], first="")]
    assert align_star.main(command(index, tmp_path, broken)) == 1
    assert "STAR failed" in capsys.readouterr().err
    assert not any("toy.bam" in path.name for path in tmp_path.iterdir())


@needs_star
def test_what_is_no_index_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert align_star.main(command(tmp_path, tmp_path, [])) == 1
    assert "not an index of STAR" in capsys.readouterr().err


def test_a_missing_star_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert align_star.main(command(tmp_path, tmp_path, [])) == 1
    assert "alignment.aligner: minimap2" in capsys.readouterr().err


def test_an_intron_too_short_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert align_star.main(command(tmp_path, tmp_path, [], "--maximum-intron", "3")) == 1
    assert "--maximum-intron 3" in capsys.readouterr().err


def record(flag: int, start: int, cigar: str, **tags: object) -> pysam.AlignedSegment:
    read = pysam.AlignedSegment(HEADER)
    read.query_name, read.flag = "x", flag
    read.reference_id, read.reference_start, read.cigarstring = 0, start, cigar
    read.query_sequence = "ACGTACGTAC"
    for name, value in tags.items():
        read.set_tag(name, value)
    return read


@pytest.mark.parametrize(
    ("codes", "strand"),
    [
        ([-1], None),
        ([0], None),
        ([1], "+"),
        ([22], "-"),
        ([20], None),
        ([3, 0], "+"),
        ([1, 2], None),
    ],
)
def test_strand_follows_from_the_motifs(codes: list[int], strand: str | None) -> None:
    read = record(0, 0, "10M")
    read.set_tag("jM", array("b", codes))
    assert align_star.motif_strand(read) == strand
    assert align_star.motif_strand(record(0, 0, "10M")) is None


def test_namesakes_keep_their_own_supplementary_records() -> None:
    first = record(0, 500, "6M4S", SA="one,101,+,6S4M,60,0;")
    second = record(0, 700, "6M4S", SA="one,301,+,6S4M,60,0;")
    rest_second, rest_first = record(2048, 300, "6S4M"), record(2048, 100, "6S4M")
    groups = list(align_star.fragments([first, rest_second, second, rest_first]))
    assert [[read.reference_start for read in group] for group in groups] == [
        [500, 100],
        [700, 300],
    ]


@pytest.mark.parametrize("double", [69, 133])
def test_a_mate_written_as_mapped_and_as_unmapped_counts_once(double: int) -> None:
    pair = [record(99, 100, "10M"), record(147, 300, "10M")]
    extra = record(double, 0, "")
    extra.cigarstring = None
    rest = record(2147 if double == 69 else 2195, 500, "6M4S")
    groups = list(align_star.fragments([*pair, extra, rest]))
    assert [[read.flag for read in group] for group in groups] == [[99, 147, rest.flag]]


@pytest.mark.parametrize(("mapped", "again", "left_out"), [(137, 133, 69), (73, 69, 133)])
def test_a_mate_that_is_left_out_has_no_bases_and_no_place(
    mapped: int, again: int, left_out: int
) -> None:
    """Once in millions of pairs one mate is written as mapped and as unmapped, the other not."""
    double = record(again, 0, "")
    double.cigarstring = None
    (group,) = align_star.fragments([record(mapped, 100, "10M", NM=0, NH=1), double])
    assert [read.flag for read in group] == [mapped]
    written = list(align_star.repaired(group, "lib", HEADER, 1000))
    flags = {read.flag: read for read in written}
    assert set(flags) == {mapped, left_out}
    assert flags[mapped].query_sequence is not None and flags[left_out].query_sequence is None


def test_a_pair_of_which_one_mate_is_unmapped_stays_whole() -> None:
    pair = [record(73, 100, "10M"), record(133, 100, "")]
    groups = list(align_star.fragments(pair))
    assert [[read.flag for read in group] for group in groups] == [[73, 133]]

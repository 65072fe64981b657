from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pysam
import pytest
from contract import check_contract, records_by_name
from toy_reads import EXONS, Pair, genome, library, pair_of, write_fasta, write_fastq, write_pairs

import align_minimap2
import index_minimap2
from align_minimap2 import (
    Hit,
    Settings,
    alignment_score,
    choose_pair,
    choose_single,
    edit_distance,
    rna_strand,
    splice_strand,
    supplementary_hits,
    trim_overhangs,
)
from ringmark.alignments import Placement, parse_cigar, query_span
from ringmark.sequence import reverse_complement

CONTIGS = genome()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    fasta = write_fasta(folder / "genome.fa", CONTIGS)
    output = folder / "genome.mmi"
    assert index_minimap2.main(["--fasta", str(fasta), "--output", str(output)]) == 0
    return output


def align(index: Path, folder: Path, pairs: list[Pair], *options: str) -> Path:
    first, second = write_pairs(folder, pairs)
    output = folder / "toy.bam"
    code = align_minimap2.main(
        [
            "--index", str(index), "--fastq-1", str(first), "--fastq-2", str(second),
            "--library", "lib", "--sample", "specimen", "--output", str(output), *options,
        ]
    )  # fmt: skip
    assert code == 0
    return output


def fetch(chrom: str, start: int, end: int) -> str:
    return CONTIGS[chrom][start:end]


def hit(start: int, cigar: str, score: int, strand: str = "+", chrom: str = "chrA") -> Hit:
    parsed = parse_cigar(cigar)
    return Hit(Placement(chrom, start, strand, parsed, 0, 0), score, query_span(parsed, strand))


def test_pairs_keep_the_contract(index: Path, tmp_path: Path) -> None:
    bam = align(index, tmp_path, library(CONTIGS))
    check_contract(bam, "lib", "specimen")
    reads = records_by_name(bam)
    assert sorted(reads) == sorted(pair.name for pair in library(CONTIGS))
    one, two = reads["linear"]
    assert (one.flag, two.flag) == (99, 147)
    assert (one.reference_start, one.template_length) == (1000, 180)
    assert two.reference_end == 1180
    assert {read.flag for read in reads["unknown"]} == {77, 141}
    assert {read.flag for read in reads["half"]} == {73, 133}
    assert {read.flag & 0x2 for read in reads["apart"]} == {0}


def test_spliced_reads_tell_the_strand_of_the_rna(index: Path, tmp_path: Path) -> None:
    bam = align(index, tmp_path, library(CONTIGS))
    reads = records_by_name(bam)
    first = next(read for read in reads["spliced"] if read.is_read1)
    assert first.cigarstring == "20M600N30M"
    assert first.get_tag("XS") == "+"
    assert not any(read.has_tag("XS") for read in reads["linear"])


@pytest.mark.parametrize("name", ["circle_first", "circle_second"])
def test_back_spliced_reads_are_split(index: Path, tmp_path: Path, name: str) -> None:
    reads = records_by_name(align(index, tmp_path, library(CONTIGS)))[name]
    split = [read for read in reads if read.has_tag("SA")]
    assert len(split) == 2
    assert min(read.reference_start for read in split) == pytest.approx(EXONS[1][0], abs=3)
    assert max(read.reference_end or 0 for read in split) == pytest.approx(EXONS[1][1], abs=3)
    assert sum(read.is_supplementary for read in split) == 1


def test_single_end_reads(index: Path, tmp_path: Path) -> None:
    pairs = [replace(pair, second="") for pair in library(CONTIGS)]
    bam = align(index, tmp_path, pairs)
    check_contract(bam, "lib", "specimen")
    assert not any(read.is_paired for reads in records_by_name(bam).values() for read in reads)


def test_no_reads_give_an_empty_bam(index: Path, tmp_path: Path) -> None:
    bam = align(index, tmp_path, [])
    check_contract(bam, "lib", "specimen")
    assert records_by_name(bam) == {}


def test_reads_of_30_nt_align_also_with_a_mismatch(index: Path, tmp_path: Path) -> None:
    bases = CONTIGS["chrB"][2000:2030]
    wrong = bases[:14] + ("A" if bases[14] != "A" else "C") + bases[15:]
    reads = records_by_name(align(index, tmp_path, [Pair("r", wrong)]))["r"]
    assert [(read.reference_start, read.get_tag("NM")) for read in reads] == [(2000, 1)]


def test_result_does_not_depend_on_threads(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(align_minimap2, "BATCH", 2)
    results = []
    for threads in ("1", "3"):
        folder = tmp_path / threads
        folder.mkdir()
        bam = align(index, folder, library(CONTIGS), "--threads", threads)
        with pysam.AlignmentFile(bam) as reads:
            results.append([read.to_string() for read in reads.fetch(until_eof=True)])
    assert results[0] == results[1]


def test_nothing_is_left_beside_the_bam(index: Path, tmp_path: Path) -> None:
    align(index, tmp_path, library(CONTIGS))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "toy.bam", "toy.bam.bai", "toy_1.fastq.gz", "toy_2.fastq.gz",
    ]  # fmt: skip


def test_copies_are_counted_and_the_mate_decides(tmp_path: Path) -> None:
    contigs = dict(CONTIGS)
    copy = contigs["chrA"][8000:8200]
    contigs["chrB"] = contigs["chrB"][:4000] + copy + contigs["chrB"][4200:]
    fasta = write_fasta(tmp_path / "genome.fa", contigs)
    index = tmp_path / "genome.mmi"
    assert index_minimap2.main(["--fasta", str(fasta), "--output", str(index)]) == 0
    pairs = [
        Pair("alone", copy[50:100]),
    ]
    alone = records_by_name(align(index, tmp_path, pairs))["alone"][0]
    assert (alone.get_tag("NH"), alone.mapping_quality) == (2, 3)
    pairs = [pair_of("pair", contigs["chrB"], 4100, 220, 50)]
    reads = records_by_name(align(index, tmp_path, pairs))["pair"]
    assert {read.reference_name for read in reads} == {"chrB"}
    assert {read.get_tag("NH") for read in reads} == {1}


@pytest.mark.parametrize(
    "option",
    [
        ["--preset", "splice:xyz"],
        ["--maximum-intron", "5"],
        ["--minimum-seeds", "0"],
        ["--maximum-hits", "0"],
        ["--minimum-chain-score", "-3"],
    ],
)
def test_wrong_options_are_refused(
    index: Path, tmp_path: Path, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = write_pairs(tmp_path, [])
    code = align_minimap2.main(
        [
            "--index", str(index), "--fastq-1", str(first), "--fastq-2", str(second),
            "--library", "l", "--sample", "s", "--output", str(tmp_path / "x.bam"), *option,
        ]
    )  # fmt: skip
    assert code == 1
    assert option[1] in capsys.readouterr().err
    assert not (tmp_path / "x.bam").exists()


def test_what_is_no_index_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = write_pairs(tmp_path, [])
    wrong = write_fasta(tmp_path / "genome.fa", CONTIGS)
    code = align_minimap2.main(
        [
            "--index", str(wrong), "--fastq-1", str(first), "--fastq-2", str(second),
            "--library", "l", "--sample", "s", "--output", str(tmp_path / "x.bam"),
        ]
    )  # fmt: skip
    assert code == 1
    assert "genome.fa" in capsys.readouterr().err


def test_mates_that_do_not_match_are_an_error(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read = CONTIGS["chrA"][:50]
    first = write_fastq(tmp_path / "one.fastq.gz", [("a", read), ("b", read)])
    second = write_fastq(tmp_path / "two.fastq.gz", [("a", read)])
    code = align_minimap2.main(
        [
            "--index", str(index), "--fastq-1", str(first), "--fastq-2", str(second),
            "--library", "l", "--sample", "s", "--output", str(tmp_path / "x.bam"),
        ]
    )  # fmt: skip
    assert code == 1
    assert "two.fastq.gz" in capsys.readouterr().err


def test_suffixes_of_mates_are_not_part_of_the_name(index: Path, tmp_path: Path) -> None:
    pair = pair_of("x", CONTIGS["chrB"], 1000, 180, 50)
    write_pairs(tmp_path, [])
    first = write_fastq(tmp_path / "a.fastq.gz", [("x/1", pair.first)])
    second = write_fastq(tmp_path / "b.fastq.gz", [("x/2", pair.second)])
    reads = list(align_minimap2.read_fragments(first, second))
    assert [[mate[0] for mate in mates] for mates in reads] == [["x", "x"]]


def test_splice_signals_are_read_on_both_strands() -> None:
    bases = "AAGTCCCCAGAACTCCCCACAATTCCCCTTAA"

    def toy(chrom: str, start: int, end: int) -> str:
        return bases[start:end]

    assert splice_strand(toy, "c", (2, 10)) == "+"
    assert splice_strand(toy, "c", (12, 20)) == "-"
    assert splice_strand(toy, "c", (22, 30)) is None
    assert splice_strand(toy, "c", (2, 4)) is None
    assert rna_strand(toy, "c", [(2, 10), (22, 30)]) == "+"
    assert rna_strand(toy, "c", [(2, 10), (12, 20)]) is None
    assert rna_strand(toy, "c", []) is None


def test_short_overhangs_become_clips() -> None:
    start = EXONS[0][1] - 30
    cigar, left = trim_overhangs(parse_cigar("2S30M600N4M1S"), "chrA", start, fetch)
    assert (cigar, left) == ([(4, 2), (0, 30), (4, 5)], start)
    cigar, left = trim_overhangs(parse_cigar("4M600N30M"), "chrA", EXONS[0][1] - 4, fetch)
    assert (cigar, left) == ([(4, 4), (0, 30)], EXONS[1][0])
    kept = list(parse_cigar("30M600N5M"))
    assert trim_overhangs(kept, "chrA", start, fetch) == (kept, start)


def test_a_gap_at_the_new_edge_goes_too() -> None:
    start = EXONS[0][1] - 33
    cigar, left = trim_overhangs(parse_cigar("30M3D600N4M"), "chrA", start, fetch)
    assert (cigar, left) == ([(0, 30), (4, 4)], start)
    cigar, left = trim_overhangs(parse_cigar("3M600N2I30M"), "chrA", EXONS[0][1] - 3, fetch)
    assert (cigar, left) == ([(4, 5), (0, 30)], EXONS[1][0])
    cigar, left = trim_overhangs(parse_cigar("3M600N2D30M"), "chrA", EXONS[0][1] - 3, fetch)
    assert (cigar, left) == ([(4, 3), (0, 30)], EXONS[1][0] + 2)


def test_edits_are_mismatches_and_gap_bases() -> None:
    bases = CONTIGS["chrA"][100:140]
    other = {"A": "C", "C": "G", "G": "T", "T": "A"}
    read = "GG" + other[bases[0]] + bases[1:10] + "TT" + bases[10:20] + bases[23:33]
    cigar = parse_cigar("2S10M2I10M3D10M")
    assert edit_distance(cigar, 100, read, "chrA", fetch) == 6


def test_score_takes_off_for_mismatches_gaps_and_introns() -> None:
    assert alignment_score(parse_cigar("50M"), 0, []) == 50
    assert alignment_score(parse_cigar("50M"), 2, []) == 44
    assert alignment_score(parse_cigar("20M2D30M"), 2, []) == 45
    assert alignment_score(parse_cigar("20M100N30M"), 0, [True]) == 49
    assert alignment_score(parse_cigar("20M100N30M"), 0, [False]) == 42


def test_of_equal_places_the_leftmost_is_chosen() -> None:
    hits = [hit(900, "50M", 50), hit(100, "50M", 50), hit(500, "50M", 44)]
    assert choose_single(hits) == (hits[1], 2)


def test_a_proper_pair_wins_over_slightly_better_hits_apart() -> None:
    first = [hit(100, "50M", 50), hit(5000, "50M", 46)]
    second = [hit(5100, "50M", 50, "-")]
    far = [hit(5100, "50M", 50, "-", "chrB")]
    assert choose_pair(first, second, 1000) == (first[1], second[0], 1, 1)
    assert choose_pair(first, far, 1000) == (first[0], far[0], 1, 1)


def test_supplementary_parts_do_not_overlap_and_the_closest_is_taken() -> None:
    primary = hit(1000, "30M20S", 30)
    near, far = hit(600, "30S20M", 20), hit(600, "30S20M", 20, chrom="chrB")
    inside = hit(4000, "5S25M20S", 25)
    assert supplementary_hits(primary, [primary, far, near, inside]) == [(near, 2)]
    assert supplementary_hits(primary, [primary]) == []


def test_mates_on_the_minus_strand_are_turned(index: Path, tmp_path: Path) -> None:
    sequence = reverse_complement(CONTIGS["chrB"][1000:1060])
    read = records_by_name(align(index, tmp_path, [Pair("r", sequence)]))["r"][0]
    assert read.is_reverse
    assert read.query_sequence == CONTIGS["chrB"][1000:1060]


def test_settings_are_good_by_default() -> None:
    assert Settings().problems() == []

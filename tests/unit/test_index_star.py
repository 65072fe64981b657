from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from toy_reads import genome, write_fasta, write_gtf

import index_star

needs_star = pytest.mark.skipif(shutil.which("STAR") is None, reason="STAR is not installed")


@pytest.mark.parametrize(
    ("length", "expected"), [(100_000, 7), (12_000_000, 10), (3_100_000_000, 14), (20, 2)]
)
def test_words_follow_the_length_of_the_genome(length: int, expected: int) -> None:
    assert index_star.index_word(length) == expected


def test_bins_follow_the_length_of_the_contigs() -> None:
    assert index_star.bin_bits(3_100_000_000, 25, 101) == 18
    assert index_star.bin_bits(100_000_000, 100_000, 101) == 9
    assert index_star.bin_bits(100_000, 100_000, 101) == 6


def test_contigs_are_measured(tmp_path: Path) -> None:
    fasta = tmp_path / "genome.fa"
    fasta.write_text(">one text\nACGT\nAC\n>two\n\nA\n")
    assert index_star.contig_lengths(fasta) == [6, 1]


def test_stars_own_words_are_quoted() -> None:
    text = "noise\nEXITING because of FATAL ERROR: no genome\nSOLUTION: give one\n\nbye\n"
    assert index_star.star_message(text).startswith("EXITING because of FATAL ERROR: no genome")
    assert index_star.star_message("") == ""


def arguments(folder: Path, fasta: Path, *more: str) -> list[str]:
    gtf = write_gtf(folder / "genes.gtf")
    return ["--fasta", str(fasta), "--gtf", str(gtf), "--output", str(folder / "index"), *more]


def test_a_missing_star_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fasta = write_fasta(tmp_path / "genome.fa", genome())
    assert index_star.main(arguments(tmp_path, fasta)) == 1
    message = capsys.readouterr().err
    assert "STAR is not installed" in message
    assert "alignment.aligner: minimap2" in message


@needs_star
def test_an_empty_genome_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fasta = tmp_path / "genome.fa"
    fasta.write_text(">chr1\n")
    assert index_star.main(arguments(tmp_path, fasta)) == 1
    assert "genome.fa" in capsys.readouterr().err


@needs_star
def test_index_is_written_whole(tmp_path: Path) -> None:
    fasta = write_fasta(tmp_path / "genome.fa", genome())
    assert index_star.main(arguments(tmp_path, fasta)) == 0
    assert (tmp_path / "index" / "SA").is_file()
    assert "chrA\t2401\t3000\t+" in (tmp_path / "index" / "sjdbList.out.tab").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["genes.gtf", "genome.fa", "index"]


@needs_star
def test_what_star_refuses_is_quoted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fasta = write_fasta(tmp_path / "genome.fa", {"other": genome()["chrA"]})
    assert index_star.main(arguments(tmp_path, fasta)) == 1
    assert "no valid exon lines in the GTF file" in capsys.readouterr().err
    assert not (tmp_path / "index").exists()

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from test_summarise_alignment import GTF, pair, place, write_bam
from toy_reads import (
    EXONS,
    genome,
    library,
    pair_of,
    spliced,
    write_fasta,
    write_gtf,
    write_pairs,
)

import align_star
import count_genes
import index_star
from ringmark.alignments import Mate
from ringmark.tables import read_matrix

STAR_TABLE = """\
N_unmapped\t5\t5\t5
N_multimapping\t0\t0\t0
N_noFeature\t1\t2\t3
N_ambiguous\t0\t0\t0
far\t7\t8\t9
plus\t0\t1\t2
"""


def write_summary(folder: Path, strandedness: str) -> Path:
    path = folder / "summary.tsv"
    path.write_text(f"library\tstrandedness\nlib\t{strandedness}\n")
    return path


def count(folder: Path, bam: Path, gtf: Path, strandedness: str, *options: str) -> dict[str, int]:
    output = folder / "counts.tsv"
    code = count_genes.main(
        [
            "--bam", str(bam), "--gtf", str(gtf), "--library", "lib",
            "--summary", str(write_summary(folder, strandedness)), "--output", str(output),
            *options,
        ]
    )  # fmt: skip
    assert code == 0
    matrix = read_matrix(output)
    assert matrix.index.name == "gene_id"
    assert list(matrix.columns) == ["lib"]
    return {str(gene): int(number) for gene, number in matrix["lib"].items()}


@pytest.fixture
def gtf(tmp_path: Path) -> Path:
    path = tmp_path / "genes.gtf"
    path.write_text(GTF)
    return path


@pytest.mark.parametrize(
    ("strandedness", "far"), [("unstranded", 2), ("forward", 1), ("reverse", 1)]
)
def test_fragments_count_on_their_strand(
    tmp_path: Path, gtf: Path, strandedness: str, far: int
) -> None:
    fragments = [
        pair(place(5100, "-"), place(5050, "+")),
        pair(place(5050, "+"), place(5100, "-")),
    ]
    bam = write_bam(tmp_path / "lib.bam", fragments)
    assert count(tmp_path, bam, gtf, strandedness) == {"far": far, "minus": 0, "plus": 0}


def test_only_linear_fragments_with_one_place_count(tmp_path: Path, gtf: Path) -> None:
    split = Mate("A" * 50, "I" * 50, (place(5100, "+"), place(5600, "+")))
    several = place(5100, "+", 3)
    several = type(several)("one", 5100, "+", several.cigar, 3, 0, hits=2)
    fragments = [
        pair(place(5100, "+"), place(5300, "-")),
        pair(place(5100, "+"), None),
        pair(place(5300, "+"), place(5100, "-")),
        pair(place(5100, "+"), place(100, "-", chrom="two")),
        [split, Mate("A" * 50, "I" * 50, (place(5300, "-"),))],
        pair(several, place(5300, "-")),
        pair(place(1650, "+"), place(1720, "-")),
    ]
    bam = write_bam(tmp_path / "lib.bam", fragments)
    assert count(tmp_path, bam, gtf, "unstranded") == {"far": 2, "minus": 0, "plus": 0}
    assert not list(tmp_path.glob(".*"))


def test_an_empty_bam_counts_nothing(tmp_path: Path, gtf: Path) -> None:
    bam = write_bam(tmp_path / "lib.bam", [])
    assert count(tmp_path, bam, gtf, "forward") == {"far": 0, "minus": 0, "plus": 0}


def test_one_single_end_read(tmp_path: Path, gtf: Path) -> None:
    bam = write_bam(tmp_path / "lib.bam", [[Mate("A" * 50, "I" * 50, (place(1100, "+"),))]])
    assert count(tmp_path, bam, gtf, "forward") == {"far": 0, "minus": 0, "plus": 1}


@pytest.mark.parametrize(
    ("strandedness", "expected"), [("unstranded", (7, 0)), ("forward", (8, 1)), ("reverse", (9, 2))]
)
def test_the_column_of_star_follows_the_strandedness(
    tmp_path: Path, strandedness: str, expected: tuple[int, int]
) -> None:
    table = tmp_path / "ReadsPerGene.out.tab"
    table.write_text(STAR_TABLE)
    found = count(
        tmp_path, tmp_path / "x.bam", tmp_path / "x.gtf", strandedness, "--star-counts", str(table)
    )
    assert (found["far"], found["plus"]) == expected


def failure(folder: Path, strandedness: str, *options: str) -> int:
    return count_genes.main(
        [
            "--bam", str(folder / "x.bam"), "--gtf", str(folder / "genes.gtf"), "--library", "lib",
            "--summary", str(write_summary(folder, strandedness)),
            "--output", str(folder / "counts.tsv"), *options,
        ]
    )  # fmt: skip


def test_what_is_no_table_of_star_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "wrong.tab"
    table.write_text("gene_id\tcount\nfar\t3\n")
    assert failure(tmp_path, "forward", "--star-counts", str(table)) == 1
    assert "wrong.tab, line 1" in capsys.readouterr().err


def test_an_unresolved_strandedness_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failure(tmp_path, "auto") == 1
    assert "'auto'" in capsys.readouterr().err


def test_what_htseq_refuses_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_bam(tmp_path / "x.bam", [])
    (tmp_path / "genes.gtf").write_text('one\tx\texon\t1\t9\t.\t+\t.\tgene_name "a";\n')
    assert failure(tmp_path, "forward") == 1
    assert "HTSeq" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("STAR") is None, reason="STAR is not installed")
@pytest.mark.parametrize("strandedness", ["unstranded", "forward", "reverse"])
def test_star_and_htseq_agree(tmp_path: Path, strandedness: str) -> None:
    contigs = genome()
    fasta, gtf = write_fasta(tmp_path / "genome.fa", contigs), write_gtf(tmp_path / "genes.gtf")
    index, bam, table = tmp_path / "index", tmp_path / "toy.bam", tmp_path / "star.tab"
    assert index_star.main(["--fasta", str(fasta), "--gtf", str(gtf), "--output", str(index)]) == 0
    mrna, circle = spliced(contigs), spliced(contigs, EXONS[1:2]) * 2
    pairs = library(contigs)
    pairs += [pair_of(f"m{at}", mrna, at, 170, 60) for at in range(0, 1200, 7)]
    pairs += [pair_of(f"c{at}", circle, at, 170, 60) for at in range(250, 700, 9)]
    first, second = write_pairs(tmp_path, pairs)
    command = [
        "--index", str(index), "--fastq-1", str(first), "--fastq-2", str(second),
        "--library", "lib", "--sample", "s", "--output", str(bam),
        "--gene-counts", str(table), "--log", str(tmp_path / "log"),
    ]  # fmt: skip
    assert align_star.main(command) == 0
    by_star = count(tmp_path, bam, gtf, strandedness, "--star-counts", str(table))
    by_htseq = count(tmp_path, bam, gtf, strandedness)
    assert by_star == by_htseq
    assert (by_htseq["g1"] > 100) == (strandedness != "reverse")

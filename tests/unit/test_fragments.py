"""Fragments of a BAM in batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pysam
import pytest
from toy_circles import EXONS, World, mate, pair, single, toy_world, write_bam

from ringmark import records
from ringmark.alignments import Fragment, Mate, iterate_fragments
from ringmark.fragments import FragmentBatch, read_batches

#: Chromosome, strand, blocks and right ends of introns.
Shown = tuple[str, int, tuple[tuple[int, int], ...], tuple[int, ...]]
SIGNS = {"+": 1, "-": -1, ".": 0}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return toy_world(tmp_path)


def shown(batch: FragmentBatch) -> list[Shown]:
    found = []
    for number in range(batch.fragments):
        own, introns = batch.owner == number, batch.intron_owner == number
        blocks = zip(batch.starts[own].tolist(), batch.ends[own].tolist(), strict=True)
        ends = tuple(sorted(set(batch.intron_ends[introns].tolist())))
        found.append((batch.chrom, int(batch.signs[number]), tuple(blocks), ends))
    return found


def of_fragment(item: Fragment) -> Shown:
    introns = tuple(sorted({end for _, end in item.introns}))
    return item.chrom, SIGNS[item.strand], tuple(item.blocks), introns


def check(bam: Path, strandedness: str = "reverse", quality: int = 0) -> list[FragmentBatch]:
    """Compare the batches with the fragments one by one, and return them."""
    with pysam.AlignmentFile(str(bam)) as reads:
        expected = Counter(map(of_fragment, iterate_fragments(reads, strandedness, quality)))
    batches = list(read_batches(bam, strandedness, quality))
    assert Counter(item for batch in batches for item in shown(batch)) == expected
    return batches


def mixture(world: World, number: int = 40) -> dict[str, list[Mate]]:
    """Return fragments of every kind: linear and circular, single, far apart, on both contigs."""
    reads: dict[str, list[Mate]] = {}
    for place in range(number):
        chrom, rna = ("p", "+") if place % 2 else ("m", "-")
        reads[f"linear{place}"] = pair(world, chrom, EXONS, 11 * place, 170, 60, rna, turns=1)
        reads[f"single{place}"] = single(world, chrom, EXONS, 7 * place, 60, rna, turns=1)
        reads[f"circle{place}"] = pair(world, chrom, EXONS[1:3], 5 * place, 170, 60, rna)
        reads[f"overlap{place}"] = pair(world, chrom, EXONS, 9 * place, 61, 60, rna, turns=1)
        far = mate(world.contigs[chrom][4300:4360], ())
        reads[f"lone{place}"] = [reads[f"linear{place}"][0], far]
    return reads


@pytest.mark.parametrize("strandedness", ["forward", "reverse", "unstranded"])
@pytest.mark.parametrize("chunk", [1, 300, 2000, 1 << 24])
def test_as_one_by_one(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strandedness: str, chunk: int
) -> None:
    monkeypatch.setattr(records, "CHUNK", chunk)
    bam = write_bam(tmp_path / "x.bam", world, mixture(world))
    batches = check(bam, strandedness)
    assert len(batches) > (2 if chunk < 10_000 else 1)
    assert {item.chrom for item in batches} == {"p", "m"}


def test_batches_are_handed_on_before_the_end(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "CHUNK", 2000)
    bam = write_bam(tmp_path / "x.bam", world, mixture(world))
    assert max(batch.fragments for batch in check(bam)) <= 20


def test_names_used_twice_stay_two_fragments(world: World, tmp_path: Path) -> None:
    twice = [pair(world, "p", EXONS, place, 170, 60, "+", turns=1) for place in (10, 400)]
    bam = write_bam(tmp_path / "x.bam", world, {"a": twice[0], "b": twice[1]})
    renamed = tmp_path / "y.bam"
    with (
        pysam.AlignmentFile(str(bam)) as reads,
        pysam.AlignmentFile(str(renamed), "wb", header=reads.header) as out,
    ):
        for read in reads.fetch(until_eof=True):
            read.query_name = "same"
            out.write(read)
    (batch,) = check(renamed)
    assert batch.fragments == 2


def test_a_mate_under_the_quality_is_left_out(world: World, tmp_path: Path) -> None:
    bam = write_bam(tmp_path / "x.bam", world, mixture(world, 4))
    poor = tmp_path / "y.bam"
    with (
        pysam.AlignmentFile(str(bam)) as reads,
        pysam.AlignmentFile(str(poor), "wb", header=reads.header) as out,
    ):
        for number, read in enumerate(reads.fetch(until_eof=True)):
            read.mapping_quality = 60 if number % 3 else 3
            out.write(read)
    all_of_them, good = check(poor), check(poor, quality=10)
    assert sum(item.fragments for item in good) <= sum(item.fragments for item in all_of_them)
    assert sum(len(item.starts) for item in good) < sum(len(item.starts) for item in all_of_them)


def test_no_reads(world: World, tmp_path: Path) -> None:
    assert check(write_bam(tmp_path / "x.bam", world, {})) == []


def test_a_file_that_is_cut_short_is_an_error(world: World, tmp_path: Path) -> None:
    bam = write_bam(tmp_path / "x.bam", world, mixture(world))
    whole = tmp_path / "whole.bin"
    with pysam.BGZFile(str(bam), "rb", None) as packed:
        whole.write_bytes(packed.read())
    for size in (whole.stat().st_size - 10, 6):
        cut = tmp_path / f"cut{size}.bam"
        with pysam.BGZFile(str(cut), "wb", None) as packed:
            packed.write(whole.read_bytes()[:size])
        with pytest.raises((OSError, ValueError)):
            list(read_batches(cut, "reverse"))


def test_a_damaged_file_is_an_error(world: World, tmp_path: Path) -> None:
    bam = write_bam(tmp_path / "x.bam", world, mixture(world))
    packed = bam.read_bytes()
    bam.write_bytes(packed[: len(packed) // 2])
    with pytest.raises((OSError, ValueError)):
        list(read_batches(bam, "reverse"))


def test_unknown_strandedness(world: World, tmp_path: Path) -> None:
    bam = write_bam(tmp_path / "x.bam", world, {})
    with pytest.raises(ValueError, match="sideways"):
        list(read_batches(bam, "sideways"))


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([(10, 20)], [(10, 20)]),
        ([(10, 20), (15, 40)], [(10, 40)]),
        ([(10, 20), (20, 40)], [(10, 40)]),
        ([(10, 50), (20, 30)], [(10, 50)]),
        ([(30, 40), (10, 20)], [(10, 20), (30, 40)]),
        ([(10, 50), (20, 30), (49, 60), (61, 70)], [(10, 60), (61, 70)]),
    ],
)
def test_blocks_of_a_fragment_are_united(
    blocks: Sequence[tuple[int, int]], expected: list[tuple[int, int]]
) -> None:
    others = [Fragment("c", "+", ((0, 1000),), (), 60), Fragment("c", "-", ((5, 6),), (), 60)]
    batch = FragmentBatch.of([others[0], Fragment("c", ".", tuple(blocks), (), 60), others[1]], "c")
    assert [item[2] for item in shown(batch)] == [((0, 1000),), tuple(expected), ((5, 6),)]
    assert batch.signs.tolist() == [1, 0, -1]

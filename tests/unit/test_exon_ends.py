"""Pairs of annotated exon ends in reads."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from toy_circles import (
    EXONS,
    World,
    flip,
    make_world,
    put,
    random_bases,
    toy_contig,
    toy_world,
)

from ringmark.annotation import Annotation
from ringmark.exon_ends import CONTEXT, SEED, EndPair, ExonEnds
from ringmark.sequence import reverse_complement

#: The spans that circles may have where a test does not care.
ANY = (0, 10_000)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return toy_world(tmp_path)


def ends_of(world: World, spans: tuple[int, int] = ANY) -> ExonEnds:
    return ExonEnds(world.annotation, world.genome, spans)


def found(ends: ExonEnds, sequence: str) -> list[tuple[str, int, int, int, int]]:
    return [
        (pair.gene.gene_id, pair.start, pair.end, pair.cut, pair.wrong)
        for pair in ends.pairs(sequence)
    ]


def over(world: World, chrom: str, start: int, end: int, before: int = 50, after: int = 50) -> str:
    """Return a read over a back-splice, along the forward strand.

    Its outer bases are the genome's: the exons must be long enough.
    """
    bases = world.contigs[chrom]
    return bases[end - before : end] + bases[start : start + after]


# ---------------------------------------------------------------- strands, positions


@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 2), (1, 3), (2, 3), (3, 3)])
def test_both_strands(world: World, first: int, last: int) -> None:
    """The cut counts in the sense of the RNA, start and end are the genome's."""
    start, end = EXONS[first][0], EXONS[last][1]
    ends = ends_of(world)
    forward = over(world, "p", start, end, 40, 60)
    assert found(ends, forward) == [("G1", start, end, 40, 0)]
    backward = reverse_complement(over(world, "m", start, end, 40, 60))
    assert found(ends, backward) == [("G2", start, end, 60, 0)]


def test_only_the_sense_of_the_gene(world: World) -> None:
    ends = ends_of(world)
    assert found(ends, reverse_complement(over(world, "p", 1800, 2700))) == []
    assert found(ends, over(world, "m", 1800, 2700)) == []


def test_the_gene_of_a_pair(world: World) -> None:
    (pair,) = ends_of(world).pairs(over(world, "p", 1800, 2700))
    assert pair == EndPair(world.annotation.genes["G1"], 1800, 2700, 50, 0)


def test_linear_reads_give_nothing(world: World) -> None:
    """Neither within exons nor from one to the next: the donor lies before the acceptor."""
    ends = ends_of(world)
    assert found(ends, world.contigs["p"][1820:1920]) == []
    for (_, left), (right, _) in pairwise(EXONS):
        assert found(ends, world.bases("p", [(left - 50, left), (right, right + 50)])) == []
    # nor from exon 1 to exon 4
    assert found(ends, world.bases("p", [(1150, 1200), (3300, 3350)])) == []


def test_a_transcripts_outer_ends_are_no_splice_sites(world: World) -> None:
    ends = ends_of(world)
    assert found(ends, over(world, "p", 1000, 2700)) == []
    assert found(ends, over(world, "p", 1800, 4500)) == []
    assert found(ends, over(world, "p", 1000, 1200)) == []


def test_an_outer_end_that_is_inside_another_transcript(tmp_path: Path) -> None:
    longer = ((500, 600), *EXONS, (5000, 5100))
    world = make_world(tmp_path, {"p": toy_contig("+")}, [("G", "p", "+", [EXONS, longer])])
    assert found(ends_of(world), over(world, "p", 1000, 4500)) == [("G", 1000, 4500, 50, 0)]


def test_ends_of_two_genes_are_no_pair(tmp_path: Path) -> None:
    parts = [EXONS[:3], EXONS[2:]]
    contigs = {"p": toy_contig("+")}
    for name, genes in (
        ("two", [("A", "p", "+", parts[:1]), ("B", "p", "+", parts[1:])]),
        ("one", [("A", "p", "+", parts)]),
    ):
        folder = tmp_path / name
        folder.mkdir()
        world = make_world(folder, contigs, genes)
        # the acceptor of exon 2 is in the first part, the donor of exon 4 in the second
        pairs = found(ends_of(world), over(world, "p", 1800, 3450))
        assert pairs == ([("A", 1800, 3450, 50, 0)] if name == "one" else [])


def test_genes_that_share_exons_give_a_pair_each(tmp_path: Path) -> None:
    world = make_world(
        tmp_path,
        {"p": toy_contig("+")},
        [("A", "p", "+", [EXONS]), ("B", "p", "+", [EXONS[:4]])],
    )
    pairs = found(ends_of(world), over(world, "p", 1800, 2700))
    assert sorted(pairs) == [("A", 1800, 2700, 50, 0), ("B", 1800, 2700, 50, 0)]


# ---------------------------------------------------------------- what is compared


def short_exons(folder: Path, strand: str) -> World:
    """Return a gene with exons of 20 nt between longer ones."""
    exons = ((100, 200), (300, 320), (400, 420), (500, 520), (600, 700))
    return make_world(folder, {"s": random_bases(800, 12)}, [("S", "s", strand, [exons])])


@pytest.mark.parametrize("strand", ["+", "-"])
def test_short_exons_are_spliced_over(tmp_path: Path, strand: str) -> None:
    """A circle of the three short exons: reads show all of them on both sides."""
    world = short_exons(tmp_path, strand)
    circle = world.bases("s", [(300, 320), (400, 420), (500, 520)])
    read = circle * 2
    sense = read if strand == "+" else reverse_complement(read)
    ends = ends_of(world)
    assert found(ends, sense) == [("S", 300, 520, 60, 0)]
    # along the genome the bases beyond the short exons are others
    genome = over(world, "s", 300, 520, 60, 60)
    assert found(ends, genome if strand == "+" else reverse_complement(genome)) == []


def test_the_way_of_splicing_that_fits_best_is_compared(tmp_path: Path) -> None:
    skips = ((100, 200), (300, 320), (500, 520), (600, 700))
    full = ((100, 200), (300, 320), (400, 420), (500, 520), (600, 700))
    bases = random_bases(800, 12)
    world = make_world(tmp_path, {"s": bases}, [("S", "s", "+", [full, skips])])
    ends = ends_of(world)
    without = world.bases("s", [(300, 320), (500, 520)])
    whole = world.bases("s", [(300, 320), (400, 420), (500, 520)])
    for circle in (without, whole):
        cut = len(circle)
        assert found(ends, circle + circle) == [("S", 300, 520, cut, 0)]
    # with one transcript only the other circle has too many differences
    folder = tmp_path / "one"
    folder.mkdir()
    world = make_world(folder, {"s": bases}, [("S", "s", "+", [full])])
    assert found(ends_of(world), whole + whole) == [("S", 300, 520, 60, 0)]
    assert found(ends_of(world), without + without) == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([0], [], None),
        ([SEED - 1], [], None),
        ([], [0], None),
        ([], [SEED - 1], None),
        ([SEED], [], 1),
        ([], [SEED], 1),
        ([SEED], [SEED], 2),
        ([15, 20, 25, 30, 35], [], 5),
        ([15, 20, 25, 30, 35, 40], [], None),
        ([], [15, 20, 25, 30, 35, 40], None),
        ([15, 20, 25, 30, 35], [15, 20, 25, 30, 35], 10),
    ],
)
def test_errors_by_their_distance_from_the_junction(
    world: World, before: list[int], after: list[int], expected: int | None
) -> None:
    """None next to the junction, and one in ten on each side beyond."""
    places = [*(49 - distance for distance in before), *(50 + distance for distance in after)]
    ends = ends_of(world)
    pairs = [("G1", 1800, 2700, 50, expected)] if expected is not None else []
    assert found(ends, flip(over(world, "p", 1800, 2700), *places)) == pairs
    # the rate is the same for a side of 30 bases: 3 of them
    assert found(ends, flip(over(world, "p", 1800, 2700, 30, 50), 2, 6, 10)) != []
    assert found(ends, flip(over(world, "p", 1800, 2700, 30, 50), 2, 6, 10, 14)) == []


def test_only_the_context_is_compared(world: World) -> None:
    ends = ends_of(world)
    read = over(world, "p", 1800, 2700, 100, 100)
    outside = flip(read, *range(100 - CONTEXT), *range(100 + CONTEXT, 200))
    assert found(ends, outside) == [("G1", 1800, 2700, 100, 0)]
    assert found(ends, flip(outside, 100 - CONTEXT, 99 + CONTEXT)) == [("G1", 1800, 2700, 100, 2)]


@pytest.mark.parametrize(
    ("before", "after", "known"),
    [(SEED, SEED, True), (SEED - 1, SEED, False), (SEED, SEED - 1, False), (SEED, 60, True)],
)
def test_a_seed_on_each_side(world: World, before: int, after: int, known: bool) -> None:
    read = over(world, "p", 1800, 2700, before, after)
    assert found(ends_of(world), read) == ([("G1", 1800, 2700, before, 0)] if known else [])


@pytest.mark.parametrize("length", [0, 1, SEED, 2 * SEED - 1])
def test_reads_shorter_than_two_seeds(world: World, length: int) -> None:
    read = over(world, "p", 1800, 2700, SEED, SEED)[:length]
    assert found(ends_of(world), read) == []


def test_a_lower_case_genome(tmp_path: Path) -> None:
    world = make_world(tmp_path, {"p": toy_contig("+").lower()}, [("G", "p", "+", [EXONS])])
    read = over(world, "p", 1800, 2700).upper()
    assert found(ends_of(world), read) == [("G", 1800, 2700, 50, 0)]


# ---------------------------------------------------------------- choice


def test_the_fewest_differences_win_wherever_they_are(tmp_path: Path) -> None:
    """Exon 4 ends like exon 3 but for two bases."""
    bases = toy_contig("+")
    copy = flip(bases[2600:2700], 60, 80)
    world = make_world(tmp_path, {"p": put(bases, 3350, copy)}, [("G", "p", "+", [EXONS])])
    ends = ends_of(world)
    assert found(ends, over(world, "p", 1800, 2700)) == [("G", 1800, 2700, 50, 0)]
    assert found(ends, over(world, "p", 1800, 3450)) == [("G", 1800, 3450, 50, 0)]
    # a read between the two fits both
    between = flip(over(world, "p", 1800, 2700), 10)
    assert sorted(found(ends, between)) == [
        ("G", 1800, 2700, 50, 1),
        ("G", 1800, 3450, 50, 1),
    ]


def test_ties_give_several(tmp_path: Path) -> None:
    bases = toy_contig("+")
    bases = put(bases, 3350, bases[2600:2700])
    world = make_world(tmp_path, {"p": bases}, [("G", "p", "+", [EXONS])])
    pairs = found(ends_of(world), over(world, "p", 1800, 2700))
    assert sorted(pairs) == [("G", 1800, 2700, 50, 0), ("G", 1800, 3450, 50, 0)]


def test_paralogues_tie(tmp_path: Path) -> None:
    bases = toy_contig("+")
    mirrored = tuple((len(bases) - end, len(bases) - start) for start, end in reversed(EXONS))
    genes = [("A", "p", "+", [EXONS]), ("B", "q", "-", [mirrored])]
    world = make_world(tmp_path, {"p": bases, "q": reverse_complement(bases)}, genes)
    pairs = found(ends_of(world), over(world, "p", 1800, 2700, 40, 60))
    assert sorted(pairs) == [("A", 1800, 2700, 40, 0), ("B", 3300, 4200, 40, 0)]


def test_a_short_circle_is_found_at_every_turn(tmp_path: Path) -> None:
    exons = ((100, 200), (300, 365), (500, 600))
    world = make_world(tmp_path, {"s": random_bases(800, 12)}, [("S", "s", "+", [exons])])
    read = (world.contigs["s"][300:365] * 4)[30:180]
    assert found(ends_of(world), read) == [
        ("S", 300, 365, 35, 0),
        ("S", 300, 365, 100, 0),
    ]


@pytest.mark.parametrize(
    ("spans", "known"),
    [((900, 900), True), ((901, 2000), False), ((0, 899), False), ((0, 900), True)],
)
@pytest.mark.parametrize("chrom", ["p", "m"])
def test_spans(world: World, chrom: str, spans: tuple[int, int], known: bool) -> None:
    read = over(world, chrom, 1800, 2700)
    sense = read if chrom == "p" else reverse_complement(read)
    assert bool(found(ends_of(world, spans), sense)) is known


def test_a_span_that_is_not_allowed_does_not_compete(tmp_path: Path) -> None:
    bases = toy_contig("+")
    bases = put(bases, 3350, bases[2600:2700])
    world = make_world(tmp_path, {"p": bases}, [("G", "p", "+", [EXONS])])
    pairs = found(ends_of(world, (0, 1000)), over(world, "p", 1800, 2700))
    assert pairs == [("G", 1800, 2700, 50, 0)]


# ---------------------------------------------------------------- annotations without pairs


def test_genes_of_one_exon_give_nothing(tmp_path: Path) -> None:
    genes = [("A", "p", "+", [((1800, 2700),)]), ("B", "p", "-", [((1800, 2700),)])]
    world = make_world(tmp_path, {"p": toy_contig("+")}, genes)
    ends = ends_of(world)
    assert not ends.donors
    assert not ends.acceptors
    read = over(world, "p", 1800, 2700)
    assert found(ends, read) == found(ends, reverse_complement(read)) == []


def test_genes_of_two_exons_have_no_circle_of_annotated_ends(tmp_path: Path) -> None:
    world = make_world(tmp_path, {"p": toy_contig("+")}, [("A", "p", "+", [EXONS[1:3]])])
    ends = ends_of(world)
    assert len(ends.donors) == len(ends.acceptors) == 1
    assert found(ends, over(world, "p", 1800, 2700)) == []
    assert found(ends, over(world, "p", 1800, 1950)) == []


def test_no_genes(world: World) -> None:
    ends = ExonEnds(Annotation({}), world.genome, ANY)
    assert found(ends, over(world, "p", 1800, 2700)) == []
    assert found(ends, "") == []


def test_exons_shorter_than_a_seed_at_a_transcripts_end_are_not_looked_for(
    tmp_path: Path,
) -> None:
    """Nothing lies before a first exon of 11 nt to fill the seed."""
    inner = ((300, 400), (500, 600))
    full = ((50, 90), (120, 150), *inner, (700, 800))
    short = ((150 - SEED + 1, 150), *inner)
    contig = {"s": random_bases(900, 12)}
    world = make_world(tmp_path, contig, [("S", "s", "+", [short])])
    assert not any(contig["s"][:150].endswith(seed) for seed in ends_of(world).donors)
    # of another transcript the same end is known
    world = make_world(tmp_path, contig, [("S", "s", "+", [short, full])])
    assert contig["s"][150 - SEED : 150] in ends_of(world).donors
    assert found(ends_of(world), over(world, "s", 120, 150, 30, 30)) == [("S", 120, 150, 30, 0)]


@pytest.mark.parametrize("strand", ["+", "-"])
def test_genes_that_fill_a_contig(tmp_path: Path, strand: str) -> None:
    exons = ((0, 20), (40, 100), (120, 180), (200, 220))
    world = make_world(tmp_path, {"e": random_bases(220, 3)}, [("E", "e", strand, [exons])])
    read = over(world, "e", 40, 180)
    sense = read if strand == "+" else reverse_complement(read)
    assert found(ends_of(world), sense) == [("E", 40, 180, 50, 0)]
    # the outer exons hold the first and last bases of the contig, and have an inner end each
    bases = world.contigs["e"]
    first, last = bases[8:20], bases[200:212]
    if strand == "-":
        first, last = reverse_complement(last), reverse_complement(first)
    assert first in ends_of(world).donors
    assert last in ends_of(world).acceptors


def test_a_transcript_that_is_cut_short_hides_no_differences(tmp_path: Path) -> None:
    full, short = ((100, 200), (300, 400), (500, 600), (700, 800)), ((588, 600), (700, 800))
    contigs = {"s": random_bases(900, 12)}
    world = make_world(tmp_path, contigs, [("S", "s", "+", [full, short])])
    junk = random_bases(40, 99)
    shown = contigs["s"][588:600] + contigs["s"][300:350]
    ends = ExonEnds(world.annotation, world.genome, (0, 10_000))
    assert ends.pairs(junk + shown) == []
    assert [(pair.start, pair.end) for pair in ends.pairs(shown)] == [(300, 600)]


@pytest.mark.parametrize("size", [50, 52, 59, 60, 61])
def test_reads_go_round_circles_shorter_than_what_is_compared(tmp_path: Path, size: int) -> None:
    exons = ((1000, 1200), (1800, 1800 + size), *EXONS[2:])
    bases = toy_contig("+")
    world = make_world(tmp_path, {"p": bases}, [("G", "p", "+", [exons])])
    read = (bases[1800 : 1800 + size] * 4)[:130]
    found = ExonEnds(world.annotation, world.genome, (0, 10_000)).pairs(read)
    assert {(pair.start, pair.end, pair.wrong) for pair in found} == {(1800, 1800 + size, 0)}

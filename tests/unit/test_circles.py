"""Placing circles in the annotation, and how sure one is of them."""

from __future__ import annotations

from dataclasses import replace
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

from ringmark.backsplice import Junction
from ringmark.circles import (
    LOW_CONFIDENCE,
    Circle,
    Support,
    build_circle,
    circle_id,
    has_clear_ends,
    is_retained,
    low_confidence_reason,
)
from ringmark.sequence import reverse_complement

PLUS = Junction("p", 1800, 2700, "+", "GT/AG", 2)
MINUS = Junction("m", 1800, 2700, "-", "GT/AG", 2)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return toy_world(tmp_path)


def build(world: World, junction: Junction, **seen: dict[tuple[int, int], int]) -> Circle:
    return build_circle(junction, world.annotation, world.sites, **seen)


def blocks(circle: Circle) -> list[tuple[int, int]]:
    return list(zip(circle.exons.starts.tolist(), circle.exons.ends.tolist(), strict=True))


def test_circle_id() -> None:
    assert circle_id("chr1", 5, 10, "-") == "chr1:5-10:-"


@pytest.mark.parametrize("junction", [PLUS, MINUS])
def test_exonic_circle(world: World, junction: Junction) -> None:
    circle = build(world, junction)
    assert (circle.kind, circle.exon_count) == ("exonic", 2)
    assert circle.gene is not None
    assert circle.gene.strand == junction.strand
    assert blocks(circle) == list(EXONS[1:3])
    assert circle.name == f"{junction.chrom}:1800-2700:{junction.strand}"


@pytest.mark.parametrize("junction", [PLUS, MINUS])
def test_sequence_begins_at_the_back_splice_acceptor(world: World, junction: Junction) -> None:
    forward = world.bases(junction.chrom, EXONS[1:3])
    expected = forward if junction.strand == "+" else reverse_complement(forward)
    assert build(world, junction).sequence(world.genome) == expected


@pytest.mark.parametrize(
    ("spliced", "retained", "expected"),
    [(0, 0, False), (0, 1, False), (0, 2, True), (2, 2, True), (3, 2, False)],
)
def test_retained_intron(world: World, spliced: int, retained: int, expected: bool) -> None:
    intron = (1950, 2500)
    assert is_retained(intron, {intron: spliced}, {intron: retained}) is expected
    circle = build(world, PLUS, spliced={intron: spliced}, retained={intron: retained})
    assert circle.kind == ("exon_intron" if expected else "exonic")
    assert blocks(circle) == ([(1800, 2700)] if expected else list(EXONS[1:3]))
    assert circle.exon_count == 2


def test_one_of_two_introns_is_retained(world: World) -> None:
    circle = build(world, replace(PLUS, end=3450), retained={(2700, 3300): 5})
    assert blocks(circle) == [EXONS[1], (2500, 3450)]
    assert circle.kind == "exon_intron"


def test_reads_choose_the_transcript(tmp_path: Path) -> None:
    skipping = (EXONS[0], EXONS[1], EXONS[3], EXONS[4])
    world = make_world(tmp_path, {"p": toy_contig("+")}, [("G", "p", "+", [EXONS, skipping])])
    junction = replace(PLUS, end=3450)
    assert blocks(build(world, junction)) == list(EXONS[1:4])
    seen = {(1950, 3300): 3, (1950, 2500): 1}
    assert blocks(build(world, junction, spliced=seen)) == [EXONS[1], EXONS[3]]


@pytest.mark.parametrize("strand", ["+", "-"])
def test_lariat_is_intronic(world: World, strand: str) -> None:
    chrom, start, end = ("p", 2700, 3275) if strand == "+" else ("m", 2725, 3300)
    circle = build(world, Junction(chrom, start, end, strand, "lariat", 1))
    assert (circle.kind, circle.exon_count, blocks(circle)) == ("intronic", 0, [(start, end)])
    assert circle.gene is not None


def test_circle_inside_an_intron_with_a_signal_is_intronic(world: World) -> None:
    circle = build(world, Junction("p", 2800, 3100, "+", "GT/AG", 0))
    assert (circle.kind, blocks(circle)) == ("intronic", [(2800, 3100)])


@pytest.mark.parametrize(
    ("junction", "kind"),
    [
        (Junction("p", 1800, 2700, "-", "GT/AG", 0), "antisense"),
        (Junction("p", 5000, 5400, "+", "GT/AG", 0), "intergenic"),
        (Junction("p", 100, 400, "-", "GT/AG", 0), "intergenic"),
    ],
)
def test_circle_without_host(world: World, junction: Junction, kind: str) -> None:
    circle = build(world, junction)
    assert (circle.kind, circle.gene, circle.exon_count) == (kind, None, 0)
    assert blocks(circle) == [(junction.start, junction.end)]


def test_introns_of_a_circle_without_host_are_read_from_its_fragments(world: World) -> None:
    junction = Junction("p", 5000, 5900, "+", "GT/AG", 0)
    seen = {(5200, 5300): 4, (5250, 5400): 2, (5500, 5600): 1, (5700, 5800): 2}
    circle = build(world, junction, spliced=seen)
    assert blocks(circle) == [(5000, 5200), (5300, 5700), (5800, 5900)]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (1850, 2700, [(1850, 1950), (2500, 2700)]),
        (1800, 2640, [(1800, 1950), (2500, 2640)]),
        (1750, 2700, [(1750, 1950), (2500, 2700)]),
        (2100, 2700, [(2100, 2700)]),
        (1800, 2900, [(1800, 1950), (2500, 2900)]),
    ],
)
def test_ends_that_are_no_exon_ends(
    world: World, start: int, end: int, expected: list[tuple[int, int]]
) -> None:
    circle = build(world, Junction("p", start, end, "+", "GT/AG", 1))
    assert blocks(circle) == expected
    assert circle.kind == "exonic"


def test_an_exon_that_nobody_annotated_at_an_end(world: World) -> None:
    """Reads splice from a new exon to the first annotated one."""
    junction = Junction("p", 1500, 2700, "+", "GT/AG", 1)
    new = build(world, junction, spliced={(1600, 1800): 2, (1950, 2500): 3})
    assert blocks(new) == [(1500, 1600), *EXONS[1:3]]
    single = build(world, junction, spliced={(1600, 1800): 1})
    assert blocks(single) == [(1500, 1950), EXONS[2]]
    junction = Junction("p", 1800, 3100, "+", "GT/AG", 1)
    new = build(world, junction, spliced={(2700, 3000): 2})
    assert blocks(new) == [*EXONS[1:3], (3000, 3100)]


def test_host_is_the_gene_that_shares_the_ends(tmp_path: Path) -> None:
    world = make_world(
        tmp_path,
        {"p": toy_contig("+")},
        [("A", "p", "+", [((500, 5900),)]), ("B", "p", "+", [EXONS]), ("C", "p", "-", [EXONS])],
    )
    circle = build(world, PLUS)
    assert circle.gene is not None
    assert circle.gene.gene_id == "B"


# ---------------------------------------------------------------- confidence

SIGNAL, SHARED, PLACES, FEW = LOW_CONFIDENCE[2:]


@pytest.mark.parametrize(
    ("motif", "annotated", "anchored", "positions", "shared", "reason"),
    [
        ("GT/AG", 2, 5, 3, 2, ""),
        ("none", 2, 5, 3, 0, ""),
        ("GT/AG", 2, 4, 4, 0, FEW),
        ("GT/AG", 2, 50, 2, 0, PLACES),
        ("GT/AG", 2, 50, 9, 49, ""),
        ("GT/AG", 2, 50, 9, 50, SHARED),
        ("GT/AG", 1, 9, 9, 0, FEW),
        ("GT/AG", 1, 10, 3, 0, ""),
        ("GT/AG", 0, 10, 3, 0, ""),
        ("GC/AG", 1, 99, 9, 0, SIGNAL),
        ("AT/AC", 0, 99, 9, 0, SIGNAL),
        ("lariat", 1, 10, 3, 0, ""),
        ("lariat", 1, 9, 3, 0, FEW),
    ],
)
def test_confidence(
    world: World,
    motif: str,
    annotated: int,
    anchored: int,
    positions: int,
    shared: int,
    reason: str,
) -> None:
    junction = Junction("p", 1800, 2700, "+", motif, annotated)
    support = Support(99, positions, shared, anchored)
    circle = build(world, junction)
    assert low_confidence_reason(circle, support, world.annotation, world.genome) == reason


@pytest.mark.parametrize(
    ("start", "end", "strand", "reason"),
    [
        (1900, 2600, "+", "ends inside exons off splice sites"),
        (1801, 2699, "+", "ends inside exons off splice sites"),
        (1900, 2900, "+", ""),
        (2100, 2600, "+", ""),
        (1900, 2600, "-", ""),
        (1801, 2700, "+", ""),
    ],
    ids=["inside", "by_a_base", "end_in_intron", "start_in_intron", "antisense", "one_splice_site"],
)
def test_junctions_of_template_switching(
    world: World, start: int, end: int, strand: str, reason: str
) -> None:
    annotated = world.sites.annotated("p", start, end, strand)
    circle = build(world, Junction("p", start, end, strand, "GT/AG", annotated))
    support = Support(50, 20, 0, 50)
    assert low_confidence_reason(circle, support, world.annotation, world.genome) == reason


def test_unclear_ends_come_first(tmp_path: Path) -> None:
    bases = put(toy_contig("+"), 3300, toy_contig("+")[1800:1830])
    world = make_world(tmp_path, {"p": bases}, [("G", "p", "+", [EXONS])])
    reason = low_confidence_reason(
        build(world, PLUS), Support(2, 1, 0, 2), world.annotation, world.genome
    )
    assert reason == LOW_CONFIDENCE[0]


@pytest.mark.parametrize("junction", [PLUS, MINUS])
def test_ends_of_ordinary_circles_are_clear(world: World, junction: Junction) -> None:
    assert has_clear_ends(build(world, junction), world.annotation, world.genome)


def test_ends_of_a_circle_without_host_are_clear(world: World) -> None:
    circle = build(world, Junction("p", 5000, 5400, "+", "GT/AG", 0))
    assert has_clear_ends(circle, world.annotation, world.genome)


@pytest.mark.parametrize(("differences", "clear"), [(0, False), (2, False), (3, True)])
@pytest.mark.parametrize("end", ["start", "end"])
def test_an_exon_that_looks_alike(tmp_path: Path, differences: int, clear: bool, end: str) -> None:
    bases = toy_contig("+")
    places = range(0, 5 * differences, 5)
    if end == "start":
        bases = put(bases, 3300, flip(bases[1800:1830], *places))
    else:
        bases = put(bases, 3420, flip(bases[2670:2700], *(29 - place for place in places)))
    world = make_world(tmp_path, {"p": bases}, [("G", "p", "+", [EXONS])])
    assert has_clear_ends(build(world, PLUS), world.annotation, world.genome) is clear


def test_annotated_ends_must_share_a_gene(tmp_path: Path) -> None:
    bases = random_bases(6000, 11)
    first, second = EXONS[:3], tuple((start + 500, end + 500) for start, end in EXONS[3:])
    joined = make_world(tmp_path, {"p": bases}, [("A", "p", "+", [first, second])])
    junction = Junction("p", 1800, second[0][1], "+", "GT/AG", 2)
    assert has_clear_ends(build(joined, junction), joined.annotation, joined.genome)
    apart = make_world(
        tmp_path, {"p": bases}, [("A", "p", "+", [first]), ("B", "p", "+", [second])]
    )
    assert apart.sites.annotated("p", junction.start, junction.end, "+") == 2
    assert not has_clear_ends(build(apart, junction), apart.annotation, apart.genome)
    unannotated = replace(junction, annotated=1)
    assert has_clear_ends(build(apart, unannotated), apart.annotation, apart.genome)

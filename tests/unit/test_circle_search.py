"""Fragments of circles that the aligner explained otherwise."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pysam
import pytest
from toy_circles import (
    EXONS,
    World,
    count,
    flip,
    make_world,
    mate,
    pair,
    placements_of,
    positions,
    put,
    random_bases,
    single,
    toy_contig,
    write_bam,
)

from ringmark import circle_search
from ringmark.alignments import Mate, Placement
from ringmark.backsplice import Junction, Limits
from ringmark.circle_search import (
    CONTEXT,
    CircleSearch,
    Found,
    Preference,
    joined_bases,
    paths,
    preference,
)
from ringmark.circles import build_circle
from ringmark.sequence import mismatches, reverse_complement

#: Exons 2 and 3 as a circle, 350 nt, on both contigs.
CIRCLE = EXONS[1:3]
SIZE = 350
PLUS = Junction("p", 1800, 2700, "+", "GT/AG", 2)
MINUS = Junction("m", 1800, 2700, "-", "GT/AG", 2)
BOTH = pytest.mark.parametrize("junction", [PLUS, MINUS], ids=["+", "-"])
LIBRARIES = pytest.mark.parametrize("library", ["reverse", "forward", "unstranded"])

#: Id, contig, strand and transcripts of the genes.
GENES = [("G1", "p", "+", [EXONS]), ("G2", "m", "-", [EXONS])]

#: Where the copy of two turns of the circle lies on contig r.
COPY = 500
#: Where it differs, as distance from the first base of the second turn.
DIFFERENCES = (-40, -20, 20)


def copy_world(folder: Path, differences: Sequence[int] = DIFFERENCES, chrom: str = "p") -> World:
    """Return the toy genes and, on contig r, a copy of a circle's bases with its junction.

    So a retro-copy of linear RNA looks whose exons were rearranged, or a paralogue.
    """
    contigs = {"p": toy_contig("+"), "m": toy_contig("-", seed=2)}
    bases = "".join(contigs[chrom][start:end] for start, end in CIRCLE) * 2
    copy = flip(bases, *(SIZE + place for place in differences))
    contigs["r"] = put(random_bases(2000, 31), COPY, copy)
    return make_world(folder, contigs, GENES)


def shown(read: Mate) -> str:
    """Return the bases of a read along the forward strand of its alignment."""
    backwards = read.placements[0].strand == "-"
    return reverse_complement(read.sequence) if backwards else read.sequence


def on_copy(world: World, read: Mate, offset: int) -> Mate:
    """Move a read that begins at a base of two turns of the circle to the copy of it."""
    size, start = len(read.sequence), COPY + offset
    edits = mismatches(shown(read), world.contigs["r"][start : start + size])
    strand = read.placements[0].strand
    return replace(read, placements=(Placement("r", start, strand, ((0, size),), 60, edits),))


def fragment(
    world: World,
    junction: Junction,
    left: str,
    right: str,
    offset: int = 300,
    size: int = 220,
    library: str = "reverse",
) -> list[Mate]:
    """Return a fragment of the circle with mates of 100 nt.

    Parameters
    ----------
    left, right
        Where the aligner put the mate on the forward and on the reverse strand: at the ``circle``,
        on the ``copy``, or nowhere (``lost``).
    """
    protocol = "reverse" if library == "unstranded" else library
    placed = []
    for read in pair(world, junction.chrom, CIRCLE, offset, size, 100, junction.strand, protocol):
        is_left = read.placements[0].strand == "+"
        where = left if is_left else right
        if where == "copy":
            placed.append(on_copy(world, read, offset if is_left else offset + size - 100))
        else:
            placed.append(replace(read, placements=()) if where == "lost" else read)
    return placed


def lost(world: World, offset: int, read: int = 100, *errors: int, chrom: str = "p") -> list[Mate]:
    """Return an unmapped single-end read along the genome of a circle, with errors."""
    (whole,) = single(world, chrom, CIRCLE, offset, read, "+", "forward", turns=3)
    return [mate(flip(whole.sequence, *errors), ())]


def linear(world: World) -> list[Mate]:
    """Return a read that leaves nothing to explain."""
    chrom = next(iter(world.contigs))
    return [mate(world.contigs[chrom][20:90], placements_of(chrom, range(20, 90), "+"))]


def never(number: int, before: str, after: str) -> bool:
    return False


def search(
    world: World,
    tmp_path: Path,
    fragments: dict[str, list[Mate]],
    junctions: Sequence[Junction] = (PLUS,),
    strandedness: str = "reverse",
    evidence: Sequence[int] | None = None,
    limits: Limits | None = None,
    is_linear: Callable[[int, str, str], bool] = never,
    taken: Container[str] = (),
) -> dict[str, Found]:
    """Look for circles in the primary records of some fragments, and of a linear one."""
    bam = write_bam(tmp_path / "reads.bam", world, {"linear": linear(world), **fragments})
    circles = [build_circle(item, world.annotation, world.sites) for item in junctions]
    preferences = [
        preference(circle, reads, world.annotation)
        for circle, reads in zip(circles, evidence or [5] * len(circles), strict=True)
    ]
    searcher = CircleSearch(
        circles,
        world.annotation,
        world.genome,
        world.sites,
        strandedness,
        limits or Limits(),
        is_linear,
    )
    with pysam.AlignmentFile(str(bam)) as opened:
        for read in opened.fetch(until_eof=True):
            if not read.is_supplementary:
                searcher.look(read)
        return searcher.resolve(opened, taken, preferences)


# ---------------------------------------------------------------- fragments placed elsewhere


@BOTH
@LIBRARIES
@pytest.mark.parametrize("crossing", ["left", "right"])
@pytest.mark.parametrize("other", ["circle", "copy"])
def test_a_read_on_a_copy_is_given_back(
    tmp_path: Path, junction: Junction, library: str, crossing: str, other: str
) -> None:
    world = copy_world(tmp_path, chrom=junction.chrom)
    if crossing == "left":
        mates = fragment(world, junction, "copy", other, library=library)
    else:
        mates = fragment(world, junction, other, "copy", offset=180, library=library)
    edits = {read.placements[0].edit_distance for read in mates}
    assert edits == {0, 3}
    found = search(world, tmp_path, {"f": mates}, [junction], library)
    assert found == {"f": Found(0, (50, crossing == "right"), 50)}


@pytest.mark.parametrize(("differences", "found"), [(2, False), (3, True), (4, True)])
@pytest.mark.parametrize("other", ["circle", "copy"])
def test_fewer_differences_than_the_margin_are_believed(
    tmp_path: Path, differences: int, found: bool, other: str
) -> None:
    world = copy_world(tmp_path, (-40, -20, 20, 40)[:differences])
    reads = {"f": fragment(world, PLUS, "copy", other)}
    assert bool(search(world, tmp_path, reads)) is found


@LIBRARIES
def test_a_copy_on_the_other_strand(tmp_path: Path, library: str) -> None:
    """The strand of the RNA follows from the protocol, wherever the read is placed."""
    world = copy_world(tmp_path)
    turned = {**world.contigs, "r": reverse_complement(world.contigs["r"])}
    mates = []
    for read in fragment(world, PLUS, "copy", "copy", library=library):
        place = read.placements[0]
        strand = "-" if place.strand == "+" else "+"
        place = replace(place, start=len(turned["r"]) - place.end, strand=strand)
        mates.append(replace(read, placements=(place,)))
    world = make_world(tmp_path, turned, GENES)
    found = search(world, tmp_path, {"f": mates}, strandedness=library)
    assert found == {"f": Found(0, (50, True), 50)}


@pytest.mark.parametrize(
    ("circular", "copied", "found"),
    [(3, 0, True), (3, 3, False), (4, 2, False), (5, 2, True), (2, 5, False), (6, 4, False)],
)
def test_the_circle_must_be_better_by_the_margin(
    tmp_path: Path, circular: int, copied: int, found: bool
) -> None:
    """A read that agrees with the circle at some of the differences, with its copy at others."""
    places = (-40, 40, -35, 35, -30, 30, -25, 25, -20, 20)[: circular + copied]
    world = copy_world(tmp_path, places)
    (read,) = single(world, "p", CIRCLE, 300, 100, "+", "forward")
    sequence = flip(read.sequence, *(50 + place for place in places[circular:]))
    moved = on_copy(world, replace(read, sequence=sequence), 300)
    assert moved.placements[0].edit_distance == circular
    assert mismatches(sequence, read.sequence) == copied
    assert bool(search(world, tmp_path, {"f": [moved]}, strandedness="forward")) is found


@pytest.mark.parametrize("differences", [0, 1])
def test_the_differences_of_both_mates_are_added(tmp_path: Path, differences: int) -> None:
    """The crossing mate is 2 differences better in the circle, the other mate none or one."""
    places = (-40, 40, -30, 30)
    world = copy_world(tmp_path, (*places, 120))
    mates = []
    for read in fragment(world, PLUS, "copy", "copy"):
        if read.placements[0].strand == "+":
            sequence = flip(shown(read), 10)
            mates.append(on_copy(world, mate(sequence, read.placements), 300))
        elif differences == 0:
            # this mate has what the copy has
            sequence = world.contigs["r"][COPY + 420 : COPY + 520]
            mates.append(on_copy(world, mate(sequence, read.placements), 420))
        else:
            mates.append(read)
    assert sorted(read.placements[0].edit_distance for read in mates) == [differences, 3]
    assert bool(search(world, tmp_path, {"f": mates})) is bool(differences)


def test_one_mate_must_be_doubtful_by_itself(tmp_path: Path) -> None:
    """Two differences of the crossing mate and one of the other are no reason to look."""
    for places, found in (((-40, 40, 120), False), ((-40, 40, 45, 120), True)):
        world = copy_world(tmp_path, places)
        reads = {"f": fragment(world, PLUS, "copy", "copy")}
        assert sum(read.placements[0].edit_distance for read in reads["f"]) == len(places)
        assert bool(search(world, tmp_path, reads)) is found


def test_mates_that_overlap_count_once_each(tmp_path: Path) -> None:
    """The crossing mate is 2 differences better in the circle, the other one covers its place."""
    places = (-45, -40, -35, -30, -25, -20)
    world = copy_world(tmp_path, places)
    mates = []
    for read in fragment(world, PLUS, "copy", "copy", size=150):
        if read.placements[0].strand == "+":
            sequence = flip(shown(read), *(50 + place for place in places[:2]))
            read = on_copy(world, mate(sequence, read.placements), 300)
        mates.append(read)
    assert sorted(read.placements[0].edit_distance for read in mates) == [0, 4]
    assert search(world, tmp_path, {"f": mates}) == {}
    assert search(world, tmp_path, {"f": fragment(world, PLUS, "copy", "copy", size=150)})


@pytest.mark.parametrize(("errors", "found"), [(5, True), (6, False)])
@pytest.mark.parametrize("side", ["before", "after"])
def test_one_base_in_ten_of_each_side_may_differ(
    tmp_path: Path, errors: int, found: bool, side: str
) -> None:
    world = copy_world(tmp_path)
    places = range(0, 36, 6) if side == "before" else range(99, 63, -6)
    reads = {"f": lost(world, 300, 100, *list(places)[:errors])}
    assert bool(search(world, tmp_path, reads, strandedness="forward")) is found


# ---------------------------------------------------------------- reads without a place


@BOTH
@LIBRARIES
@pytest.mark.parametrize(
    ("left", "right", "crossing"),
    [("lost", "lost", "left"), ("lost", "circle", "left"), ("circle", "lost", "right")],
)
def test_unmapped_reads(
    tmp_path: Path,
    junction: Junction,
    library: str,
    left: str,
    right: str,
    crossing: str,
) -> None:
    """An unmapped read counts as forward, so its junction is where it stands as sequenced."""
    world = copy_world(tmp_path)
    offset = 290 if crossing == "left" else 170
    mates = fragment(world, junction, left, right, offset, 220, library)
    found = search(world, tmp_path, {"f": mates}, [junction], library)
    cut = 60 if crossing == "left" else 80 - 20
    assert found == {"f": Found(0, (cut, False), 40)}


@BOTH
def test_a_mate_of_a_read_on_the_copy_is_unmapped(tmp_path: Path, junction: Junction) -> None:
    world = copy_world(tmp_path, chrom=junction.chrom)
    mates = fragment(world, junction, "copy", "lost")
    assert search(world, tmp_path, {"f": mates}, [junction]) == {"f": Found(0, (50, False), 50)}


@pytest.mark.parametrize(
    ("library", "rna", "counted"),
    [
        ("forward", "+", True),
        ("forward", "-", False),
        ("reverse", "+", True),
        ("reverse", "-", False),
        ("unstranded", "+", True),
        ("unstranded", "-", True),
    ],
)
@pytest.mark.parametrize("placed", [True, False], ids=["copy", "unmapped"])
def test_single_end_reads_of_both_strands(
    tmp_path: Path, library: str, rna: str, counted: bool, placed: bool
) -> None:
    world = copy_world(tmp_path)
    protocol = "forward" if library == "unstranded" else library
    (read,) = single(world, "p", CIRCLE, 310, 100, rna, protocol)
    backwards = read.placements[0].strand == "-"
    read = on_copy(world, read, 310) if placed else replace(read, placements=())
    found = search(world, tmp_path, {"f": [read]}, strandedness=library)
    assert found == ({"f": Found(0, (40, placed and backwards), 40)} if counted else {})


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    ("minimum", "anchor", "found"), [(6, 5, False), (6, 6, True), (7, 6, False)]
)
def test_anchors(tmp_path: Path, side: str, minimum: int, anchor: int, found: bool) -> None:
    world = copy_world(tmp_path)
    cut = anchor if side == "left" else 100 - anchor
    reads = {"f": lost(world, SIZE - cut)}
    limits = Limits(min_anchor=minimum)
    expected = {"f": Found(0, (cut, False), anchor)} if found else {}
    assert search(world, tmp_path, reads, strandedness="forward", limits=limits) == expected


@pytest.mark.parametrize(
    ("errors", "found"),
    [
        ((-9,), True),
        ((-5,), True),
        ((4,), True),
        ((8,), True),
        ((-4,), False),
        ((-1,), False),
        ((0,), False),
        ((3,), False),
        ((-5, -6), True),
        ((4, 6), True),
        ((-7, 4), False),
        ((-5, 4), False),
        ((-7, 6), True),
    ],
)
@BOTH
def test_errors_next_to_the_junction(
    tmp_path: Path, junction: Junction, errors: tuple[int, ...], found: bool
) -> None:
    """One of the pieces of the junction must be free of them: 6, 4 or 8 bases before it and more.

    The places count in the sense of the RNA from the first base behind the junction on.
    """
    world = copy_world(tmp_path)
    forward = junction.strand == "+"
    places = [50 + place if forward else 49 - place for place in errors]
    reads = {"f": lost(world, 300, 100, *places, chrom=junction.chrom)}
    library = "forward" if forward else "reverse"
    expected = {"f": Found(0, (50, False), 50)} if found else {}
    assert search(world, tmp_path, reads, [junction], library) == expected


# ---------------------------------------------------------------- the other mate


def others(world: World, name: str) -> Mate:
    """Return the second mate of a fragment whose first mate crosses the circle of contig p."""
    spans = {
        "in an exon": [(2550, 2650)],
        "spliced inside": [(1900, 1950), (2500, 2550)],
        "in the intron": [(2100, 2200)],
        "before": [(1050, 1150)],
        "into the circle": [(1150, 1200), (1800, 1850)],
        "out of the circle": [(2650, 2700), (3300, 3350)],
        "behind": [(4300, 4400)],
    }
    if name == "unmapped, of the circle":
        return mate(reverse_complement(world.contigs["p"][2550:2650]), ())
    if name == "unmapped, of elsewhere":
        return mate(random_bases(100, 55), ())
    if name == "on another contig":
        return mate(world.contigs["m"][2550:2650], placements_of("m", range(2550, 2650), "-"))
    if name == "same direction":
        return mate(world.contigs["p"][2550:2650], placements_of("p", range(2550, 2650), "+"))
    blocks = spans[name]
    return mate(world.bases("p", blocks), placements_of("p", positions(blocks), "-"))


@pytest.mark.parametrize("first", ["copy", "lost"])
@pytest.mark.parametrize(
    ("other", "found"),
    [
        ("in an exon", True),
        ("spliced inside", True),
        ("in the intron", True),
        ("unmapped, of the circle", True),
        ("before", False),
        ("into the circle", False),
        ("out of the circle", False),
        ("behind", False),
        ("on another contig", False),
        ("same direction", False),
        ("unmapped, of elsewhere", False),
    ],
)
def test_a_mate_that_fits_nowhere_in_the_circle_rejects(
    tmp_path: Path, first: str, other: str, found: bool
) -> None:
    world = copy_world(tmp_path)
    (read,) = single(world, "p", CIRCLE, 300, 100, "+", "forward")
    read = on_copy(world, read, 300) if first == "copy" else replace(read, placements=())
    mates = [read, others(world, other)]
    assert bool(search(world, tmp_path, {"f": mates}, strandedness="forward")) is found


@pytest.mark.parametrize(("longest", "found"), [(SIZE, True), (SIZE - 1, False)])
def test_mates_are_looked_for_in_circles_up_to_a_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, longest: int, found: bool
) -> None:
    """The mate is on the copy, without any difference that would make it a suspect."""
    monkeypatch.setattr(circle_search, "LONGEST_CIRCLE", longest)
    world = copy_world(tmp_path)
    reads = {"f": fragment(world, PLUS, "copy", "copy")}
    assert bool(search(world, tmp_path, reads)) is found
    # a mate inside the circle need not be looked for
    assert search(world, tmp_path, {"f": fragment(world, PLUS, "copy", "circle")})


@pytest.mark.parametrize("error", [5, 20, 50, 95])
def test_a_mate_with_an_error_is_looked_for(tmp_path: Path, error: int) -> None:
    """Its pieces are tried one after another."""
    world = copy_world(tmp_path)
    mates = []
    for read in fragment(world, PLUS, "copy", "copy"):
        if read.placements[0].strand == "-":
            read = on_copy(world, mate(flip(shown(read), error), read.placements), 420)
            assert read.placements[0].edit_distance == 1
        mates.append(read)
    assert search(world, tmp_path, {"f": mates})


@pytest.mark.parametrize(
    ("strand", "found"), [("-", True), ("+", False)], ids=["pointing back", "same direction"]
)
def test_mates_that_the_aligner_put_into_the_circle_point_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strand: str, found: bool
) -> None:
    """In a circle too long to look for mates; the strand of the RNA is not known."""
    monkeypatch.setattr(circle_search, "LONGEST_CIRCLE", 0)
    world = copy_world(tmp_path)
    (read,) = single(world, "p", CIRCLE, 300, 100, "+", "forward")
    other = mate(world.contigs["p"][2550:2650], placements_of("p", range(2550, 2650), strand))
    reads = {"f": [read, other]}
    assert bool(search(world, tmp_path, reads, strandedness="unstranded")) is found


@pytest.mark.parametrize("turned", [True, False])
def test_a_mate_on_another_contig_may_point_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turned: bool
) -> None:
    """Where a read is misplaced, its direction says nothing about its mate in the circle."""
    monkeypatch.setattr(circle_search, "LONGEST_CIRCLE", 0)
    world = copy_world(tmp_path)
    mates = fragment(world, PLUS, "copy", "circle")
    if turned:
        size = len(world.contigs["r"])
        contigs = {**world.contigs, "r": reverse_complement(world.contigs["r"])}
        world = make_world(tmp_path, contigs, GENES)
        mates = [
            replace(read, placements=(replace(place, start=size - place.end, strand="-"),))
            if place.chrom == "r"
            else read
            for read in mates
            for place in read.placements
        ]
    assert [read.placements[0].strand for read in mates].count("-") == (2 if turned else 1)
    assert search(world, tmp_path, {"f": mates}) == {"f": Found(0, (50, turned), 50)}


def test_a_mate_that_crosses_where_it_cannot_be_told(tmp_path: Path) -> None:
    """Four bases beyond the junction are no anchor, but no objection either."""
    world = copy_world(tmp_path)
    # 4 bases of the right mate belong to the second turn
    (read,) = single(world, "p", CIRCLE, 300, 100, "+", "forward")
    right = single(world, "p", CIRCLE, SIZE - 96, 100, "+", "reverse")[0]
    reads = {"f": [on_copy(world, read, 300), on_copy(world, right, SIZE - 96)]}
    assert search(world, tmp_path, reads, strandedness="forward")


@pytest.mark.parametrize(
    ("offset", "size", "anchor"), [(90, 190, 40), (110, 245, 45), (145, 235, 20), (80, 195, 30)]
)
def test_both_mates_cross(tmp_path: Path, offset: int, size: int, anchor: int) -> None:
    """The longer one of their anchors counts, if that of 5 bases does not."""
    world = copy_world(tmp_path)
    circle = Junction("p", 1800, 1950, "+", "GT/AG", 2)
    # 150 nt: the mates cross 150, or 300, bases from the first one
    mates = pair(world, "p", EXONS[1:2], offset, size, 100, "+")
    reads = {"f": [replace(read, placements=()) for read in mates]}
    found = search(world, tmp_path, reads, [circle])
    ends = [(offset, offset + 100), (offset + size - 100, offset + size)]
    anchors = [
        min(cut - start, end - cut)
        for start, end in ends
        for cut in (150, 300)
        if start < cut < end
    ]
    assert [found["f"].anchor] == [anchor] == [max(anchors)]


# ---------------------------------------------------------------- short circles


def short_world(folder: Path) -> World:
    exons = ((1000, 1200), (1800, 1860), *EXONS[2:])
    bases = toy_contig("+")
    return make_world(folder, {"p": bases}, [("G", "p", "+", [exons])])


@pytest.mark.parametrize("offset", [5, 30, 50, 54])
def test_a_read_round_a_short_circle_twice_is_one_fragment(tmp_path: Path, offset: int) -> None:
    """The first junction with an anchor gives the place."""
    world = short_world(tmp_path)
    circle = Junction("p", 1800, 1860, "+", "none", 2)
    sequence = (world.contigs["p"][1800:1860] * 4)[offset : offset + 130]
    found = search(world, tmp_path, {"f": [mate(sequence, ())]}, [circle], strandedness="forward")
    cut = 60 - offset
    assert found == {"f": Found(0, (cut, False), min(cut, 130 - cut))}


def test_errors_of_all_turns_are_counted(tmp_path: Path) -> None:
    """A side of 120 bases may have 12 of them, however often it goes round."""
    world = short_world(tmp_path)
    circle = Junction("p", 1800, 1860, "+", "none", 2)
    sequence = (world.contigs["p"][1800:1860] * 4)[50:180]
    for errors in (12, 13):
        wrong = flip(sequence, *range(24, 24 + 8 * errors, 8))
        # the second junction has no piece without an error
        found = search(world, tmp_path, {"f": [mate(wrong, ())]}, [circle], strandedness="forward")
        assert bool(found) is (errors == 12)


def test_the_best_of_several_places_in_the_read(tmp_path: Path) -> None:
    """An exon of two halves that differ in 4 bases: the wrong cut has 8 differences."""
    bases = toy_contig("+")
    half = bases[1800:1860]
    bases = put(bases, 1860, flip(half, 25, 30, 35, 40))
    exons = ((1000, 1200), (1800, 1920), *EXONS[2:])
    world = make_world(tmp_path, {"p": bases}, [("G", "p", "+", [exons])])
    circle = Junction("p", 1800, 1920, "+", "none", 2)
    for offset, cut in ((10, 110), (70, 50)):
        sequence = (bases[1800:1920] * 2)[offset : offset + 130]
        found = search(world, tmp_path, {"f": [mate(sequence, ())]}, [circle], "forward")
        assert found == {"f": Found(0, (cut, False), min(cut, 130 - cut))}


# ---------------------------------------------------------------- rivals


@BOTH
def test_a_linear_way_that_rivals_rejects(tmp_path: Path, junction: Junction) -> None:
    """It is asked with the bases on both sides of the junction along the genome."""
    world = copy_world(tmp_path, chrom=junction.chrom)
    asked = []

    def rivals(number: int, before: str, after: str) -> bool:
        asked.append((number, before, after))
        return number == 1

    other = MINUS if junction is PLUS else PLUS
    reads = {"f": fragment(world, junction, "copy", "circle")}
    assert search(world, tmp_path, reads, [other, junction], is_linear=rivals) == {}
    bases = world.contigs[junction.chrom]
    assert asked == [(1, bases[2650:2700][::-1], bases[1800:1850])]
    assert search(world, tmp_path, reads, [junction, other], is_linear=rivals) == {
        "f": Found(0, (50, False), 50)
    }


@pytest.mark.parametrize("rivalled", [(), (110,), (45,), (110, 45)])
def test_a_rival_of_one_mate_is_none_of_the_fragment(
    tmp_path: Path, rivalled: tuple[int, ...]
) -> None:
    """Both mates cross a circle of 150 nt, after 40 and after 45 bases."""
    world = copy_world(tmp_path)
    circle = Junction("p", 1800, 1950, "+", "GT/AG", 2)
    mates = pair(world, "p", EXONS[1:2], 110, 245, 100, "+")
    reads = {"f": [replace(read, placements=()) for read in mates]}

    def rivals(number: int, before: str, after: str) -> bool:
        return {40: 110, 45: 45}[len(before)] in rivalled

    found = search(world, tmp_path, reads, [circle], is_linear=rivals)
    assert set(found) == (set() if len(rivalled) == 2 else {"f"})


def paralogues(folder: Path, *differences: int) -> World:
    """Return two genes on contigs of the same bases, but for some in the exons of the second."""
    bases = toy_contig("+")
    contigs = {"p": bases, "q": flip(bases, *differences)}
    return make_world(folder, contigs, [("G1", "p", "+", [EXONS]), ("G2", "q", "+", [EXONS])])


@pytest.mark.parametrize(
    ("evidence", "annotated", "owner"),
    [
        ((9, 1), (2, 2), "p"),
        ((1, 9), (2, 2), "q"),
        ((1, 9), (2, 1), "p"),
        ((9, 1), (1, 2), "q"),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_circles_that_fit_equally_go_to_the_better_known(
    tmp_path: Path, evidence: tuple[int, int], annotated: tuple[int, int], owner: str, order: int
) -> None:
    world = paralogues(tmp_path)
    junctions = [
        Junction(chrom, 1800, 2700, "+", "GT/AG", ends)
        for chrom, ends in zip("pq", annotated, strict=True)
    ][::order]
    (found,) = search(
        world,
        tmp_path,
        {"f": lost(world, 300)},
        junctions,
        "forward",
        evidence=evidence[::order],
    ).values()
    assert junctions[found.circle].chrom == owner


def test_preference(tmp_path: Path) -> None:
    """One gene before two, then annotated ends, own fragments, evidence, and the shorter span."""
    parts = [EXONS[:3], EXONS[2:]]
    world = make_world(
        tmp_path, {"p": toy_contig("+")}, [("A", "p", "+", parts[:1]), ("B", "p", "+", parts[1:])]
    )

    def rank(junction: Junction, evidence: int = 5, alone: int = 0) -> Preference:
        circle = build_circle(junction, world.annotation, world.sites)
        return preference(circle, evidence, world.annotation, alone)

    one_exon = Junction("p", 1800, 1950, "+", "GT/AG", 2)
    half = Junction("p", 1800, 1900, "+", "GT/AG", 1)
    two_genes = Junction("p", 1800, 3450, "+", "GT/AG", 2)
    assert rank(one_exon, 1) < rank(half, 9) < rank(two_genes, 99)
    assert rank(one_exon, 1) < rank(half, 9, 9)
    assert rank(half, 1, 1) < rank(half, 9)
    assert rank(half, 6) < rank(half, 5)
    assert rank(half) < rank(replace(half, end=1901))
    assert rank(half, 6) > rank(replace(half, end=1901), 7)


def test_the_better_fit_goes_before_the_better_known(tmp_path: Path) -> None:
    world = paralogues(tmp_path, 2670)
    second = replace(PLUS, chrom="q", annotated=1)
    for number, chrom in enumerate("pq"):
        read = mate(world.bases(chrom, [(2650, 2700), (1800, 1850)]), ())
        found = search(world, tmp_path, {"f": [read]}, [PLUS, second], "forward", evidence=(9, 1))
        assert found["f"].circle == number


def test_the_mate_decides_between_paralogues(tmp_path: Path) -> None:
    """The crossing read fits both circles; the mate differs from one of them."""
    world = paralogues(tmp_path, 1920)
    second = replace(PLUS, chrom="q")
    mates = fragment(world, PLUS, "lost", "lost", 300, 260)
    found = search(world, tmp_path, {"f": mates}, [PLUS, second], evidence=(1, 9))
    assert found["f"].circle == 0
    assert not found["f"].shared
    # the mates of another molecule of the same circle do not tell
    mates = fragment(world, PLUS, "lost", "lost", 300, 110)
    found = search(world, tmp_path, {"f": mates}, [PLUS, second], evidence=(1, 9))
    assert found["f"].circle == 1
    assert found["f"].shared


def test_equals_go_to_the_shorter_one(tmp_path: Path) -> None:
    """Exon 3 begins like exon 2."""
    bases = toy_contig("+")
    bases = put(bases, 2500, bases[1800:1840])
    world = make_world(tmp_path, {"p": bases}, [("G", "p", "+", [EXONS])])
    shorter = Junction("p", 2500, 2700, "+", "GT/AG", 2)
    reads = {"f": lost(world, 300, 80)}
    for junctions in ([PLUS, shorter], [shorter, PLUS]):
        found = search(world, tmp_path, reads, junctions, "forward")
        assert junctions[found["f"].circle] == shorter


# ---------------------------------------------------------------- which fragments are looked at


def test_taken_fragments_are_skipped(tmp_path: Path) -> None:
    world = copy_world(tmp_path)
    reads = {name: fragment(world, PLUS, "copy", "circle") for name in ("a", "b", "c")}
    assert set(search(world, tmp_path, reads)) == {"a", "b", "c"}
    assert set(search(world, tmp_path, reads, taken={"a", "c"})) == {"b"}
    assert search(world, tmp_path, reads, taken=set(reads)) == {}


def test_fragments_do_not_mix(tmp_path: Path) -> None:
    """Reads of many fragments at the same places, some of them no suspects."""
    world = copy_world(tmp_path)
    (read,) = single(world, "p", CIRCLE, 300, 100, "+", "forward")
    crossing = on_copy(world, read, 300)
    reads = {
        "good": [crossing, others(world, "in an exon")],
        "bad": [crossing, others(world, "behind")],
        "alone": [crossing],
        "linear": [others(world, "in an exon")],
        "lost": [mate(random_bases(100, 5), ()), mate(random_bases(100, 6), ())],
    }
    found = search(world, tmp_path, reads, strandedness="forward")
    assert set(found) == {"good", "alone"}


def test_a_split_read(tmp_path: Path) -> None:
    world = copy_world(tmp_path)
    reads = {"f": single(world, "p", CIRCLE, 300, 100, "+")}
    assert len(reads["f"][0].placements) == 2
    assert search(world, tmp_path, reads) == {"f": Found(0, (50, True), 50)}


def test_supplementary_records_do_not_count(tmp_path: Path) -> None:
    """What is clipped in them is aligned in the primary record."""
    places = (-45, -40, -35, -30, -25, -20)
    world = copy_world(tmp_path, places)
    (read,) = single(world, "p", CIRCLE, 300, 100, "+", "forward")
    sequence = flip(read.sequence, *(50 + place for place in places[:2]))
    moved = on_copy(world, replace(read, sequence=sequence), 300)
    part = Placement("r", COPY + 300, "+", ((0, 50), (4, 50)), 60, 4)
    split = replace(moved, placements=(*moved.placements, part))
    assert moved.placements[0].edit_distance == 4
    assert search(world, tmp_path, {"f": [split]}, strandedness="forward") == {}


def test_a_deep_place_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = copy_world(tmp_path)
    reads = {}
    for offset in range(273, 310, 3):
        (read,) = single(world, "p", CIRCLE, offset, 100, "+", "forward")
        reads[f"f{offset}"] = [on_copy(world, read, offset)]
    fetched: list[str] = []

    class Counting(pysam.AlignmentFile):
        def fetch(self, *place: object, **options: object) -> Iterator[pysam.AlignedSegment]:
            for read in super().fetch(*place, **options):
                fetched.append(str(read.query_name))
                yield read

    monkeypatch.setattr(pysam, "AlignmentFile", Counting)
    found = search(world, tmp_path, reads, strandedness="forward")
    assert set(found) == set(reads)
    assert len(fetched) <= 2 * len(reads) + 2


def test_no_suspects(tmp_path: Path) -> None:
    world = copy_world(tmp_path)
    reads = {
        f"f{offset}": pair(world, "p", EXONS, offset, 180, 100, "+", turns=1)
        for offset in range(0, 700, 50)
    }
    assert search(world, tmp_path, reads) == {}
    assert search(world, tmp_path, {}) == {}


def test_no_circles(tmp_path: Path) -> None:
    world = copy_world(tmp_path)
    assert search(world, tmp_path, {"f": fragment(world, PLUS, "copy", "lost")}, []) == {}


@pytest.mark.parametrize("length", [1, 11, 12, 13])
def test_reads_hardly_longer_than_a_piece(tmp_path: Path, length: int) -> None:
    """Twelve bases can show a junction with 6 on each side."""
    limits = Limits(min_anchor=6)
    world = copy_world(tmp_path)
    reads = {"f": lost(world, SIZE - 6, length)}
    found = search(world, tmp_path, reads, strandedness="forward", limits=limits)
    assert bool(found) is (length >= 12)


# ---------------------------------------------------------------- paths through circles


def test_paths(tmp_path: Path) -> None:
    skipping = (EXONS[0], EXONS[1], EXONS[3], EXONS[4])
    beginning = ((2550, 2700), *EXONS[3:])
    genes = [
        ("G", "p", "+", [EXONS, skipping, beginning]),
        ("H", "p", "-", [((1850, 1900), (2000, 2100))]),
    ]
    world = make_world(tmp_path, {"p": toy_contig("+")}, genes)
    circle = build_circle(replace(PLUS, end=3450), world.annotation, world.sites)
    assert paths(circle, world.annotation) == [
        [(1800, 3450)],
        [(1800, 1950), (2500, 2700), (3300, 3450)],
        [(1800, 1950), (3300, 3450)],
        [(2550, 2700), (3300, 3450)],
    ]
    nowhere = build_circle(Junction("p", 5000, 5500, "+", "none", 0), world.annotation, world.sites)
    assert paths(nowhere, world.annotation) == [[(5000, 5500)]]
    inside = build_circle(Junction("p", 1850, 1900, "+", "none", 0), world.annotation, world.sites)
    assert paths(inside, world.annotation) == [[(1850, 1900)]]


@pytest.mark.parametrize(
    ("end", "size", "expected"),
    [
        ("left", 0, []),
        ("left", 30, [(10, 40)]),
        ("left", 40, [(10, 50)]),
        ("left", 45, [(10, 50), (80, 85)]),
        ("left", 500, [(10, 50), (80, 90), (100, 130)]),
        ("right", 30, [(100, 130)]),
        ("right", 45, [(45, 50), (80, 90), (100, 130)]),
        ("right", 500, [(10, 50), (80, 90), (100, 130)]),
    ],
)
def test_joined_bases(tmp_path: Path, end: str, size: int, expected: list[tuple[int, int]]) -> None:
    lower = {"p": random_bases(200, 1).lower()}
    world = make_world(tmp_path, lower, [("G", "p", "+", [((10, 50), (80, 90))])])
    blocks = [(10, 50), (80, 90), (100, 130)]
    assert joined_bases(world.genome, "p", blocks, end, size) == world.bases("p", expected).upper()


@pytest.mark.parametrize("path", ["skips exon 3", "retains the intron", "nobody annotated"])
@pytest.mark.parametrize("side", ["before", "after"])
def test_reads_take_any_path(tmp_path: Path, path: str, side: str) -> None:
    """Circle of exons 2 to 4, in one transcript without exon 3."""
    world = make_world(
        tmp_path,
        {"p": toy_contig("+")},
        [("G", "p", "+", [EXONS, (EXONS[0], EXONS[1], EXONS[3], EXONS[4])])],
    )
    junction = replace(PLUS, end=3450)
    blocks = {
        "skips exon 3": ((1800, 1950), (3300, 3450)),
        "retains the intron": ((1800, 3450),),
        "nobody annotated": ((1800, 1900), (3350, 3450)),
    }[path]
    size = sum(right - left for left, right in blocks)
    # 180 bases on one side of the junction, 20 on the other
    offset = size - (180 if side == "before" else 20)
    (read,) = single(world, "p", blocks, offset, 200, "+", "forward", turns=3)
    reads = {"f": [replace(read, placements=())]}
    found = search(world, tmp_path, reads, [junction], "forward")
    assert bool(found) is (path != "nobody annotated")


def test_bases_beyond_the_context_count_as_differences(tmp_path: Path) -> None:
    world = make_world(tmp_path, {"p": toy_contig("+")}, [("G", "p", "+", [EXONS])])
    junction = Junction("p", 1800, 4500, "+", "none", 1)
    for after, found in ((CONTEXT, True), (CONTEXT + 33, True), (CONTEXT + 34, False)):
        sequence = world.bases("p", [(4450, 4500), *EXONS[1:3], (3300, 3450)])[: 50 + after]
        reads = {"f": [mate(sequence, ())]}
        assert bool(search(world, tmp_path, reads, [junction], "forward")) is found


@pytest.mark.parametrize(("start", "end", "length"), [(0, 300, 300), (1, 200, 250), (40, 300, 300)])
@pytest.mark.parametrize("strand", ["+", "-"])
def test_circles_at_the_edges_of_a_contig(
    tmp_path: Path, start: int, end: int, length: int, strand: str
) -> None:
    world = make_world(
        tmp_path, {"e": random_bases(length, 3)}, [("G", "e", "+", [((110, 120), (130, 140))])]
    )
    junction = Junction("e", start, end, strand, "none", 0)
    mates = pair(world, "e", ((start, end),), end - start - 40, 150, 100, strand)
    for left in (True, False):
        reads = {
            "f": [
                replace(read, placements=()) if (read.placements[0].strand == "+") is left else read
                for read in mates
            ]
        }
        # the left mate crosses: its longer part is 60 nt, or it has no place at all
        assert search(world, tmp_path, reads, [junction]) == {"f": Found(0, (40, False), 40)}


# ---------------------------------------------------------------- within the counting


@BOTH
def test_fragments_found_are_counted(tmp_path: Path, junction: Junction) -> None:
    world = copy_world(tmp_path, chrom=junction.chrom)
    reads = {
        "copy": fragment(world, junction, "copy", "copy"),
        "lost": fragment(world, junction, "lost", "lost", offset=310),
        "half": fragment(world, junction, "copy", "circle", offset=290),
        "split": fragment(world, junction, "circle", "circle", offset=280),
        "linear": fragment(world, junction, "copy", "circle", offset=100, size=140),
    }
    bam = write_bam(tmp_path / "reads.bam", world, reads)
    (found,) = count(world, bam, [junction]).values()
    assert found.back_splice == {"copy", "lost", "half", "split"}
    assert {(50, False), (60, False), (70, False)} < found.positions
    assert len(found.positions) == 4
    assert (found.linear_start, found.linear_end) == (0, 0)


@pytest.mark.parametrize(("differences", "counted"), [(0, False), (2, False), (3, True), (5, True)])
@pytest.mark.parametrize("copied", ["start", "end"])
def test_a_duplicated_exon_rivals_unmapped_reads(
    tmp_path: Path, differences: int, counted: bool, copied: str
) -> None:
    """The exon behind begins like the circle, or the one before ends like it."""
    bases = toy_contig("+")
    if copied == "start":
        bases = put(bases, 3300, flip(bases[1800:1850], *range(10, 10 + 6 * differences, 6)))
    else:
        bases = put(bases, 1150, flip(bases[2650:2700], *range(10, 10 + 6 * differences, 6)))
    world = make_world(tmp_path, {"p": bases}, [("G", "p", "+", [EXONS])])
    reads = {"f": lost(world, 300), "linear": linear(world)}
    bam = write_bam(tmp_path / "reads.bam", world, reads)
    (found,) = count(world, bam, [PLUS], "forward").values()
    assert bool(found.back_splice) is counted


# ---------------------------------------------------------------- mates


@pytest.mark.parametrize("strandedness", ["forward", "unstranded"])
def test_mates_that_run_in_one_direction_are_no_fragment(tmp_path: Path, strandedness: str) -> None:
    world = copy_world(tmp_path)
    pairs = [
        [replace(read, placements=()) for read in pair(world, "p", CIRCLE, start, 220, 100, "+")]
        for start in (300, 100)
    ]
    found = [
        search(world, tmp_path, {"f": mates}, [PLUS], strandedness)
        for mates in ([pairs[0][0], pairs[1][0]], pairs[0])
    ]
    assert not found[0]
    assert bool(found[1]) is (strandedness == "unstranded")


def test_a_mate_without_bases_says_nothing(tmp_path: Path) -> None:
    world = copy_world(tmp_path)
    (crossing,) = single(world, "p", CIRCLE, 300, 100, "+", "forward")
    assert search(world, tmp_path, {"f": [crossing, Mate("*", "*")]}, [PLUS], "forward")


@pytest.mark.parametrize("strand", ["+", "-"])
def test_the_direction_of_an_unmapped_mate_is_not_known(tmp_path: Path, strand: str) -> None:
    """Found by its place alone: exon 3, which it skips, is in every annotated path."""
    world = copy_world(tmp_path)
    circle = replace(PLUS, end=EXONS[3][1])
    (crossing,) = single(world, "p", EXONS[1:4], 450, 100, "+", "forward")
    spans = [(1900, 1950), (3300, 3350)]
    other = mate(world.bases("p", spans), placements_of("p", positions(spans), strand))
    own = crossing.sequence if strand == "-" else reverse_complement(crossing.sequence)
    library = "forward" if strand == "-" else "reverse"
    assert search(world, tmp_path, {"f": [mate(own, ()), other]}, [circle], library)


@pytest.mark.parametrize("place", [5, 9, 10, 50])
def test_a_mate_that_begins_before_the_junction_with_an_error(tmp_path: Path, place: int) -> None:
    world = copy_world(tmp_path)
    left = replace(single(world, "p", CIRCLE, 300, 100, "+", "forward")[0], placements=())
    (right,) = single(world, "p", CIRCLE, 340, 100, "+", "reverse")
    sequence = flip(reverse_complement(right.sequence), place)
    moved = on_copy(world, mate(sequence, right.placements), 340)
    assert search(world, tmp_path, {"f": [left, moved]}, [PLUS], "forward")


def test_a_bam_without_any_mapped_record(tmp_path: Path) -> None:
    world = copy_world(tmp_path)
    mates = pair(world, "p", CIRCLE, 300, 220, 100, "+", "forward")
    reads = {"f": [replace(read, placements=()) for read in mates]}
    bam = write_bam(tmp_path / "x.bam", world, reads)
    (found,) = count(world, bam, [PLUS], "forward").values()
    assert found.back_splice == {"f"}

"""Counting circles by competition with the linear ways."""

from __future__ import annotations

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
    toy_world,
    write_bam,
)

from ringmark.alignments import Mate, Placement
from ringmark.backsplice import Junction, Limits, aligned_runs
from ringmark.circle_counter import Tally
from ringmark.circle_counts import counts_row, format_introns, parse_introns
from ringmark.circle_ways import Boundary, BoundaryBuilder, cut_read
from ringmark.circles import build_circle
from ringmark.errors import InputError
from ringmark.sequence import mismatches

CIRCLE = EXONS[1:3]
PLUS = Junction("p", 1800, 2700, "+", "GT/AG", 2)
MINUS = Junction("m", 1800, 2700, "-", "GT/AG", 2)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return toy_world(tmp_path)


def tally(
    world: World,
    tmp_path: Path,
    fragments: dict[str, list[Mate]],
    junction: Junction = PLUS,
    strandedness: str = "reverse",
    limits: Limits | None = None,
) -> Tally:
    bam = write_bam(tmp_path / "reads.bam", world, fragments)
    (found,) = count(world, bam, [junction], strandedness, limits).values()
    return found


# ---------------------------------------------------------------- small functions


def test_mismatches_as_far_as_the_shorter_one() -> None:
    assert mismatches("ACGT", "ACGT") == 0
    assert mismatches("ACGT", "ACGTTT") == 0
    assert mismatches("ACGT", "TCGAAA") == 2
    assert mismatches("", "ACGT") == 0


def test_introns_survive_their_text() -> None:
    introns = {(10, 20): 3, (5, 7): 1}
    text = format_introns(introns)
    assert text == "5-7:1,10-20:3"
    assert parse_introns(text) == introns
    assert format_introns({}) == ""
    assert parse_introns("") == {}


def test_aligned_runs_break_at_every_gap() -> None:
    cigar = ((4, 5), (0, 10), (1, 2), (0, 3), (2, 4), (0, 6), (3, 100), (0, 7), (4, 1))
    assert aligned_runs(cigar, 50) == [
        (50, 60, 5),
        (60, 63, 17),
        (67, 73, 20),
        (173, 180, 26),
    ]


@pytest.mark.parametrize(
    ("position", "side", "expected"),
    [
        (100, "left", (10, 0)),
        (120, "left", (30, 0)),
        (95, "left", (5, 5)),
        (89, "left", None),
        (150, "left", None),
        (150, "right", (60, 0)),
        (100, "right", None),
        (155, "right", (65, 5)),
        (163, "right", None),
    ],
)
def test_cut_read(position: int, side: str, expected: tuple[int, int] | None) -> None:
    # 10 clipped, 50 aligned at 100
    assert cut_read([(100, 150, 10)], position, side) == expected


def test_cut_read_whose_clip_is_shorter_than_the_distance() -> None:
    assert cut_read([(100, 150, 3)], 95, "left") is None


def test_counts_row() -> None:
    found = Tally(
        {"a", "b"},
        {(3, True), (4, True)},
        shared=1,
        anchored=2,
        closer=3,
        linear_start=7,
        linear_end=8,
    )
    found.spliced[10, 20] = 2
    assert counts_row("c:0-1:+", found) == {
        "circle": "c:0-1:+",
        "back_splice": 2,
        "linear_start": 7,
        "linear_end": 8,
        "distinct_positions": 2,
        "shared_fragments": 1,
        "anchored_fragments": 2,
        "closer_reads": 3,
        "spliced_introns": "10-20:2",
        "retained_introns": "",
    }


def boundaries(world: World, junction: Junction) -> dict[tuple[int, str], Boundary]:
    circle = build_circle(junction, world.annotation, world.sites)
    found = BoundaryBuilder(junction.chrom, world.genome, world.annotation).build([circle])
    return {(item.position, item.side): item for item in found}


def test_boundaries_and_ways(world: World) -> None:
    bases = world.contigs["p"]
    found = boundaries(world, PLUS)
    assert set(found) == {(1800, "left"), (2700, "right"), (1200, "right"), (3300, "left")}
    beyond_end = {(way.bases, way.circle, way.ends) for way in found[2700, "right"].ways}
    assert beyond_end == {
        (bases[2700:2750], -1, ((2700, "right"),)),
        (bases[3300:3350], -1, ((2700, "right"),)),
        (bases[1800:1850], 0, ()),
    }
    into_start = {(way.bases, way.circle, way.ends) for way in found[1200, "right"].ways}
    assert into_start == {
        (bases[1200:1250], -1, ()),
        (bases[1800:1850], -1, ((1800, "left"),)),
    }
    before_start = {way.bases for way in found[1800, "left"].ways}
    assert bases[2650:2700][::-1] in before_start


def test_ways_go_over_short_exons_and_stop_at_contig_ends(tmp_path: Path) -> None:
    exons = ((20, 60), (100, 300), (330, 350), (400, 420))
    world = make_world(tmp_path, {"s": random_bases(430, 3)}, [("S", "s", "+", [exons])])
    found = boundaries(world, Junction("s", 100, 300, "+", "none", 2))
    right = {way.bases for way in found[300, "right"].ways}
    bases = world.contigs["s"]
    assert bases[330:350] + bases[400:420] in right
    assert {way.bases for way in found[330, "left"].ways} == {
        bases[280:330][::-1],
        bases[250:300][::-1],
    }
    assert {way.bases for way in found[60, "right"].ways} == {bases[60:110], bases[100:150]}


# ---------------------------------------------------------------- back-splices


@pytest.mark.parametrize("library", ["reverse", "forward", "unstranded"])
@pytest.mark.parametrize(("junction", "strand"), [(PLUS, "+"), (MINUS, "-")])
def test_every_protocol(
    world: World, tmp_path: Path, junction: Junction, strand: str, library: str
) -> None:
    protocol = "reverse" if library == "unstranded" else library
    reads = {
        f"f{offset}": pair(world, junction.chrom, CIRCLE, offset, 180, 100, strand, protocol)
        for offset in (200, 265, 290, 310)
    }
    found = tally(world, tmp_path, reads, junction, library)
    # the mates of f200 end at 300 and 380: the second one crosses at 350
    assert found.back_splice == set(reads)


def test_reads_of_the_other_strand_do_not_count(world: World, tmp_path: Path) -> None:
    reads = {"f": pair(world, "p", CIRCLE, 290, 180, 100, "-")}
    assert not tally(world, tmp_path, reads).back_splice
    reads = {"f": pair(world, "p", EXONS, 150, 180, 100, "-", turns=1)}
    assert tally(world, tmp_path, reads).linear_start == 0


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    ("anchor", "counted"), [(5, False), (6, True), (9, True), (15, True), (19, True), (30, True)]
)
@pytest.mark.parametrize(("junction", "strand"), [(PLUS, "+"), (MINUS, "-")])
def test_anchors_of_soft_clipped_reads(
    world: World,
    tmp_path: Path,
    anchor: int,
    counted: bool,
    side: str,
    junction: Junction,
    strand: str,
) -> None:
    offset = 350 - anchor if side == "left" else 350 - 100 + anchor
    reads = {"f": single(world, junction.chrom, CIRCLE, offset, 100, strand, shortest=50)}
    found = tally(world, tmp_path, reads, junction, limits=Limits(min_anchor=6))
    assert bool(found.back_splice) is counted
    assert (found.linear_start, found.linear_end) == (0, 0)


def test_min_anchor_is_an_option(world: World, tmp_path: Path) -> None:
    reads = {"f": single(world, "p", CIRCLE, 350 - 12, 100, "+", shortest=50)}
    assert tally(world, tmp_path, reads, limits=Limits(min_anchor=12)).back_splice
    assert not tally(world, tmp_path, reads, limits=Limits(min_anchor=13)).back_splice


def test_both_mates_across_count_once(world: World, tmp_path: Path) -> None:
    short = Junction("p", 1800, 1950, "+", "GT/AG", 2)
    reads = {"f": pair(world, "p", EXONS[1:2], 100, 220, 100, "+")}
    found = tally(world, tmp_path, reads, short)
    assert found.back_splice == {"f"}
    assert (found.linear_start, found.linear_end) == (0, 0)


def test_supplementary_record_at_one_end_only(world: World, tmp_path: Path) -> None:
    """The other part lies elsewhere, or nowhere: one part is enough."""
    read = single(world, "p", CIRCLE, 300, 100, "+")[0]
    for number, part in enumerate(read.placements):
        lone = {"f": [replace(read, placements=(part,))]}
        assert tally(world, tmp_path, lone).back_splice == {"f"}, number
    primary = Placement("m", 300, "-", ((0, 50), (4, 50)), 3, 0, 2)
    stray = {"f": [replace(read, placements=(primary, read.placements[0]))]}
    assert tally(world, tmp_path, stray).back_splice == {"f"}


@pytest.mark.parametrize("overhang", [-9, -3, 3, 9])
def test_alignment_that_stops_short_of_the_end_or_runs_over_it(
    world: World, tmp_path: Path, overhang: int
) -> None:
    read = single(world, "p", CIRCLE, 300, 100, "+")[0]
    cigar = ((0, 50 + overhang), (4, 50 - overhang))
    edits = mismatches(world.contigs["p"][2700:2709], world.contigs["p"][1800:1809])
    part = Placement("p", 2650, "-", cigar, 60, edits if overhang > 0 else 0)
    found = tally(world, tmp_path, {"f": [replace(read, placements=(part,))]})
    assert found.back_splice == {"f"}


def test_alignment_spliced_to_a_few_bases_of_the_next_exon(world: World, tmp_path: Path) -> None:
    """An aligner that believes 3 nt behind an annotated intron hides the back-splice."""
    read = single(world, "p", CIRCLE, 350 - 82, 100, "+")[0]
    part = Placement("p", 2618, "-", ((0, 82), (3, 600), (0, 3), (4, 15)), 60, 2)
    assert tally(world, tmp_path, {"f": [replace(read, placements=(part,))]}).back_splice == {"f"}


def test_indels_in_the_aligned_part(world: World, tmp_path: Path) -> None:
    bases = world.contigs["p"]
    sequence = bases[2640:2680] + "A" + bases[2680:2690] + bases[2692:2700] + bases[1800:1841]
    cigar = ((0, 40), (1, 1), (0, 10), (2, 2), (0, 8), (4, 41))
    part = Placement("p", 2640, "-", cigar, 60, 3)
    found = tally(world, tmp_path, {"f": [mate(sequence, (part,))]})
    assert found.back_splice == {"f"}
    assert found.positions == {(59, True)}


def test_errors_in_the_tail(world: World, tmp_path: Path) -> None:
    def with_errors(anchor: int, errors: int) -> dict[str, list[Mate]]:
        read = single(world, "p", CIRCLE, 250 + anchor, 100, "+", shortest=50)[0]
        sequence = world.bases("p", [(2600 + anchor, 2700), (1800, 1800 + anchor)])
        sequence = flip(sequence, *range(100 - anchor, 100 - anchor + 3 * errors, 3))
        return {"f": [mate(sequence, read.placements)]}

    assert tally(world, tmp_path, with_errors(30, 3)).back_splice
    assert not tally(world, tmp_path, with_errors(30, 4)).back_splice
    assert not tally(world, tmp_path, with_errors(9, 1)).back_splice


def test_adapters_and_junk_do_not_count(world: World, tmp_path: Path) -> None:
    junk = random_bases(40, 5)
    sequence = world.contigs["p"][2640:2700] + junk
    part = Placement("p", 2640, "-", ((0, 60), (4, 40)), 60, 0)
    found = tally(world, tmp_path, {"f": [mate(sequence, (part,))]})
    assert (len(found.back_splice), found.linear_end) == (0, 0)


@pytest.mark.parametrize("size", [4, 6, 8])
def test_a_transcript_that_ends_inside_the_circle_explains_no_junk(
    tmp_path: Path, size: int
) -> None:
    cut_short = (EXONS[0], (1800, 1800 + size))
    world = make_world(tmp_path, {"p": toy_contig("+")}, [("G", "p", "+", [EXONS, cut_short])])
    tail = world.contigs["p"][1800 : 1800 + size] + random_bases(40 - size, 5)
    part = Placement("p", 2640, "-", ((0, 60), (4, 40)), 60, 0)
    junk = mate(world.contigs["p"][2640:2700] + tail, (part,))
    real = single(world, "p", CIRCLE, 300, 100, "+")
    assert tally(world, tmp_path, {"junk": [junk], "real": real}).back_splice == {"real"}


def test_secondary_and_unmapped_records_are_not_read(world: World, tmp_path: Path) -> None:
    reads = {"f": [mate(random_bases(100, 6), ())]}
    assert not tally(world, tmp_path, reads).back_splice


# ---------------------------------------------------------------- mates


def crossing(world: World) -> Mate:
    return pair(world, "p", CIRCLE, 300, 100, 100, "+")[0]


@pytest.mark.parametrize(
    ("spans", "counted"),
    [
        ([(1820, 1920)], True),
        ([(1900, 1950), (2500, 2550)], True),
        ([(1790, 1890)], True),
        ([(1750, 1850)], False),
        ([(1150, 1200), (1800, 1850)], False),
        ([(2650, 2700), (3300, 3350)], False),
        ([(4300, 4400)], False),
    ],
    ids=["inside", "spliced", "overhang", "before", "from exon 1", "to exon 4", "far"],
)
def test_mates(world: World, tmp_path: Path, spans: list[tuple[int, int]], counted: bool) -> None:
    other = mate(world.bases("p", spans), placements_of("p", positions(spans), "+"))
    found = tally(world, tmp_path, {"f": [crossing(world), other]})
    assert bool(found.back_splice) is counted


def test_mate_that_points_the_same_way(world: World, tmp_path: Path) -> None:
    other = mate(world.contigs["p"][1820:1920], placements_of("p", range(1820, 1920), "-"))
    assert not tally(world, tmp_path, {"f": [crossing(world), other]}).back_splice


def test_mate_on_another_contig(world: World, tmp_path: Path) -> None:
    other = mate(world.contigs["m"][1820:1920], placements_of("m", range(1820, 1920), "+"))
    assert not tally(world, tmp_path, {"f": [crossing(world), other]}).back_splice


def test_mate_unmapped(world: World, tmp_path: Path) -> None:
    lost = mate(random_bases(100, 55), ())
    assert tally(world, tmp_path, {"f": [crossing(world), lost]}).back_splice == {"f"}


def test_mate_that_leaves_where_the_aligner_hid_a_back_splice(world: World, tmp_path: Path) -> None:
    """A mate that the circle explains is no objection, even if it was placed outside."""
    other = single(world, "p", CIRCLE, 350 - 20, 100, "+", "forward")[0]
    hidden = Placement("p", 1180, "+", ((0, 20), (3, 600), (0, 80)), 60, 12)
    other = replace(other, placements=(hidden,))
    assert tally(world, tmp_path, {"f": [crossing(world), other]}).back_splice == {"f"}


# ---------------------------------------------------------------- competition


def test_linear_reads_are_not_back_splices(world: World, tmp_path: Path) -> None:
    reads = {
        f"f{offset}": pair(world, "p", EXONS, offset, 180, 100, "+", turns=1)
        for offset in range(0, 700, 10)
    }
    assert not tally(world, tmp_path, reads).back_splice


def tandem_world(folder: Path, differences: int) -> World:
    """Return a world whose exon 3 is a copy of exon 2 but for some bases in its first 30."""
    exons = (EXONS[0], (1800, 2000), (2500, 2700), *EXONS[3:])
    bases = toy_contig("+")
    copy = flip(bases[1800:2000], *range(2, 2 + 6 * differences, 6))
    bases = put(bases, 2500, copy)
    bases = put(bases, 2000, "GT")
    return make_world(folder, {"p": bases}, [("G", "p", "+", [exons])])


@pytest.mark.parametrize(
    ("differences", "counted", "closer"),
    [(0, False, 0), (1, False, 1), (2, False, 1), (3, True, 0), (5, True, 0)],
)
def test_tandem_duplication(tmp_path: Path, differences: int, counted: bool, closer: int) -> None:
    """A back-splice of exon 2 reads like the linear splice to its copy."""
    world = tandem_world(tmp_path, differences)
    junction = Junction("p", 1800, 2000, "+", "GT/AG", 2)
    reads = {"f": single(world, "p", ((1800, 2000),), 150, 100, "+")}
    found = tally(world, tmp_path, reads, junction)
    assert bool(found.back_splice) is counted
    assert found.closer == closer


@pytest.mark.parametrize(("differences", "counted"), [(0, False), (1, True), (3, True)])
def test_linear_rna_whose_parts_lie_at_the_wrong_copies(
    tmp_path: Path, differences: int, counted: bool
) -> None:
    """A read over exon 2 and its copy that an aligner split as if it went round both.

    It is the circle's only if it shows a base that linear RNA does not.
    """
    world = tandem_world(tmp_path, differences)
    junction = Junction("p", 1800, 2700, "+", "GT/AG", 2)
    reads = {"f": single(world, "p", ((1800, 2000), (2500, 2700)), 350, 100, "+")}
    found = tally(world, tmp_path, reads, junction)
    assert bool(found.back_splice) is counted


#: The circle of exons 2 and 3 with an end or a start in the exon that nobody annotated.
NOVEL_ENDS = {
    "right": replace(PLUS, end=2690, annotated=1),
    "left": replace(PLUS, start=1810, annotated=1),
}


@pytest.mark.parametrize(
    ("junction", "counted"),
    [(PLUS, True), (NOVEL_ENDS["right"], False)],
    ids=["annotated", "novel"],
)
def test_the_aligners_own_linear_placement_competes(
    world: World, tmp_path: Path, junction: Junction, counted: bool
) -> None:
    """A splice to an exon that nobody annotated, with the sequence of exon 2's start.

    Only a circle between annotated ends is the better explanation.
    """
    bases = put(world.contigs["p"], 5000, world.contigs["p"][1800:1900])
    world = make_world(tmp_path, {"p": bases}, [("G", "p", "+", [EXONS])])
    spans = [(junction.end - 50, junction.end), (5000, 5050)]
    reads = {"f": [mate(world.bases("p", spans), placements_of("p", positions(spans), "-"))]}
    found = tally(world, tmp_path, reads, junction)
    assert bool(found.back_splice) is counted
    assert found.linear_end == (not counted)


@pytest.mark.parametrize(("overhang", "counted"), [(8, True), (11, True), (12, False), (20, False)])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_few_bases_behind_an_intron_that_nobody_annotated_do_not_compete(
    world: World, tmp_path: Path, side: str, overhang: int, counted: bool
) -> None:
    junction = NOVEL_ENDS[side]
    start, end = junction.start, junction.end
    if side == "right":
        sequence = world.bases("p", [(end - 100 + overhang, end), (start, start + overhang)])
        bases = put(world.contigs["p"], 5000, sequence[-overhang:])
        cigar = ((0, 100 - overhang), (3, 5000 - end), (0, overhang))
        part = Placement("p", end - 100 + overhang, "-", cigar, 60, 0)
    else:
        sequence = world.bases("p", [(end - overhang, end), (start, start + 100 - overhang)])
        bases = put(world.contigs["p"], 300, sequence[:overhang])
        cigar = ((0, overhang), (3, start - 300 - overhang), (0, 100 - overhang))
        part = Placement("p", 300, "-", cigar, 60, 0)
    world = make_world(tmp_path, {"p": bases}, [("G", "p", "+", [EXONS])])
    found = tally(world, tmp_path, {"f": [mate(sequence, (part,))]}, junction)
    assert bool(found.back_splice) is counted
    assert (found.linear_start, found.linear_end) == (
        (0, 0) if counted else (side == "left", side == "right")
    )


def test_an_alternative_transcript_competes(tmp_path: Path) -> None:
    """An exon that only one transcript has begins like the circle's start."""
    bases = put(toy_contig("+"), 3600, toy_contig("+")[1800:1900])
    other = (EXONS[0], EXONS[2], (3600, 3700))
    world = make_world(tmp_path, {"p": bases}, [("G", "p", "+", [EXONS, other])])
    reads = {"f": single(world, "p", CIRCLE, 300, 100, "+")}
    assert not tally(world, tmp_path, reads).back_splice


def test_a_fragment_goes_to_the_circle_it_fits_best(tmp_path: Path) -> None:
    # exons 2 and 3 begin alike but for 2 bases of the first 40
    bases = toy_contig("+")
    copy = flip(bases[1800:1840], 5, 25)
    world = make_world(tmp_path, {"p": put(bases, 2500, copy)}, [("G", "p", "+", [EXONS])])
    longer, shorter = PLUS, Junction("p", 2500, 2700, "+", "GT/AG", 2)
    # the aligner saw the end only
    end = Placement("p", 2640, "-", ((0, 60), (4, 40)), 60, 0)
    reads = {
        "long": [mate(world.bases("p", [(2640, 2700), (1800, 1840)]), (end,))],
        "short": [mate(world.bases("p", [(2640, 2700), (2500, 2540)]), (end,))],
    }
    bam = write_bam(tmp_path / "reads.bam", world, reads)
    for order in ([longer, shorter], [shorter, longer]):
        found = count(world, bam, order)
        assert found["p:1800-2700:+"].back_splice == {"long"}
        assert found["p:2500-2700:+"].back_splice == {"short"}


@pytest.mark.parametrize("order", [1, -1])
def test_parts_of_a_read_on_two_contigs_count_once(tmp_path: Path, order: int) -> None:
    """Each part lies at an end of a circle of its own: of a gene and of its paralogue."""
    bases = toy_contig("+")
    contigs = {"p": bases, "q": flip(bases, 2655, 2670, 2685)}
    genes = [(f"G{chrom}", chrom, "+", [EXONS]) for chrom in contigs]
    world = make_world(tmp_path, contigs, genes)
    (read,) = single(world, "p", CIRCLE, 300, 100, "+")
    right, left = sorted(read.placements, key=lambda part: part.start)
    parts = (left, replace(right, chrom="q"))
    bam = write_bam(tmp_path / "r.bam", world, {"f": [replace(read, placements=parts[::order])]})
    junctions = [replace(PLUS, chrom="q"), PLUS]
    found = count(world, bam, junctions, evidence=[9, 5])
    assert [item.back_splice for item in found.values()] == [set(), {"f"}]


@pytest.mark.parametrize("evidence", [(9, 1), (1, 9)])
def test_a_fragment_that_fits_two_equally_goes_to_the_better_known(
    tmp_path: Path, evidence: tuple[int, int]
) -> None:
    bases = toy_contig("+")
    world = make_world(
        tmp_path, {"p": put(bases, 2500, bases[1800:1840])}, [("G", "p", "+", [EXONS])]
    )
    junctions = [PLUS, Junction("p", 2500, 2700, "+", "GT/AG", 2)]
    end = Placement("p", 2640, "-", ((0, 60), (4, 40)), 60, 0)
    reads = {"f": [mate(world.bases("p", [(2640, 2700), (1800, 1840)]), (end,))]}
    bam = write_bam(tmp_path / "reads.bam", world, reads)
    for order in (1, -1):
        found = count(world, bam, junctions[::order], evidence=evidence[::order])
        sizes = [len(found[f"p:{start}-2700:+"].back_splice) for start in (1800, 2500)]
        assert sizes == [int(evidence[0] > evidence[1]), int(evidence[1] > evidence[0])]


def test_both_mates_decide_between_ends_that_look_alike(tmp_path: Path) -> None:
    """Exon 4 ends like exon 3; the aligner put the second mate there, and clipped the first."""
    bases = toy_contig("+")
    bases = put(bases, 3388, bases[2638:2700])
    world = make_world(tmp_path, {"p": bases}, [("G", "p", "+", [EXONS])])
    left, right = pair(world, "p", CIRCLE, 280, 110, 100, "+", "forward")
    away = Placement("p", 3380 + 10, "-", ((0, 60), (4, 40)), 60, 0)
    assert right.placements[0].strand == "-"
    reads = {"f": [left, replace(right, placements=(away,))]}
    bam = write_bam(tmp_path / "x.bam", world, reads)
    wrong = Junction("p", 1800, 3450, "+", "GT/AG", 2)
    found = count(world, bam, [PLUS, wrong], "forward", evidence=[1, 9])
    assert [len(tally.back_splice) for tally in found.values()] == [1, 0]


def test_candidates_on_both_strands_of_an_unstranded_library(world: World, tmp_path: Path) -> None:
    """The strand with annotated ends takes the fragments; none counts twice."""
    reads = {"f": single(world, "p", CIRCLE, 300, 100, "+")}
    bam = write_bam(tmp_path / "reads.bam", world, reads)
    wrong = Junction("p", 1800, 2700, "-", "none", 0)
    found = count(world, bam, [wrong, PLUS], "unstranded")
    assert found["p:1800-2700:+"].back_splice == {"f"}
    assert not found["p:1800-2700:-"].back_splice


# ---------------------------------------------------------------- linear counts


def test_linear_fragments_at_both_ends(world: World, tmp_path: Path) -> None:
    spans = {
        "spliced in": [(1150, 1200), (1800, 1850)],
        "runs in": [(1760, 1860)],
        "spliced out": [(2650, 2700), (3300, 3350)],
        "runs out": [(2640, 2740)],
        "inside": [(1850, 1950)],
        "outside": [(1100, 1200)],
        "skips": [(1150, 1200), (3300, 3350)],
    }
    reads = {
        name: [mate(world.bases("p", item), placements_of("p", positions(item), "-"))]
        for name, item in spans.items()
    }
    found = tally(world, tmp_path, reads)
    assert (found.linear_start, found.linear_end) == (2, 2)


@pytest.mark.parametrize(("anchor", "counted"), [(5, 0), (6, 1), (20, 1)])
@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("placed", [True, False], ids=["spliced", "clipped"])
def test_anchors_of_linear_reads(
    world: World, tmp_path: Path, anchor: int, counted: int, inside: bool, placed: bool
) -> None:
    """The same anchors as for back-splices, from either side, whether aligned or clipped."""
    within = anchor if inside else 100 - anchor
    spans = [(1200 - (100 - within), 1200), (1800, 1800 + within)]
    shorter = [(1800, 1800 + within)] if within < 50 else [(1200 - (100 - within), 1200)]
    places = positions(spans)
    if placed:
        parts = placements_of("p", places, "-")
    elif shorter[0][0] == 1800:
        parts = (Placement("p", spans[0][0], "-", ((0, 100 - within), (4, within)), 60, 0),)
    else:
        parts = (Placement("p", 1800, "-", ((4, 100 - within), (0, within)), 60, 0),)
    reads = {"f": [mate(world.bases("p", spans), parts)]}
    found = tally(world, tmp_path, reads, limits=Limits(min_anchor=6))
    assert (found.linear_start, found.linear_end) == (counted, 0)
    assert not found.back_splice


def lariat(strand: str) -> Junction:
    """Return the lariat of the intron behind exon 3 (``+``, contig p) or before it (``-``, m)."""
    if strand == "+":
        return Junction("p", EXONS[2][1], EXONS[3][0] - 25, "+", "lariat", 1)
    return Junction("m", EXONS[1][1] + 25, EXONS[2][0], "-", "lariat", 1)


@pytest.mark.parametrize("strand", ["+", "-"])
def test_linear_fragments_of_a_lariat(world: World, tmp_path: Path, strand: str) -> None:
    """The reads of the exon at the 5' splice site: on to the intron and to the next exon alike.

    The 3' splice site is none of its ends, and nothing is spliced at the branch point.
    """
    circle = lariat(strand)
    molecules = {
        "+": {
            "runs in": [(2650, 2750)],
            "spliced": [(2650, 2700), (3300, 3350)],
            "over the branch point": [(3225, 3325)],
            "into the next exon": [(3280, 3380)],
            "in the exon": [(2600, 2700)],
            "in the intron": [(2800, 2900)],
        },
        "-": {
            "runs in": [(2450, 2550)],
            "spliced": [(1900, 1950), (2500, 2550)],
            "over the branch point": [(1925, 2025)],
            "into the next exon": [(1870, 1970)],
            "in the exon": [(2500, 2600)],
            "in the intron": [(2300, 2400)],
        },
    }[strand]
    expected = {"runs in": (1, 0), "spliced": (1, 0), "over the branch point": (0, 1)}
    chrom, placed = circle.chrom, "-" if strand == "+" else "+"
    for name, blocks in molecules.items():
        parts = placements_of(chrom, positions(blocks), placed)
        fragment = {"f": [mate(world.bases(chrom, blocks), parts)]}
        found = tally(world, tmp_path, fragment, circle)
        ends = (found.linear_start, found.linear_end)
        assert (ends if strand == "+" else ends[::-1]) == expected.get(name, (0, 0)), name
        assert not found.back_splice, name


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("kept", ["exon", "next exon"])
def test_clipped_reads_are_linear_for_a_lariat(
    world: World, tmp_path: Path, strand: str, kept: str
) -> None:
    """A read over the intron of the lariat of which the aligner left out one exon."""
    circle = lariat(strand)
    blocks = [(2680, 2700), (3300, 3380)] if strand == "+" else [(1870, 1950), (2500, 2520)]
    if kept == "exon":
        blocks = [(2620, 2700), (3300, 3320)] if strand == "+" else [(1930, 1950), (2500, 2580)]
    (left, right), chrom = blocks, circle.chrom
    placed = "-" if strand == "+" else "+"
    if left[1] - left[0] == 80:
        part = Placement(chrom, left[0], placed, ((0, 80), (4, 20)), 60, 0)
    else:
        part = Placement(chrom, right[0], placed, ((4, 20), (0, 80)), 60, 0)
    found = tally(world, tmp_path, {"f": [mate(world.bases(chrom, blocks), (part,))]}, circle)
    ends = (found.linear_start, found.linear_end)
    assert ends == ((1, 0) if strand == "+" else (0, 1))


@pytest.mark.parametrize("strand", ["+", "-"])
def test_fragments_of_a_lariat(world: World, tmp_path: Path, strand: str) -> None:
    circle = lariat(strand)
    molecule = ((circle.start, circle.end),)
    size = circle.end - circle.start
    reads = {"f": pair(world, circle.chrom, molecule, size - 50, 180, 100, strand)}
    found = tally(world, tmp_path, reads, circle)
    assert found.back_splice == {"f"}
    assert (found.linear_start, found.linear_end) == (0, 0)


def test_linear_mates_count_once(world: World, tmp_path: Path) -> None:
    reads = {"f": pair(world, "p", EXONS, 150, 110, 100, "+", turns=1)}
    assert tally(world, tmp_path, reads).linear_start == 1


def test_back_splice_fragments_are_not_linear(world: World, tmp_path: Path) -> None:
    """A mate of a circle that retains the flanking intron runs over the end."""
    circle = Junction("p", 1800, 1950, "+", "GT/AG", 2)
    longer = ((1800, 1950), (2500, 2700))
    reads = {"f": pair(world, "p", longer, 300, 180, 100, "+")}
    bam = write_bam(tmp_path / "reads.bam", world, reads)
    found = count(world, bam, [PLUS, circle])
    assert found["p:1800-2700:+"].back_splice == {"f"}
    assert found["p:1800-2700:+"].linear_start == found["p:1800-2700:+"].linear_end == 0
    # of the other circle it is a linear fragment at the end, where it is spliced on
    reads = {"f": pair(world, "p", longer, 300, 260, 100, "+")}
    bam = write_bam(tmp_path / "reads.bam", world, reads)
    found = count(world, bam, [PLUS, circle])
    assert found["p:1800-2700:+"].back_splice == {"f"}
    assert found["p:1800-1950:+"].linear_end == 1


def test_multiple_places_count_on_both_sides_of_the_ratio(world: World, tmp_path: Path) -> None:
    """Reads of equally good places are counted alike, linear and back-spliced."""
    linear = placements_of("p", positions([(1150, 1200), (1800, 1850)]), "-", hits=2)
    spliced = mate(world.bases("p", [(1150, 1200), (1800, 1850)]), linear)
    places = positions(CIRCLE, 2)[300:400]
    crossing = mate(
        world.bases("p", [(2650, 2700), (1800, 1850)]), placements_of("p", places, "-", hits=2)
    )
    found = tally(world, tmp_path, {"linear": [spliced], "round": [crossing]})
    assert (len(found.back_splice), found.linear_start) == (1, 1)


# ---------------------------------------------------------------- structure and places


def test_introns_inside(world: World, tmp_path: Path) -> None:
    reads = {
        "spliced": pair(world, "p", CIRCLE, 100, 270, 100, "+"),
        "retained": pair(world, "p", ((1800, 2700),), 850, 250, 100, "+"),
        "silent": single(world, "p", CIRCLE, 300, 100, "+"),
    }
    found = tally(world, tmp_path, reads)
    assert found.back_splice == set(reads)
    assert found.spliced == {(1950, 2500): 1}
    assert found.retained == {(1950, 2500): 1}


def test_a_retained_intron_right_behind_a_short_exon_is_counted(tmp_path: Path) -> None:
    exons = (EXONS[0], (1800, 1820), *EXONS[2:])
    world = make_world(tmp_path, {"p": toy_contig("+")}, [("G", "p", "+", [exons])])
    whole = single(world, "p", ((1800, 2700),), 850, 100, "+")
    spliced = single(world, "p", ((1800, 1820), (2500, 2700)), 170, 100, "+")
    found = tally(world, tmp_path, {"whole": whole, "spliced": spliced})
    assert found.back_splice == {"whole", "spliced"}


def test_skipped_exon_inside(tmp_path: Path) -> None:
    skipping = (EXONS[0], EXONS[1], EXONS[3], EXONS[4])
    world = make_world(tmp_path, {"p": toy_contig("+")}, [("G", "p", "+", [EXONS, skipping])])
    junction = Junction("p", 1800, 3450, "+", "GT/AG", 2)
    reads = {"f": single(world, "p", (EXONS[1], EXONS[3]), 200, 120, "+")}
    assert tally(world, tmp_path, reads, junction).back_splice == {"f"}


def test_places_tell_copies_of_one_molecule(world: World, tmp_path: Path) -> None:
    copies = {f"c{number}": pair(world, "p", CIRCLE, 300, 180, 100, "+") for number in range(9)}
    assert len(tally(world, tmp_path, copies).positions) == 1
    others = {
        f"o{offset}": pair(world, "p", CIRCLE, offset, 180, 100, "+") for offset in (280, 320)
    }
    assert len(tally(world, tmp_path, copies | others).positions) == 3


def test_records_that_begin_together_may_stand_in_any_order(world: World, tmp_path: Path) -> None:
    reads = {"f": pair(world, "p", CIRCLE, 300, 100, 100, "+")}
    bam = write_bam(tmp_path / "sorted.bam", world, reads)
    with pysam.AlignmentFile(str(bam)) as opened:
        header, records = opened.header, list(opened)
    starts = [read.reference_start for read in records]
    assert starts == sorted(starts)
    assert len(set(starts)) < len(starts)
    turned = tmp_path / "turned.bam"
    with pysam.AlignmentFile(str(turned), "wb", header=header) as opened:
        for read in sorted(records, key=lambda item: (item.reference_start, item.is_forward)):
            opened.write(read)
    pysam.index(str(turned))
    (first,), (second,) = (count(world, path, [PLUS]).values() for path in (bam, turned))
    assert first.positions
    assert first == second


@pytest.mark.parametrize(("start", "end", "length"), [(0, 300, 300), (1, 200, 250), (40, 300, 300)])
def test_circle_at_the_edges_of_a_contig(tmp_path: Path, start: int, end: int, length: int) -> None:
    world = make_world(
        tmp_path, {"e": random_bases(length, 3)}, [("G", "e", "+", [((110, 120), (130, 140))])]
    )
    junction = Junction("e", start, end, "+", "none", 0)
    size = end - start
    reads = {"f": single(world, "e", ((start, end),), size - 50, 100, "+")}
    assert tally(world, tmp_path, reads, junction).back_splice == {"f"}


def test_no_circles_and_no_reads(world: World, tmp_path: Path) -> None:
    bam = write_bam(tmp_path / "reads.bam", world, {})
    assert count(world, bam, []) == {}
    found = count(world, bam, [PLUS, MINUS])
    assert list(found) == ["p:1800-2700:+", "m:1800-2700:-"]
    assert all(item == Tally() for item in found.values())


def test_circles_of_several_contigs_keep_their_order(world: World, tmp_path: Path) -> None:
    junctions = [MINUS, PLUS, replace(MINUS, end=3450)]
    reads = {"f": single(world, "m", CIRCLE, 300, 100, "-")}
    found = count(world, write_bam(tmp_path / "r.bam", world, reads), junctions)
    assert [len(item.back_splice) for item in found.values()] == [1, 0, 0]
    assert list(found)[1] == "p:1800-2700:+"


@pytest.mark.parametrize("empty", [True, False])
def test_a_contig_that_the_bam_does_not_know(world: World, tmp_path: Path, empty: bool) -> None:
    known = replace(world, contigs={"p": world.contigs["p"]})
    reads = {} if empty else {"f": pair(world, "p", CIRCLE, 290, 180, 100, "+")}
    bam = write_bam(tmp_path / "reads.bam", known, reads)
    with pysam.AlignmentFile(str(bam)) as opened:
        assert opened.references == ("p",)
    with pytest.raises(InputError, match=r"reads\.bam: does not list m in its header"):
        count(world, bam, [MINUS, PLUS])
    assert count(world, bam, [PLUS])["p:1800-2700:+"].back_splice == set(reads)

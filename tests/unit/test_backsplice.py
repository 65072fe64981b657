"""Back-splice junctions from split and realigned reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pysam
import pytest
from toy_circles import (
    EXONS,
    World,
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
    with_signals,
    write_bam,
)

from ringmark.alignments import Mate, Placement
from ringmark.backsplice import (
    DOUBTED_READS,
    Evidence,
    Junction,
    Limits,
    find_junctions,
    linear_cost,
    place_junction,
    senses,
    splice_motif,
)
from ringmark.sequence import reverse_complement

#: Exons 2 and 3 as a circle.
CIRCLE = EXONS[1:3]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return toy_world(tmp_path)


def find(
    world: World,
    tmp_path: Path,
    fragments: dict[str, list[Mate]],
    strandedness: str = "reverse",
    limits: Limits | None = None,
) -> Evidence:
    bam = write_bam(tmp_path / "reads.bam", world, fragments)
    with pysam.AlignmentFile(str(bam)) as opened:
        return find_junctions(
            opened, world.genome, world.annotation, strandedness, limits or Limits(), id
        )


def rows(evidence: Evidence) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in evidence.rows()]


# ---------------------------------------------------------------- signals and sites


@pytest.mark.parametrize(
    ("donor", "acceptor"),
    [("GT", "AG"), ("GC", "AG"), ("AT", "AC")],
    ids=["GT/AG", "GC/AG", "AT/AC"],
)
def test_splice_motif_of_both_strands(donor: str, acceptor: str) -> None:
    motif = f"{donor}/{acceptor}"
    assert splice_motif(acceptor, donor) == ("+", motif)
    left, right = reverse_complement(donor), reverse_complement(acceptor)
    assert splice_motif(left, right) == ("-", motif)


@pytest.mark.parametrize("flanks", [("CA", "GT"), ("AG", "GA"), ("", "GT"), ("NN", "NN")])
def test_no_splice_motif(flanks: tuple[str, str]) -> None:
    assert splice_motif(*flanks) == (".", "none")


def test_splice_sites_leave_out_transcript_ends(world: World) -> None:
    sites = world.sites
    assert sites.left["p", "+"] == {start for start, _ in EXONS[1:]}
    assert sites.right["p", "+"] == {end for _, end in EXONS[:-1]}
    assert sites.left["m", "-"] == sites.left["p", "+"]
    assert sites.annotated("p", 1800, 2700, "+") == 2
    assert sites.annotated("p", 1000, 2700, "+") == 1
    assert sites.annotated("p", 1800, 2700, "-") == 0
    assert sites.annotated("nowhere", 1800, 2700, "+") == 0


@pytest.mark.parametrize(
    ("distance", "expected"), [(9, False), (10, True), (60, True), (61, False)]
)
def test_lariat_needs_a_branch_point_near_the_3_prime_splice_site(
    world: World, distance: int, expected: bool
) -> None:
    intron_start, intron_end = EXONS[1][1], EXONS[2][0]
    assert world.sites.is_lariat("p", intron_start, intron_end - distance, "+") is expected
    assert world.sites.is_lariat("m", intron_start + distance, intron_end, "-") is expected
    assert not world.sites.is_lariat("p", intron_start, intron_end - distance, "-")


@pytest.mark.parametrize("distance", [10, 30, 60])
def test_no_branch_point_lies_in_the_next_exon(world: World, distance: int) -> None:
    intron_start, intron_end = EXONS[1][1], EXONS[2][0]
    assert not world.sites.is_lariat("p", intron_start, intron_end + distance, "+")
    assert not world.sites.is_lariat("m", intron_start - distance, intron_end, "-")


# ---------------------------------------------------------------- placement


def place(
    world: World, chrom: str, left_end: int, right_start: int, read: tuple[int, int], **options: str
) -> Junction | None:
    """Place a perfect read of the junction ``right_start-left_end`` with given part lengths."""
    left, right = read
    bases = world.contigs[chrom]
    sequence = bases[left_end - left : left_end] + bases[right_start : right_start + right]
    return place_junction(
        sequence,
        (left, left_end),
        (left, right_start),
        chrom,
        world.genome,
        world.sites,
        **options,
    )


@pytest.mark.parametrize(("chrom", "strand"), [("p", "+"), ("m", "-")])
@pytest.mark.parametrize("known", [True, False])
def test_place_junction_on_both_strands(world: World, chrom: str, strand: str, known: bool) -> None:
    found = place(world, chrom, 2700, 1800, (50, 50), strand=strand if known else ".")
    assert found == Junction(chrom, 1800, 2700, strand, "GT/AG", 2)


@pytest.mark.parametrize(("donor", "acceptor"), [("GC", "AG"), ("AT", "AC")])
@pytest.mark.parametrize("strand", ["+", "-"])
def test_place_junction_with_other_signals(
    tmp_path: Path, donor: str, acceptor: str, strand: str
) -> None:
    contig = toy_contig(strand, 1, donor, acceptor)
    world = make_world(tmp_path, {"c": contig}, [("G", "c", strand, [EXONS])])
    found = place(world, "c", 2700, 1800, (30, 30))
    assert found == Junction("c", 1800, 2700, strand, f"{donor}/{acceptor}", 2)


def test_the_wrong_strand_has_no_signal(world: World) -> None:
    found = place(world, "p", 2700, 1800, (50, 50), strand="-")
    assert found is not None
    assert (found.strand, found.motif, found.annotated) == ("-", "none", 0)


def repeat_world(folder: Path, repeat: str, annotated: bool, signal_at: int = 0) -> World:
    """Return a world in which ``repeat`` follows the circle's start and its end.

    So the junction may stand at any of ``len(repeat) + 1`` places. The signal stands at shift
    ``signal_at`` to the right; the annotated splice sites, if any, at shift 0.
    """
    bases = toy_contig("+")
    bases = put(put(bases, 1800, repeat + "T"), 2700, repeat + "C")
    bases = put(put(bases, 1798, "CC"), 2698, "GG")
    if signal_at >= 0:
        bases = put(bases, 1798 + signal_at, "AG")
        bases = put(bases, 2700 + signal_at, "GT")
    exons = EXONS if annotated else ((100, 200), (300, 400))
    return make_world(folder, {"p": bases}, [("G", "p", "+", [exons])])


@pytest.mark.parametrize("shift", range(6))
def test_ambiguous_junction_goes_to_annotated_sites_wherever_it_was_broken(
    tmp_path: Path, shift: int
) -> None:
    world = repeat_world(tmp_path, "CATCA", annotated=True, signal_at=-1)
    found = place(world, "p", 2700 + shift, 1800 + shift, (50, 50))
    assert found is not None
    assert (found.start, found.end, found.annotated) == (1800, 2700, 2)


@pytest.mark.parametrize("shift", [0, 3, 6])
def test_ambiguous_junction_goes_to_the_signal(tmp_path: Path, shift: int) -> None:
    # start ...CAG|TTTCAG..., end ...|TTTCAGT: both copies carry the repeat TTTCAG
    bases = random_bases(6000, 4)
    bases = put(put(bases, 1792, "CCTTTCAG" + "CCAATT"), 2694, "TTTCAG" + "GTCACC")
    world = make_world(tmp_path, {"p": bases}, [("G", "p", "+", [((100, 200), (300, 400))])])
    found = place(world, "p", 2700 - shift, 1800 - shift, (50, 50))
    assert found == Junction("p", 1800, 2700, "+", "GT/AG", 0)


@pytest.mark.parametrize("shift", [0, 7, 15, 30])
def test_a_repeat_longer_than_the_range_gives_one_form(tmp_path: Path, shift: int) -> None:
    repeat = "ACCATTACGATTCCATACCATTCAGGACCA"
    bases = put(put(toy_contig("+"), 1800, repeat), 2700, repeat)
    # the genome goes on differently on both sides of the repeats
    bases = put(put(bases, 1799, "C"), 2699, "T")
    bases = put(put(bases, 1830, "C"), 2730, "T")
    world = make_world(tmp_path, {"p": bases}, [("G", "p", "+", [((100, 200), (300, 400))])])
    found = {place(world, "p", 2700 + way, 1800 + way, (50, 50), strand="+") for way in (0, shift)}
    assert len(found) == 1


def test_equal_places_without_signal_go_to_the_leftmost(tmp_path: Path) -> None:
    world = repeat_world(tmp_path, "CATCA", annotated=False, signal_at=-1)
    for shift in range(6):
        found = place(world, "p", 2700 + shift, 1800 + shift, (50, 50), strand="+")
        assert found == Junction("p", 1800, 2700, "+", "none", 0)


def test_one_mismatch_is_given_up_for_an_annotated_site(world: World) -> None:
    bases = world.contigs["p"]
    left, right = bases[2650:2700], bases[1800:1850]
    wrong = "A" if right[1] != "A" else "C"
    sequence = left + right[0] + wrong + right[2:]
    for cut in (48, 50, 52, 55):
        found = place_junction(
            sequence, (cut, 2650 + cut), (cut, 1750 + cut), "p", world.genome, world.sites
        )
        assert found == Junction("p", 1800, 2700, "+", "GT/AG", 2)


@pytest.mark.parametrize(("wrong", "signal"), [(False, True), (True, False)])
def test_no_mismatch_is_given_up_for_a_signal_alone(
    tmp_path: Path, wrong: bool, signal: bool
) -> None:
    """The signal lies one base from the junction that the read shows without a mismatch."""
    bases = put(put(random_bases(4000, 5), 2700, "GT"), 1798, "AG")
    bases = put(put(bases, 2699, "C"), 1800, "CA" if wrong else "CC")
    # moved by one base to the right the junction differs if the bases there do
    bases = put(bases, 2700, "GT")
    world = make_world(tmp_path, {"p": bases}, [("G", "p", "+", [((10, 60), (80, 120))])])
    shift = 1 if wrong else 0
    sequence = bases[2650 + shift : 2700 + shift] + bases[1800 + shift : 1850 + shift]
    found = place_junction(
        sequence, (50, 2700 + shift), (50, 1800 + shift), "p", world.genome, world.sites, "+"
    )
    assert found is not None
    assert (found.motif == "GT/AG") is signal


@pytest.mark.parametrize(("left_cut", "right_cut"), [(54, 46), (45, 55), (50, 58), (41, 50)])
def test_overlap_and_gap_between_the_parts(world: World, left_cut: int, right_cut: int) -> None:
    # an overlap: both parts claim bases; a gap: some are claimed by none
    sequence = world.contigs["p"][2650:2700] + world.contigs["p"][1800:1850]
    found = place_junction(
        sequence,
        (left_cut, 2650 + left_cut),
        (right_cut, 1750 + right_cut),
        "p",
        world.genome,
        world.sites,
    )
    assert found == Junction("p", 1800, 2700, "+", "GT/AG", 2)


def test_parts_that_do_not_fit_are_not_placed(world: World) -> None:
    sequence = random_bases(100, 77)
    found = place_junction(sequence, (50, 2700), (50, 1800), "p", world.genome, world.sites)
    assert found is None


@pytest.mark.parametrize("start", [2, 3, 5])
def test_circle_at_the_left_edge_of_a_contig(tmp_path: Path, start: int) -> None:
    bases = put(put(random_bases(400, 5), start - 2, "AG"), 300, "GT")
    world = make_world(tmp_path, {"e": bases}, [("G", "e", "+", [((320, 340), (360, 380))])])
    found = place(world, "e", 300, start, (40, 40))
    assert found == Junction("e", start, 300, "+", "GT/AG", 0)


@pytest.mark.parametrize("rest", [2, 5])
def test_circle_at_the_right_edge_of_a_contig(tmp_path: Path, rest: int) -> None:
    bases = put(put(random_bases(300 + rest, 5), 98, "AG"), 300, "GT")
    world = make_world(tmp_path, {"e": bases}, [("G", "e", "+", [((10, 30), (50, 70))])])
    found = place(world, "e", 300, 100, (40, 40))
    assert found == Junction("e", 100, 300, "+", "GT/AG", 0)


@pytest.mark.parametrize(("start", "length"), [(0, 300), (1, 300), (100, 300), (0, 250)])
def test_junction_without_room_for_a_signal_has_none(
    tmp_path: Path, start: int, length: int
) -> None:
    bases = random_bases(length, 6)
    world = make_world(tmp_path, {"e": bases}, [("G", "e", "+", [((120, 130), (150, 160))])])
    found = place(world, "e", length, start, (40, 40), strand="+")
    assert found is not None
    assert (found.motif, found.annotated) == ("none", 0)
    assert 0 <= found.start < found.end <= length


# ---------------------------------------------------------------- cost and sense of an alignment


def record(world: World, tmp_path: Path, mates: list[Mate]) -> list[pysam.AlignedSegment]:
    """Return the primary records of a fragment, the first mate first."""
    bam = write_bam(tmp_path / "record.bam", world, {"f": mates})
    with pysam.AlignmentFile(str(bam)) as opened:
        found = [read for read in opened.fetch(until_eof=True) if not read.is_supplementary]
    return sorted(found, key=lambda read: read.is_read2)


@pytest.mark.parametrize(
    ("start", "cigar", "edits", "cost"),
    [
        (1800, ((0, 100),), 0, 0),
        (1800, ((0, 100),), 4, 4),
        (1800, ((7, 98), (8, 2)), 2, 2),
        (1800, ((4, 30), (0, 70)), 0, 30),
        (1800, ((4, 30), (0, 60), (4, 10)), 1, 41),
        (1800, ((0, 50), (2, 7), (0, 50)), 7, 7),
        (1800, ((0, 50), (1, 7), (0, 43)), 7, 7),
        (1150, ((0, 50), (3, 600), (0, 50)), 1, 1),
        (1150, ((0, 50), (3, 601), (0, 50)), 1, 4),
        (1151, ((0, 50), (3, 600), (0, 50)), 1, 4),
        (1150, ((0, 50), (3, 2100), (0, 50)), 0, 3),
        (1500, ((0, 50), (3, 19), (0, 50)), 0, 0),
        (1500, ((0, 50), (3, 20), (0, 50)), 0, 3),
        (1500, ((0, 30), (3, 100), (0, 30), (3, 100), (0, 40)), 0, 6),
        (1149, ((4, 5), (0, 20), (2, 1), (0, 15), (1, 3), (0, 15), (3, 600), (0, 42)), 4, 9),
    ],
    ids=[
        "match",
        "mismatches",
        "mismatches as X",
        "clip",
        "two clips",
        "deletion",
        "insertion",
        "annotated intron",
        "novel end of an intron",
        "novel start of an intron",
        "novel intron between annotated exons",
        "gap too short for an intron",
        "shortest intron",
        "two novel introns",
        "annotated intron behind a clip and indels",
    ],
)
@pytest.mark.parametrize("chrom", ["p", "m"])
def test_linear_cost(
    world: World,
    tmp_path: Path,
    chrom: str,
    start: int,
    cigar: tuple[tuple[int, int], ...],
    edits: int,
    cost: int,
) -> None:
    part = Placement(chrom, start, "-", cigar, 60, edits)
    (read,) = record(world, tmp_path, [mate(random_bases(100, 4), (part,))])
    assert linear_cost(read, world.sites) == cost


def test_every_base_of_an_unmapped_read_counts(world: World, tmp_path: Path) -> None:
    lost = mate(random_bases(87, 4), ())
    mapped = single(world, "p", EXONS, 0, 60, "+", turns=1)[0]
    (alone,) = record(world, tmp_path, [lost])
    assert linear_cost(alone, world.sites) == 87
    # next to its mate, whose place it has
    first, second = record(world, tmp_path, [mapped, lost])
    assert (first.reference_start, second.reference_start) == (1000, 1000)
    assert [linear_cost(read, world.sites) for read in (first, second)] == [0, 87]


def test_htslib_leaves_out_what_cannot_be_doubted(world: World, tmp_path: Path) -> None:
    cigars = {
        "exact": (((0, 100),), 0),
        "two differences": (((0, 100),), 2),
        "three differences": (((0, 100),), 3),
        "clipped": (((4, 3), (0, 97)), 0),
        "spliced": (((0, 50), (3, 600), (0, 50)), 0),
    }
    reads = {
        name: [mate(random_bases(100, 4), (Placement("p", 1150, "-", cigar, 60, edits),))]
        for name, (cigar, edits) in cigars.items()
    }
    bam = write_bam(tmp_path / "reads.bam", world, {**reads, "lost": [mate("ACGT", ())]})
    with pysam.AlignmentFile(str(bam), format_options=[DOUBTED_READS]) as opened:
        left = {read.query_name for read in opened.fetch(until_eof=True)}
    assert left == {"three differences", "clipped", "spliced", "lost"}


@pytest.mark.parametrize("library", ["reverse", "forward", "unstranded"])
@pytest.mark.parametrize("rna", ["+", "-"])
@pytest.mark.parametrize("mapped", [True, False])
def test_senses(world: World, tmp_path: Path, rna: str, library: str, mapped: bool) -> None:
    """The bases of both mates in the direction of the RNA, wherever they are placed."""
    protocol = "reverse" if library == "unstranded" else library
    mates = pair(world, "p", EXONS[:1], 20, 150, 60, rna, protocol, turns=1)
    left, right = world.contigs["p"][1020:1080], world.contigs["p"][1110:1170]
    if not mapped:
        mates = [replace(item, placements=()) for item in mates]
    shown = [senses(read, library) for read in record(world, tmp_path, mates)]
    inner = [left, right] if rna == "+" else [reverse_complement(left), reverse_complement(right)]
    if (rna == "+") != (protocol == "forward"):
        inner.reverse()
    if library == "unstranded":
        for both, one in zip(shown, inner, strict=True):
            assert sorted(both) == sorted((one, reverse_complement(one)))
    else:
        assert shown == [(one,) for one in inner]


# ---------------------------------------------------------------- split reads


@pytest.mark.parametrize("library", ["reverse", "forward", "unstranded"])
@pytest.mark.parametrize(("chrom", "strand"), [("p", "+"), ("m", "-")])
def test_split_reads_of_every_protocol(
    world: World, tmp_path: Path, chrom: str, strand: str, library: str
) -> None:
    protocol = "reverse" if library == "unstranded" else library
    reads = {"f": pair(world, chrom, CIRCLE, 280, 180, 100, strand, protocol)}
    evidence = find(world, tmp_path, reads, library)
    assert rows(evidence) == [(chrom, 1800, 2700, strand, "GT/AG", 1, 0)]
    assert not evidence.realigned


def test_a_wrong_protocol_finds_nothing(world: World, tmp_path: Path) -> None:
    reads = {"f": pair(world, "p", CIRCLE, 280, 180, 100, "+", "forward")}
    evidence = find(world, tmp_path, reads, "reverse")
    assert rows(evidence) == []
    assert evidence.removed["no splice signal"] >= 1


def test_both_mates_across_count_one_fragment_but_two_reads(world: World, tmp_path: Path) -> None:
    # a circle of 150 nt: each mate of a 220 nt fragment crosses
    reads = {"f": pair(world, "p", EXONS[1:2], 100, 220, 100, "+")}
    evidence = find(world, tmp_path, reads)
    assert rows(evidence) == [("p", 1800, 1950, "+", "GT/AG", 1, 0)]
    assert evidence.kept == 2


def test_primary_on_either_side(world: World, tmp_path: Path) -> None:
    reads = {
        f"f{offset}": single(world, "p", CIRCLE, offset, 100, "+") for offset in (270, 300, 330)
    }
    assert rows(find(world, tmp_path, reads)) == [("p", 1800, 2700, "+", "GT/AG", 3, 0)]


@pytest.mark.parametrize("span", [899, 900])
def test_bounds_of_the_span(world: World, tmp_path: Path, span: int) -> None:
    reads = {"f": single(world, "p", CIRCLE, 300, 100, "+")}
    assert bool(rows(find(world, tmp_path, reads, limits=Limits(max_span=span)))) is (span == 900)
    evidence = find(world, tmp_path, reads, limits=Limits(min_span=span + 1))
    assert bool(rows(evidence)) is (span == 899)
    assert evidence.removed["not a back-splice of allowed span"] == int(span == 900)


def test_a_linear_splice_or_deletion_is_no_back_splice(world: World, tmp_path: Path) -> None:
    # parts in linear order: the read goes from exon 1 to exon 4
    places = positions([(1150, 1200), (3300, 3350)])
    sequence = world.bases("p", [(1150, 1200), (3300, 3350)])
    parts = (*placements_of("p", places[:50], "-"), *placements_of("p", places[50:], "-"))
    left = replace(parts[0], cigar=((0, 50), (4, 50)))
    right = replace(parts[1], cigar=((4, 50), (0, 50)))
    evidence = find(world, tmp_path, {"f": [mate(sequence, (left, right))]})
    assert rows(evidence) == []
    assert evidence.removed == {"not a back-splice of allowed span": 1}


def test_parts_on_two_contigs_or_strands_are_no_back_splice(world: World, tmp_path: Path) -> None:
    sequence = world.contigs["p"][2650:2700] + world.contigs["m"][1800:1850]
    left, right = (
        placements_of("p", range(2650, 2700), "-"),
        placements_of("m", range(1800, 1850), "-"),
    )
    parts = (
        replace(left[0], cigar=((0, 50), (4, 50))),
        replace(right[0], cigar=((4, 50), (0, 50))),
    )
    assert rows(find(world, tmp_path, {"f": [mate(sequence, parts)]})) == []


def test_mate_outside_the_circle(world: World, tmp_path: Path) -> None:
    crossing = pair(world, "p", CIRCLE, 300, 100, 100, "+")[0]
    far = mate(world.contigs["p"][4300:4400], placements_of("p", range(4300, 4400), "+"))
    near = mate(world.contigs["p"][1820:1920], placements_of("p", range(1820, 1920), "+"))
    assert rows(find(world, tmp_path, {"inside": [crossing, near]}))
    evidence = find(world, tmp_path, {"outside": [crossing, far]})
    assert rows(evidence) == []
    assert evidence.removed == {"mate outside the circle": 1}


def test_mate_on_the_same_strand_is_no_pair_of_a_circle(world: World, tmp_path: Path) -> None:
    crossing = pair(world, "p", CIRCLE, 300, 100, 100, "+")[0]
    same = mate(world.contigs["p"][1820:1920], placements_of("p", range(1820, 1920), "-"))
    assert crossing.placements[0].strand == "-"
    assert rows(find(world, tmp_path, {"f": [crossing, same]})) == []


def test_mate_unmapped_is_no_objection(world: World, tmp_path: Path) -> None:
    crossing = pair(world, "p", CIRCLE, 300, 100, 100, "+")[0]
    lost = mate(random_bases(100, 55), ())
    assert len(rows(find(world, tmp_path, {"f": [crossing, lost]}))) == 1


def test_low_mapping_quality_of_both_parts(world: World, tmp_path: Path) -> None:
    whole = single(world, "p", CIRCLE, 300, 100, "+")[0]
    one = replace(
        whole,
        placements=(replace(whole.placements[0], mapping_quality=0, hits=9), whole.placements[1]),
    )
    both = replace(
        whole,
        placements=tuple(replace(item, mapping_quality=0, hits=9) for item in whole.placements),
    )
    assert len(rows(find(world, tmp_path, {"f": [one]}))) == 1
    evidence = find(world, tmp_path, {"f": [both]})
    # what the aligner says is not used, what the read shows is
    assert evidence.removed == {"low mapping quality": 1}
    assert evidence.kept == 0
    assert rows(evidence) == [("p", 1800, 2700, "+", "GT/AG", 0, 1)]


def test_low_mapping_quality_at_sites_nobody_annotated(tmp_path: Path) -> None:
    world = unannotated_world(tmp_path)
    read = single(world, "p", ((1800, 2700),), 850, 100, "+")[0]
    parts = tuple(replace(item, mapping_quality=0, hits=9) for item in read.placements)
    evidence = find(world, tmp_path, {"f": [replace(read, placements=parts)]})
    assert evidence.removed == {"low mapping quality": 1}
    assert rows(evidence) == []


def unannotated_world(folder: Path) -> World:
    """Return a circle 1800-2700 with GT/AG that nobody annotated, on ``+`` of p."""
    bases = with_signals(random_bases(6000, 8), ((100, 1600), (1800, 2700), (2900, 3000)), "+")
    return make_world(folder, {"p": bases}, [("G", "p", "+", [((100, 200), (300, 400))])])


@pytest.mark.parametrize(("shorter", "found"), [(11, False), (12, True), (40, True)])
def test_short_anchor_at_a_site_nobody_annotated(tmp_path: Path, shorter: int, found: bool) -> None:
    world = unannotated_world(tmp_path)
    reads = {"f": single(world, "p", ((1800, 2700),), 900 - shorter, 100, "+")}
    evidence = find(world, tmp_path, reads)
    assert bool(rows(evidence)) is found
    assert evidence.removed["short anchor at a site not annotated"] == int(not found)
    if found:
        assert rows(evidence) == [("p", 1800, 2700, "+", "GT/AG", 1, 0)]


def test_strand_unknown_and_without_signal_is_removed(world: World, tmp_path: Path) -> None:
    # template switching: ends anywhere
    molecule = ((1834, 1950), (2500, 2655))
    flanks = splice_motif(world.contigs["p"][1832:1834], world.contigs["p"][2655:2657])
    assert flanks == (".", "none")
    reads = {"f": single(world, "p", molecule, 200, 100, "+")}
    for strandedness in ("reverse", "unstranded"):
        evidence = find(world, tmp_path, reads, strandedness)
        assert rows(evidence) == []
        assert evidence.removed == {"no splice signal": 1}


@pytest.mark.parametrize(("donor", "found"), [("GT", True), ("GC", False)])
def test_rare_signals_need_an_annotated_end(tmp_path: Path, donor: str, found: bool) -> None:
    bases = put(put(toy_contig("+"), 1832, "AG"), 2655, donor)
    world = make_world(tmp_path, {"p": bases}, [("G", "p", "+", [EXONS])])
    reads = {"f": single(world, "p", ((1834, 1950), (2500, 2655)), 200, 100, "+")}
    evidence = find(world, tmp_path, reads)
    assert bool(rows(evidence)) is found
    name = "rare splice signal at sites nobody annotated"
    assert evidence.removed == ({} if found else {name: 1})


@pytest.mark.parametrize(("chrom", "strand"), [("p", "+"), ("m", "-")])
def test_lariat(world: World, tmp_path: Path, chrom: str, strand: str) -> None:
    intron = (EXONS[2][1], EXONS[3][0])
    circle = (intron[0], intron[1] - 25) if strand == "+" else (intron[0] + 25, intron[1])
    reads = {"f": single(world, chrom, (circle,), circle[1] - circle[0] - 50, 100, strand)}
    found = rows(find(world, tmp_path, reads))
    assert found == [(chrom, *circle, strand, "lariat", 1, 0)]


def test_indels_in_both_parts(world: World, tmp_path: Path) -> None:
    # a base inserted 20 nt before the junction, one deleted 20 nt behind it
    bases = world.contigs["p"]
    left = bases[2640:2680] + "A" + bases[2680:2700]
    right = bases[1800:1820] + bases[1821:1850]
    whole = mate(left + right, placements_of("p", range(2640, 2700), "-"))
    parts = (
        replace(whole.placements[0], cigar=((0, 40), (1, 1), (0, 20), (4, 49)), edit_distance=1),
        replace(
            whole.placements[0],
            start=1800,
            cigar=((4, 61), (0, 20), (2, 1), (0, 29)),
            edit_distance=1,
        ),
    )
    reads = {"f": [replace(whole, placements=parts)]}
    assert rows(find(world, tmp_path, reads)) == [("p", 1800, 2700, "+", "GT/AG", 1, 0)]


# ---------------------------------------------------------------- realigned reads


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("clip", "found"), [(11, False), (12, True), (19, True)])
@pytest.mark.parametrize(("chrom", "strand"), [("p", "+"), ("m", "-")])
def test_clipped_reads(
    world: World, tmp_path: Path, chrom: str, strand: str, clip: int, found: bool, side: str
) -> None:
    offset = 350 - clip if side == "left" else 350 - 100 + clip
    reads = {"f": single(world, chrom, CIRCLE, offset, 100, strand, shortest=50)}
    expected = [(chrom, 1800, 2700, strand, "GT/AG", 0, 1)] if found else []
    assert rows(find(world, tmp_path, reads)) == expected


def test_a_fragment_split_and_clipped_counts_as_split(world: World, tmp_path: Path) -> None:
    # mates of a short circle: one is split, the other one clipped at 15 nt
    reads = {"f": pair(world, "p", EXONS[1:2], 100, 165, 100, "+", shortest=20)}
    assert rows(find(world, tmp_path, reads)) == [("p", 1800, 1950, "+", "GT/AG", 1, 0)]


def test_a_clip_that_fits_two_far_ends_says_nothing(tmp_path: Path) -> None:
    bases = toy_contig("+")
    bases = put(bases, 3420, bases[2670:2700])  # exons 3 and 4 end alike
    world = make_world(tmp_path, {"p": bases}, [("G", "p", "+", [EXONS])])
    reads = {"f": single(world, "p", CIRCLE, 350 - 15, 100, "+", shortest=50)}
    assert rows(find(world, tmp_path, reads)) == []


def test_clip_with_a_useless_supplementary_record(world: World, tmp_path: Path) -> None:
    """A part placed on another contig does not hide what the clip shows."""
    read = single(world, "p", CIRCLE, 350 - 20, 100, "+", shortest=50)[0]
    stray = replace(
        read.placements[0],
        chrom="m",
        start=300,
        cigar=((0, 20), (4, 80)),
        mapping_quality=3,
        hits=2,
    )
    reads = {"f": [replace(read, placements=(*read.placements, stray))]}
    assert rows(find(world, tmp_path, reads)) == [("p", 1800, 2700, "+", "GT/AG", 0, 1)]


def badly_placed(world: World, name: str, edits: int) -> list[Mate]:
    """Return a read over the back-splice of exons 2 and 3 that the aligner placed otherwise.

    Half of it lies at the circle, but where the alignment is ``whole``.
    """
    start, cigar = {
        "whole": (5000, ((0, 100),)),
        "annotated intron, left": (1150, ((0, 50), (3, 600), (0, 50))),
        "annotated intron, right": (2650, ((0, 50), (3, 600), (0, 50))),
        "novel intron, left": (300, ((0, 50), (3, 1450), (0, 50))),
        "novel intron, right": (2650, ((0, 50), (3, 2500), (0, 50))),
    }[name]
    read = single(world, "p", CIRCLE, 300, 100, "+")[0]
    part = replace(read.placements[0], start=start, cigar=cigar, edit_distance=edits)
    return [replace(read, placements=(part,))]


@pytest.mark.parametrize(
    ("alignment", "doubted_from"),
    [
        ("whole", 3),
        ("annotated intron, left", 3),
        ("annotated intron, right", 3),
        ("novel intron, left", 0),
        ("novel intron, right", 0),
    ],
)
def test_a_bad_alignment_is_doubted(
    world: World, tmp_path: Path, alignment: str, doubted_from: int
) -> None:
    """A paralogue or a copy of the circle's other end elsewhere is not better by 3 differences.

    An intron that nobody annotated counts as 3 of them.
    """
    if doubted_from:
        believed = {"f": badly_placed(world, alignment, doubted_from - 1)}
        assert rows(find(world, tmp_path, believed)) == []
    doubted = {"f": badly_placed(world, alignment, doubted_from)}
    assert rows(find(world, tmp_path, doubted)) == [("p", 1800, 2700, "+", "GT/AG", 0, 1)]


@pytest.mark.parametrize(("cost", "found"), [(3, False), (4, False), (5, True)])
def test_a_circle_must_be_better_by_the_margin(
    world: World, tmp_path: Path, cost: int, found: bool
) -> None:
    """The read itself differs from the circle twice."""
    (read,) = badly_placed(world, "whole", cost)
    assert read.placements[0].strand == "-"
    wrong = replace(read, sequence=flip(read.sequence, 20, 80))
    assert bool(rows(find(world, tmp_path, {"f": [wrong]}))) is found


@pytest.mark.parametrize("library", ["reverse", "forward", "unstranded"])
@pytest.mark.parametrize(("chrom", "strand"), [("p", "+"), ("m", "-")])
@pytest.mark.parametrize("lost", ["both", "crossing", "other"])
def test_unmapped_reads(
    world: World, tmp_path: Path, chrom: str, strand: str, library: str, lost: str
) -> None:
    protocol = "reverse" if library == "unstranded" else library
    # the mates end at 350 + 40 and at 350 + 160 of the circle
    mates = pair(world, chrom, CIRCLE, 290, 220, 100, strand, protocol)
    crosses = [len(item.placements) == 2 for item in mates]
    assert sorted(crosses) == [False, True]
    fragment = [
        replace(item, placements=()) if lost == "both" or (lost == "crossing") is over else item
        for item, over in zip(mates, crosses, strict=True)
    ]
    split = int(lost == "other")
    expected = [(chrom, 1800, 2700, strand, "GT/AG", split, 1 - split)]
    assert rows(find(world, tmp_path, {"f": fragment}, library)) == expected


def test_an_unmapped_read_of_the_other_strand_is_no_evidence(world: World, tmp_path: Path) -> None:
    lost = {"f": [replace(single(world, "p", CIRCLE, 300, 100, "-")[0], placements=())]}
    assert rows(find(world, tmp_path, lost, "reverse")) == []
    assert len(rows(find(world, tmp_path, lost, "unstranded"))) == 1


@pytest.mark.parametrize(
    ("own", "other", "found"),
    [
        (1800, 1820, True),
        (1800, 4300, False),
        (1800, 900, False),
        (5000, 4300, True),
        (900, 4300, True),
    ],
    ids=["inside", "mate behind", "mate before", "elsewhere", "elsewhere before"],
)
def test_the_mate_of_a_realigned_read(
    world: World, tmp_path: Path, own: int, other: int, found: bool
) -> None:
    """Where the read lies in the circle its mate must too; where it is misplaced this says nothing.

    The counting, not the discovery, then places the mates anew.
    """
    read = pair(world, "p", CIRCLE, 350 - 20, 100, 100, "+", shortest=50)[0]
    assert read.placements[0].start == 1800
    read = replace(read, placements=(replace(read.placements[0], start=own),))
    far = mate(
        world.contigs["p"][other : other + 100], placements_of("p", range(other, other + 100), "+")
    )
    assert bool(rows(find(world, tmp_path, {"f": [read, far]}))) is found


def test_a_realigned_read_whose_mate_points_the_same_way(world: World, tmp_path: Path) -> None:
    read = pair(world, "p", CIRCLE, 350 - 20, 100, 100, "+", shortest=50)[0]
    same = mate(world.contigs["p"][1820:1920], placements_of("p", range(1820, 1920), "-"))
    assert rows(find(world, tmp_path, {"f": [read, same]})) == []


def test_a_realigned_junction_without_a_signal_keeps_its_strand(tmp_path: Path) -> None:
    bases = put(put(toy_contig("+"), 1798, "TT"), 2700, "TT")
    world = make_world(tmp_path, {"p": bases}, [("G", "p", "+", [EXONS])])
    reads = {"f": [replace(single(world, "p", CIRCLE, 300, 100, "+")[0], placements=())]}
    assert rows(find(world, tmp_path, reads)) == [("p", 1800, 2700, "+", "none", 0, 1)]


def test_the_signal_of_the_other_strand_is_none(tmp_path: Path) -> None:
    world = make_world(tmp_path, {"p": toy_contig("+")}, [("G", "p", "-", [EXONS])])
    reads = {"f": [replace(single(world, "p", CIRCLE, 300, 100, "-")[0], placements=())]}
    assert rows(find(world, tmp_path, reads)) == [("p", 1800, 2700, "-", "none", 0, 1)]


@pytest.mark.parametrize("span", [899, 900])
def test_bounds_of_the_span_of_realigned_reads(world: World, tmp_path: Path, span: int) -> None:
    reads = {"f": [replace(single(world, "p", CIRCLE, 300, 100, "+")[0], placements=())]}
    most = find(world, tmp_path, reads, limits=Limits(max_span=span))
    assert bool(rows(most)) is (span == 900)
    least = find(world, tmp_path, reads, limits=Limits(min_span=span + 1))
    assert bool(rows(least)) is (span == 899)


def test_introns_of_both_strands(world: World) -> None:
    assert world.sites.is_intron("p", 2700, 3300)
    assert world.sites.is_intron("m", 2700, 3300)
    assert not world.sites.is_intron("p", 2700, 4200)
    assert not world.sites.is_intron("nowhere", 2700, 3300)


def test_adapter_is_no_far_end(world: World, tmp_path: Path) -> None:
    read = single(world, "p", CIRCLE, 350 - 20, 100, "+", shortest=50)[0]
    sequence = random_bases(20, 9) + world.contigs["p"][1800:1880]
    reads = {"f": [mate(sequence, read.placements)]}
    assert rows(find(world, tmp_path, reads)) == []


def test_no_reads(world: World, tmp_path: Path) -> None:
    evidence = find(world, tmp_path, {})
    assert rows(evidence) == []
    assert evidence.kept == 0
    assert not evidence.removed


def test_unknown_strandedness(world: World, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="strandedness 'sideways'"):
        find(world, tmp_path, {"f": single(world, "p", CIRCLE, 300, 100, "+")}, "sideways")

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pysam
import pytest

from ringmark.alignments import (
    Fragment,
    Mate,
    Placement,
    SupplementaryAlignment,
    aligned_blocks,
    aligned_introns,
    format_cigar,
    format_sa,
    fragment_strand,
    is_proper_pair,
    iterate_fragments,
    library_strandedness,
    mapping_quality,
    merge_spans,
    parse_cigar,
    parse_sa,
    query_length,
    query_span,
    records_over,
    sam_records,
    sort_and_index,
)
from ringmark.errors import InputError

HEADER = pysam.AlignmentHeader.from_references(["one", "two"], [10_000, 10_000])


def record(
    name: str,
    flag: int,
    start: int,
    cigar: str,
    mate: tuple[int, int] = (-1, -1),
    quality: int = 60,
    contig: int = 0,
) -> pysam.AlignedSegment:
    read = pysam.AlignedSegment(HEADER)
    read.query_name = name
    read.flag = flag
    read.reference_id = contig
    read.reference_start = start
    read.mapping_quality = quality
    read.cigartuples = parse_cigar(cigar)
    read.next_reference_id, read.next_reference_start = mate
    read.query_sequence = "A" * query_length(read.cigartuples)
    return read


def fragments(
    folder: Path, reads: Sequence[pysam.AlignedSegment], *arguments: object
) -> list[Fragment]:
    path = folder / "reads.bam"
    with pysam.AlignmentFile(path, "wb", header=HEADER) as bam:
        for read in reads:
            bam.write(read)
    pysam.index(str(path))
    with pysam.AlignmentFile(path) as bam:
        return list(iterate_fragments(bam, *arguments))


def test_cigar_is_read_and_written() -> None:
    assert parse_cigar("3H10S40M2I3D100N5=1X") == (
        (5, 3), (4, 10), (0, 40), (1, 2), (2, 3), (3, 100), (7, 5), (8, 1),
    )  # fmt: skip
    assert format_cigar(parse_cigar("3H10S40M2I3D100N5=1X")) == "3H10S40M2I3D100N5=1X"
    assert parse_cigar("*") == ()
    assert format_cigar(()) == "*"


@pytest.mark.parametrize("text", ["", "M", "10", "10M5", "x10M", "10M 5S", "10Q"])
def test_what_is_no_cigar_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a CIGAR"):
        parse_cigar(text)


def test_sa_is_read_and_written() -> None:
    tag = "HLA:DRB1*01,11,+,20M30S,60,0;one,101,-,20S30M,7,2;"
    entries = parse_sa(tag)
    assert entries == [
        SupplementaryAlignment("HLA:DRB1*01", 10, "+", ((0, 20), (4, 30)), 60, 0),
        SupplementaryAlignment("one", 100, "-", ((4, 20), (0, 30)), 7, 2),
    ]
    assert format_sa(entries) == tag


@pytest.mark.parametrize("tag", ["", "one,11,+,20M", "one,x,+,20M,60,0;"])
def test_malformed_sa_is_refused(tag: str) -> None:
    with pytest.raises(ValueError):
        parse_sa(tag)


def test_introns_split_blocks_and_deletions_do_not() -> None:
    cigar = parse_cigar("5S10M2D3M1I2M100N20M4S")
    assert aligned_blocks(cigar, 50) == ((50, 67), (167, 187))
    assert aligned_introns(cigar, 50) == ((67, 167),)
    assert aligned_blocks((), 50) == ()


def test_query_span_runs_along_the_read() -> None:
    cigar = parse_cigar("3H5S10M2D1I2M100N20M4S")
    assert query_span(cigar, "+") == (8, 41)
    assert query_span(cigar, "-") == (4, 37)
    assert query_length(cigar) == 45


def test_spans_are_joined_where_they_touch() -> None:
    assert merge_spans([(5, 9), (0, 2), (2, 4), (6, 7)]) == ((0, 4), (5, 9))
    assert merge_spans([]) == ()


@pytest.mark.parametrize(
    ("flag", "strand"), [(0, "+"), (16, "-"), (65, "+"), (81, "-"), (145, "+"), (129, "-")]
)
def test_strand_follows_the_first_mate(flag: int, strand: str) -> None:
    read = record("a", flag, 0, "10M")
    assert fragment_strand(read, "forward") == strand
    assert fragment_strand(read, "reverse") == {"+": "-", "-": "+"}[strand]
    assert fragment_strand(read, "unstranded") == "."
    with pytest.raises(ValueError, match="auto"):
        fragment_strand(read, "auto")


def test_empty_bam_has_no_fragments(tmp_path: Path) -> None:
    assert fragments(tmp_path, [], "forward") == []


def test_unknown_strandedness_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="auto"):
        fragments(tmp_path, [], "auto")


def test_one_single_read(tmp_path: Path) -> None:
    found = fragments(tmp_path, [record("a", 16, 100, "10M50N10M")], "forward")
    assert found == [Fragment("one", "-", ((100, 110), (160, 170)), ((110, 160),), 60)]


def test_mates_are_one_fragment(tmp_path: Path) -> None:
    reads = [
        record("a", 99, 100, "20M50N10M", (0, 110), 60),
        record("b", 163, 105, "20M", (0, 105), 40),
        record("b", 83, 105, "20M", (0, 105), 50),
        record("a", 147, 110, "10M50N20M", (0, 100), 30),
    ]
    assert fragments(tmp_path, reads, "forward") == [
        Fragment("one", "-", ((105, 125),), (), 40),
        Fragment("one", "+", ((100, 120), (170, 190)), ((120, 170),), 30),
    ]


def test_strand_is_the_first_mates_when_mates_point_the_same_way(tmp_path: Path) -> None:
    reads = [record("a", 129, 10, "5M", (0, 50)), record("a", 65, 50, "5M", (0, 10))]
    assert [item.strand for item in fragments(tmp_path, reads, "forward")] == ["+"]


def test_a_name_used_twice_is_two_fragments(tmp_path: Path) -> None:
    reads = [
        record("a", 99, 100, "20M", (0, 300)),
        record("a", 99, 150, "20M", (0, 310)),
        record("a", 147, 300, "20M", (0, 100)),
        record("a", 147, 310, "20M", (0, 150)),
    ]
    found = fragments(tmp_path, reads, "forward")
    assert [item.blocks for item in found] == [
        ((100, 120), (300, 320)),
        ((150, 170), (310, 330)),
    ]


def test_fragments_of_the_same_name_and_place_are_two(tmp_path: Path) -> None:
    reads = [
        record("a", 99, 100, "20M", (0, 100)),
        record("a", 99, 100, "20M", (0, 100)),
        record("a", 147, 100, "20M", (0, 100)),
        record("a", 147, 100, "20M", (0, 100)),
    ]
    assert len(fragments(tmp_path, reads, "forward")) == 2


def test_a_mate_that_cannot_be_used_leaves_the_other(tmp_path: Path) -> None:
    reads = [
        record("unmapped", 73, 100, "10M", (0, 100)),
        record("low_first", 99, 110, "10M", (0, 200), 3),
        record("low_second", 99, 120, "10M", (0, 210)),
        record("elsewhere", 65, 130, "10M", (1, 10)),
        record("lost", 99, 140, "10M", (0, 999)),
        record("low_first", 147, 200, "10M", (0, 110)),
        record("low_second", 147, 210, "10M", (0, 120), 3),
        record("elsewhere", 129, 10, "10M", (0, 130), contig=1),
    ]
    found = fragments(tmp_path, reads, "forward", 10)
    assert [(item.chrom, item.strand, item.blocks[0][0]) for item in found] == [
        ("one", "+", 100),
        ("one", "+", 130),
        ("one", "+", 200),
        ("one", "+", 120),
        ("one", "+", 140),
        ("two", "-", 10),
    ]


def test_secondary_and_supplementary_records_are_not_used(tmp_path: Path) -> None:
    reads = [
        record("a", 0, 100, "10M10S"),
        record("a", 2048, 200, "10S10M"),
        record("b", 256, 300, "10M"),
    ]
    assert [item.blocks for item in fragments(tmp_path, reads, "unstranded")] == [((100, 110),)]


def test_a_region_gives_its_reads_only(tmp_path: Path) -> None:
    reads = [record("a", 0, 100, "10M"), record("b", 0, 200, "10M")]
    found = fragments(tmp_path, reads, "forward", 0, "one", 150, 300)
    assert [item.blocks for item in found] == [((200, 210),)]
    with pytest.raises(ValueError):
        fragments(tmp_path, reads, "forward", 0, "three")


@pytest.mark.parametrize("value", ["unstranded", "forward", "reverse"])
def test_strandedness_is_read_from_the_summary(tmp_path: Path, value: str) -> None:
    path = tmp_path / "summary.tsv"
    path.write_text(f"library\tstrandedness\nx\t{value}\n")
    assert library_strandedness(path) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "library\tstrandedness\n",
        "strandedness\nauto\n",
        "library\nx\n",
        "strandedness\nforward\nforward\n",
    ],
)
def test_a_summary_without_strandedness_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "summary.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=r"summary\.tsv"):
        library_strandedness(path)


def place(
    start: int, strand: str, cigar: str = "50M", chrom: str = "one", **more: object
) -> Placement:
    return Placement(chrom, start, strand, parse_cigar(cigar), 60, 0, **more)


def parsed(name: str, mates: Sequence[Mate]) -> list[pysam.AlignedSegment]:
    return [
        pysam.AlignedSegment.fromstring(line, HEADER) for line in sam_records(name, mates, "lib")
    ]


def test_mapping_quality_follows_from_the_number_of_places() -> None:
    assert [mapping_quality(hits) for hits in (1, 2, 3, 4, 5, 100)] == [60, 3, 1, 1, 0, 0]


def test_proper_pairs_point_towards_each_other() -> None:
    assert is_proper_pair(place(100, "+"), place(300, "-"), 1000)
    assert is_proper_pair(place(300, "-"), place(100, "+"), 1000)
    assert is_proper_pair(place(100, "+"), place(100, "-"), 1000)
    assert not is_proper_pair(place(300, "+"), place(100, "-"), 1000)
    assert not is_proper_pair(place(100, "+"), place(300, "+"), 1000)
    assert not is_proper_pair(place(100, "+"), place(300, "-", chrom="two"), 1000)
    assert not is_proper_pair(place(100, "+"), place(3000, "-"), 1000)


def test_records_of_a_proper_pair() -> None:
    mates = [
        Mate("AC" * 25, "I" * 50, (place(300, "-"),)),
        Mate("GG" * 25, "J" * 50, (place(100, "+", "20M100N30M", rna_strand="-"),)),
    ]
    one, two = parsed("x", mates)
    assert (one.flag, two.flag) == (83, 163)
    assert (one.next_reference_start, two.next_reference_start) == (100, 300)
    assert (one.template_length, two.template_length) == (-250, 250)
    assert one.query_sequence == "GT" * 25
    assert dict(two.get_tags()) == {"RG": "lib", "NH": 1, "NM": 0, "XS": "-"}


def test_records_of_a_split_read_refer_to_each_other() -> None:
    main, rest = place(500, "-", "30M20S"), place(100, "-", "30S20M", hits=2)
    records = parsed("x", [Mate("A" * 50, "I" * 50, (main, rest))])
    assert [read.flag for read in records] == [16, 16 | 2048]
    assert records[0].get_tag("SA") == "one,101,-,30S20M,60,0;"
    assert records[1].get_tag("SA") == "one,501,-,30M20S,60,0;"
    assert {read.query_sequence for read in records} == {"T" * 50}


def test_an_unmapped_mate_lies_with_the_other() -> None:
    mates = [
        Mate("A" * 50, "I" * 50, (place(500, "+"), place(10, "+", "30S20M", "two"))),
        Mate("C" * 40, "*"),
    ]
    first, rest, second = parsed("x", mates)
    assert (first.flag, rest.flag, second.flag) == (73, 73 | 2048, 133)
    assert (second.reference_name, second.reference_start) == ("one", 500)
    assert {read.next_reference_name for read in (first, rest, second)} == {"one"}
    assert {read.next_reference_start for read in (first, rest, second)} == {500}
    assert {read.template_length for read in (first, rest, second)} == {0}


def test_an_unmapped_read_is_kept() -> None:
    (read,) = parsed("x", [Mate("ACGT", "IIII")])
    assert (read.flag, read.reference_id, read.query_sequence) == (4, -1, "ACGT")


def test_bam_is_sorted_and_indexed_and_the_unsorted_one_removed(tmp_path: Path) -> None:
    unsorted, output = tmp_path / "unsorted.bam", tmp_path / "out.bam"
    with pysam.AlignmentFile(unsorted, "wb", header=HEADER) as bam:
        bam.write(record("b", 0, 200, "10M"))
        bam.write(record("a", 0, 100, "10M"))
    sort_and_index(unsorted, output)
    with pysam.AlignmentFile(output) as bam:
        assert [read.query_name for read in bam.fetch("one")] == ["a", "b"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.bam", "out.bam.bai"]


#: A BAM's reads: before, over and after 1000; over an intron, which is over what it leaves out too.
PLACED = (
    ("before", 900, "50M", 0),
    ("spliced", 950, "20M100N30M", 0),
    ("over", 980, "50M", 0),
    ("after", 1100, "50M", 0),
    ("far", 5000, "50M", 0),
    ("elsewhere", 990, "50M", 1),
)


@pytest.mark.parametrize(
    ("spans", "names", "expected"),
    [
        ([(999, 1001)], None, ["spliced", "over"]),
        ([(999, 1001)], ["over", "far", "absent"], ["over"]),
        ([(999, 1001)], [], []),
        # overlapping spans, in any order, and one that reaches beyond both ends of the contig
        ([(5040, 5041), (990, 1001), (985, 1000)], None, ["spliced", "over", "far"]),
        ([(-50, 20_000)], None, ["before", "spliced", "over", "after", "far"]),
        ([(2000, 3000)], None, []),
        ([], None, []),
    ],
)
def test_records_over_spans(
    tmp_path: Path,
    spans: list[tuple[int, int]],
    names: list[str] | None,
    expected: list[str],
) -> None:
    unsorted, path = tmp_path / "unsorted.bam", tmp_path / "sorted.bam"
    with pysam.AlignmentFile(str(unsorted), "wb", header=HEADER) as bam:
        for name, start, cigar, contig in PLACED:
            bam.write(record(name, 0, start, cigar, contig=contig))
    sort_and_index(unsorted, path)
    with pysam.AlignmentFile(str(path)) as bam:
        found = [str(read.query_name) for read in records_over(bam, "one", spans, names)]
    assert found == expected


def test_a_bam_that_is_cut_short_is_no_result(tmp_path: Path) -> None:
    unsorted, path = tmp_path / "unsorted.bam", tmp_path / "sorted.bam"
    with pysam.AlignmentFile(str(unsorted), "wb", header=HEADER) as bam:
        for start in range(3000):
            bam.write(record(f"read{start * 7919 % 3001}", 0, start, "50M"))
    sort_and_index(unsorted, path)
    with pysam.AlignmentFile(str(path)) as bam:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(InputError, match=r"sorted\.bam: cannot be read"):
            list(records_over(bam, "one", [(0, 10_000)]))

"""BAM files made elsewhere: what is mended, what is left out, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pysam
import pytest
import toy_reads

import import_bam
from ringmark.alignments import Mate, Placement, bam_header, parse_cigar, sam_records
from ringmark.annotation import Annotation
from ringmark.sequence import reverse_complement

GENOME = toy_reads.genome()
CONTIGS = list(toy_reads.LENGTHS.items())
HEADER = bam_header(CONTIGS, "elsewhere", "someone", "STAR", "2.7.10b")


def placed(place: Placement) -> str:
    """The bases of the genome under an alignment."""
    bases, position = "", place.start
    for operation, length in place.cigar:
        if operation == 0:
            bases += GENOME[place.chrom][position : position + length]
        if operation in (0, 3):
            position += length
    return bases


def at(start: int, cigar: str, strand: str = "+", chrom: str = "chrA", **more) -> Placement:
    return Placement(chrom, start, strand, parse_cigar(cigar), 60, 0, **more)


def read(place: Placement | None = None) -> Mate:
    """A read that matches its place; without one, a read from nowhere."""
    if place is None:
        return Mate("ACGT" * 10, "I" * 40)
    bases = placed(place)
    if place.strand == "-":
        bases = reverse_complement(bases)
    return Mate(bases, "I" * len(bases), (place,))


#: Over an intron of the toy gene, and over the back-splice of its middle exon.
SPLICED = at(2380, "20M600N30M", rna_strand="+")
CIRCLE = Mate(
    GENOME["chrA"][3480:3500] + GENOME["chrA"][3000:3030],
    "I" * 50,
    (at(3000, "20S30M"), at(3480, "20M30S")),
)
FRAGMENTS = {
    "pair": [read(at(2100, "50M")), read(at(2200, "50M", "-"))],
    "spliced": [read(SPLICED), read(at(3100, "40M", "-"))],
    "single": [read(at(4300, "36M"))],
    "alone": [read(at(4400, "50M")), read()],
    "nowhere": [read(), read()],
    "apart": [read(at(2100, "50M")), read(at(700, "50M", "-", "chrB"))],
}


def lines_of(fragments: dict[str, list[Mate]], library: str = "x") -> list[str]:
    return [line for name, mates in fragments.items() for line in sam_records(name, mates, library)]


def write_bam(path: Path, lines: Sequence[str], header: dict = HEADER) -> Path:
    head = pysam.AlignmentHeader.from_dict(header)
    with pysam.AlignmentFile(str(path), "wb", header=head) as bam:
        for line in lines:
            bam.write(pysam.AlignedSegment.fromstring(line, head))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pysam.faidx(str(toy_reads.write_fasta(tmp_path / "genome.fa", GENOME)))
    Annotation.from_gtf(toy_reads.write_gtf(tmp_path / "genes.gtf")).write(tmp_path / "genes.tsv")
    return tmp_path


def run(folder: Path, *bams: Path, genome: bool = True) -> int:
    return import_bam.main(
        [
            *("--bam", *map(str, bams)),
            *("--annotation", str(folder / "genes.tsv")),
            *(["--genome", str(folder / "genome.fa")] if genome else []),
            *("--library", "x", "--sample", "s", "--output", str(folder / "out.bam")),
        ]
    )


def records(path: Path) -> list[str]:
    """All records of a BAM as lines, in an order that does not depend on the sorting of ties."""
    with pysam.AlignmentFile(str(path)) as bam:
        found = [record.to_string() for record in bam.fetch(until_eof=True)]
    return sorted(tidy(line) for line in found)


def tidy(line: str) -> str:
    fields = line.split("\t")
    return "\t".join([*fields[:11], *sorted(fields[11:])])


def without(lines: Sequence[str], *tags: str) -> list[str]:
    return [
        "\t".join(field for field in line.split("\t") if not field.startswith(tags))
        for line in lines
    ]


def test_records_that_keep_the_contract_stay_as_they_are(folder):
    lines = lines_of(FRAGMENTS)
    assert run(folder, write_bam(folder / "in.bam", lines)) == 0
    assert records(folder / "out.bam") == sorted(map(tidy, lines))
    with pysam.AlignmentFile(str(folder / "out.bam")) as bam:
        header = bam.header.to_dict()
        assert header["HD"]["SO"] == "coordinate"
        assert header["RG"] == [{"ID": "x", "SM": "s", "LB": "x"}]
        assert (header["PG"][0]["PN"], header["PG"][0]["VN"]) == ("STAR", "2.7.10b")
        assert bam.count("chrA", 4300, 4310) == 1


@pytest.mark.parametrize("end", [slice(None, None, -1), slice(None)])
def test_missing_tags_are_made_up_for_in_any_order(folder, end):
    lines = lines_of(FRAGMENTS)
    bare = without(lines, "NH:", "NM:", "XS:", "RG:")[end]
    more = [f"{line}\tXS:i:12\tHI:i:1\tMD:Z:50" for line in bare]
    assert run(folder, write_bam(folder / "in.bam", more)) == 0
    assert records(folder / "out.bam") == sorted(map(tidy, lines))


def test_a_split_read_gets_soft_clips_and_all_its_parts_one_another(folder):
    lines = lines_of({"circle": [CIRCLE, read(at(3200, "50M", "-"))]})
    primary, supplementary, mate = (line.split("\t") for line in lines)
    supplementary[5], supplementary[9] = "20M30H", supplementary[9][:20]
    supplementary[10] = supplementary[10][:20]
    # an aligner may leave out the mates' places and the pairing of the part
    supplementary[6:9] = "*", "0", "0"
    spoilt = ["\t".join(fields) for fields in (supplementary, primary, mate)]
    spoilt = without(spoilt, "SA:", "NM:")
    assert run(folder, write_bam(folder / "in.bam", spoilt)) == 0
    assert records(folder / "out.bam") == sorted(map(tidy, lines))


def test_mismatches_insertions_and_deletions_are_counted():
    bases = GENOME["chrA"]
    other = "A" if bases[102] != "A" else "C"
    sequence = bases[100:102] + other + bases[103:110] + "GG" + bases[110:115] + bases[118:120]

    def fetch(chrom, start, end):
        return GENOME[chrom][start:end]

    cigar = parse_cigar("10M2I5M3D2M")
    assert import_bam.edit_distance(sequence, cigar, "chrA", 100, fetch) == 1 + 2 + 3
    clipped = parse_cigar("5H10M2I5M3D2M4S")
    assert import_bam.edit_distance(sequence + "TTTT", clipped, "chrA", 100, fetch) == 6
    spliced = parse_cigar("20M600N30M")
    assert import_bam.edit_distance(placed(SPLICED), spliced, "chrA", 2380, fetch) == 0


def one(folder: Path, line: str, genome: bool = True) -> pysam.AlignedSegment:
    """What becomes of one record."""
    assert run(folder, write_bam(folder / "in.bam", [line]), genome=genome) == 0
    with pysam.AlignmentFile(str(folder / "out.bam")) as bam:
        (found,) = bam.fetch(until_eof=True)
    return found


@pytest.mark.parametrize(
    ("quality", "tags", "expected"),
    [
        (255, "NH:i:1", (60, 1)),
        (255, "", (60, 1)),
        (255, "NH:i:3", (1, 3)),
        (50, "NH:i:1", (50, 1)),
        (3, "NH:i:2", (3, 2)),
        (42, "", (42, 1)),
        (1, "", (1, 2)),
    ],
)
def test_mapping_quality_and_number_of_places(folder, quality, tags, expected):
    (line,) = without(lines_of({"r": [read(at(4300, "36M"))]}), "NH:")
    fields = line.split("\t")
    fields[4] = str(quality)
    found = one(folder, "\t".join([*fields, *filter(None, [tags])]))
    assert (found.mapping_quality, found.get_tag("NH")) == expected


def test_the_strand_of_a_spliced_read_is_that_of_its_introns(folder):
    (line,) = without(lines_of({"r": [read(SPLICED)]}), "XS:")
    assert one(folder, line).get_tag("XS", with_value_type=True) == ("+", "A")
    assert one(folder, f"{line}\tXS:A:-").get_tag("XS") == "+"
    (plain,) = lines_of({"r": [read(at(4300, "36M"))]})
    assert not one(folder, f"{plain}\tXS:A:-").has_tag("XS")


def test_without_a_genome_the_aligner_is_believed(folder):
    (line,) = without(lines_of({"r": [read(SPLICED)]}), "XS:", "NM:")
    found = one(folder, f"{line}\tXS:A:-\tNM:i:2", genome=False)
    assert (found.get_tag("XS"), found.get_tag("NM")) == ("-", 2)
    found = one(folder, line, genome=False)
    assert not found.has_tag("XS")
    assert not found.has_tag("NM")


def test_without_a_genome_no_distance_is_invented_for_a_part_of_a_fragment(folder):
    lines = lines_of({"apart": FRAGMENTS["apart"]})
    bare = [*without(lines[:1], "NM:"), *lines[1:]]
    assert run(folder, write_bam(folder / "in.bam", bare), genome=False) == 0
    assert not any("NM:i:" in line for line in records(folder / "out.bam"))


def test_secondary_records_are_left_out_and_said(folder, capsys):
    lines = lines_of({"single": FRAGMENTS["single"]})
    fields = lines[0].split("\t")
    other = "\t".join([fields[0], "256", "chrB", "301", *fields[4:]])
    stray = "\t".join(["stray", "272", "chrB", "301", *fields[4:]])
    assert run(folder, write_bam(folder / "in.bam", [*lines, other, stray])) == 0
    assert records(folder / "out.bam") == sorted(map(tidy, lines))
    assert "2 secondary records left out" in capsys.readouterr().err


def test_a_supplementary_record_without_its_read_is_left_out(folder, capsys):
    lines = lines_of({"circle": [CIRCLE]})
    single = lines_of({"single": FRAGMENTS["single"]})
    assert run(folder, write_bam(folder / "in.bam", [lines[1], *single])) == 0
    assert records(folder / "out.bam") == sorted(map(tidy, single))
    assert "1 supplementary records left out" in capsys.readouterr().err


@pytest.mark.parametrize("second", [False, True])
def test_a_mate_by_itself_keeps_its_number(folder, capsys, second):
    lines = lines_of({"pair": FRAGMENTS["pair"]})
    assert run(folder, write_bam(folder / "in.bam", [lines[second]])) == 0
    with pysam.AlignmentFile(str(folder / "out.bam")) as bam:
        (found,) = bam.fetch(until_eof=True)
    assert (found.is_paired, found.is_read2, found.mate_is_unmapped) == (True, second, True)
    assert not found.is_proper_pair
    assert found.is_reverse == second
    assert "1 mates whose other one is not in the file" in capsys.readouterr().err


def test_mates_that_do_not_name_each_others_place_are_mended(folder):
    lines = lines_of({"pair": FRAGMENTS["pair"]})
    spoilt = [line.split("\t") for line in lines]
    spoilt[0][7] = "17"
    assert run(folder, write_bam(folder / "in.bam", ["\t".join(line) for line in spoilt])) == 0
    assert records(folder / "out.bam") == sorted(map(tidy, lines))


def test_runs_of_a_library_are_merged(folder):
    names = list(FRAGMENTS)
    parts = [{name: FRAGMENTS[name] for name in half} for half in (names[:3], names[3:])]
    bams = [
        write_bam(folder / f"{number}.bam", lines_of(part, f"lane{number}"))
        for number, part in enumerate(parts)
    ]
    assert run(folder, *bams) == 0
    assert records(folder / "out.bam") == sorted(map(tidy, lines_of(FRAGMENTS)))


def test_a_bam_without_reads_is_taken(folder):
    assert run(folder, write_bam(folder / "in.bam", [])) == 0
    assert records(folder / "out.bam") == []
    assert Path(f"{folder}/out.bam.bai").exists()


@pytest.mark.parametrize(
    ("programs", "expected"),
    [
        (None, ("unknown aligner", "unknown")),
        ([{"ID": "TopHat", "VN": "1.4.1"}], ("TopHat", "1.4.1")),
        (
            [
                {"ID": "samtools", "PN": "samtools", "VN": "1.16", "PP": "hisat2"},
                {"ID": "hisat2", "PN": "hisat2"},
            ],
            ("hisat2", "unknown"),
        ),
    ],
)
def test_the_aligner_is_the_first_program(programs, expected):
    header = {key: value for key, value in HEADER.items() if key != "PG"}
    if programs:
        header["PG"] = programs
    assert import_bam.aligner_of(pysam.AlignmentHeader.from_dict(header)) == expected


def refused(folder: Path, capsys, *bams: Path, genome: bool = True) -> str:
    assert run(folder, *bams, genome=genome) == 1
    assert not (folder / "out.bam").exists()
    assert not list(folder.glob(".out.bam*"))
    message = capsys.readouterr().err
    assert message.startswith("Error: ")
    assert "\nHint: " in message
    return message


def test_contigs_of_another_name_are_refused(folder, capsys):
    header = HEADER | {"SQ": [{"SN": "A", "LN": 12_000}]}
    message = refused(folder, capsys, write_bam(folder / "in.bam", [], header))
    assert f"{folder}/in.bam: no contig of the annotation (chrA) is in its header (A)" in message
    assert "samtools reheader" in message


@pytest.mark.parametrize("genome", [True, False])
def test_contigs_of_another_length_are_refused(folder, capsys, genome):
    header = HEADER | {"SQ": [{"SN": "chrA", "LN": 4600}]}
    bam = write_bam(folder / "in.bam", [], header)
    message = refused(folder, capsys, bam, genome=genome)
    assert f"{bam}: contig chrA has 4600 bases" in message
    assert ("but 12000 in the genome" if genome else "ends at 4700") in message


def test_reads_on_a_contig_the_genome_lacks_are_refused(folder, capsys):
    header = HEADER | {"SQ": [*HEADER["SQ"], {"SN": "virus", "LN": 900}]}
    (line,) = lines_of({"r": [read(at(300, "36M"))]})
    bam = write_bam(folder / "in.bam", [], header)
    assert run(folder, bam) == 0
    (folder / "out.bam").unlink()
    write_bam(bam, [line.replace("chrA", "virus")], header)
    assert "reads lie on contig virus" in refused(folder, capsys, bam)


def test_two_primary_records_of_a_read_are_refused(folder, capsys):
    lines = lines_of({"r": FRAGMENTS["single"]}) * 2
    message = refused(folder, capsys, write_bam(folder / "in.bam", lines))
    assert "in.bam: read r has 2 primary records" in message


def test_a_read_without_bases_is_refused(folder, capsys):
    (line,) = lines_of({"r": FRAGMENTS["single"]})
    fields = line.split("\t")
    fields[9:11] = "*", "*"
    message = refused(folder, capsys, write_bam(folder / "in.bam", ["\t".join(fields)]))
    assert "in.bam: read r has no bases" in message


def test_runs_with_other_contigs_are_refused(folder, capsys):
    header = HEADER | {"SQ": HEADER["SQ"][:1]}
    bams = [write_bam(folder / "1.bam", []), write_bam(folder / "2.bam", [], header)]
    assert f"{bams[1]}: lists other contigs" in refused(folder, capsys, *bams)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "in.bam: not BAM"),
        (b"@HD\tVN:1.6\n@SQ\tSN:chrA\tLN:12000\n", "in.bam: not BAM"),
        (b">chrA\nACGT\n", "in.bam: not BAM"),
        (b"some text\n", "in.bam: not BAM"),
    ],
)
def test_other_files_are_refused(folder, capsys, content, problem):
    bam = folder / "in.bam"
    bam.write_bytes(content)
    assert problem in refused(folder, capsys, bam)


def test_a_bam_cut_short_is_refused(folder, capsys):
    bam = write_bam(folder / "in.bam", lines_of(FRAGMENTS))
    bam.write_bytes(bam.read_bytes()[:-40])
    assert "in.bam: cannot be read" in refused(folder, capsys, bam)


def test_a_bam_with_a_hole_is_refused(folder, capsys):
    lines = lines_of({f"r{number}": FRAGMENTS["pair"] for number in range(3000)})
    bam = write_bam(folder / "in.bam", lines)
    whole = bam.read_bytes()
    middle = len(whole) // 2
    bam.write_bytes(whole[:middle] + bytes(200) + whole[middle + 200 :])
    assert "in.bam: cannot be read" in refused(folder, capsys, bam)


def test_a_bam_without_contigs_or_a_missing_one_is_refused(folder, capsys):
    bam = write_bam(folder / "in.bam", [], HEADER | {"SQ": []})
    assert "in.bam: lists no contig in its header" in refused(folder, capsys, bam)
    assert "gone.bam: no such file" in refused(folder, capsys, folder / "gone.bam")


def test_a_former_result_survives_a_failure(folder):
    assert run(folder, write_bam(folder / "in.bam", lines_of(FRAGMENTS))) == 0
    before = (folder / "out.bam").read_bytes()
    assert run(folder, folder / "gone.bam") == 1
    assert (folder / "out.bam").read_bytes() == before


def test_bad_arguments(folder):
    with pytest.raises(SystemExit):
        import_bam.main(["--bam"])

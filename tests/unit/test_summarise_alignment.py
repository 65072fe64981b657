from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pysam
import pytest

import summarise_alignment
from ringmark.alignments import Fragment, Mate, Placement, parse_cigar, sam_records
from ringmark.annotation import Annotation
from summarise_alignment import SUMMARY, ExonMap, strandedness_of_reads

CONTIGS = [("one", 20_000), ("two", 20_000)]

GTF = """\
one\tx\texon\t1001\t1200\t.\t+\t.\tgene_id "plus"; transcript_id "plus.1";
one\tx\texon\t1501\t1800\t.\t+\t.\tgene_id "plus"; transcript_id "plus.1";
one\tx\texon\t1701\t2000\t.\t-\t.\tgene_id "minus"; transcript_id "minus.1";
one\tx\texon\t5001\t6000\t.\t-\t.\tgene_id "far"; transcript_id "far.1";
"""


@pytest.fixture
def annotation(tmp_path: Path) -> Path:
    gtf, table = tmp_path / "genes.gtf", tmp_path / "transcripts.tsv"
    gtf.write_text(GTF)
    Annotation.from_gtf(gtf).write(table)
    return table


def place(start: int, strand: str, quality: int = 60, chrom: str = "one") -> Placement:
    return Placement(chrom, start, strand, parse_cigar("50M"), quality, 0)


def pair(first: Placement | None, second: Placement | None) -> list[Mate]:
    return [Mate("A" * 50, "I" * 50, (mate,) if mate else ()) for mate in (first, second)]


def write_bam(path: Path, fragments: Sequence[Sequence[Mate]]) -> Path:
    header = pysam.AlignmentHeader.from_references(*map(list, zip(*CONTIGS, strict=True)))
    unsorted = path.with_name("unsorted.bam")
    with pysam.AlignmentFile(unsorted, "wb", header=header) as bam:
        for number, mates in enumerate(fragments):
            for line in sam_records(f"r{number}", mates, "lib"):
                bam.write(pysam.AlignedSegment.fromstring(line, header))
    pysam.sort("-o", str(path), str(unsorted))
    pysam.index(str(path))
    return path


def summarise(
    folder: Path, annotation: Path, fragments: Sequence[Sequence[Mate]], declared: str = "auto"
) -> dict[str, object]:
    bam = write_bam(folder / "lib.bam", fragments)
    output = folder / "summary.tsv"
    code = summarise_alignment.main(
        [
            "--bam", str(bam), "--annotation", str(annotation), "--library", "lib",
            "--strandedness", declared, "--output", str(output),
        ]
    )  # fmt: skip
    assert code == (0 if output.exists() else 1)
    if code:
        return {}
    (row,) = SUMMARY.read(output).to_dict("records")
    return row


def forward(count: int) -> list[list[Mate]]:
    return [pair(place(5100 + index, "-"), place(5050, "+")) for index in range(count)]


def backward(count: int) -> list[list[Mate]]:
    return [pair(place(5050, "+"), place(5100 + index, "-")) for index in range(count)]


def test_an_empty_bam_has_a_row(tmp_path: Path, annotation: Path) -> None:
    row = summarise(tmp_path, annotation, [])
    assert (row["reads"], row["strandedness"]) == (0, "unstranded")
    for name in ("read_length", "sense_fraction", "aligned_fraction", "usable_fraction"):
        assert pd.isna(row[name]), name


def test_one_read(tmp_path: Path, annotation: Path) -> None:
    row = summarise(tmp_path, annotation, [[Mate("A" * 50, "I" * 50, (place(5100, "-"),))]])
    assert (row["layout"], row["read_length"], row["reads"]) == ("single", 50, 1)
    assert (row["usable_fraction"], row["sense_fraction"]) == (1, 1)
    assert row["strandedness"] == "unstranded"


def test_fragments_are_counted_once(tmp_path: Path, annotation: Path) -> None:
    fragments = [
        pair(place(5100, "+"), place(5300, "-")),
        pair(place(5100, "+"), None),
        pair(None, place(5100, "+")),
        pair(None, None),
        pair(place(5100, "+"), place(100, "-", chrom="two")),
        pair(place(100, "+", chrom="two"), place(5100, "-")),
        pair(place(5100, "+", 3), place(5300, "-", 3)),
        pair(place(5100, "+", 3), place(5300, "-")),
        pair(place(8000, "+"), place(8300, "-")),
        [
            Mate("A" * 50, "I" * 50, (place(5100, "+"), place(1100, "+"))),
            Mate("A" * 50, "I" * 50, (place(5200, "-"),)),
        ],
    ]
    row = summarise(tmp_path, annotation, fragments)
    assert (row["layout"], row["reads"]) == ("paired", 10)
    assert row["aligned_fraction"] == pytest.approx(0.9)
    assert row["usable_fraction"] == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("sense", "antisense", "expected"),
    [
        (150, 0, "forward"),
        (3, 147, "reverse"),
        (75, 75, "unstranded"),
        (99, 0, "unstranded"),
        (75, 25, "forward"),
        (25, 75, "reverse"),
    ],
)
def test_strandedness_is_found(
    tmp_path: Path, annotation: Path, sense: int, antisense: int, expected: str
) -> None:
    row = summarise(tmp_path, annotation, [*forward(sense), *backward(antisense)])
    assert row["strandedness"] == expected
    assert row["strandedness_declared"] == "auto"
    assert row["sense_fraction"] == pytest.approx(sense / (sense + antisense), rel=1e-5)


@pytest.mark.parametrize("declared", ["unstranded", "reverse"])
def test_a_contradiction_is_an_error_with_both_shares(
    tmp_path: Path, annotation: Path, declared: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert summarise(tmp_path, annotation, [*forward(180), *backward(20)], declared) == {}
    message = capsys.readouterr().err
    for part in ("lib", declared, "0.900 are sense", "0.100 antisense", "forward", "Hint:"):
        assert part in message


@pytest.mark.parametrize("declared", ["reverse", "forward"])
def test_few_reads_do_not_contradict(tmp_path: Path, annotation: Path, declared: str) -> None:
    row = summarise(tmp_path, annotation, forward(20), declared)
    assert (row["strandedness"], row["sense_fraction"]) == (declared, 1)


def test_an_unknown_strandedness_is_refused(tmp_path: Path, annotation: Path) -> None:
    with pytest.raises(SystemExit):
        summarise(tmp_path, annotation, [], "sideways")


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        (((1100, 1150),), (True, "+")),
        (((1190, 1200), (1500, 1510)), (True, "+")),
        (((1300, 1400),), (False, None)),
        (((1690, 1720),), (True, None)),
        (((1190, 1200), (1900, 1910)), (True, None)),
        (((1900, 1950),), (True, "-")),
        (((1990, 2500),), (True, "-")),
        (((2000, 2500),), (False, None)),
        (((900, 1000),), (False, None)),
        (((900, 1001),), (True, "+")),
        (((100, 200),), (False, None)),
        (((900, 5500),), (True, None)),
    ],
)
def test_genes_and_exons_are_looked_up(
    annotation: Path,
    blocks: tuple[tuple[int, int], ...],
    expected: tuple[bool, str | None],
) -> None:
    exons = ExonMap(Annotation.read(annotation))
    assert exons.look_up(Fragment("one", "+", blocks, (), 60)) == expected
    assert exons.look_up(Fragment("two", "+", blocks, (), 60)) == (False, None)


def test_borders_belong_to_the_strands() -> None:
    found = [strandedness_of_reads(share) for share in (0, 0.25, 0.26, 0.74, 0.75, 1)]
    assert found == ["reverse", "reverse", "unstranded", "unstranded", "forward", "forward"]

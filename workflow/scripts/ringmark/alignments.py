"""Alignments: what every BAM of a run promises, and how fragments are read from it.

The BAM contract, whichever aligner ran:

- coordinate-sorted and indexed; one ``@RG`` (``ID`` the library, ``SM`` the sample), every record
  with its ``RG`` tag;
- every read is present once as a primary record, unmapped ones too: next to their mate where that
  one is mapped, at the end of the file otherwise;
- mates carry the flags 0x1 and 0x40 or 0x80, their mate's place and strand (``RNEXT``, ``PNEXT``,
  0x20, 0x8) and ``TLEN``; 0x2 marks a proper pair: the mates' primary alignments lie on one contig,
  point towards each other and are no further apart than an intron may be long;
- a split read is one primary and one or more supplementary records (0x800). Each carries an ``SA``
  tag that lists the others (``rname,pos,strand,CIGAR,mapQ,NM;``, 1-based position), the primary
  first. Clips are soft in all of them, so that each record holds the whole read. The aligned parts
  may share bases of the read where the sequence at both ends of the junction is the same;
- there are no secondary records: of equally good places one is chosen, ``NH`` says how many there
  were;
- a spliced record has ``XS:A:+`` or ``XS:A:-``, the strand of the RNA by the splice signal of its
  introns; no ``XS`` where no intron has a signal, or they disagree;
- every mapped record has ``NM`` and ``NH``; a unique alignment has mapping quality 60.

The order of records that start at the same base is not part of the contract: an aligner that runs
on several threads may change it. `sam_records` builds records that keep it from placements.

Fragments, not reads, are what is counted downstream: `iterate_fragments` joins mates by name.
"""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ringmark.errors import InputError
from ringmark.sequence import reverse_complement

if TYPE_CHECKING:
    import pysam

#: What a library can be once ``auto`` is resolved.
STRANDEDNESSES = ("unstranded", "forward", "reverse")

#: Mapping quality of an alignment that has no rival.
UNIQUE_MAPPING_QUALITY = 60

#: Mapping quality from which an alignment is taken to be where the read comes from.
USABLE_MAPPING_QUALITY = 10

#: Longest intron, and longest distance of the outer ends of a proper pair.
MAXIMUM_INTRON = 200_000

# CIGAR operations as BAM numbers them.
MATCH, INSERTION, DELETION, SKIP, SOFT_CLIP, HARD_CLIP, PADDING, EQUAL, DIFFERENT = range(9)

# Bits of a record's flag.
UNMAPPED, REVERSE, SECOND_MATE, SECONDARY, SUPPLEMENTARY = 0x4, 0x10, 0x80, 0x100, 0x800

_OPERATIONS = "MIDNSHP=X"
_CIGAR_ITEM = re.compile(r"(\d+)([MIDNSHP=X])")

#: A CIGAR as pysam gives it: (operation, length) from left to right on the genome.
Cigar = Sequence[tuple[int, int]]

#: Sorted, disjoint half-open intervals on a contig.
Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Fragment:
    """A sequenced fragment: the primary alignments of a read, or of both mates together.

    Attributes
    ----------
    chrom
        Contig.
    strand
        Strand of the RNA, ``+`` or ``-``; ``.`` in an unstranded library.
    blocks
        Union of the aligned blocks of both mates: sorted, disjoint, introns left out, deletions
        bridged. What lies between the mates is not covered.
    introns
        Introns the reads are spliced over, sorted, each once.
    mapping_quality
        The lower one of the mates used.
    """

    chrom: str
    strand: str
    blocks: Spans
    introns: Spans
    mapping_quality: int


@dataclass(frozen=True, slots=True)
class SupplementaryAlignment:
    """One entry of an ``SA`` tag.

    Attributes
    ----------
    start
        Leftmost aligned base, 0-based.
    strand
        Strand of the genome the read aligns to.
    cigar
        As pysam's ``cigartuples``.
    edit_distance
        The entry's ``NM``.
    """

    chrom: str
    start: int
    strand: str
    cigar: tuple[tuple[int, int], ...]
    mapping_quality: int
    edit_distance: int


def parse_cigar(text: str) -> tuple[tuple[int, int], ...]:
    """Turn ``10S40M`` into ``((4, 10), (0, 40))``; ``*`` gives no operation.

    Raises
    ------
    ValueError
        If the text is not a CIGAR.
    """
    if text == "*":
        return ()
    items = _CIGAR_ITEM.findall(text)
    if not items or sum(len(length) + 1 for length, _ in items) != len(text):
        raise ValueError(f"not a CIGAR: {text!r}")
    return tuple((_OPERATIONS.index(letter), int(length)) for length, letter in items)


def format_cigar(cigar: Cigar) -> str:
    """Turn ``((4, 10), (0, 40))`` into ``10S40M``; no operation gives ``*``."""
    return "".join(f"{length}{_OPERATIONS[operation]}" for operation, length in cigar) or "*"


def parse_sa(tag: str) -> list[SupplementaryAlignment]:
    """Read an ``SA`` tag, in its order.

    Raises
    ------
    ValueError
        If an entry has not six fields or a field is malformed.
    """
    found = []
    for entry in tag.rstrip(";").split(";"):
        chrom, position, strand, cigar, quality, distance = entry.rsplit(",", 5)
        found.append(
            SupplementaryAlignment(
                chrom, int(position) - 1, strand, parse_cigar(cigar), int(quality), int(distance)
            )
        )
    return found


def format_sa(alignments: Iterable[SupplementaryAlignment]) -> str:
    """Write the ``SA`` tag that `parse_sa` reads."""
    return "".join(
        f"{item.chrom},{item.start + 1},{item.strand},{format_cigar(item.cigar)},"
        f"{item.mapping_quality},{item.edit_distance};"
        for item in alignments
    )


def aligned_blocks(cigar: Cigar, start: int) -> Spans:
    """Return the blocks an alignment covers on the genome; introns split, deletions do not.

    Parameters
    ----------
    start
        Leftmost aligned base, 0-based.
    """
    return blocks_and_introns(cigar, start)[0]


def aligned_introns(cigar: Cigar, start: int) -> Spans:
    """Return the introns (``N``) of an alignment that starts at the 0-based ``start``."""
    return blocks_and_introns(cigar, start)[1]


def blocks_and_introns(cigar: Cigar, start: int) -> tuple[Spans, Spans]:
    """Return blocks (see `aligned_blocks`) and introns of an alignment in one go."""
    blocks: list[tuple[int, int]] = []
    introns: list[tuple[int, int]] = []
    left = position = start
    for operation, length in cigar:
        if operation in (MATCH, DELETION, EQUAL, DIFFERENT):
            position += length
        elif operation == SKIP:
            if position > left:
                blocks.append((left, position))
            introns.append((position, position + length))
            position += length
            left = position
    if position > left:
        blocks.append((left, position))
    return tuple(blocks), tuple(introns)


def query_span(cigar: Cigar, strand: str) -> tuple[int, int]:
    """Return the part of a read that an alignment covers, in the read's own direction.

    Parameters
    ----------
    cigar
        Soft and hard clips both count as bases of the read.
    strand
        Strand of the genome the read aligns to: on ``-`` the CIGAR runs against the read.

    Returns
    -------
    tuple of int
        First base and end (exclusive) in the read as sequenced.
    """
    clips = [0, 0]
    aligned = 0
    for operation, length in cigar:
        if operation in (SOFT_CLIP, HARD_CLIP):
            clips[aligned > 0] += length
        elif operation in (MATCH, INSERTION, EQUAL, DIFFERENT):
            aligned += length
    first = clips[0] if strand == "+" else clips[1]
    return first, first + aligned


def query_length(cigar: Cigar) -> int:
    """Return the length of the read as sequenced, clipped bases included."""
    return sum(length for operation, length in cigar if operation not in (DELETION, SKIP, PADDING))


def merge_spans(spans: Iterable[tuple[int, int]]) -> Spans:
    """Return the union of half-open intervals; touching ones are joined."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            if end > merged[-1][1]:
                merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return tuple(merged)


def fragment_strand(read: pysam.AlignedSegment, strandedness: str) -> str:
    """Return the strand of the RNA a read comes from.

    Parameters
    ----------
    strandedness
        ``forward``: the first mate (or the single read) runs along the RNA; ``reverse``: against
        it; ``unstranded``: not known.

    Returns
    -------
    str
        ``+``, ``-`` or, unstranded, ``.``.

    Raises
    ------
    ValueError
        If the strandedness is none of these.
    """
    if strandedness not in STRANDEDNESSES:
        raise ValueError(f"strandedness {strandedness!r} is none of {', '.join(STRANDEDNESSES)}")
    if strandedness == "unstranded":
        return "."
    flag = read.flag
    backwards = bool(flag & REVERSE) ^ bool(flag & SECOND_MATE) ^ (strandedness == "reverse")
    return "-" if backwards else "+"


def library_strandedness(summary: str | Path) -> str:
    """Return the strandedness that the one-row alignment summary of a library gives.

    Raises
    ------
    InputError
        If there is not one row, or its strandedness is not resolved.
    """
    with Path(summary).open(encoding="utf-8", newline="") as handle:
        values = [row.get("strandedness") for row in csv.DictReader(handle, delimiter="\t")]
    if len(values) != 1:
        raise InputError(
            f"{summary}: {len(values)} rows, not one", "give the summary of the library of the BAM"
        )
    value = values[0]
    if value not in STRANDEDNESSES:
        raise InputError(
            f"{summary}, row 2: strandedness {value!r}", f"it is one of {', '.join(STRANDEDNESSES)}"
        )
    return value


#: What is kept of a read: strand, blocks, introns, mapping quality, is the second mate.
_Used = tuple[str, Spans, Spans, int, bool]
#: Name, own place, place of the mate, is the second mate.
_Key = tuple[str, int, int, bool]
_Waiting = dict[_Key, list[_Used]]
_Place = TypeVar("_Place")
_Item = TypeVar("_Item")


def iterate_fragments(
    bam: pysam.AlignmentFile,
    strandedness: str,
    min_mapping_quality: int = 0,
    chrom: str | None = None,
    start: int | None = None,
    end: int | None = None,
) -> Iterator[Fragment]:
    """Yield the fragments of a coordinate-sorted BAM, in the order in which they are complete.

    Secondary and supplementary records are not used. Mates are joined by their whole name and by
    each other's place; a mate waits only while the other is still to come, so memory does not grow
    with the file. A read whose mate is unmapped, on another contig, under the mapping quality or
    outside the region is a fragment by itself. The strand is the first mate's where both are there.

    Parameters
    ----------
    bam
        Open BAM that keeps the contract of this module; an index is needed only for a region.
    strandedness
        As in `fragment_strand`.
    min_mapping_quality
        Alignments below it are not used.
    chrom, start, end
        Only reads that overlap this region; 0-based, half-open; ``None`` for all of it.

    Raises
    ------
    ValueError
        If the strandedness is unknown, or the region is not in the BAM.
    """
    reads = bam.fetch(until_eof=True) if chrom is None else bam.fetch(chrom, start, end)
    return join_mates(reads, strandedness, min_mapping_quality)


def join_mates(
    reads: Iterable[pysam.AlignedSegment], strandedness: str, min_mapping_quality: int = 0
) -> Iterator[Fragment]:
    """Yield the fragments of reads in coordinate order; see `iterate_fragments`."""
    if strandedness not in STRANDEDNESSES:
        raise ValueError(f"strandedness {strandedness!r} is none of {', '.join(STRANDEDNESSES)}")
    waiting: _Waiting = {}
    contig, name = -1, ""
    for read in reads:
        if read.is_unmapped or read.is_secondary or read.is_supplementary:
            continue
        if read.reference_id != contig:
            yield from _leftovers(waiting, name)
            contig, name = read.reference_id, str(read.reference_name)
        mate = _waiting_mate(read, waiting)
        if read.mapping_quality < min_mapping_quality:
            if mate is not None:
                yield _alone(name, mate)
            continue
        own = _used(read, strandedness)
        if mate is not None:
            yield _joined(name, mate, own)
        elif _mate_is_here(read) and read.next_reference_start >= read.reference_start:
            key = _key(read, read.reference_start, read.next_reference_start, read.is_read2)
            waiting.setdefault(key, []).append(own)
        else:
            yield _alone(name, own)
    yield from _leftovers(waiting, name)


def _mate_is_here(read: pysam.AlignedSegment) -> bool:
    return (
        read.is_paired and not read.mate_is_unmapped and read.next_reference_id == read.reference_id
    )


def _key(read: pysam.AlignedSegment, own: int, mate: int, second: bool) -> _Key:
    return str(read.query_name), own, mate, second


def _take(waiting: dict[_Place, list[_Item]], key: _Place) -> _Item | None:
    """Take the first of those that wait under a key: names used twice have keys of their own."""
    items = waiting.get(key)
    if items is None:
        return None
    item = items.pop(0)
    if not items:
        del waiting[key]
    return item


def _waiting_mate(read: pysam.AlignedSegment, waiting: _Waiting) -> _Used | None:
    """Take a read's mate out of those that wait; names used twice are told apart by place."""
    if not _mate_is_here(read):
        return None
    key = _key(read, read.next_reference_start, read.reference_start, not read.is_read2)
    return _take(waiting, key)


def _used(read: pysam.AlignedSegment, strandedness: str) -> _Used:
    blocks, introns = blocks_and_introns(read.cigartuples or (), read.reference_start)
    strand = fragment_strand(read, strandedness)
    return strand, blocks, introns, read.mapping_quality, read.is_read2


def _alone(chrom: str, read: _Used) -> Fragment:
    return Fragment(chrom, read[0], read[1], read[2], read[3])


def _joined(chrom: str, left: _Used, right: _Used) -> Fragment:
    first = right if left[4] else left
    return Fragment(
        chrom,
        first[0],
        merge_spans((*left[1], *right[1])),
        tuple(sorted({*left[2], *right[2]})),
        min(left[3], right[3]),
    )


def _leftovers(waiting: _Waiting, chrom: str) -> Iterator[Fragment]:
    """Yield and forget the mates whose other one did not come."""
    for mates in waiting.values():
        for mate in mates:
            yield _alone(chrom, mate)
    waiting.clear()


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a read, or a part of it, aligns: what becomes one mapped record.

    Attributes
    ----------
    start
        Leftmost aligned base, 0-based.
    strand
        Strand of the genome the read aligns to.
    cigar
        With the soft clips, so that it spans the whole read.
    hits
        How many equally good places there are (``NH``).
    rna_strand
        Strand of the RNA by the splice signals of the introns; ``None`` without one.
    """

    chrom: str
    start: int
    strand: str
    cigar: tuple[tuple[int, int], ...]
    mapping_quality: int
    edit_distance: int
    hits: int = 1
    rna_strand: str | None = None

    @property
    def end(self) -> int:
        """Right boundary on the genome, exclusive."""
        reference = (MATCH, DELETION, SKIP, EQUAL, DIFFERENT)
        return self.start + sum(
            length for operation, length in self.cigar if operation in reference
        )

    @property
    def as_supplementary(self) -> SupplementaryAlignment:
        """The entry of this placement in an ``SA`` tag."""
        return SupplementaryAlignment(
            self.chrom,
            self.start,
            self.strand,
            self.cigar,
            self.mapping_quality,
            self.edit_distance,
        )


@dataclass(frozen=True, slots=True)
class Mate:
    """A read as sequenced and its placements, the primary first; none where it is unmapped."""

    sequence: str
    qualities: str
    placements: tuple[Placement, ...] = ()


def mapping_quality(hits: int) -> int:
    """Return the mapping quality of one of ``hits`` equally good places: 60, 3, 1, 1, 0 ..."""
    if hits <= 1:
        return UNIQUE_MAPPING_QUALITY
    return {2: 3, 3: 1, 4: 1}.get(hits, 0)


def is_proper_pair(first: Placement, second: Placement, maximum_distance: int) -> bool:
    """Tell whether two mates lie on one contig and point towards each other, not too far apart."""
    if first.chrom != second.chrom or first.strand == second.strand:
        return False
    forward, backward = (first, second) if first.strand == "+" else (second, first)
    if forward.start > backward.start or forward.end > backward.end:
        return False
    return backward.end - forward.start <= maximum_distance


def sam_records(
    name: str, mates: Sequence[Mate], read_group: str, maximum_distance: int = MAXIMUM_INTRON
) -> list[str]:
    """Write the records of one fragment as lines of SAM that keep the contract of this module.

    Parameters
    ----------
    mates
        One read, or the first and the second mate.
    read_group
        ``ID`` of the ``@RG`` line.
    maximum_distance
        Longest distance of the outer ends of a proper pair.
    """
    lines = []
    for number, mate in enumerate(mates):
        other = mates[1 - number] if len(mates) == 2 else None
        shared = _shared_flags(number, mate, other, maximum_distance)
        if not mate.placements:
            lines.append(_unmapped_record(name, mate, other, shared, read_group))
        for placement in mate.placements:
            lines.append(
                _mapped_record(name, mate, placement, other, number == 0, shared, read_group)
            )
    return lines


def _shared_flags(number: int, mate: Mate, other: Mate | None, maximum_distance: int) -> int:
    """Return the flags that do not depend on the record: pairing and what the mate does."""
    if other is None:
        return 0
    flag = 0x1 | (0x80 if number else 0x40)
    if not other.placements:
        return flag | 0x8
    if other.placements[0].strand == "-":
        flag |= 0x20
    if mate.placements and is_proper_pair(
        mate.placements[0], other.placements[0], maximum_distance
    ):
        flag |= 0x2
    return flag


def _unmapped_record(name: str, mate: Mate, other: Mate | None, flag: int, read_group: str) -> str:
    place = "*\t0\t0\t*\t*\t0"
    if other is not None and other.placements:
        anchor = other.placements[0]
        place = f"{anchor.chrom}\t{anchor.start + 1}\t0\t*\t=\t{anchor.start + 1}"
    return f"{name}\t{flag | 0x4}\t{place}\t0\t{mate.sequence}\t{mate.qualities}\tRG:Z:{read_group}"


def _mapped_record(
    name: str,
    mate: Mate,
    placement: Placement,
    other: Mate | None,
    is_first: bool,
    flag: int,
    read_group: str,
) -> str:
    sequence, qualities = mate.sequence, mate.qualities
    if placement.strand == "-":
        flag |= 0x10
        sequence, qualities = reverse_complement(sequence), qualities[::-1]
    if placement is not mate.placements[0]:
        flag |= 0x800
    tags = f"NH:i:{placement.hits}\tNM:i:{placement.edit_distance}"
    if placement.rna_strand is not None:
        tags += f"\tXS:A:{placement.rna_strand}"
    if len(mate.placements) > 1:
        others = (item.as_supplementary for item in mate.placements if item is not placement)
        tags += f"\tSA:Z:{format_sa(others)}"
    return (
        f"{name}\t{flag}\t{placement.chrom}\t{placement.start + 1}\t{placement.mapping_quality}"
        f"\t{format_cigar(placement.cigar)}\t{_mate_fields(mate, placement, other, is_first)}"
        f"\t{sequence}\t{qualities}\tRG:Z:{read_group}\t{tags}"
    )


def _mate_fields(mate: Mate, placement: Placement, other: Mate | None, is_first: bool) -> str:
    """Return RNEXT, PNEXT and TLEN; the template's length is that of the primary alignments."""
    if other is None:
        return "*\t0\t0"
    own = mate.placements[0]
    anchor = other.placements[0] if other.placements else own
    contig = "=" if anchor.chrom == placement.chrom else anchor.chrom
    length = 0
    if other.placements and own.chrom == anchor.chrom and placement is own:
        length = max(own.end, anchor.end) - min(own.start, anchor.start)
        if (own.start, not is_first) > (anchor.start, is_first):
            length = -length
    return f"{contig}\t{anchor.start + 1}\t{length}"


def bam_header(
    contigs: Sequence[tuple[str, int]], library: str, sample: str, program: str, version: str
) -> dict[str, list[dict[str, object]] | dict[str, object]]:
    """Return a BAM header: contigs as (name, length), the one read group and the aligner."""
    return {
        "HD": {"VN": "1.6", "SO": "unsorted"},
        "SQ": [{"SN": name, "LN": length} for name, length in contigs],
        "RG": [{"ID": library, "SM": sample, "LB": library}],
        "PG": [{"ID": program, "PN": program, "VN": version}],
    }


def read_header(path: Path) -> pysam.AlignmentHeader:
    """Return the header of a BAM made elsewhere, which must be whole and list its contigs.

    Raises
    ------
    InputError
        If the file is missing, cut short or no BAM, or lists no contig.
    """
    import pysam

    if not path.is_file():
        raise InputError(f"{path}: no such file", "mend the path (relative to the sheet's folder)")
    # the library writes its own words to the screen
    verbosity = pysam.set_verbosity(0)
    try:
        with pysam.AlignmentFile(str(path), check_sq=False) as reads:
            is_bam, header = reads.is_bam, reads.header
    except PermissionError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error}", "transfer the file again") from None
    except (ValueError, IndexError):
        # what is no alignment at all, and, by its type in the table of formats, FASTA or FASTQ
        is_bam = False
    finally:
        pysam.set_verbosity(verbosity)
    if not is_bam:
        raise InputError(f"{path}: not BAM", "give BAM; 'samtools view -b' makes it of SAM or CRAM")
    if not header.references:
        raise InputError(
            f"{path}: lists no contig in its header", "give the BAM with the header of its aligner"
        )
    return header


def damaged(path: str | Path, error: Exception) -> InputError:
    """Return the error of a BAM of this run that samtools cannot read, with samtools' words."""
    return InputError(
        f"{path}: cannot be read: {str(error).strip()}",
        "delete the file, so that the next run aligns the library again",
    )


def records_over(
    bam: pysam.AlignmentFile,
    chrom: str,
    spans: Iterable[tuple[int, int]],
    names: Iterable[str] | None = None,
) -> Iterator[pysam.AlignedSegment]:
    """Yield the records over any of many spans of a contig, each once, in the order of the BAM.

    htslib finds them by the index, all together, which costs a fraction of reading every record or
    of one query a span. They are held in a temporary file meanwhile.

    Parameters
    ----------
    bam
        Indexed BAM.
    spans
        Start and end, 0-based half-open; they may overlap and reach beyond the contig.
    names
        Names of the reads wanted; all if not given.

    Raises
    ------
    InputError
        If the BAM cannot be read.
    """
    import pysam

    lines = [f"{chrom}\t{max(start, 0)}\t{end}\n" for start, end in spans]
    if not lines:
        return
    path = bam.filename.decode()
    with tempfile.TemporaryDirectory() as folder:
        regions, wanted, found = (Path(folder, name) for name in ("regions", "names", "found.bam"))
        regions.write_text("".join(lines), encoding="utf-8")
        options = ["-u", "-M", "-L", str(regions), "-o", str(found)]
        if names is not None:
            wanted.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
            options += ["-N", str(wanted)]
        try:
            pysam.view(*options, path, catch_stdout=False)
        except pysam.SamtoolsError as error:
            raise damaged(path, error) from None
        with pysam.AlignmentFile(str(found)) as records:
            yield from records.fetch(until_eof=True)


def sort_and_index(unsorted: Path, output: Path, threads: int = 1) -> None:
    """Sort a BAM by coordinate to ``output`` and write ``output.bai``; both whole or not at all.

    The unsorted file is removed. Memory is at most 512 MB a thread.
    """
    import pysam

    temporary = output.with_name(f".{output.name}.sorted.bam")
    index = Path(f"{temporary}.bai")
    prefix = str(output.with_name(f".{output.name}.sorting"))
    try:
        pysam.sort(
            "--no-PG", "-@", str(threads - 1), "-m", "512M", "-T", prefix,
            "-o", str(temporary), str(unsorted),
        )  # fmt: skip
        pysam.index(str(temporary))
        unsorted.unlink()
        index.replace(f"{output}.bai")
        temporary.replace(output)
    finally:
        for leftover in (temporary, index):
            leftover.unlink(missing_ok=True)

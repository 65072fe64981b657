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
  first. Clips are soft in all of them, so that each record holds the whole read;
- there are no secondary records: of equally good places one is chosen, ``NH`` says how many there
  were;
- a spliced record has ``XS:A:+`` or ``XS:A:-``, the strand of the RNA by the splice signal of its
  introns; no ``XS`` where no intron has a signal, or they disagree;
- every mapped record has ``NM`` and ``NH``; a unique alignment has mapping quality 60.

Fragments, not reads, are what is counted downstream: `iterate_fragments` joins mates by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pysam

#: What a library can be once ``auto`` is resolved.
STRANDEDNESSES = ("unstranded", "forward", "reverse")

#: Mapping quality of an alignment that has no rival.
UNIQUE_MAPPING_QUALITY = 60

# CIGAR operations as BAM numbers them.
MATCH, INSERTION, DELETION, SKIP, SOFT_CLIP, HARD_CLIP, PADDING, EQUAL, DIFFERENT = range(9)

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
    return _blocks_and_introns(cigar, start)[0]


def aligned_introns(cigar: Cigar, start: int) -> Spans:
    """Return the introns (``N``) of an alignment that starts at the 0-based ``start``."""
    return _blocks_and_introns(cigar, start)[1]


def _blocks_and_introns(cigar: Cigar, start: int) -> tuple[Spans, Spans]:
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
    backwards = read.is_reverse ^ read.is_read2 ^ (strandedness == "reverse")
    return "-" if backwards else "+"


#: What is kept of a read: strand, blocks, introns, mapping quality, is the second mate.
_Used = tuple[str, Spans, Spans, int, bool]


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
    if strandedness not in STRANDEDNESSES:
        raise ValueError(f"strandedness {strandedness!r} is none of {', '.join(STRANDEDNESSES)}")
    reads = bam.fetch(until_eof=True) if chrom is None else bam.fetch(chrom, start, end)
    waiting: dict[tuple[str, int, int, bool], _Used] = {}
    contig, name = -1, ""
    for read in reads:
        if read.is_unmapped or read.is_secondary or read.is_supplementary:
            continue
        if read.reference_id != contig:
            yield from _leftovers(waiting, name)
            contig, name = read.reference_id, str(read.reference_name)
        key = _place_of_pair(read)
        mate = waiting.pop(key, None) if key else None
        if read.mapping_quality < min_mapping_quality:
            if mate is not None:
                yield _alone(name, mate)
            continue
        own = _used(read, strandedness)
        if mate is not None:
            yield _joined(name, mate, own)
        elif key and read.next_reference_start >= read.reference_start:
            waiting[key] = own
        else:
            yield _alone(name, own)
    yield from _leftovers(waiting, name)


def _place_of_pair(read: pysam.AlignedSegment) -> tuple[str, int, int, bool] | None:
    """Return name and places of the mates, the same for both; ``None`` without a mate here."""
    if not read.is_paired or read.mate_is_unmapped or read.next_reference_id != read.reference_id:
        return None
    own, mate = read.reference_start, read.next_reference_start
    if own == mate:
        return str(read.query_name), own, mate, False
    return str(read.query_name), min(own, mate), max(own, mate), read.is_read2 ^ (mate < own)


def _used(read: pysam.AlignedSegment, strandedness: str) -> _Used:
    blocks, introns = _blocks_and_introns(read.cigartuples or (), read.reference_start)
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


def _leftovers(waiting: dict[tuple[str, int, int, bool], _Used], chrom: str) -> Iterator[Fragment]:
    """Yield and forget the mates whose other one did not come."""
    for read in waiting.values():
        yield _alone(chrom, read)
    waiting.clear()

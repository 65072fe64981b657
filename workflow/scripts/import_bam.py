"""Take over a library that was aligned elsewhere, as a BAM that keeps the contract of a run.

The BAM files of the library, its runs or lanes, may come from any aligner, sorted or not. Their
contigs are checked against the reference. The records are then grouped by read name and each
fragment is written anew as `ringmark.alignments` states:

- secondary records are left out. Of the others the flags, the mates' places, the template's length
  and the ``SA`` tags are set, and hard clips become soft;
- of the tags only those of the contract stay. A missing ``NM`` is counted on the genome. A missing
  ``NH`` is 1 where the mapping quality says that the place is sure, else 2. ``XS`` is what the
  splice signals of the introns say;
- the mapping quality 255, a unique place to some aligners and an unknown quality to others, becomes
  the one that belongs to ``NH``.

Without a genome, ``NM`` stays absent where it is missing, and ``XS`` is the aligner's.

What the files do not hold cannot be made up: reads that were never aligned, or mates and primary
records that were filtered out. A mate by itself keeps its number, as one whose mate is not aligned.
How many records were left out is told on standard error.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pysam

from align_minimap2 import rna_strand
from ringmark.alignments import (
    DELETION,
    HARD_CLIP,
    INSERTION,
    MAXIMUM_INTRON,
    SKIP,
    SOFT_CLIP,
    USABLE_MAPPING_QUALITY,
    Cigar,
    Mate,
    Placement,
    aligned_introns,
    bam_header,
    mapping_quality,
    query_length,
    read_header,
    sam_records,
    sort_and_index,
)
from ringmark.annotation import Annotation
from ringmark.errors import InputError, program
from ringmark.sequence import mismatches, reverse_complement

#: Flags of a fragment's records that the contract leaves as they are.
_SIMPLE = ({99, 147}, {83, 163}, {0}, {16})

#: The mapping quality that means a unique place, or that there is none.
_NO_QUALITY = 255

#: How many contigs are named as examples.
_EXAMPLES = 3

Fetch = Callable[[str, int, int], str]


@dataclass
class Tally:
    """What is left out of a file, or absent from it."""

    secondary: int = 0
    incomplete: int = 0
    lone_mates: int = 0

    def lines(self) -> Iterator[str]:
        """Yield a sentence for each number that is not zero."""
        if self.secondary:
            yield f"{self.secondary} secondary records left out"
        if self.incomplete:
            yield f"{self.incomplete} supplementary records left out: the whole read is not there"
        if self.lone_mates:
            yield f"{self.lone_mates} mates whose other one is not in the file"


@dataclass(frozen=True)
class Source:
    """One BAM to take over, for messages, and the genome it is held against.

    Attributes
    ----------
    fetch
        Returns the genome's bases of a contig, start and end; ``None`` without a genome.
    contigs
        Those of the genome; ``None`` without one.
    """

    path: Path
    fetch: Fetch | None = None
    contigs: frozenset[str] | None = None

    def check_place(self, chrom: str) -> None:
        """Raise an `InputError` if reads lie on a contig that the genome lacks."""
        if self.contigs is not None and chrom not in self.contigs:
            raise InputError(
                f"{self.path}: reads lie on contig {chrom}, which the genome does not have",
                "set reference.fasta to the genome the reads were aligned to, or take the reads of "
                "that contig out of the BAM",
            )


def check_contigs(
    path: Path,
    lengths: Mapping[str, int],
    genome: Mapping[str, int] | None,
    annotation: Annotation,
) -> None:
    """Check that a BAM was made from the reference of the study.

    Parameters
    ----------
    lengths, genome
        Contig to its length in the BAM, and in the genome (``None`` without one).

    Raises
    ------
    InputError
        If no annotated contig is in the BAM, or a contig has another length.
    """
    if annotation.chroms.isdisjoint(lengths):
        raise InputError(
            f"{path}: no contig of the annotation ({_examples(annotation.chroms)}) is in its "
            f"header ({_examples(lengths)})",
            "take the annotation of the assembly the reads were aligned to, or rename the contigs "
            "of the BAM with 'samtools reheader' (chr1 against 1)",
        )
    problems = [
        f"{path}: contig {name} has {length} bases, but {genome[name]} in the genome"
        for name, length in lengths.items()
        if genome is not None and genome.get(name, length) != length
    ]
    problems += [
        f"{path}: contig {gene.chrom} has {lengths[gene.chrom]} bases, but gene {gene.gene_id} "
        f"ends at {gene.end}"
        for gene in annotation.genes.values()
        if gene.end > lengths.get(gene.chrom, gene.end)
    ]
    if problems:
        raise InputError(
            problems[:_EXAMPLES], "take the reference of the assembly the reads were aligned to"
        )


def _examples(names: Iterable[str]) -> str:
    chosen = sorted(names)
    return ", ".join(chosen[:_EXAMPLES]) + (", ..." if len(chosen) > _EXAMPLES else "")


def aligner_of(header: pysam.AlignmentHeader) -> tuple[str, str]:
    """Return name and version of the program that made a BAM, by the first ``@PG`` line."""
    programs = header.to_dict().get("PG") or [{}]
    first = next((entry for entry in programs if "PP" not in entry), programs[0])
    return first.get("PN") or first.get("ID") or "unknown aligner", first.get("VN") or "unknown"


def edit_distance(sequence: str, cigar: Cigar, chrom: str, start: int, fetch: Fetch) -> int:
    """Count mismatches, inserted and deleted bases of an alignment.

    Parameters
    ----------
    sequence
        Of the record: without what is hard-clipped.
    start
        Leftmost aligned base, 0-based.
    """
    distance = read = 0
    place = start
    for operation, length in cigar:
        if operation == INSERTION:
            distance += length
        elif operation == DELETION:
            distance += length
            place += length
        elif operation == SKIP:
            place += length
        elif operation not in (SOFT_CLIP, HARD_CLIP):
            bases = fetch(chrom, place, place + length)
            distance += mismatches(sequence[read : read + length].upper(), bases)
            place += length
        if operation not in (DELETION, SKIP, HARD_CLIP):
            read += length
    return distance


def places_of(read: pysam.AlignedSegment) -> int:
    """Return how many equally good places a read has, at least, by ``NH`` or mapping quality."""
    if read.has_tag("NH"):
        return max(int(read.get_tag("NH")), 1)
    return 1 if read.mapping_quality >= USABLE_MAPPING_QUALITY else 2


def strand_of(
    read: pysam.AlignedSegment, introns: Sequence[tuple[int, int]], source: Source
) -> str | None:
    """Return the strand of the RNA of a spliced read, ``None`` where it is not known."""
    if not introns:
        return None
    if source.fetch is not None:
        return rna_strand(source.fetch, str(read.reference_name), introns)
    strand = str(read.get_tag("XS")) if read.has_tag("XS") else None
    return strand if strand in ("+", "-") else None


def placement(read: pysam.AlignedSegment, source: Source) -> Placement:
    """Return the place of a mapped record, its clips soft."""
    chrom, cigar = str(read.reference_name), tuple(read.cigartuples or ())
    source.check_place(chrom)
    hits, quality = places_of(read), read.mapping_quality
    if read.has_tag("NM"):
        distance = int(read.get_tag("NM"))
    elif source.fetch is not None:
        sequence = str(read.query_sequence)
        distance = edit_distance(sequence, cigar, chrom, read.reference_start, source.fetch)
    else:
        distance = 0
    return Placement(
        chrom,
        read.reference_start,
        "-" if read.is_reverse else "+",
        _soft(cigar),
        mapping_quality(hits) if quality == _NO_QUALITY else quality,
        distance,
        hits,
        strand_of(read, aligned_introns(cigar, read.reference_start), source),
    )


def _soft(cigar: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return a CIGAR with soft clips for hard ones."""
    joined: list[tuple[int, int]] = []
    for operation, length in cigar:
        kind = SOFT_CLIP if operation == HARD_CLIP else operation
        if joined and kind == SOFT_CLIP == joined[-1][0]:
            length += joined.pop()[1]
        joined.append((kind, length))
    return tuple(joined)


def mate_of(records: Sequence[pysam.AlignedSegment], source: Source, tally: Tally) -> Mate | None:
    """Join the records of one read: the primary first, then the supplementary ones.

    Returns
    -------
    Mate or None
        ``None`` where there is no primary record.

    Raises
    ------
    InputError
        If there are two primary records, or one without bases.
    """
    primaries = [read for read in records if not read.is_supplementary]
    if not primaries:
        tally.incomplete += len(records)
        return None
    first = primaries[0]
    if len(primaries) > 1:
        raise InputError(
            f"{source.path}: read {first.query_name} has {len(primaries)} primary records",
            "flag all but one record of a read as secondary, and give each read its own name",
        )
    if first.query_sequence is None:
        raise InputError(
            f"{source.path}: read {first.query_name} has no bases",
            "give the BAM as the aligner wrote it, or the reads as FASTQ",
        )
    sequence, qualities = first.query_sequence, first.query_qualities_str or "*"
    if first.is_reverse:
        sequence, qualities = reverse_complement(sequence), qualities[::-1]
    if first.is_unmapped:
        tally.incomplete += len(records) - 1
        return Mate(sequence, qualities)
    # what a primary record has clipped away is nowhere else
    first.cigartuples = [item for item in first.cigartuples or () if item[0] != HARD_CLIP]
    found = [placement(read, source) for read in (first, *_supplementary(records))]
    whole = [item for item in found if query_length(item.cigar) == len(sequence)]
    tally.incomplete += len(found) - len(whole)
    return Mate(sequence, qualities, tuple(whole))


def _supplementary(records: Iterable[pysam.AlignedSegment]) -> list[pysam.AlignedSegment]:
    """Return the supplementary records by place; grouping by name loses the file's order."""
    found = (read for read in records if read.is_supplementary)
    return sorted(found, key=lambda read: (read.reference_id, read.reference_start))


def is_simple(records: Sequence[pysam.AlignedSegment]) -> bool:
    """Tell whether a fragment's flags, mates' places and clips are those of the contract."""
    if {read.flag for read in records} not in _SIMPLE:
        return False
    if len(records) == 2:
        one, two = records
        places = (one.next_reference_id, one.next_reference_start) == (
            two.reference_id,
            two.reference_start,
        ) and (two.next_reference_id, two.next_reference_start) == (
            one.reference_id,
            one.reference_start,
        )
        if not places:
            return False
    return all(
        read.query_sequence is not None
        and read.cigartuples
        and HARD_CLIP not in (read.cigartuples[0][0], read.cigartuples[-1][0])
        for read in records
    )


def set_tags(read: pysam.AlignedSegment, place: Placement, library: str) -> None:
    """Give a record of a simple fragment its mapping quality and the tags of the contract."""
    read.mapping_quality = place.mapping_quality
    tags: list[tuple[str, str | int, str]] = [
        ("RG", library, "Z"),
        ("NH", place.hits, "i"),
        ("NM", place.edit_distance, "i"),
    ]
    if place.rna_strand is not None:
        tags.append(("XS", place.rna_strand, "A"))
    read.set_tags(tags)


def rebuilt(
    records: Sequence[pysam.AlignedSegment],
    library: str,
    header: pysam.AlignmentHeader,
    maximum_distance: int,
    source: Source,
    tally: Tally,
) -> list[pysam.AlignedSegment]:
    """Write a fragment anew from the places of its mates.

    Parameters
    ----------
    records
        All records of one read name but the secondary ones.
    header
        Of the BAM that is written.
    """
    sides = [[read for read in records if read.is_read2 == second] for second in (False, True)]
    mates = [mate_of(side, source, tally) for side in sides]
    if not any(read.is_paired for read in records):
        mates = mates[:1]
    present = [mate is not None for mate in mates]
    if not any(present):
        return []
    tally.lone_mates += not all(present)
    absent = Mate("*", "*")
    lines = sam_records(
        str(records[0].query_name), [mate or absent for mate in mates], library, maximum_distance
    )
    # the record of an absent mate is the first or the last of all
    lines = lines[not present[0] : len(lines) - (not present[-1])]
    return [pysam.AlignedSegment.fromstring(line, header) for line in lines]


def fragment_records(
    reads: Iterable[pysam.AlignedSegment],
    library: str,
    header: pysam.AlignmentHeader,
    maximum_distance: int,
    source: Source,
    tally: Tally,
) -> Iterator[pysam.AlignedSegment]:
    """Yield the records of all fragments as the contract asks.

    Parameters
    ----------
    reads
        Records, those of one name together.
    """
    for _, group in groupby(reads, key=lambda read: read.query_name):
        everything = list(group)
        records = [read for read in everything if not read.is_secondary]
        tally.secondary += len(everything) - len(records)
        known = source.fetch is not None or all(
            read.has_tag("NM") for read in records if not read.is_unmapped
        )
        if is_simple(records):
            for read in records:
                set_tags(read, placement(read, source), library)
        else:
            records = rebuilt(records, library, header, maximum_distance, source, tally)
        for read in records:
            if not known:
                read.set_tag("NM", None)
            yield read


def same_contigs(
    paths: Sequence[Path], headers: Sequence[pysam.AlignmentHeader]
) -> list[tuple[str, int]]:
    """Return the contigs and lengths that all BAMs of a library list in one order.

    Raises
    ------
    InputError
        If they do not.
    """
    listed = [list(zip(item.references, item.lengths, strict=True)) for item in headers]
    for path, contigs in zip(paths, listed, strict=True):
        if contigs != listed[0]:
            raise InputError(
                f"{path}: lists other contigs in its header than {paths[0]}",
                "align all runs of a library to one reference, or give them library names of "
                "their own",
            )
    return listed[0]


def collate(path: Path, output: Path, threads: int) -> None:
    """Write the records of a BAM with those of one read name together.

    Raises
    ------
    InputError
        If the BAM cannot be read to its end.
    """
    try:
        pysam.collate(
            "--no-PG", "-@", str(threads - 1), "-l", "1", "-T", str(output.with_suffix("")),
            "-o", str(output), str(path),
        )  # fmt: skip
    except pysam.SamtoolsError as error:
        reason = str(error).rpartition("stderr=")[2].strip() or "no message"
        raise InputError(f"{path}: cannot be read: {reason}", "transfer the file again") from None


def open_genome(path: Path | None) -> tuple[Fetch | None, dict[str, int] | None]:
    """Return how to fetch the genome's bases, as capitals, and its contigs with their lengths."""
    if path is None:
        return None, None
    genome = pysam.FastaFile(str(path))

    def fetch(chrom: str, start: int, end: int) -> str:
        return str(genome.fetch(chrom, start, end)).upper()

    return fetch, dict(zip(genome.references, genome.lengths, strict=True))


def import_library(arguments: argparse.Namespace, folder: Path) -> None:
    """Take over the BAMs of a library; intermediate files are put into ``folder``."""
    paths: list[Path] = arguments.bam
    headers = [read_header(path) for path in paths]
    contigs = same_contigs(paths, headers)
    fetch, genome = open_genome(arguments.genome)
    annotation = Annotation.read(arguments.annotation)
    for path in paths:
        check_contigs(path, dict(contigs), genome, annotation)
    header = pysam.AlignmentHeader.from_dict(
        bam_header(contigs, arguments.library, arguments.sample, *aligner_of(headers[0]))
    )
    unsorted, collated = folder / "unsorted.bam", folder / "collated.bam"
    with pysam.AlignmentFile(str(unsorted), "wb", header=header, format_options=["level=1"]) as bam:
        for path in paths:
            collate(path, collated, arguments.threads)
            source = Source(path, fetch, None if genome is None else frozenset(genome))
            tally = Tally()
            with pysam.AlignmentFile(str(collated)) as reads:
                for read in fragment_records(
                    reads.fetch(until_eof=True),
                    arguments.library,
                    header,
                    arguments.maximum_intron,
                    source,
                    tally,
                ):
                    bam.write(read)
            for line in tally.lines():
                print(f"{path}: {line}", file=sys.stderr)
    sort_and_index(unsorted, arguments.output, arguments.threads)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    result.add_argument("--bam", type=Path, nargs="+", required=True, help="runs of the library")
    result.add_argument("--annotation", type=Path, required=True, help="transcript table")
    result.add_argument("--genome", type=Path, help="indexed FASTA the reads were aligned to")
    result.add_argument("--library", required=True, help="read group of the records")
    result.add_argument("--sample", required=True, help="specimen the library is of")
    result.add_argument("--output", type=Path, required=True, help="the BAM; .bai is put beside")
    result.add_argument("--maximum-intron", type=int, default=MAXIMUM_INTRON)
    result.add_argument("--threads", type=int, default=1)
    return result


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Take over a library."""
    arguments = parser().parse_args(argv)
    folder = arguments.output.with_name(f".{arguments.output.name}.import")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        import_library(arguments, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

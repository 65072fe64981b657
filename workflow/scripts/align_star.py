"""Align RNA reads with STAR and write a BAM that keeps the contract of every BAM of a run.

STAR is told to keep unmapped reads, to report one place a read and to write chimeric reads as
supplementary records. Its thresholds for both are lowered so that back-spliced reads come out
split: the halves may be as short as 10 nt, and a pair is kept where a third of its bases align (a
mate whose pair cannot be placed is kept alone). With STAR's own thresholds most back-spliced pairs
of short reads are lost.

What STAR leaves out of the contract is repaired while its output streams by: the strand of spliced
reads from the motifs of their introns, and for every fragment that is not simply a proper pair the
flags, the mates' places, the template's length and the ``SA`` tags.

STAR reads compressed files through a named pipe in its temporary folder, which lies beside the
output and is removed in any case: a file system without named pipes does not work.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from index_star import require_star, star_message
from ringmark.alignments import (
    MAXIMUM_INTRON,
    UNIQUE_MAPPING_QUALITY,
    Mate,
    Placement,
    SupplementaryAlignment,
    bam_header,
    format_cigar,
    parse_sa,
    sam_records,
    sort_and_index,
)
from ringmark.errors import InputError, program
from ringmark.sequence import reverse_complement

if TYPE_CHECKING:
    import pysam

#: Flags of the records of a fragment that STAR already writes as the contract asks.
_SIMPLE = ({99, 147}, {83, 163}, {0}, {16})

#: A mate that STAR does not write at all, as it does, rarely, where it writes the other one twice.
LEFT_OUT = Mate("*", "*")

#: STAR's codes of intron motifs; annotated introns have 20 more, 0 is no signal.
_MOTIF_STRANDS = {1: "+", 2: "-", 3: "+", 4: "-", 5: "+", 6: "-"}


def star_command(
    index: Path, reads: Sequence[Path], folder: Path, maximum_intron: int, threads: int
) -> list[str]:
    """Return the call of STAR that writes unsorted BAM to its standard output."""
    return [
        "STAR",
        "--runThreadN", str(threads),
        "--genomeDir", str(index),
        "--readFilesIn", *map(str, reads),
        "--readFilesCommand", "gzip", "-dc",
        "--outFileNamePrefix", f"{folder}/",
        "--outTmpDir", str(folder / "temporary"),
        "--outStd", "BAM_Unsorted",
        "--outSAMtype", "BAM", "Unsorted",
        "--outSAMunmapped", "Within",
        "--outSAMattributes", "NH", "NM", "jM",
        "--outSAMmapqUnique", str(UNIQUE_MAPPING_QUALITY),
        "--outSAMmultNmax", "1",
        "--outFilterMultimapNmax", "20",
        "--outFilterScoreMinOverLread", "0.3",
        "--outFilterMatchNminOverLread", "0.3",
        "--outFilterMatchNmin", "16",
        "--alignIntronMax", str(maximum_intron),
        "--alignMatesGapMax", str(maximum_intron),
        "--alignSJoverhangMin", "8",
        "--alignSJDBoverhangMin", "3",
        "--chimOutType", "WithinBAM", "SoftClip",
        "--chimSegmentMin", "10",
        "--chimJunctionOverhangMin", "10",
        "--chimScoreDropMax", "40",
        "--quantMode", "GeneCounts",
    ]  # fmt: skip


def motif_strand(read: pysam.AlignedSegment) -> str | None:
    """Return the strand all introns with a splice signal agree on, from STAR's ``jM``."""
    if not read.has_tag("jM"):
        return None
    codes = cast("Sequence[int]", read.get_tag("jM"))
    strands = {_MOTIF_STRANDS[code % 20] for code in codes if code > 0 and code % 20}
    return strands.pop() if len(strands) == 1 else None


def placement(read: pysam.AlignedSegment) -> Placement:
    """Return the place of a mapped record."""
    return Placement(
        str(read.reference_name),
        read.reference_start,
        "-" if read.is_reverse else "+",
        tuple(read.cigartuples or ()),
        read.mapping_quality,
        int(read.get_tag("NM")),
        int(read.get_tag("NH")),
        motif_strand(read),
    )


def mate_of(records: Sequence[pysam.AlignedSegment]) -> Mate:
    """Join the records of one read: the primary first, then the supplementary ones."""
    first = records[0]
    sequence, qualities = str(first.query_sequence), first.query_qualities_str or "*"
    if first.is_reverse:
        sequence, qualities = reverse_complement(sequence), qualities[::-1]
    mapped = [read for read in records if not read.is_unmapped]
    mapped.sort(key=lambda read: read.is_supplementary)
    return Mate(sequence, qualities, tuple(placement(read) for read in mapped))


def repaired(
    records: Sequence[pysam.AlignedSegment],
    library: str,
    header: pysam.AlignmentHeader,
    maximum_distance: int,
) -> Iterator[pysam.AlignedSegment]:
    """Yield the records of one fragment as the contract asks."""
    if {read.flag for read in records} in _SIMPLE:
        for read in records:
            tags = [
                ("RG", library, "Z"),
                ("NH", read.get_tag("NH"), "i"),
                ("NM", read.get_tag("NM"), "i"),
            ]
            strand = motif_strand(read)
            if strand is not None:
                tags.append(("XS", strand, "A"))
            read.set_tags(tags)
            yield read
        return
    import pysam

    parts = [[read for read in records if not read.is_read2]]
    if records[0].is_paired:
        parts.append([read for read in records if read.is_read2])
    mates = [mate_of(part) if part else LEFT_OUT for part in parts]
    for line in sam_records(str(records[0].query_name), mates, library, maximum_distance):
        yield pysam.AlignedSegment.fromstring(line, header)


def fragments(
    reads: Iterable[pysam.AlignedSegment],
) -> Iterator[list[pysam.AlignedSegment]]:
    """Group the records of STAR's output, which come fragment by fragment."""
    for _, group in groupby(reads, key=lambda read: read.query_name):
        records = list(group)
        primaries = _without_doubles([read for read in records if not read.is_supplementary])
        size = 2 if primaries[0].is_paired else 1
        if len(primaries) == size:
            yield primaries + [read for read in records if read.is_supplementary]
        else:
            yield from _namesakes(primaries, [read for read in records if read.is_supplementary])


def _without_doubles(
    primaries: Sequence[pysam.AlignedSegment],
) -> list[pysam.AlignedSegment]:
    """Leave out unmapped records of mates that have been written as mapped too.

    STAR does so, rarely, with pairs of which it can place one mate alone.
    """
    surplus = sum(1 if read.is_read2 else -1 for read in primaries if read.is_paired)
    kept = []
    for read in primaries:
        if surplus and read.is_unmapped and read.is_read2 == (surplus > 0):
            surplus -= 1 if surplus > 0 else -1
        else:
            kept.append(read)
    return kept


def _namesakes(
    primaries: Sequence[pysam.AlignedSegment], supplementary: Sequence[pysam.AlignedSegment]
) -> Iterator[list[pysam.AlignedSegment]]:
    """Tell apart neighbouring fragments of one name by the places their ``SA`` tags give."""
    size = 2 if primaries[0].is_paired else 1
    rest = list(supplementary)
    for first in range(0, len(primaries), size):
        records = list(primaries[first : first + size])
        for primary in records[:size]:
            if not primary.has_tag("SA"):
                continue
            entry = parse_sa(str(primary.get_tag("SA")))[0]
            own = next((read for read in rest if _is_at(read, primary, entry)), None)
            if own is not None:
                rest.remove(own)
                records.append(own)
        yield records


def _is_at(
    read: pysam.AlignedSegment, primary: pysam.AlignedSegment, entry: SupplementaryAlignment
) -> bool:
    return (
        read.is_read2 == primary.is_read2
        and read.reference_name == entry.chrom
        and read.reference_start == entry.start
        and read.cigarstring == format_cigar(entry.cigar)
    )


def has_reads(fastq: Path) -> bool:
    """Tell whether a gzipped FASTQ holds anything."""
    with gzip.open(fastq) as handle:
        return bool(handle.read(1))


def stream(
    command: Sequence[str], unsorted: Path, library: str, sample: str, maximum_intron: int
) -> None:
    """Run STAR and write its records, repaired and unsorted.

    Raises
    ------
    InputError
        If STAR fails; its own words are quoted.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            raw = _open_bam(process)
            if raw is not None:
                with raw:
                    _write_repaired(raw, unsorted, library, sample, maximum_intron)
            message = process.stderr.read().decode() if process.stderr else ""
            process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
    if process.returncode:
        raise InputError(
            f"STAR failed: {star_message(message)}",
            "mend what it names; an index of another version of STAR must be built again",
        )


def _open_bam(process: subprocess.Popen[bytes]) -> pysam.AlignmentFile | None:
    """Open STAR's output; ``None`` where it ended before it wrote any."""
    import pysam

    try:
        return pysam.AlignmentFile(cast("IO[bytes]", process.stdout), "rb", check_sq=False)
    except ValueError:
        return None


def _write_repaired(
    raw: pysam.AlignmentFile, unsorted: Path, library: str, sample: str, maximum_intron: int
) -> None:
    import pysam

    contigs = list(zip(raw.references, raw.lengths, strict=True))
    version = str(raw.header.to_dict()["PG"][0]["VN"])
    header = pysam.AlignmentHeader.from_dict(bam_header(contigs, library, sample, "STAR", version))
    with pysam.AlignmentFile(str(unsorted), "wb", header=header, format_options=["level=1"]) as bam:
        for records in fragments(raw.fetch(until_eof=True)):
            for read in repaired(records, library, header, maximum_intron):
                bam.write(read)


def align(arguments: argparse.Namespace) -> None:
    """Align a library to a sorted and indexed BAM, gene counts and STAR's log."""
    require_star()
    if not (arguments.index / "SA").is_file():
        raise InputError(f"{arguments.index}: not an index of STAR", "make it with index_star.py")
    reads = [arguments.fastq_1]
    if has_reads(arguments.fastq_2):
        reads.append(arguments.fastq_2)
    for path in (arguments.output, arguments.gene_counts, arguments.log):
        path.parent.mkdir(parents=True, exist_ok=True)
    folder = arguments.output.with_name(f".{arguments.output.name}.star")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        command = star_command(
            arguments.index, reads, folder, arguments.maximum_intron, arguments.threads
        )
        unsorted = folder / "unsorted.bam"
        stream(command, unsorted, arguments.library, arguments.sample, arguments.maximum_intron)
        shutil.move(folder / "ReadsPerGene.out.tab", arguments.gene_counts)
        shutil.move(folder / "Log.final.out", arguments.log)
        sort_and_index(unsorted, arguments.output, arguments.threads)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    result.add_argument("--index", type=Path, required=True, help="from index_star.py")
    result.add_argument("--fastq-1", type=Path, required=True)
    result.add_argument("--fastq-2", type=Path, required=True, help="empty for single-end reads")
    result.add_argument("--library", required=True, help="read group of the records")
    result.add_argument("--sample", required=True, help="specimen the library is of")
    result.add_argument("--output", type=Path, required=True, help="the BAM; .bai is put beside")
    result.add_argument("--gene-counts", type=Path, required=True, help="STAR's ReadsPerGene table")
    result.add_argument("--log", type=Path, required=True, help="STAR's Log.final.out")
    result.add_argument("--maximum-intron", type=int, default=MAXIMUM_INTRON)
    result.add_argument("--threads", type=int, default=1)
    return result


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Align a library."""
    arguments = parser().parse_args(argv)
    if arguments.maximum_intron < 21:
        raise InputError(
            f"--maximum-intron {arguments.maximum_intron}", "introns are 21 nt or longer"
        )
    align(arguments)


if __name__ == "__main__":
    sys.exit(main())

"""Collect the evidence for back-splice junctions in one library.

One pass over the BAM. Split reads whose parts stand on one strand in the order of a circle are
placed on the splice signal (``ringmark.backsplice``). Reads that the aligner clipped, left out or
placed badly are looked through for the end of an exon right before the beginning of the same or an
earlier one of the gene (``ringmark.exon_ends``). Written are the junctions with the number of
fragments of either kind, how many split reads each filter removed, and the doubtful reads
themselves, without base qualities: ``count_circles.py`` looks in them for the circles of the study.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pysam

from ringmark.alignments import library_strandedness
from ringmark.annotation import Annotation
from ringmark.backsplice import (
    DOUBTED_READS,
    JUNCTIONS,
    READ_FILTERS,
    Evidence,
    Limits,
    find_junctions,
)
from ringmark.errors import program
from ringmark.files import whole_file
from ringmark.tables import FILTERS


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    options = argparse.ArgumentParser(description="Find back-splice junctions in one library.")
    options.add_argument("--bam", type=Path, required=True)
    options.add_argument("--genome", type=Path, required=True, help="indexed FASTA")
    options.add_argument("--annotation", type=Path, required=True, help="table of transcripts")
    options.add_argument("--summary", type=Path, required=True, help="one-row table of the library")
    options.add_argument("--min-span", type=int, default=Limits.min_span)
    options.add_argument("--max-span", type=int, default=Limits.max_span)
    options.add_argument("--junctions", type=Path, required=True, help="table to write")
    options.add_argument("--filters", type=Path, required=True, help="filter log to write")
    options.add_argument(
        "--doubted", type=Path, required=True, help="BAM of doubtful reads to write"
    )
    return options


def filter_rows(evidence: Evidence) -> list[dict[str, object]]:
    """Return the filter log: breaks of split reads that each filter removed, and what it left."""
    kept = evidence.kept + sum(evidence.removed.values())
    rows = []
    for name in READ_FILTERS:
        removed = evidence.removed.get(name, 0)
        kept -= removed
        rows.append({"step": "split reads", "filter": name, "removed": removed, "kept": kept})
    return rows


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Find the junctions of one library."""
    arguments = parser().parse_args(argv)
    strandedness = library_strandedness(arguments.summary)
    with (
        pysam.AlignmentFile(str(arguments.bam), format_options=[DOUBTED_READS]) as bam,
        pysam.FastaFile(str(arguments.genome)) as genome,
        whole_file(arguments.doubted) as path,
        pysam.AlignmentFile(str(path), "wb", template=bam, format_options=["level=1"]) as doubted,
    ):

        def keep(read: pysam.AlignedSegment) -> None:
            read.query_qualities = None
            doubted.write(read)

        evidence = find_junctions(
            bam,
            genome,
            Annotation.read(arguments.annotation),
            strandedness,
            Limits(min_span=arguments.min_span, max_span=arguments.max_span),
            keep,
        )
    FILTERS.write(filter_rows(evidence), arguments.filters)
    JUNCTIONS.write(evidence.rows(), arguments.junctions)


if __name__ == "__main__":
    sys.exit(main())

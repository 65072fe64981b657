"""Count the candidate circles of a study in one library.

Bases of a read beyond an end of a circle that go on at the other end, and do so better than on any
linear way, make a back-splice fragment; reads that run or are spliced linearly over an end make
its linear counts (``ringmark.circle_counts``). Reads that the aligner placed badly or not at all
are looked through for the junctions of all candidates (``ringmark.circle_search``). The introns
that the back-splice fragments splice over or read into are kept for the structure of the circle.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pysam

from ringmark.alignments import library_strandedness
from ringmark.annotation import Annotation
from ringmark.backsplice import JUNCTIONS, Junction, Limits, SpliceSites
from ringmark.circle_counts import CIRCLE_COUNTS, count_circles, counts_row
from ringmark.circles import build_circle
from ringmark.errors import program
from ringmark.tables import FILTERS


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    options = argparse.ArgumentParser(description="Count candidate circles in one library.")
    options.add_argument("--bam", type=Path, required=True)
    options.add_argument(
        "--doubted", type=Path, required=True, help="BAM of doubtful reads, by find_back_splices.py"
    )
    options.add_argument("--genome", type=Path, required=True, help="indexed FASTA")
    options.add_argument("--annotation", type=Path, required=True, help="table of transcripts")
    options.add_argument("--summary", type=Path, required=True, help="one-row table of the library")
    options.add_argument("--candidates", type=Path, required=True)
    options.add_argument("--min-anchor", type=int, default=Limits.min_anchor)
    options.add_argument("--filters", type=Path, required=True, help="filter log to write")
    options.add_argument("--output", type=Path, required=True)
    return options


def junctions_of(candidates: Sequence[Mapping[str, Any]], sites: SpliceSites) -> list[Junction]:
    """Return the candidates, rows of `JUNCTIONS`, as junctions in their order."""
    junctions = []
    for row in candidates:
        place = (row["chrom"], row["start"], row["end"], row["strand"])
        motif = row["splice_motif"]
        junctions.append(Junction(*place, motif, sites.annotated_ends(*place, motif)))
    return junctions


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Count the candidates in one library."""
    arguments = parser().parse_args(argv)
    annotation = Annotation.read(arguments.annotation)
    sites = SpliceSites.of(annotation)
    candidates = JUNCTIONS.rows(arguments.candidates)
    circles = [
        build_circle(junction, annotation, sites) for junction in junctions_of(candidates, sites)
    ]
    evidence = [row["split_reads"] + row["realigned_reads"] for row in candidates]
    with (
        pysam.AlignmentFile(str(arguments.bam)) as bam,
        pysam.AlignmentFile(str(arguments.doubted)) as doubted,
        pysam.FastaFile(str(arguments.genome)) as genome,
    ):
        counts = count_circles(
            bam,
            doubted.fetch(until_eof=True),
            genome,
            annotation,
            sites,
            circles,
            evidence,
            library_strandedness(arguments.summary),
            Limits(min_anchor=arguments.min_anchor),
        )
    FILTERS.write(counts.filter_rows(), arguments.filters)
    CIRCLE_COUNTS.write(
        [counts_row(name, tally) for name, tally in counts.tallies.items()], arguments.output
    )


if __name__ == "__main__":
    sys.exit(main())

"""Join the back-splice junctions of all libraries to one list of candidate circles.

A junction is the same in two libraries if ends and strand agree. The fragments are summed. Where an
end of a junction can be taken for another splice site of the gene (exons duplicated in tandem), the
circles with that one are candidates too: an aligner has put the reads at one of them. So are the
circles of single copies, whose reads no aligner tells from linear RNA. Which candidates become
circles is decided after they have been counted in every library (``ringmark.tandem_copies``).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pysam

from count_circles import junctions_of
from ringmark.annotation import Annotation
from ringmark.backsplice import JUNCTIONS, Limits, SpliceSites
from ringmark.circles import alternatives
from ringmark.errors import program
from ringmark.tandem_copies import find_copies

PLACE = ["chrom", "start", "end", "strand"]


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    options = argparse.ArgumentParser(description="Join the junctions of all libraries.")
    options.add_argument("--junctions", type=Path, nargs="+", required=True)
    options.add_argument("--genome", type=Path, required=True, help="indexed FASTA")
    options.add_argument("--annotation", type=Path, required=True, help="table of transcripts")
    options.add_argument("--min-span", type=int, default=Limits.min_span)
    options.add_argument("--max-span", type=int, default=Limits.max_span)
    options.add_argument("--output", type=Path, required=True)
    return options


def merge(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Sum the evidence of junctions over libraries, in order of place."""
    stacked = pd.concat(tables, ignore_index=True)
    if stacked.empty:
        return JUNCTIONS.empty()
    summed = stacked.groupby(PLACE, sort=True, as_index=False).agg(
        {"splice_motif": "first", "split_reads": "sum", "realigned_reads": "sum"}
    )
    return JUNCTIONS.frame(summed)


def with_alternatives(
    candidates: pd.DataFrame, annotation: Annotation, genome: pysam.FastaFile, limits: Limits
) -> pd.DataFrame:
    """Add the circles that candidates, or linear RNA, can be taken for, without evidence."""
    known = set(candidates[PLACE].itertuples(index=False, name=None))
    others = [one for pair in find_copies(annotation, genome, limits) for one in pair]
    for junction in junctions_of(candidates.to_dict("records"), SpliceSites.of(annotation)):
        if junction.annotated == 2:
            others += alternatives(junction, annotation, genome)
    added: dict[tuple[str, int, int, str], str] = {}
    for other in others:
        place = (other.chrom, other.start, other.end, other.strand)
        if place not in known and limits.allow(other.end - other.start):
            added[place] = other.motif
    rows = [
        dict(zip(PLACE, place, strict=True))
        | {"splice_motif": motif, "split_reads": 0, "realigned_reads": 0}
        for place, motif in added.items()
    ]
    whole = (
        pd.concat([candidates, JUNCTIONS.frame(rows)], ignore_index=True) if rows else candidates
    )
    return whole.sort_values(PLACE, ignore_index=True)


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Write the candidates of a study."""
    arguments = parser().parse_args(argv)
    candidates = merge([JUNCTIONS.read(path) for path in arguments.junctions])
    limits = Limits(min_span=arguments.min_span, max_span=arguments.max_span)
    annotation = Annotation.read(arguments.annotation)
    with pysam.FastaFile(str(arguments.genome)) as genome:
        candidates = with_alternatives(candidates, annotation, genome, limits)
    JUNCTIONS.write(candidates, arguments.output)


if __name__ == "__main__":
    sys.exit(main())

"""Make the study's one list of circles, with counts, structure and sequence.

What tandem copies of exons leave open is settled first, from the counts of all libraries
(``ringmark.tandem_copies``). Candidates with fewer than ``--min-reads`` back-splice fragments over
all libraries are left out and counted in the filter log. Every other one is placed in the
annotation by what its fragments show inside it (``ringmark.circles.build_circle``) and told with
high or low confidence.

Written are the table of circles, back-splice and linear counts of every library (the linear count
is the mean of both ends, rounded half up), the exons as BED12, the spliced sequences as FASTA, and
a table of the evidence: how the junction was seen, how many fragments were estimated and not
counted, how many support the path through the circle, and why its confidence is low.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pysam

from count_circles import junctions_of
from ringmark.annotation import Annotation
from ringmark.backsplice import JUNCTIONS, Junction, Limits, SpliceSites
from ringmark.circle_counts import CIRCLE_COUNTS, format_introns, parse_introns
from ringmark.circles import (
    LOW_CONFIDENCE,
    Circle,
    Support,
    build_circle,
    low_confidence_reason,
    name_of,
)
from ringmark.errors import program
from ringmark.files import write_text
from ringmark.sequence import reverse_complement
from ringmark.tables import CIRCLES, FILTERS, INTEGER, STRING, Table, write_matrix
from ringmark.tandem_copies import (
    StudyCounts,
    add_surplus,
    circles_with_a_common_end,
    find_copies,
    share_ends,
)

#: What speaks for and against each circle. Introns are ``start-end:fragments``: those between the
#: listed exons, others that fragments of the circle splice over, and those they read into.
EVIDENCE = Table(
    "evidence for circles",
    {
        "circle": STRING,
        "split_reads": INTEGER,
        "realigned_reads": INTEGER,
        "reads": INTEGER,
        "distinct_positions": INTEGER,
        "shared_fragments": INTEGER,
        "anchored_fragments": INTEGER,
        "estimated_fragments": INTEGER,
        "introns": STRING,
        "other_introns": STRING,
        "retained_introns": STRING,
        "low_confidence": STRING,
    },
)

ANNOTATED_ENDS = ("none", "one", "both")


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    options = argparse.ArgumentParser(description="Make the study's list of circles.")
    options.add_argument("--candidates", type=Path, required=True)
    options.add_argument(
        "--counts", type=Path, nargs="+", required=True, help="one table a library, named for it"
    )
    options.add_argument(
        "--filters", type=Path, nargs="*", default=[], help="filter logs of the libraries"
    )
    options.add_argument("--genome", type=Path, required=True, help="indexed FASTA")
    options.add_argument("--annotation", type=Path, required=True, help="table of transcripts")
    options.add_argument("--min-reads", type=int, default=2)
    options.add_argument("--circles", type=Path, required=True)
    options.add_argument("--bsj-counts", type=Path, required=True)
    options.add_argument("--linear-counts", type=Path, required=True)
    options.add_argument("--bed", type=Path, required=True)
    options.add_argument("--fasta", type=Path, required=True)
    options.add_argument("--evidence", type=Path, required=True)
    options.add_argument("--filter-log", type=Path, required=True)
    return options


def matrix(counts: Mapping[str, pd.DataFrame], value: str) -> pd.DataFrame:
    """Return one column of the count tables as circles x libraries."""
    return pd.DataFrame({name: table.set_index("circle")[value] for name, table in counts.items()})


def study_counts(
    counts: Mapping[str, pd.DataFrame],
    junctions: Sequence[Junction],
    annotation: Annotation,
    genome: pysam.FastaFile,
) -> StudyCounts:
    """Return the counts of all libraries, with what tandem copies leave open settled."""
    study = StudyCounts(
        back_splice=matrix(counts, "back_splice"),
        anchored=matrix(counts, "anchored_fragments"),
        shared=matrix(counts, "shared_fragments"),
        linear_start=matrix(counts, "linear_start"),
        linear_end=matrix(counts, "linear_end"),
        closer=matrix(counts, "closer_reads"),
    )
    share_ends(study, circles_with_a_common_end(junctions, annotation, genome))
    known = set(study.back_splice.index)
    copies = [
        pair
        for pair in find_copies(annotation, genome, Limits())
        if known.issuperset(map(name_of, pair))
    ]
    add_surplus(study, copies, junctions)
    return study


def linear_counts(at_start: pd.DataFrame, at_end: pd.DataFrame) -> pd.DataFrame:
    """Return the linear fragments at a circle's ends: the mean of both, rounded half up."""
    return (at_start + at_end + 1) // 2


def introns(counts: Mapping[str, pd.DataFrame], column: str) -> dict[str, Counter]:
    """Sum the introns seen inside each circle over the libraries."""
    total: dict[str, Counter] = {}
    for table in counts.values():
        seen = table[table[column].notna() & (table[column] != "")]
        for circle, text in zip(seen["circle"], seen[column], strict=True):
            total.setdefault(str(circle), Counter()).update(parse_introns(str(text)))
    return total


def circle_row(
    circle: Circle, reads: pd.Series, reason: str, genome: pysam.FastaFile
) -> dict[str, object]:
    """Return a row of the table of circles; a circle without a reason for doubt is `high`."""
    junction = circle.junction
    return {
        "circle": circle.name,
        "chrom": junction.chrom,
        "start": junction.start,
        "end": junction.end,
        "strand": junction.strand,
        "type": circle.kind,
        "gene_id": circle.gene.gene_id if circle.gene else None,
        "gene_name": circle.gene.name if circle.gene else None,
        "exons": circle.exon_count,
        "spliced_length": circle.exons.length,
        "splice_motif": flanking_motif(junction, genome),
        "annotated_ends": ANNOTATED_ENDS[junction.annotated],
        "libraries": int((reads > 0).sum()),
        "reads": int(reads.sum()),
        "confidence": "low" if reason else "high",
    }


def evidence_row(
    circle: Circle,
    support: Support,
    candidate: Mapping[str, int],
    reason: str,
    spliced: Mapping[tuple[int, int], int],
    retained: Mapping[tuple[int, int], int],
) -> dict[str, object]:
    """Return what speaks for a circle, for the exons listed for it, and against it."""
    path = {intron: spliced.get(intron, 0) for intron in circle.exons.gaps}
    return {
        "circle": circle.name,
        "split_reads": candidate["split_reads"],
        "realigned_reads": candidate["realigned_reads"],
        "reads": support.reads,
        "distinct_positions": support.positions,
        "shared_fragments": support.shared,
        "anchored_fragments": support.anchored,
        "estimated_fragments": support.estimated,
        "introns": format_introns(path) or None,
        "other_introns": format_introns(
            {intron: count for intron, count in spliced.items() if intron not in path}
        )
        or None,
        "retained_introns": format_introns(retained) or None,
        "low_confidence": reason or None,
    }


def flanking_motif(junction: Junction, genome: pysam.FastaFile) -> str:
    """Return the donor and acceptor dinucleotides that flank a circle, in the RNA's sense.

    ``none`` where the contig ends before them.
    """
    if junction.motif == "lariat":
        return "lariat"
    before = genome.fetch(junction.chrom, max(junction.start - 2, 0), junction.start).upper()
    after = genome.fetch(junction.chrom, junction.end, junction.end + 2).upper()
    if len(before) + len(after) < 4:
        return "none"
    if junction.strand == "+":
        return f"{after}/{before}"
    return f"{reverse_complement(before)}/{reverse_complement(after)}"


def bed_line(circle: Circle, reads: int) -> str:
    """Return a circle as BED12; the score is its reads, at most 1000."""
    junction, exons = circle.junction, circle.exons
    sizes = ",".join(map(str, (exons.ends - exons.starts).tolist()))
    starts = ",".join(map(str, (exons.starts - junction.start).tolist()))
    place = (junction.chrom, junction.start, junction.end)
    fields = (
        *place,
        circle.name,
        min(reads, 1000),
        junction.strand,
        *place[1:],
        "0",
        len(exons.starts),
        sizes,
        starts,
    )
    return "\t".join(map(str, fields))


def filter_log(
    logs: Sequence[pd.DataFrame], candidates: int, reasons: Sequence[str]
) -> pd.DataFrame:
    """Sum the libraries' filter logs and add the steps of this program.

    Parameters
    ----------
    candidates
        How many junctions were counted.
    reasons
        Of each circle that was kept why its confidence is low; empty where it is high.
    """
    rows = []
    if logs:
        summed = pd.concat(logs).groupby(["step", "filter"], sort=False, as_index=False).sum()
        rows = summed.to_dict("records")
    kept = len(reasons)
    few = "too few back-splice fragments in the study"
    rows.append({"step": "circles", "filter": few, "removed": candidates - kept, "kept": kept})
    for name in LOW_CONFIDENCE:
        removed = reasons.count(name)
        kept -= removed
        row = {"step": "circles of high confidence", "filter": name}
        rows.append({**row, "removed": removed, "kept": kept})
    return FILTERS.frame(rows)


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Write the circles of a study."""
    arguments = parser().parse_args(argv)
    annotation = Annotation.read(arguments.annotation)
    sites = SpliceSites.of(annotation)
    counts = {path.stem: CIRCLE_COUNTS.read(path) for path in arguments.counts}
    candidates = JUNCTIONS.rows(arguments.candidates)
    junctions = junctions_of(candidates, sites)
    with pysam.FastaFile(str(arguments.genome)) as genome:
        study = study_counts(counts, junctions, annotation, genome)
    reads, linear = study.back_splice, linear_counts(study.linear_start, study.linear_end)
    support = pd.DataFrame(
        {
            "reads": reads.sum(axis=1),
            "positions": matrix(counts, "distinct_positions").sum(axis=1),
            "shared": study.shared.sum(axis=1),
            "anchored": study.anchored.sum(axis=1),
            "estimated": pd.Series(study.estimated, dtype=float).reindex(reads.index).fillna(0),
        }
    ).astype(int)
    spliced, retained = introns(counts, "spliced_introns"), introns(counts, "retained_introns")
    circles, rows, evidence, reasons = [], [], [], []
    with pysam.FastaFile(str(arguments.genome)) as genome:
        for place, junction in enumerate(junctions):
            name = name_of(junction)
            shown = Support(*support.loc[name].tolist())
            if shown.reads < arguments.min_reads:
                continue
            inside = spliced.get(name, Counter()), retained.get(name, Counter())
            circle = build_circle(junction, annotation, sites, *inside)
            reason = low_confidence_reason(circle, shown, annotation, genome)
            circles.append(circle)
            reasons.append(reason)
            rows.append(circle_row(circle, reads.loc[name], reason, genome))
            evidence.append(evidence_row(circle, shown, candidates[place], reason, *inside))
        sequences = [f">{item.name}\n{item.sequence(genome)}\n" for item in circles]
    names = [circle.name for circle in circles]
    logs = [FILTERS.read(path) for path in arguments.filters]
    FILTERS.write(filter_log(logs, len(junctions), reasons), arguments.filter_log)
    write_text("".join(sequences), arguments.fasta)
    lines = [bed_line(item, int(reads.loc[item.name].sum())) for item in circles]
    write_text("".join(f"{line}\n" for line in lines), arguments.bed)
    write_matrix(reads.loc[names], arguments.bsj_counts, "circle")
    write_matrix(linear.loc[names], arguments.linear_counts, "circle")
    EVIDENCE.write(evidence, arguments.evidence)
    CIRCLES.write(rows, arguments.circles)


if __name__ == "__main__":
    sys.exit(main())

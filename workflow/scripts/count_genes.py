"""Count the fragments of every gene in one library.

A fragment counts for a gene where it overlaps the union of its exons and those of no other gene
(HTSeq's mode ``union``). It must have one place (``NH`` 1) and be linear: split reads and pairs
whose mates do not lie properly, most of them from circles, count for no gene. With
``--star-counts`` the counts that STAR made by this very rule are taken over instead: of its three
columns the one of the library's strandedness. For HTSeq, which would count the others, the linear
fragments are first copied to a temporary file beside the output.

References
----------
Anders et al. 2015, Bioinformatics 31:166 (HTSeq).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ringmark.alignments import library_strandedness
from ringmark.errors import InputError, program
from ringmark.tables import write_matrix

if TYPE_CHECKING:
    import pysam

#: HTSeq's word for a strandedness, and the column of STAR's table.
_HTSEQ = {"unstranded": "no", "forward": "yes", "reverse": "reverse"}
_STAR_COLUMN = {"unstranded": 1, "forward": 2, "reverse": 3}


def copy_linear(bam: Path, output: Path) -> None:
    """Copy the fragments that are not split and whose mates, where both align, lie properly."""
    import pysam

    with pysam.AlignmentFile(str(bam)) as reads:
        split = {read.query_name for read in reads.fetch(until_eof=True) if read.is_supplementary}
    with (
        pysam.AlignmentFile(str(bam)) as reads,
        pysam.AlignmentFile(str(output), "wbu", template=reads) as linear,
    ):
        for read in reads.fetch(until_eof=True):
            if read.query_name not in split and not is_discordant(read):
                linear.write(read)


def is_discordant(read: pysam.AlignedSegment) -> bool:
    """Tell whether both mates align but do not form a proper pair."""
    if not read.is_paired or read.is_unmapped or read.mate_is_unmapped:
        return False
    return not read.is_proper_pair


def count_with_htseq(bam: Path, gtf: Path, strandedness: str) -> str:
    """Return HTSeq's table: gene and count, tab-separated, its own counters at the end."""
    command = [
        sys.executable, "-m", "HTSeq.scripts.count",
        "--format", "bam",
        "--order", "pos",
        "--stranded", _HTSEQ[strandedness],
        "--type", "exon",
        "--idattr", "gene_id",
        "--mode", "union",
        "--nonunique", "none",
        "--secondary-alignments", "ignore",
        "--supplementary-alignments", "ignore",
        "--minaqual", "0",
        "--max-reads-in-buffer", "1000000000",
        "--quiet",
        str(bam), str(gtf),
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        lines = result.stderr.strip().splitlines()
        raise InputError(
            f"{bam}: HTSeq cannot count it: {lines[-1] if lines else 'no message'}",
            "check that BAM and annotation come from the same reference",
        )
    return result.stdout


def count_linear(bam: Path, gtf: Path, strandedness: str, output: Path) -> pd.Series:
    """Count the linear fragments of a BAM by HTSeq; the copy of them lies beside ``output``."""
    output.parent.mkdir(parents=True, exist_ok=True)
    linear = output.with_name(f".{output.name}.linear.bam")
    try:
        copy_linear(bam, linear)
        return read_counts(count_with_htseq(linear, gtf, strandedness), 1, "HTSeq's table")
    finally:
        linear.unlink(missing_ok=True)


def read_counts(text: str, column: int, source: str) -> pd.Series:
    """Read gene counts from a table without header, leaving out the lines that count no gene.

    Parameters
    ----------
    column
        Of the count; the first is the gene.

    Returns
    -------
    pandas.Series
        Count of every gene, indexed by gene, in the table's order.

    Raises
    ------
    InputError
        If a line is not a gene with a count.
    """
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split("\t")
        if fields[0].startswith(("__", "N_")):
            continue
        if len(fields) <= column or not fields[column].isdigit():
            raise InputError(
                f"{source}, line {number}: no count in column {column + 1}: {line[:100]}",
                "give the ReadsPerGene.out.tab that STAR wrote with the BAM",
            )
        counts[fields[0]] = int(fields[column])
    return pd.Series(counts, dtype="int64")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    result.add_argument("--bam", type=Path, required=True)
    result.add_argument("--gtf", type=Path, required=True, help="exon lines of the annotation")
    result.add_argument("--summary", type=Path, required=True, help="alignment summary")
    result.add_argument("--star-counts", type=Path, help="STAR's ReadsPerGene.out.tab")
    result.add_argument("--library", required=True, help="name of the column")
    result.add_argument("--output", type=Path, required=True, help="gene_id and count")
    return result


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Count a library."""
    arguments = parser().parse_args(argv)
    strandedness = library_strandedness(arguments.summary)
    if arguments.star_counts:
        text = arguments.star_counts.read_text(encoding="utf-8")
        counts = read_counts(text, _STAR_COLUMN[strandedness], str(arguments.star_counts))
    else:
        counts = count_linear(arguments.bam, arguments.gtf, strandedness, arguments.output)
    write_matrix(counts.sort_index().to_frame(arguments.library), arguments.output, "gene_id")


if __name__ == "__main__":
    sys.exit(main())

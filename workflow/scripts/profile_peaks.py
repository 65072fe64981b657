"""Profile m6A peaks: where along the transcript their summits lie, and which letters surround them.

How both are counted is described in ``ringmark.profiles``. The place along the transcript is that
of the peaks of each condition, a peak of two conditions in both; the letters are those of all
peaks. Peaks in introns are left out of both. Without peaks on coding transcripts, without motifs at
summits or without a genome a table has its header and no rows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from call_peaks import check_contigs, in_exons, sequence_reader
from ringmark.annotation import Annotation, Gene
from ringmark.errors import InputError, program
from ringmark.profiles import metagene_rows, motif_rows
from ringmark.tables import METAGENE, MOTIF, PEAKS


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    command = argparse.ArgumentParser(description="Profile m6A peaks along transcripts.")
    command.add_argument("--peaks", type=Path, required=True, help="table of peaks")
    command.add_argument("--annotation", type=Path, required=True, help="table of transcripts")
    command.add_argument("--genome", type=Path, help="FASTA, for the letters")
    command.add_argument("--metagene", type=Path, required=True, help="table of places")
    command.add_argument("--motif", type=Path, required=True, help="table of letters")
    return command


def summits_of(peaks: pd.DataFrame, annotation: Annotation) -> list[tuple[Gene, int]]:
    """Return gene and summit of each peak.

    Raises
    ------
    InputError
        If a gene is not annotated.
    """
    missing = sorted(set(peaks["gene_id"]) - set(annotation.genes))
    if missing:
        raise InputError(
            f"--peaks: gene {missing[0]} is not in the annotation",
            "give the annotation that the peaks were called with",
        )
    return [
        (annotation.genes[str(row.gene_id)], int(row.summit))
        for row in peaks.itertuples(index=False)
    ]


def metagene(
    summits: Sequence[tuple[Gene, int]], conditions: Sequence[Sequence[str]]
) -> list[dict[str, object]]:
    """Return the rows of all conditions, in order of appearance.

    Parameters
    ----------
    conditions
        Of each summit.
    """
    names = dict.fromkeys(name for own in conditions for name in own)
    return [
        row
        for name in names
        for row in metagene_rows(
            name,
            [summit for summit, own in zip(summits, conditions, strict=True) if name in own],
        )
    ]


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Run the program."""
    options = parser().parse_args(argv)
    peaks = in_exons(PEAKS.read(options.peaks))
    summits = summits_of(peaks, Annotation.read(options.annotation))
    conditions = [names.split(",") for names in peaks["conditions"].fillna("").astype(str)]
    with sequence_reader(options.genome) as genome:
        check_contigs({gene.chrom for gene, _ in summits}, genome)
        letters = motif_rows(summits, genome) if genome is not None else []
    METAGENE.write(metagene(summits, conditions), options.metagene)
    MOTIF.write(letters, options.motif)


if __name__ == "__main__":
    sys.exit(main())

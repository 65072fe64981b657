"""Say which circles carry m6A, and on what evidence.

For every circle the back-splice fragments of each IP are held against those of its input under the
background ratio of the pair, by condition and pooled (``ringmark.enrichment``). Peaks on the
circle's own sequence or on its shared exons, and its DRACH motifs, stand beside.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from contrast_options import add_contrast_options, study_from
from ringmark.annotation import Annotation
from ringmark.circles import read_circle_blocks
from ringmark.enrichment import PeaksOnCircles, circle_m6a_table
from ringmark.errors import InputError, program
from ringmark.intervals import Blocks
from ringmark.study import Pair, Study
from ringmark.tables import CIRCLE_M6A, PEAKS, read_background, read_matrix


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    options = argparse.ArgumentParser(description="Find m6A on circles.")
    add_contrast_options(options)
    options.add_argument("--bed", type=Path, required=True, help="circles, BED12")
    options.add_argument("--fasta", type=Path, required=True, help="their spliced sequences")
    options.add_argument("--bsj-counts", type=Path, required=True)
    options.add_argument("--background", type=Path, required=True, help="log ratio of each pair")
    options.add_argument("--peaks", type=Path, required=True)
    options.add_argument("--annotation", type=Path, required=True, help="table of transcripts")
    options.add_argument("--fdr", type=float, default=0.05)
    options.add_argument("--output", type=Path, required=True)
    return options


def read_circles(bed: Path, fasta: Path) -> dict[str, tuple[str, Blocks, str]]:
    """Return circle id to contig, exons and spliced sequence, in the order of the BED file."""
    sequences = {}
    for entry in fasta.read_text(encoding="utf-8").split(">")[1:]:
        name, _, sequence = entry.partition("\n")
        sequences[name] = sequence.replace("\n", "")
    return {
        name: (chrom, blocks, sequences[name])
        for name, (chrom, blocks) in read_circle_blocks(bed).items()
    }


def pairs_of(study: Study, samples: Path) -> Sequence[Pair]:
    """Return the pairs of IP and input.

    Raises
    ------
    InputError
        If the study has none.
    """
    if not study.pairs:
        raise InputError(
            f"{samples}: no library with assay ip", "m6A on circles needs IPs and their inputs"
        )
    return study.pairs


def read_counts(path: Path, pairs: Sequence[Pair]) -> pd.DataFrame:
    """Return the back-splice fragments of circles in the libraries of all pairs.

    Raises
    ------
    InputError
        If a library is not in the table.
    """
    counts = read_matrix(path)
    needed = dict.fromkeys(item.name for pair in pairs for item in (pair.input, pair.ip))
    missing = [name for name in needed if name not in counts.columns]
    if missing:
        raise InputError(
            [f"{path}: no column {name}" for name in missing],
            "give the counts of the libraries of the samples sheet",
        )
    return counts


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Write the table of m6A on circles."""
    arguments = parser().parse_args(argv)
    pairs = pairs_of(study_from(arguments), arguments.samples)
    table = circle_m6a_table(
        read_circles(arguments.bed, arguments.fasta),
        read_counts(arguments.bsj_counts, pairs),
        pairs,
        read_background(arguments.background, [pair.ip.name for pair in pairs]),
        PeaksOnCircles(PEAKS.read(arguments.peaks), Annotation.read(arguments.annotation)),
        arguments.fdr,
    )
    CIRCLE_M6A.write(table, arguments.output)


if __name__ == "__main__":
    sys.exit(main())

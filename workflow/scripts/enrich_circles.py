"""Say which circles carry m6A, and on what evidence.

For every circle the back-splice fragments of each IP are held against those of its input under the
background ratio of the host gene in the pair, by condition and pooled (``ringmark.enrichment``).
Peaks on the circle's own sequence or on its shared exons, and its DRACH motifs, stand beside. A
second table tells what the counts could have shown (``ringmark.detection``); for that ``--bins`` of
the IPs tell how long fragments are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from contrast_options import add_contrast_options, study_from
from ringmark.annotation import Annotation
from ringmark.bins import FragmentLengths
from ringmark.circles import read_circle_blocks
from ringmark.detection import Reach
from ringmark.enrichment import CircleBackground, circle_m6a_table
from ringmark.errors import InputError, program
from ringmark.intervals import Blocks
from ringmark.study import Pair, Study
from ringmark.tables import CIRCLE_M6A, CIRCLES, DETECTION, GENE_BACKGROUND, PEAKS, read_matrix

#: Types of circles whose RNA is not that of the gene they are listed with.
_WITHOUT_HOST = ("antisense", "intergenic")


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    options = argparse.ArgumentParser(description="Find m6A on circles.")
    add_contrast_options(options)
    options.add_argument("--circles", type=Path, required=True, help="catalogue of circles")
    options.add_argument("--bed", type=Path, required=True, help="circles, BED12")
    options.add_argument("--fasta", type=Path, required=True, help="their spliced sequences")
    options.add_argument("--bsj-counts", type=Path, required=True)
    options.add_argument(
        "--background", type=Path, required=True, help="log ratio of genes, by call_peaks.py"
    )
    options.add_argument("--peaks", type=Path, required=True)
    options.add_argument("--annotation", type=Path, required=True, help="table of transcripts")
    options.add_argument(
        "--bins", nargs="*", default=[], type=Path, metavar="IP.npz", help="by count_bins.py"
    )
    options.add_argument("--fdr", type=float, default=0.05)
    options.add_argument("--output", type=Path, required=True)
    options.add_argument("--detection", type=Path, required=True, help="limits of detection")
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


def background_of(path: Path, catalogue: Path, ips: Sequence[str]) -> CircleBackground:
    """Return the background of the circles of a catalogue.

    Raises
    ------
    InputError
        If a table is malformed, or holds no finite ratio of an IP.
    """
    genes = GENE_BACKGROUND.read(path)
    any_gene = genes[genes["gene_id"].isna()].dropna(subset=["log_ratio", "error"])
    missing = [name for name in ips if name not in set(any_gene["ip_library"])]
    if missing:
        raise InputError(
            [f"{path}: no background ratio of {name}" for name in missing],
            "give the table that call_peaks.py made of the same pairs",
        )
    circles = CIRCLES.read(catalogue).set_index("circle")
    hosts = circles["gene_id"].mask(circles["type"].isin(_WITHOUT_HOST))
    return CircleBackground.of_genes(genes, hosts)


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Write the table of m6A on circles."""
    arguments = parser().parse_args(argv)
    pairs = pairs_of(study_from(arguments), arguments.samples)
    lengths = [FragmentLengths.load(path) for path in arguments.bins]
    table = circle_m6a_table(
        read_circles(arguments.bed, arguments.fasta),
        read_counts(arguments.bsj_counts, pairs),
        pairs,
        background_of(arguments.background, arguments.circles, [pair.ip.name for pair in pairs]),
        PEAKS.read(arguments.peaks),
        Annotation.read(arguments.annotation),
        arguments.fdr,
        Reach.of(lengths) if lengths else None,
    )
    CIRCLE_M6A.write(table, arguments.output)
    DETECTION.write(table, arguments.detection)


if __name__ == "__main__":
    sys.exit(main())

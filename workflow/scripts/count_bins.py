"""Count the fragments of one library on the bins of all genes.

Every fragment of the BAM is placed, in one pass, on the spliced coordinates of the gene whose exons
hold it (see ``ringmark.bins`` for what that means where genes overlap, reads are unstranded or
mates lie far apart). The counts are kept in a compressed ``.npz`` file, from which coverage, bins
and the fragments of any interval of a gene follow without the BAM.

With ``--introns`` the fragments are placed on the introns of the genes instead, each by itself.

A fragment is used if the mapping quality of its mates is at least ``--min-mapping-quality``. Reads
of single-end libraries are extended to ``--fragment-length`` along the RNA.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from ringmark.alignments import USABLE_MAPPING_QUALITY, library_strandedness
from ringmark.annotation import Annotation
from ringmark.bins import BIN_WIDTH, BinLayout, Coverage, count_fragments
from ringmark.errors import InputError, program
from ringmark.fragments import read_batches

#: Usual length of the fragments of an m6A IP, nucleotides.
FRAGMENT_LENGTH = 100


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    command = argparse.ArgumentParser(
        description="Count the fragments of one library on the bins of all genes."
    )
    command.add_argument("--bam", type=Path, required=True, help="coordinate-sorted BAM")
    command.add_argument("--annotation", type=Path, required=True, help="table of transcripts")
    command.add_argument(
        "--summary",
        type=Path,
        required=True,
        help="table of libraries with one row, whose strandedness is used",
    )
    command.add_argument("--output", type=Path, required=True, help="counts, .npz")
    command.add_argument(
        "--introns", action="store_true", help="count on the introns of genes, not on their exons"
    )
    command.add_argument(
        "--min-mapping-quality",
        type=int,
        default=USABLE_MAPPING_QUALITY,
        help="of both mates (default %(default)s)",
    )
    command.add_argument(
        "--bin-width", type=int, default=BIN_WIDTH, help="nucleotides (default %(default)s)"
    )
    command.add_argument(
        "--fragment-length",
        type=int,
        default=FRAGMENT_LENGTH,
        help="to which single-end reads are extended (default %(default)s)",
    )
    return command


def is_single_end(summary: Path) -> bool:
    """Return whether the one-row alignment summary of a library says it is single-end."""
    with summary.open(encoding="utf-8", newline="") as handle:
        return [row.get("layout") for row in csv.DictReader(handle, delimiter="\t")] == ["single"]


def layout_of(annotation: Path, width: int, introns: bool = False) -> BinLayout:
    """Read the annotation and lay bins over the exons, or the introns, of its genes.

    Raises
    ------
    InputError
        If the width is no multiple of a step.
    """
    lay_bins = BinLayout.of_introns if introns else BinLayout.of
    try:
        return lay_bins(Annotation.read(annotation), width)
    except ValueError as error:
        raise InputError(
            f"--bin-width {width}: {error}", f"the default is {BIN_WIDTH} nucleotides"
        ) from error


def count_bam(
    bam: Path, layout: BinLayout, strandedness: str, min_quality: int, extension: int
) -> Coverage:
    """Count the fragments of a BAM.

    Parameters
    ----------
    extension
        Length to which single-end reads are extended; 0 for pairs.

    Raises
    ------
    InputError
        If the file cannot be read as BAM.
    """
    try:
        # To be extended, a read has to tell its direction even if that is not the gene's.
        read_as = "forward" if extension and strandedness == "unstranded" else strandedness
        batches = read_batches(bam, read_as, min_quality)
        return count_fragments(batches, layout, strandedness, extension)
    except (OSError, ValueError) as error:
        raise InputError(f"{bam}: {error}", "give a coordinate-sorted BAM file") from error


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Run the program."""
    options = parser().parse_args(argv)
    layout = layout_of(options.annotation, options.bin_width, options.introns)
    strandedness = library_strandedness(options.summary)
    extension = options.fragment_length if is_single_end(options.summary) else 0
    coverage = count_bam(options.bam, layout, strandedness, options.min_mapping_quality, extension)
    (coverage.sparse() if options.introns else coverage).save(options.output)
    place = "introns" if options.introns else "exons"
    counted = f"{coverage.fragments} fragments, {coverage.counted} in {place} of a gene"
    print(f"{options.bam.name}: {counted}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

"""Count the fragments of one library on the bins of all genes.

Every fragment of the BAM is placed, in one pass, on the spliced coordinates of the gene whose exons
hold it (see ``ringmark.bins`` for what that means where genes overlap, reads are unstranded or
mates lie far apart). The counts are kept in a compressed ``.npz`` file, from which coverage, bins
and the fragments of any interval of a gene follow without the BAM.

A fragment is used if the mapping quality of its mates is at least ``--min-mapping-quality``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pysam

from ringmark.alignments import iterate_fragments, library_strandedness
from ringmark.annotation import Annotation
from ringmark.bins import BIN_WIDTH, BinLayout, Coverage, count_fragments
from ringmark.errors import InputError, program


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
        "--min-mapping-quality", type=int, default=10, help="of both mates (default %(default)s)"
    )
    command.add_argument(
        "--bin-width", type=int, default=BIN_WIDTH, help="nucleotides (default %(default)s)"
    )
    return command


def layout_of(annotation: Path, width: int) -> BinLayout:
    """Read the annotation and lay bins over its genes.

    Raises
    ------
    InputError
        If the width is no multiple of a step.
    """
    try:
        return BinLayout.of(Annotation.read(annotation), width)
    except ValueError as error:
        raise InputError(
            f"--bin-width {width}: {error}", f"the default is {BIN_WIDTH} nucleotides"
        ) from error


def count_bam(bam: Path, layout: BinLayout, strandedness: str, min_quality: int) -> Coverage:
    """Count the fragments of a BAM.

    Raises
    ------
    InputError
        If the file cannot be read as BAM.
    """
    try:
        with pysam.AlignmentFile(str(bam), "rb") as reads:
            fragments = iterate_fragments(reads, strandedness, min_quality)
            return count_fragments(fragments, layout, strandedness)
    except (OSError, ValueError) as error:
        raise InputError(f"{bam}: {error}", "give a coordinate-sorted BAM file") from error


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Run the program."""
    options = parser().parse_args(argv)
    layout = layout_of(options.annotation, options.bin_width)
    coverage = count_bam(
        options.bam, layout, library_strandedness(options.summary), options.min_mapping_quality
    )
    coverage.save(options.output)
    print(
        f"{options.bam.name}: {coverage.fragments} fragments, {coverage.counted} in exons of a gene"
    )


if __name__ == "__main__":
    sys.exit(main())

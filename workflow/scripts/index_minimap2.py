"""Build the minimap2 index of a genome for short RNA reads, through mappy.

The seeds are short and dense (every 11-mer) because reads of 30 nt with a mismatch and the 16 nt
ends of split reads must find one; this suits genomes up to about a hundred megabases. For larger
ones use STAR.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ringmark.errors import InputError, program
from ringmark.files import whole_file


def build_index(fasta: Path, output: Path, kmer: int, window: int, threads: int) -> None:
    """Write the index to ``output``, whole or not at all.

    Raises
    ------
    InputError
        If a setting is out of range or the FASTA has no sequence.
    """
    if not 5 <= kmer <= 28 or not 1 <= window <= 255:
        raise InputError(
            f"minimizers of {kmer} nt in windows of {window}",
            "minimap2 takes 5 to 28 nt and windows of 1 to 255",
        )
    if not fasta.is_file() or fasta.stat().st_size == 0:
        raise InputError(f"{fasta}: no genome sequence", "give the genome as FASTA")
    import mappy

    with whole_file(output) as temporary:
        aligner = mappy.Aligner(
            str(fasta),
            preset="splice:sr",
            k=kmer,
            w=window,
            n_threads=threads,
            fn_idx_out=str(temporary),
        )
        if not aligner or not any(aligner.seq(name, 0, 1) for name in aligner.seq_names):
            raise InputError(f"{fasta}: no genome sequence", "give the genome as FASTA")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    result.add_argument("--fasta", type=Path, required=True, help="the genome, plain or gzipped")
    result.add_argument("--output", type=Path, required=True, help="the index (.mmi)")
    result.add_argument("--kmer", type=int, default=11, help="length of a minimizer")
    result.add_argument("--window", type=int, default=1, help="k-mers of which one is kept")
    result.add_argument("--threads", type=int, default=1)
    return result


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Build the index."""
    arguments = parser().parse_args(argv)
    build_index(
        arguments.fasta, arguments.output, arguments.kmer, arguments.window, arguments.threads
    )


if __name__ == "__main__":
    sys.exit(main())

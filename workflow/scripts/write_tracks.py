"""Write the coverage of a library as two bigWig tracks, one a strand of the RNA.

The value at a base is the number of fragments that cover it, per million aligned fragments of the
library. A fragment covers the union of its mates' aligned blocks once; introns and what lies
between the mates are not covered. Alignments of mapping quality under 10 are left out. Of an
unstranded library all coverage is in the plus track, and the minus track is valid and empty.

The BAM is read twice, first to count its fragments, then contig by contig, so that memory grows
with the blocks of one contig only.
"""

from __future__ import annotations

import argparse
import sys
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ringmark.alignments import (
    USABLE_MAPPING_QUALITY,
    Fragment,
    iterate_fragments,
    library_strandedness,
)
from ringmark.errors import program
from ringmark.files import whole_file

if TYPE_CHECKING:
    import pyBigWig
    import pysam

_ENTRIES = 100_000

IntArray = npt.NDArray[np.int64]


def depth_runs(starts: IntArray, ends: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return the depth of coverage by half-open intervals, run-length encoded.

    Returns
    -------
    tuple of numpy.ndarray
        Starts, ends and depths of the runs of equal depth above 0, sorted.

    Examples
    --------
    >>> depth_runs(np.array([0, 2]), np.array([4, 4]))
    (array([0, 2]), array([2, 4]), array([1, 2]))
    """
    edges, inverse = np.unique(np.concatenate([starts, ends]), return_inverse=True)
    steps = np.repeat(np.array([1, -1], dtype=np.int64), [len(starts), len(ends)])
    changes = np.zeros(len(edges), dtype=np.int64)
    np.add.at(changes, inverse, steps)
    keep = changes != 0
    edges, depths = edges[keep], np.cumsum(changes[keep])
    covered = depths[:-1] > 0
    return edges[:-1][covered], edges[1:][covered], depths[:-1][covered]


def collect_blocks(fragments: Iterable[Fragment]) -> dict[str, tuple[IntArray, IntArray]]:
    """Return starts and ends of all blocks by strand: ``+`` (also unstranded) and ``-``."""
    edges = {"+": (array("q"), array("q")), "-": (array("q"), array("q"))}
    for fragment in fragments:
        starts, ends = edges["-" if fragment.strand == "-" else "+"]
        for start, end in fragment.blocks:
            starts.append(start)
            ends.append(end)
    return {
        strand: (np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64))
        for strand, (starts, ends) in edges.items()
    }


def count_aligned(bam: pysam.AlignmentFile) -> int:
    """Return the number of fragments of which a mate is aligned."""
    count = 0
    for read in bam.fetch(until_eof=True):
        if read.is_secondary or read.is_supplementary or read.is_read2:
            continue
        count += not read.is_unmapped or (read.is_paired and not read.mate_is_unmapped)
    return count


def add_runs(
    track: pyBigWig.pyBigWig,
    chrom: str,
    runs: tuple[IntArray, IntArray, IntArray],
    scale: float,
) -> None:
    """Append the runs of one contig to a track."""
    starts, ends, depths = runs
    for first in range(0, len(starts), _ENTRIES):
        part = slice(first, first + _ENTRIES)
        track.addEntries(
            [chrom] * len(starts[part]),
            starts[part].tolist(),
            ends=ends[part].tolist(),
            values=(depths[part] * scale).tolist(),
        )


def write_tracks(bam: Path, plus: Path, minus: Path, strandedness: str) -> None:
    """Write both tracks, whole or not at all."""
    import pyBigWig
    import pysam

    with (
        pysam.AlignmentFile(str(bam)) as reads,
        whole_file(plus) as plus_part,
        whole_file(minus) as minus_part,
    ):
        scale = 1e6 / max(count_aligned(reads), 1)
        contigs = list(zip(reads.references, reads.lengths, strict=True))
        parts = {"+": plus_part, "-": minus_part}
        tracks = {strand: pyBigWig.open(str(path), "w") for strand, path in parts.items()}
        for track in tracks.values():
            track.addHeader(contigs)
        for chrom, _ in contigs:
            fragments = iterate_fragments(reads, strandedness, USABLE_MAPPING_QUALITY, chrom)
            for strand, (starts, ends) in collect_blocks(fragments).items():
                add_runs(tracks[strand], chrom, depth_runs(starts, ends), scale)
        for track in tracks.values():
            track.close()


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    result.add_argument("--bam", type=Path, required=True)
    result.add_argument("--summary", type=Path, required=True, help="alignment summary")
    result.add_argument("--plus", type=Path, required=True, help="bigWig of the plus strand")
    result.add_argument("--minus", type=Path, required=True, help="bigWig of the minus strand")
    return result


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Write the tracks of a library."""
    arguments = parser().parse_args(argv)
    write_tracks(
        arguments.bam, arguments.plus, arguments.minus, library_strandedness(arguments.summary)
    )


if __name__ == "__main__":
    sys.exit(main())

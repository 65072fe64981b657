"""Summarise the alignment of a library in one pass and find its strandedness.

- ``reads``: fragments in the BAM; a pair is one.
- ``aligned_fraction``: fragments of which a mate is aligned.
- ``usable_fraction``: fragments with a primary alignment of mapping quality 10 or more that
  overlaps an annotated exon.
- ``sense_fraction``: of the usable fragments that overlap exactly one gene, the share whose first
  mate lies on the gene's strand; ``NA`` where there are none.

A share of 0.75 or more is a ``forward`` library, 0.25 or less a ``reverse`` one, anything between
``unstranded``. With fewer than 100 informative fragments what was declared holds, and ``auto``
becomes ``unstranded``. What was declared and the reads contradict is an error: counting on the
wrong strand loses nearly all reads without a sign.
"""

from __future__ import annotations

import argparse
import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ringmark.alignments import (
    STRANDEDNESSES,
    USABLE_MAPPING_QUALITY,
    Fragment,
    join_mates,
)
from ringmark.annotation import Annotation
from ringmark.errors import InputError, program
from ringmark.tables import LIBRARIES, Table

if TYPE_CHECKING:
    import pysam

MINIMUM_INFORMATIVE = 100
FORWARD, REVERSE = 0.75, 0.25

#: The columns of the libraries table that the reads decide.
SUMMARY = Table(
    "alignment summary",
    {
        name: kind
        for name, kind in LIBRARIES.columns.items()
        if name not in ("sample", "condition", "assay")
    },
)


class ExonMap:
    """Genes and exons along the contigs, for look-ups by block.

    Parameters
    ----------
    annotation
        All genes.
    """

    def __init__(self, annotation: Annotation) -> None:
        events: dict[str, list[tuple[int, bool, bool, str]]] = defaultdict(list)
        for gene in annotation.genes.values():
            edges = events[gene.chrom]
            edges += [(gene.start, True, False, gene.gene_id)]
            edges += [(gene.end, False, False, gene.gene_id)]
            for start, end in zip(gene.union.starts, gene.union.ends, strict=True):
                edges += [(int(start), True, True, gene.gene_id)]
                edges += [(int(end), False, True, gene.gene_id)]
        self._strands = {gene.gene_id: gene.strand for gene in annotation.genes.values()}
        self._segments = {chrom: _segments(edges) for chrom, edges in events.items()}

    def look_up(self, fragment: Fragment) -> tuple[bool, str | None]:
        """Tell whether a fragment overlaps an exon and the strand of its gene.

        Returns
        -------
        tuple
            The strand is ``None`` where it overlaps no gene, several, or no exon.
        """
        if fragment.chrom not in self._segments:
            return False, None
        starts, genes, exonic = self._segments[fragment.chrom]
        found: set[str] = set()
        on_exon = False
        for start, end in fragment.blocks:
            index = max(bisect_right(starts, start) - 1, 0)
            while index < len(starts) and starts[index] < end:
                # The first segment may begin behind the block's start, never end before it.
                found |= genes[index]
                on_exon |= exonic[index]
                index += 1
        strand = self._strands[next(iter(found))] if on_exon and len(found) == 1 else None
        return on_exon, strand


def _segments(
    edges: list[tuple[int, bool, bool, str]],
) -> tuple[list[int], list[frozenset[str]], list[bool]]:
    """Cut a contig where a gene or an exon begins or ends."""
    starts: list[int] = []
    genes: list[frozenset[str]] = []
    exonic: list[bool] = []
    active: set[str] = set()
    exons = 0
    for position, opens, is_exon, gene in sorted(edges):
        if is_exon:
            exons += 1 if opens else -1
        elif opens:
            active.add(gene)
        else:
            active.discard(gene)
        if starts and starts[-1] == position:
            genes[-1], exonic[-1] = frozenset(active), exons > 0
        else:
            starts.append(position)
            genes.append(frozenset(active))
            exonic.append(exons > 0)
    return starts, genes, exonic


@dataclass
class Tally:
    """What is counted in the pass over the reads."""

    fragments: int = 0
    aligned: int = 0
    usable: int = 0
    sense: int = 0
    antisense: int = 0
    read_length: int = 0
    paired: bool = False
    exons: ExonMap = field(default_factory=lambda: ExonMap(Annotation()))

    @property
    def informative(self) -> int:
        """Fragments that tell the strandedness."""
        return self.sense + self.antisense

    @property
    def sense_fraction(self) -> float | None:
        """Share of the informative fragments with the first mate on the gene's strand."""
        return self.sense / self.informative if self.informative else None

    def watch(self, reads: Iterable[pysam.AlignedSegment]) -> Iterator[pysam.AlignedSegment]:
        """Count reads on their way to where mates are joined."""
        for read in reads:
            if read.is_secondary or read.is_supplementary:
                continue
            self.read_length = max(self.read_length, read.query_length)
            self.paired |= read.is_paired
            if not read.is_read2:
                self.fragments += 1
                self.aligned += not read.is_unmapped or (
                    read.is_paired and not read.mate_is_unmapped
                )
            elif _mate_elsewhere(read):
                # The first mate stands for a pair on two contigs, so that it counts once.
                continue
            yield read

    def run(self, reads: Iterable[pysam.AlignedSegment]) -> None:
        """Count all reads, in coordinate order."""
        for fragment in join_mates(self.watch(reads), "forward", USABLE_MAPPING_QUALITY):
            on_exon, strand = self.exons.look_up(fragment)
            self.usable += on_exon
            if strand is not None:
                self.sense += strand == fragment.strand
                self.antisense += strand != fragment.strand


def _mate_elsewhere(read: pysam.AlignedSegment) -> bool:
    return (
        not read.is_unmapped
        and not read.mate_is_unmapped
        and read.next_reference_id != read.reference_id
    )


def strandedness_of_reads(sense_fraction: float) -> str:
    """Return the strandedness that a share of sense fragments means."""
    if sense_fraction >= FORWARD:
        return "forward"
    return "reverse" if sense_fraction <= REVERSE else "unstranded"


def resolve_strandedness(declared: str, tally: Tally, library: str) -> str:
    """Return the strandedness to use.

    Raises
    ------
    InputError
        If enough reads contradict what was declared.
    """
    sense = tally.sense_fraction
    if sense is None or tally.informative < MINIMUM_INFORMATIVE:
        return "unstranded" if declared == "auto" else declared
    found = strandedness_of_reads(sense)
    if declared in ("auto", found):
        return found
    raise InputError(
        f"library {library}: declared {declared}, but of {tally.informative} fragments "
        f"{sense:.3f} are sense and {1 - sense:.3f} antisense to their gene: the reads are {found}",
        f"write {found} or auto in the column strandedness of library {library}, "
        "or check that its files are those of this library",
    )


def summarise(bam: Path, annotation: Annotation, library: str, declared: str) -> dict[str, object]:
    """Return the one row of the summary."""
    import pysam

    tally = Tally(exons=ExonMap(annotation))
    with pysam.AlignmentFile(str(bam)) as reads:
        tally.run(reads.fetch(until_eof=True))

    def share(part: int) -> float | None:
        return part / tally.fragments if tally.fragments else None

    return {
        "library": library,
        "layout": "paired" if tally.paired else "single",
        "read_length": tally.read_length or None,
        "strandedness": resolve_strandedness(declared, tally, library),
        "strandedness_declared": declared,
        "sense_fraction": tally.sense_fraction,
        "reads": tally.fragments,
        "aligned_fraction": share(tally.aligned),
        "usable_fraction": share(tally.usable),
    }


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    result.add_argument("--bam", type=Path, required=True)
    result.add_argument("--annotation", type=Path, required=True, help="transcript table")
    result.add_argument("--library", required=True)
    result.add_argument("--strandedness", choices=("auto", *STRANDEDNESSES), default="auto")
    result.add_argument("--output", type=Path, required=True, help="table of one row")
    return result


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Summarise a library."""
    arguments = parser().parse_args(argv)
    row = summarise(
        arguments.bam,
        Annotation.read(arguments.annotation),
        arguments.library,
        arguments.strandedness,
    )
    SUMMARY.write([row], arguments.output)


if __name__ == "__main__":
    sys.exit(main())

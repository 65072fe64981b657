"""Pairs of annotated exon ends that stand next to each other in a read.

A read over a back-splice shows the last bases of an exon directly before the first bases of the
same or an earlier exon of the gene. The `SEED` bases inside every exon's end are indexed, so that
a read finds such a pair wherever, and whether or not, an aligner placed it.

Sequences are in the sense of the RNA: a donor is the end of an exon, an acceptor its beginning.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pysam

from ringmark.annotation import Annotation, Gene
from ringmark.sequence import mismatches, reverse_complement

#: Bases on each side of a junction that a read must share with the exons' ends.
SEED = 12
#: Spliced bases inwards from an exon's end that are compared with a read.
CONTEXT = 60
#: Share of them that may differ, on each side.
MISMATCH_RATE = 0.1


@dataclass(frozen=True, slots=True)
class _End:
    """An exon's end in a gene: its position and the bases inwards, one for each way of splicing."""

    gene: Gene
    position: int
    contexts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EndPair:
    """A donor followed by an acceptor in a read, as a circle would join them.

    Attributes
    ----------
    start, end
        The circle on the genome.
    cut
        First base after the junction in the read, in the sense of the RNA.
    wrong
        Bases of the read that differ from both exons, as far as they were compared.
    """

    gene: Gene
    start: int
    end: int
    cut: int
    wrong: int


class ExonEnds:
    """Index of the exon ends of an annotation by their sequence.

    Parameters
    ----------
    annotation, genome
        The reference.
    spans
        Shortest and longest distance between the ends of a circle.
    """

    def __init__(
        self, annotation: Annotation, genome: pysam.FastaFile, spans: tuple[int, int]
    ) -> None:
        self.spans = spans
        self.donors: dict[str, list[_End]] = defaultdict(list)
        self.acceptors: dict[str, list[_End]] = defaultdict(list)
        for gene in annotation.genes.values():
            self._add(gene, genome)

    def _add(self, gene: Gene, genome: pysam.FastaFile) -> None:
        bases = str(genome.fetch(gene.chrom, gene.start, gene.end)).upper()
        donors: dict[int, dict[str, None]] = defaultdict(dict)
        acceptors: dict[int, dict[str, None]] = defaultdict(dict)
        for transcript in gene.transcripts:
            starts, ends = transcript.exons.starts.tolist(), transcript.exons.ends.tolist()
            spliced, bounds = "", [0]
            for start, end in zip(starts, ends, strict=True):
                spliced += bases[start - gene.start : end - gene.start]
                bounds.append(len(spliced))
            size = len(spliced)
            inner = list(zip(ends[:-1], starts[1:], bounds[1:-1], strict=True))
            if gene.strand == "-":
                spliced = reverse_complement(spliced)
                inner = [(start, end, size - bound) for end, start, bound in reversed(inner)]
            for donor, acceptor, bound in inner:
                donors[donor][spliced[max(bound - CONTEXT, 0) : bound]] = None
                acceptors[acceptor][spliced[bound : bound + CONTEXT]] = None
        for position, found in donors.items():
            contexts = [item[::-1] for item in longest([item[::-1] for item in found])]
            for seed in {item[-SEED:]: None for item in contexts if len(item) >= SEED}:
                self.donors[seed].append(_End(gene, position, tuple(contexts)))
        for position, found in acceptors.items():
            contexts = longest(list(found))
            for seed in {item[:SEED]: None for item in contexts if len(item) >= SEED}:
                self.acceptors[seed].append(_End(gene, position, tuple(contexts)))

    def pairs(self, sequence: str) -> list[EndPair]:
        """Return the pairs of a read that differ least from it; several if they tie.

        Parameters
        ----------
        sequence
            The read in the sense of the RNA.
        """
        acceptors = self.acceptors
        found = [
            pair
            for cut in range(SEED, len(sequence) - SEED + 1)
            if sequence[cut : cut + SEED] in acceptors
            for pair in self._pairs_at(sequence, cut)
        ]
        best = min((pair.wrong for pair in found), default=0)
        return [pair for pair in found if pair.wrong == best]

    def _pairs_at(self, sequence: str, cut: int) -> Iterable[EndPair]:
        donors = self.donors.get(sequence[cut - SEED : cut], ())
        if not donors:
            return
        for acceptor in self.acceptors[sequence[cut : cut + SEED]]:
            for donor in donors:
                if donor.gene is not acceptor.gene:
                    continue
                start, end = acceptor.position, donor.position
                if donor.gene.strand == "-":
                    start, end = end, start
                if not self.spans[0] <= end - start <= self.spans[1]:
                    continue
                # a read may go round a circle that is shorter than what is compared
                size = min(CONTEXT, end - start)
                before, after = sequence[max(cut - size, 0) : cut][::-1], sequence[cut : cut + size]
                left = _fewest(before, [context[::-1] for context in donor.contexts])
                right = _fewest(after, acceptor.contexts)
                if left <= MISMATCH_RATE * len(before) and right <= MISMATCH_RATE * len(after):
                    yield EndPair(donor.gene, start, end, cut, left + right)


def longest(contexts: Sequence[str]) -> list[str]:
    """Leave out sequences with which another one begins: transcripts that are cut short."""
    return [
        item
        for item in contexts
        if not any(other != item and other.startswith(item) for other in contexts)
    ]


def _fewest(shown: str, contexts: Sequence[str]) -> int:
    """Return the fewest mismatches of bases with any of some contexts."""
    return min(mismatches(shown, context) for context in contexts)

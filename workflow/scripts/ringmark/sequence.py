"""Nucleotide sequences: reverse complement, splice signals and the DRACH motif of m6A."""

from __future__ import annotations

import re
from operator import ne

import numpy as np
import numpy.typing as npt

_COMPLEMENT = str.maketrans("ACGTUNacgtun", "TGCAANtgcaan")

#: DRACH with D = A/G/T, R = A/G, H = A/C/T; a look-ahead finds overlapping motifs.
_DRACH = re.compile(r"(?=[AGT][AG]AC[ACT])", re.IGNORECASE)

#: Offset of the methylated adenosine in the DRACH motif.
DRACH_OFFSET = 2

#: Donor and acceptor dinucleotides of the introns that spliceosomes remove.
SPLICE_MOTIFS = ("GT/AG", "GC/AG", "AT/AC")


def reverse_complement(sequence: str) -> str:
    """Return the reverse complement of a DNA sequence."""
    return sequence.translate(_COMPLEMENT)[::-1]


def mismatches(first: str, second: str) -> int:
    """Count the places at which two sequences differ, as far as the shorter one goes."""
    size = min(len(first), len(second))
    if first[:size] == second[:size]:
        return 0
    return sum(map(ne, first, second))


#: First and last two bases of an intron on the forward strand to the strand of the RNA and its
#: motif.
INTRON_SIGNALS = {
    ends: signal
    for motif in SPLICE_MOTIFS
    for donor, acceptor in (motif.split("/"),)
    for ends, signal in (
        ((donor, acceptor), ("+", motif)),
        ((reverse_complement(acceptor), reverse_complement(donor)), ("-", motif)),
    )
}


def drach_positions(sequence: str) -> npt.NDArray[np.int64]:
    """Return the 0-based positions of the adenosine of every DRACH motif in an RNA's sequence.

    Parameters
    ----------
    sequence
        DNA letters, 5' to 3' of the RNA.

    References
    ----------
    Dominissini et al. 2012, Nature 485:201.
    """
    return np.array(
        [match.start() + DRACH_OFFSET for match in _DRACH.finditer(sequence)], dtype=np.int64
    )


def junction_shifts(around_start: str, around_end: str) -> tuple[int, int]:
    """Return how far a junction can move without changing the joined sequence.

    Joining the base before ``end`` to the base at ``start`` gives the same sequence when both
    positions move by the same number of bases over a repeat. The same holds for a deletion.

    Parameters
    ----------
    around_start, around_end
        Genome around the two positions, of equal even length, the position in the middle.

    Returns
    -------
    tuple of int
        Bases by which both positions can move left, and right; at most half the length given.

    Examples
    --------
    >>> junction_shifts("CAGGTC", "TAGCTA")
    (2, 0)
    """
    middle = len(around_start) // 2
    left = 0
    while left < middle and around_start[middle - left - 1] == around_end[middle - left - 1]:
        left += 1
    right = 0
    while right < middle and around_start[middle + right] == around_end[middle + right]:
        right += 1
    return left, right

"""Nucleotide sequences: reverse complement, splice signals and the DRACH motif of m6A."""

from __future__ import annotations

import re

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

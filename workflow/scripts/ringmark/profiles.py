"""What peaks of m6A have in common: their place along the transcript, and the letters around them.

Metagene
--------
The summit of a peak lies on the coding transcript that its region comes from
(`ringmark.peaks.coding_place`). 5' UTR, coding sequence and 3' UTR are each cut in `PARTS` parts of
equal length, whatever that length is; a summit counts in the part that holds it. Uniform placement
of the same peaks on the same transcripts would put into each part of a region the region's share of
the transcript over `PARTS`: the sum of that over the peaks is what the summits are held against. It
takes no account of coverage: where a transcript is covered badly no peak can be called. Peaks on no
coding transcript are left out.

Motif
-----
At each summit the nearest DRACH motif up to `MOTIF_DISTANCE` nucleotides away is aligned on its
adenosine; letters count up to `FLANK` nucleotides from it, along the spliced gene. That A and C
stand where they stand is the choice of the motif and no result. D, R, H and the flanks are; they
are held against those of all DRACH motifs of the same genes, each counted once.

The information of a place is, in bits, ``2 - H - 3 / (2 ln(2) n)``, and not below 0: ``H`` is the
entropy of its letters, and the last term what ``n`` letters show by chance (Schneider 1986, Journal
of Molecular Biology 188:415).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from ringmark.annotation import Gene
from ringmark.intervals import IntArray
from ringmark.peaks import CodingPlace, Genome, coding_place, gene_sequence
from ringmark.sequence import drach_positions

#: Regions of a coding transcript, 5' to 3', and the parts that each is cut in.
CODING_REGIONS, PARTS = ("5UTR", "CDS", "3UTR"), 20
#: A motif belongs to a summit up to this distance; letters are counted so far from its adenosine.
MOTIF_DISTANCE, FLANK = 15, 8

LETTERS = "ACGU"
#: Number of each byte's letter; that of T is U's, and what is none of the four is -1.
_CODES = np.full(256, -1, dtype=np.int64)
for _letters, _code in (("Aa", 0), ("Cc", 1), ("Gg", 2), ("UuTt", 3)):
    _CODES[[ord(letter) for letter in _letters]] = _code


def region_bounds(found: CodingPlace) -> list[tuple[int, int]]:
    """Return start and end of the regions of a transcript, in the order of `CODING_REGIONS`."""
    return [(0, found.start), (found.start, found.end), (found.end, found.length)]


def metagene_rows(condition: str, summits: Iterable[tuple[Gene, int]]) -> list[dict[str, object]]:
    """Return the rows of `ringmark.tables.METAGENE` of one condition; none without summits.

    Parameters
    ----------
    summits
        Gene and genomic position of each.
    """
    counts = np.zeros((len(CODING_REGIONS), PARTS), dtype=np.int64)
    uniform = np.zeros((len(CODING_REGIONS), PARTS))
    for gene, position in summits:
        found = coding_place(gene, position)
        if found is None:
            continue
        for region, (start, end) in enumerate(region_bounds(found)):
            uniform[region] += (end - start) / found.length / PARTS
            if start <= found.place < end:
                counts[region, PARTS * (found.place - start) // (end - start)] += 1
    if not counts.any():
        return []
    return [
        {
            "condition": condition,
            "region": name,
            "start": part / PARTS,
            "end": (part + 1) / PARTS,
            "summits": counts[region, part],
            "uniform": uniform[region, part],
        }
        for region, name in enumerate(CODING_REGIONS)
        for part in range(PARTS)
    ]


def motif_rows(summits: Iterable[tuple[Gene, int]], genome: Genome) -> list[dict[str, object]]:
    """Return the rows of `ringmark.tables.MOTIF`; none if no summit has a motif.

    Parameters
    ----------
    summits
        Gene and genomic position of each.
    """
    by_gene: dict[str, tuple[Gene, list[int]]] = {}
    for gene, position in summits:
        by_gene.setdefault(gene.gene_id, (gene, []))[1].append(position)
    near = np.zeros((2 * FLANK + 1, len(LETTERS)), dtype=np.int64)
    everywhere = near.copy()
    for gene, positions in by_gene.values():
        sequence = gene_sequence(gene, genome)
        motifs = drach_positions(sequence)
        everywhere += letter_counts(sequence, motifs)
        places = gene.union.to_spliced(np.array(positions, dtype=np.int64))
        near += letter_counts(sequence, nearest_motifs(motifs, places))
    if not near.any():
        return []
    bits = information(near)
    return [
        {
            "offset": row - FLANK,
            **dict(zip(LETTERS, near[row], strict=True)),
            "information": bits[row],
            **{f"all_{name}": value for name, value in zip(LETTERS, everywhere[row], strict=True)},
        }
        for row in range(len(near))
    ]


def nearest_motifs(motifs: IntArray, places: IntArray) -> IntArray:
    """Return the nearest motif of each place that has one near enough; of two the first."""
    if not len(motifs):
        return motifs
    nearest = [motifs[np.abs(motifs - place).argmin()] for place in places.tolist()]
    return np.array(
        [
            motif
            for motif, place in zip(nearest, places, strict=True)
            if abs(motif - place) <= MOTIF_DISTANCE
        ],
        dtype=np.int64,
    )


def letter_counts(sequence: str, places: IntArray) -> IntArray:
    """Count the letters around places of a sequence.

    Returns
    -------
    numpy.ndarray
        Shape (2 `FLANK` + 1, 4); beyond the ends of the sequence, and of other letters than the
        four, nothing is counted.
    """
    codes = _CODES[np.frombuffer(sequence.encode(), dtype=np.uint8)]
    offsets = np.arange(-FLANK, FLANK + 1)
    around = places[:, None] + offsets
    inside = (around >= 0) & (around < len(codes))
    letters = np.where(inside, codes[np.clip(around, 0, max(len(codes) - 1, 0))], -1)
    return np.stack([(letters == code).sum(axis=0) for code in range(len(LETTERS))], axis=1)


def information(counts: IntArray) -> npt.NDArray[np.float64]:
    """Return the information of each place in bits (see the head of this module).

    Parameters
    ----------
    counts
        Of the four letters, shape (places, 4).
    """
    total = counts.sum(axis=1)
    shares = counts / np.maximum(total, 1)[:, None]
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    chance = 3 / (2 * np.log(2) * np.maximum(total, 1))
    bits = 2 + (shares * logs).sum(axis=1) - chance
    return np.where(total > 0, np.maximum(bits, 0.0), 0.0)

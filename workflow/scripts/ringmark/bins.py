"""Coverage of genes by fragments, in spliced coordinates, kept so that no later step needs a BAM.

Coordinates
-----------
The exons of all transcripts of a gene are merged and joined in order (the union-exon model), so
that a fragment which spans an intron is one interval. Position 0 is the 5' end of the RNA. Every
gene is cut into steps (5 nt) and bins (25 nt, a whole number of steps); the last step and bin of a
gene may be shorter. The steps of all genes, in the order of the annotation, make one flat vector,
and so do the bins.

Which gene a fragment belongs to
--------------------------------
A fragment can belong to a gene of its own strand; one whose strand is not known, to a gene of
either strand. It belongs to the gene whose exons hold most of its aligned bases, if that is at
least `MIN_EXONIC_FRACTION` of them: what is mostly intronic or intergenic is not counted. Where
several genes hold equally many bases (overlapping genes, on one strand or, without strand, on
both), it is counted in each of them.

What a fragment covers
----------------------
Its aligned blocks in spliced coordinates, and what lies between two mates. Two gaps stay open:
exons that the read itself shows to be skipped, and gaps longer than `MAX_GAP` (mates that lie
further apart than a fragment is long do not show that the RNA between them was in the tube). Such
a fragment covers several intervals, but counts once in the total of its gene.

Single-end reads show one end of a fragment. They are extended, in spliced coordinates and not
beyond the gene, to the length given.

Introns
-------
A layout of introns has each intron in the place of a gene: introns are not joined, since RNA that
holds one holds the exons beside it too. All introns of a gene together are one *pool*. They share a
background (``ringmark.background``), and a fragment belongs to the pool that holds most of its
aligned bases, if that is at least `MIN_EXONIC_FRACTION` of them; it covers an interval in each
intron of the pool that it reaches. Introns that several genes have are counted in each.

No base is exonic and intronic (`ringmark.annotation.Annotation.introns`), so that no fragment is
counted in both, and counting introns takes none from the exons. One that lies across the end of an
exon, with less than the share on either side, is counted in neither.

How it is stored
----------------
For each step, how many covered intervals begin there and how many end there. The number of
intervals that overlap steps ``i`` to ``j`` is the number that begin at or before ``j`` less the
number that end before ``i``, which is exact for every bin and every peak, however wide, and costs
two look-ups in running sums. Where nearly all steps are empty, as in introns, only those are kept
at which an interval begins or ends.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ringmark.annotation import Annotation, Gene, Intron
from ringmark.errors import InputError
from ringmark.files import whole_file
from ringmark.fragments import FragmentBatch
from ringmark.intervals import IntArray

#: Width of a bin and of a step, nucleotides.
BIN_WIDTH, STEP = 25, 5

#: Share of a fragment's aligned bases that have to lie in the exons, or introns, of its gene.
MIN_EXONIC_FRACTION = 0.75

#: Longest unsequenced gap between the parts of a fragment that counts as covered, nucleotides.
MAX_GAP = 500

#: Interval lengths are tallied up to this one, nucleotides; longer ones with it.
MAX_LENGTH = 1000

# Of zlib: a fifth larger than at its usual level, in a third of the time.
_LEVEL = 3
_STRANDS = {"+": 1, "-": -1}


@dataclass(frozen=True)
class BinLayout:
    """Where the steps and bins of every gene stand in the flat vectors.

    Attributes
    ----------
    genes
        In the order of the annotation; introns, gene by gene, where these are counted.
    width, step
        Nucleotides of a bin and of a step; the width is a multiple of the step.
    """

    genes: tuple[Gene | Intron, ...]
    width: int = BIN_WIDTH
    step: int = STEP

    def __post_init__(self) -> None:
        if self.step < 1 or self.width < self.step or self.width % self.step:
            raise ValueError(f"bins of {self.width} nt are no whole number of {self.step} nt steps")

    @classmethod
    def of(cls, annotation: Annotation, width: int = BIN_WIDTH, step: int = STEP) -> BinLayout:
        """Return the layout of all genes of an annotation."""
        return cls(tuple(annotation.genes.values()), width, step)

    @classmethod
    def of_introns(
        cls, annotation: Annotation, width: int = BIN_WIDTH, step: int = STEP
    ) -> BinLayout:
        """Return the layout of the introns of all genes of an annotation."""
        return cls(tuple(annotation.introns()), width, step)

    def select(self, kept: npt.NDArray[np.bool_]) -> BinLayout:
        """Return the layout of some of the genes; ``kept`` has shape (genes,)."""
        genes = tuple(self.genes[index] for index in np.flatnonzero(kept))
        return BinLayout(genes, self.width, self.step)

    @cached_property
    def lengths(self) -> IntArray:
        """Spliced length of each gene, shape (genes,)."""
        return np.array([gene.union.length for gene in self.genes], dtype=np.int64)

    @cached_property
    def forward(self) -> npt.NDArray[np.bool_]:
        """Whether a gene is on the strand ``+``, shape (genes,)."""
        return np.array([gene.strand == "+" for gene in self.genes], dtype=bool)

    @cached_property
    def step_offsets(self) -> IntArray:
        """First step of each gene and, last, the number of steps; shape (genes + 1,)."""
        return _offsets(-(-self.lengths // self.step))

    @cached_property
    def bin_offsets(self) -> IntArray:
        """First bin of each gene and, last, the number of bins; shape (genes + 1,)."""
        return _offsets(-(-self.lengths // self.width))

    @property
    def bins(self) -> int:
        """Number of bins of all genes."""
        return int(self.bin_offsets[-1])

    @property
    def steps(self) -> int:
        """Number of steps of all genes."""
        return int(self.step_offsets[-1])

    @cached_property
    def gene_of_bin(self) -> IntArray:
        """Index of the gene of each bin, shape (bins,)."""
        return np.repeat(np.arange(len(self.genes)), np.diff(self.bin_offsets))

    @cached_property
    def pools(self) -> IntArray:
        """First of the genes of each pool and, last, the number of genes; shape (pools + 1,).

        A gene is a pool by itself; the introns of a gene are one together.
        """
        ids = np.array([gene.gene_id for gene in self.genes])
        return np.append(np.flatnonzero(_changes(ids)[: len(ids)]), len(ids)).astype(np.int64)

    @cached_property
    def pool_of_gene(self) -> IntArray:
        """Index of the pool of each gene, shape (genes,)."""
        return np.repeat(np.arange(len(self.pools) - 1), np.diff(self.pools))

    @cached_property
    def pool_offsets(self) -> IntArray:
        """First bin of each pool and, last, the number of bins; shape (pools + 1,)."""
        return self.bin_offsets[self.pools]

    @cached_property
    def pool_of_bin(self) -> IntArray:
        """Index of the pool of each bin, shape (bins,)."""
        return np.repeat(np.arange(len(self.pools) - 1), np.diff(self.pool_offsets))

    @cached_property
    def pool_lengths(self) -> IntArray:
        """Spliced length of all genes of each pool together, shape (pools,)."""
        return np.diff(_offsets(self.lengths)[self.pools])

    @cached_property
    def bin_steps(self) -> tuple[IntArray, IntArray]:
        """First step and end (exclusive) of each bin in the flat vector, shape (bins,) each."""
        inside = np.arange(self.bins) - self.bin_offsets[self.gene_of_bin]
        first = self.step_offsets[self.gene_of_bin] + inside * (self.width // self.step)
        end = np.minimum(first + self.width // self.step, self.step_offsets[self.gene_of_bin + 1])
        return first, end

    @cached_property
    def digest(self) -> str:
        """Checksum of everything that fixes the meaning of a step."""
        checksum = hashlib.sha256(f"ringmark bins {self.width} {self.step}\n".encode())
        for gene in self.genes:
            checksum.update(f"{gene.gene_id}\t{gene.chrom}\t{gene.strand}\n".encode())
            checksum.update(gene.union.starts.astype("<i8").tobytes())
            checksum.update(gene.union.ends.astype("<i8").tobytes())
        return checksum.hexdigest()


def _offsets(sizes: npt.NDArray[np.integer]) -> IntArray:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


@dataclass(frozen=True)
class Coverage:
    """Where the fragments of one library lie.

    Attributes
    ----------
    first, last
        Number of covered intervals whose first, or last, step is this one; shape (steps,), or
        (places,).
    gene_totals
        Fragments of each gene, shape (genes,).
    lengths
        Number of covered intervals of each length, shape (`MAX_LENGTH` + 1,).
    fragments, counted
        Fragments read, and those that belong to a gene.
    digest
        Checksum of the layout.
    strandedness
        ``unstranded``, ``forward`` or ``reverse``.
    places
        The steps that ``first`` and ``last`` tell of, in order, shape (places,): all those at which
        an interval begins or ends. ``None``: all steps.
    """

    first: npt.NDArray[np.int32]
    last: npt.NDArray[np.int32]
    gene_totals: IntArray
    lengths: IntArray
    fragments: int
    counted: int
    digest: str
    strandedness: str = "unstranded"
    places: IntArray | None = None

    @cached_property
    def _begun(self) -> IntArray:
        return _offsets(self.first)

    @cached_property
    def _ended(self) -> IntArray:
        return _offsets(self.last)

    def overlapping(self, first: IntArray, end: IntArray) -> IntArray:
        """Return how many covered intervals overlap each range of steps.

        Parameters
        ----------
        first, end
            Flat steps, half-open; a range does not leave its gene.
        """
        if self.places is not None:
            first, end = np.searchsorted(self.places, first), np.searchsorted(self.places, end)
        return self._begun[end] - self._ended[first]

    def bins(self, layout: BinLayout) -> IntArray:
        """Return the number of covered intervals that overlap each bin, shape (bins,)."""
        return self.overlapping(*layout.bin_steps)

    def steps(self) -> IntArray:
        """Return the number of covered intervals that overlap each step, or place."""
        return self._begun[1:] - self._ended[:-1]

    def depth(self, first: int, end: int) -> IntArray:
        """Return the number of covered intervals that overlap each step of ``[first, end)``."""
        steps = np.arange(first, end)
        return self.overlapping(steps, steps + 1)

    def sparse(self) -> Coverage:
        """Return the same coverage by the steps alone at which an interval begins or ends."""
        places = np.flatnonzero((self.first > 0) | (self.last > 0))
        return replace(self, first=self.first[places], last=self.last[places], places=places)

    def select(self, layout: BinLayout, kept: npt.NDArray[np.bool_]) -> Coverage:
        """Return sparse coverage of some of the genes; its other figures stay.

        Parameters
        ----------
        layout
            Of all genes.
        kept
            Of which genes, shape (genes,).

        Raises
        ------
        ValueError
            If the coverage is not sparse.
        """
        if self.places is None:
            raise ValueError("coverage of all steps: make it sparse first")
        gene = np.searchsorted(layout.step_offsets, self.places, side="right") - 1
        own = kept[gene]
        remaining = layout.select(kept)
        places = np.zeros(len(layout.genes), np.int64)
        places[kept] = remaining.step_offsets[:-1] - layout.step_offsets[:-1][kept]
        return replace(
            self,
            first=self.first[own],
            last=self.last[own],
            gene_totals=self.gene_totals[kept],
            digest=remaining.digest,
            places=(self.places + places[gene])[own],
        )

    def save(self, path: str | Path) -> None:
        """Write an ``.npz`` file; the same coverage always gives the same bytes."""
        arrays = {
            "first": self.first,
            "last": self.last,
            "gene_totals": self.gene_totals,
            "lengths": self.lengths,
            "totals": np.array([self.fragments, self.counted], dtype=np.int64),
            "digest": np.array(self.digest),
            "strandedness": np.array(self.strandedness),
        }
        if self.places is not None:
            arrays["places"] = self.places
        with (
            whole_file(path) as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive,
        ):
            for name, array in arrays.items():
                # numpy.savez stamps the members with the time of day; this leaves it out.
                with archive.open(f"{name}.npy", "w", force_zip64=True) as handle:
                    np.lib.format.write_array(handle, np.asarray(array), allow_pickle=False)

    @classmethod
    def load(cls, path: str | Path, layout: BinLayout) -> Coverage:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the file is no coverage, or was counted on another annotation or bin width.
        """
        with _archive(path) as arrays:
            fragments, counted = (int(value) for value in arrays["totals"])
            coverage = cls(
                arrays["first"],
                arrays["last"],
                arrays["gene_totals"],
                arrays["lengths"],
                fragments,
                counted,
                str(arrays["digest"]),
                str(arrays["strandedness"]),
                arrays.get("places"),
            )
        if coverage.digest != layout.digest:
            raise InputError(
                f"{path}: counted on another annotation or with another bin width",
                "count all libraries again with the annotation that is used now",
            )
        return coverage


@dataclass(frozen=True)
class FragmentLengths:
    """Of what `Coverage.save` wrote, how long the fragments are.

    Attributes
    ----------
    lengths
        Number of fragments by length in nucleotides.
    """

    lengths: IntArray

    @classmethod
    def load(cls, path: str | Path) -> FragmentLengths:
        """Read the lengths alone.

        Raises
        ------
        InputError
            If the file is no coverage.
        """
        with _archive(path) as archive:
            return cls(archive["lengths"])


@contextmanager
def _archive(path: str | Path) -> Iterator[Mapping[str, npt.NDArray[Any]]]:
    """Open a saved coverage; what is wrong with it is an `InputError`."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            yield archive
    except (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: not a table of bins ({error})", "make it with count_bins.py"
        ) from error


@dataclass(frozen=True)
class _Exons:
    """Exons of all genes of one contig, sorted by start.

    ``reach`` is the running maximum of the ends, which finds overlaps by bisection although the
    exons of different genes may overlap; ``offset`` is the spliced position of an exon's leftmost
    base, counted from the left end of the gene.
    """

    starts: IntArray
    ends: IntArray
    genes: IntArray
    strands: IntArray
    offsets: IntArray
    reach: IntArray


@dataclass
class _Tally:
    """Running counts of one library."""

    first: npt.NDArray[np.int32]
    last: npt.NDArray[np.int32]
    gene_totals: IntArray
    lengths: IntArray
    counted: int = 0


@dataclass(frozen=True)
class _Reading:
    """How the strand of a fragment is to be read.

    Attributes
    ----------
    stranded
        It has to be that of the gene.
    direction
        1 if a single read runs along it, -1 if against it.
    extension
        Length to which single reads are extended; 0 for pairs.
    """

    stranded: bool
    direction: int
    extension: int


def count_fragments(
    batches: Iterable[FragmentBatch],
    layout: BinLayout,
    strandedness: str = "unstranded",
    extension: int = 0,
) -> Coverage:
    """Count the fragments of a library on the genes of a layout.

    Memory holds the counts and one batch of fragments, however many there are.

    Parameters
    ----------
    strandedness
        Of the library. If it is ``unstranded``, a strand that a fragment may have does not matter
        for which gene it belongs to.
    extension
        Length, in spliced nucleotides, to which single-end reads are extended; 0 for pairs. Of
        an unstranded library the strand of a fragment then has to be that of the read.
    """
    reading = _Reading(
        strandedness != "unstranded", -1 if strandedness == "reverse" else 1, extension
    )
    exons = _index_exons(layout)
    tally = _Tally(
        np.zeros(layout.steps, np.int32),
        np.zeros(layout.steps, np.int32),
        np.zeros(len(layout.genes), np.int64),
        np.zeros(MAX_LENGTH + 1, np.int64),
    )
    read = 0
    for batch in batches:
        _place(batch, exons.get(batch.chrom), layout, tally, reading)
        read += batch.fragments
    return Coverage(
        tally.first,
        tally.last,
        tally.gene_totals,
        tally.lengths,
        read,
        tally.counted,
        layout.digest,
        strandedness,
    )


def _index_exons(layout: BinLayout) -> dict[str, _Exons]:
    by_chrom: dict[str, list[int]] = defaultdict(list)
    for index, gene in enumerate(layout.genes):
        by_chrom[gene.chrom].append(index)
    found = {}
    for chrom, indices in by_chrom.items():
        unions = [layout.genes[index].union for index in indices]
        sizes = [len(union.starts) for union in unions]
        starts = np.concatenate([union.starts for union in unions])
        order = np.argsort(starts, kind="stable")
        ends = np.concatenate([union.ends for union in unions])[order]
        signs = [_STRANDS[layout.genes[index].strand] for index in indices]
        found[chrom] = _Exons(
            starts[order],
            ends,
            np.repeat(indices, sizes)[order],
            np.repeat(signs, sizes)[order],
            np.concatenate([union.offsets for union in unions])[order],
            np.maximum.accumulate(ends),
        )
    return found


@dataclass(frozen=True)
class _Pieces:
    """Exonic parts of aligned blocks, one row a block and exon, sorted by fragment, gene, place.

    ``left`` and ``right`` are spliced positions from the left end of the gene; ``splices`` counts
    the introns the fragment's reads are spliced over on the left of the piece.
    """

    fragment: IntArray
    gene: IntArray
    left: IntArray
    right: IntArray
    splices: IntArray


def _place(
    batch: FragmentBatch, exons: _Exons | None, layout: BinLayout, tally: _Tally, reading: _Reading
) -> None:
    """Add a batch of fragments of one contig to the counts."""
    if exons is None or not len(batch.owner):
        return
    aligned = np.bincount(
        batch.owner, weights=batch.ends - batch.starts, minlength=batch.fragments
    ).astype(np.int64)
    pieces = _overlaps(batch, exons, reading.stranded)
    pieces = _best_genes(pieces, aligned, layout.pool_of_gene)
    if not len(pieces.fragment):
        return
    new_pair = _changes(pieces.fragment) | _changes(pieces.gene)
    np.add.at(tally.gene_totals, pieces.gene[new_pair], 1)
    tally.counted += int(_changes(pieces.fragment).sum())
    gene, left, right = _intervals(pieces, new_pair, batch.signs, layout, reading)
    start = np.where(layout.forward[gene], left, layout.lengths[gene] - right)
    size = right - left
    offset = layout.step_offsets[gene]
    # a number of another type than the counts would cost many times as much
    np.add.at(tally.first, offset + start // layout.step, np.int32(1))
    np.add.at(tally.last, offset + (start + size - 1) // layout.step, np.int32(1))
    np.add.at(tally.lengths, np.minimum(size, MAX_LENGTH), 1)


def _intervals(
    pieces: _Pieces,
    new_pair: npt.NDArray[np.bool_],
    signs: IntArray,
    layout: BinLayout,
    reading: _Reading,
) -> tuple[IntArray, IntArray, IntArray]:
    """Join pieces to covered intervals: gene, and spliced bounds from the gene's left end."""
    gap = pieces.left[1:] - pieces.right[:-1]
    spliced_over = pieces.splices[1:] != pieces.splices[:-1]
    begins = new_pair.copy()
    begins[1:] |= (gap > MAX_GAP) | (spliced_over & (gap > 0))
    ends = np.append(begins[1:], True)
    gene, left, right = pieces.gene[begins], pieces.left[begins], pieces.right[ends]
    if not reading.extension:
        return gene, left, right
    sign = signs[pieces.fragment[begins]] * reading.direction
    first = new_pair[begins]
    last = np.append(first[1:], True)
    longer = np.minimum(np.maximum(right, left + reading.extension), layout.lengths[gene])
    lower = np.maximum(np.minimum(left, right - reading.extension), 0)
    return (
        gene,
        np.where(first & (sign < 0), lower, left),
        np.where(last & (sign > 0), longer, right),
    )


def _changes(values: IntArray) -> npt.NDArray[np.bool_]:
    """Return where a value differs from the one before it; the first always does."""
    return np.append(True, values[1:] != values[:-1])


def _overlaps(batch: FragmentBatch, exons: _Exons, stranded: bool) -> _Pieces:
    """Return the parts of a batch's blocks that lie in exons of a strand that fits."""
    owner, starts, ends = batch.owner, batch.starts, batch.ends
    first = np.searchsorted(exons.reach, starts, side="right")
    candidates = np.maximum(np.searchsorted(exons.starts, ends, side="left") - first, 0)
    block = np.repeat(np.arange(len(starts)), candidates)
    within = np.arange(len(block)) - np.repeat(np.cumsum(candidates) - candidates, candidates)
    exon = first[block] + within
    strand = batch.signs[owner[block]] * stranded
    fits = (exons.ends[exon] > starts[block]) & ((strand == 0) | (strand == exons.strands[exon]))
    block, exon = block[fits], exon[fits]
    shift = exons.offsets[exon] - exons.starts[exon]
    left = np.maximum(starts[block], exons.starts[exon]) + shift
    right = np.minimum(ends[block], exons.ends[exon]) + shift
    fragment, gene = owner[block], exons.genes[exon]
    splices = np.cumsum(_after_intron(batch))[block]
    # those of one fragment and gene are in order of place
    order = np.argsort(fragment * (int(exons.genes.max()) + 1) + gene, kind="stable")
    return _Pieces(fragment[order], gene[order], left[order], right[order], splices[order])


def _after_intron(batch: FragmentBatch) -> npt.NDArray[np.bool_]:
    """Return which blocks begin where an intron of the same fragment ends."""
    if not len(batch.intron_owner):
        return np.zeros(len(batch.starts), dtype=bool)
    scale = int(max(batch.starts.max(), batch.intron_ends.max())) + 1
    introns = batch.intron_owner * scale + batch.intron_ends
    blocks = batch.owner * scale + batch.starts
    block = np.searchsorted(blocks, introns, side="right") - 1
    follows = np.zeros(len(blocks), dtype=bool)
    follows[block[blocks[block] == introns]] = True
    return follows


def _best_genes(pieces: _Pieces, aligned: IntArray, pool_of_gene: IntArray) -> _Pieces:
    """Keep the pieces of the pool, or the equally good pools, with most of a fragment's bases."""
    if not len(pieces.fragment):
        return pieces
    new_pair = _changes(pieces.fragment) | _changes(pool_of_gene[pieces.gene])
    pair = np.cumsum(new_pair) - 1
    exonic = np.bincount(pair, weights=pieces.right - pieces.left)
    fragment = pieces.fragment[new_pair]
    best = np.zeros(len(aligned))
    np.maximum.at(best, fragment, exonic)
    kept = (exonic == best[fragment]) & (exonic >= MIN_EXONIC_FRACTION * aligned[fragment])
    keep = kept[pair]
    return _Pieces(
        pieces.fragment[keep],
        pieces.gene[keep],
        pieces.left[keep],
        pieces.right[keep],
        pieces.splices[keep],
    )

"""What was planted in a simulated study, what a run reports, and how far the two lie apart.

Distances run along the RNA: fragments are of spliced RNA, so a site 10 nt from the end of an exon
raises the next exon, however long the intron between them. Of a site on a linear molecule they run
along the transcripts of its gene that hold it, of one on a circle along the circle, the shorter way
round. Where site and peak are on no molecule together, distances run along the genome. Both must be
on the same strand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.figures import Mask
from ringmark.annotation import Annotation
from ringmark.errors import InputError
from ringmark.intervals import Blocks, IntArray
from ringmark.simulate import TRUTH_CIRCLES, TRUTH_LIBRARIES
from ringmark.tables import (
    DIFFERENTIAL,
    INTEGER,
    NUMBER,
    PEAKS,
    QUALITY,
    STRING,
    Table,
    read_matrix,
)

Array = npt.NDArray[np.float64]

#: What the columns of stoichiometry begin with; the name of the condition follows.
STOICHIOMETRY = "stoichiometry_"

#: What ``molecule`` says of sites that are on no circle.
LINEAR = "linear"

_SITE_COLUMNS = {
    "chrom": STRING,
    "position": INTEGER,
    "strand": STRING,
    "gene_id": STRING,
    "molecule": STRING,
}


@dataclass(frozen=True)
class Molecule:
    """A molecule that holds a site: its blocks, and whether they are closed to a ring."""

    blocks: Blocks
    ring: bool = False

    def distance(self, one: int, other: int) -> int | None:
        """Return the nucleotides between two genomic positions; ``None`` if it lacks one."""
        places = self.blocks.to_spliced(np.array([one, other]))
        if places.min() < 0:
            return None
        along = abs(int(places[0] - places[1]))
        return min(along, self.blocks.length - along) if self.ring else along

    def around(self, position: int, reach: int) -> list[tuple[int, int]]:
        """Return the genomic intervals up to ``reach`` nucleotides from a position it holds."""
        place = int(self.blocks.to_spliced(np.array([position]))[0])
        length = self.blocks.length
        spans = [(max(place - reach, 0), min(place + reach + 1, length))]
        if self.ring:
            spans.append((max(place - reach + length, 0), length))
            spans.append((0, min(place + reach + 1 - length, length)))
        parts = [self.blocks.slice(*span) for span in spans if span[0] < span[1]]
        return [
            bounds
            for part in parts
            for bounds in zip(part.starts.tolist(), part.ends.tolist(), strict=True)
        ]


@dataclass(frozen=True)
class Region:
    """Where a peak is: contig, and blocks with their strand."""

    chrom: str
    blocks: Blocks


@dataclass(frozen=True)
class Truth:
    """What was simulated.

    Attributes
    ----------
    sites
        Planted sites: chrom, position, strand, gene_id (missing for circles of no gene), molecule,
        and stoichiometry in each condition. It is 0 everywhere if no library pulled m6A down.
    conditions
        Test and reference condition.
    libraries
        Sequenced libraries (`TRUTH_LIBRARIES`).
    inputs
        Fragments of each gene in each input, shape (genes, inputs).
    annotation
        Genes and transcripts.
    circles
        Planted circles by id (`TRUTH_CIRCLES`).
    fragment_length
        Mean length of the fragments, nucleotides.
    """

    sites: pd.DataFrame
    conditions: tuple[str, str]
    libraries: pd.DataFrame
    inputs: pd.DataFrame
    annotation: Annotation
    circles: pd.DataFrame
    fragment_length: float

    @classmethod
    def read(cls, study: Path) -> Truth:
        """Read the truth of a simulated study.

        Raises
        ------
        InputError
            If a table is malformed.
        """
        folder = study / "truth"
        libraries = TRUTH_LIBRARIES.read(folder / "libraries.tsv")
        sites, conditions = _read_sites(folder / "m6a_sites.tsv")
        if not (libraries["efficiency"] > 0).any():
            sites[[STOICHIOMETRY + name for name in conditions]] = 0.0
        counts = read_matrix(folder / "gene_counts.tsv")
        parameters = pd.read_csv(folder / "parameters.tsv", sep="\t", index_col=0, dtype=str)
        return cls(
            sites,
            conditions,
            libraries,
            counts[libraries.loc[libraries["assay"] == "input", "library"].tolist()],
            Annotation.from_gtf(study / "genes.gtf"),
            TRUTH_CIRCLES.read(folder / "circles.tsv").set_index("circle"),
            float(parameters.loc["fragment_length"].iloc[0]),
        )

    def stoichiometry(self, condition: str) -> Array:
        """Return the stoichiometry of all sites in a condition, shape (sites,)."""
        return self.sites[STOICHIOMETRY + condition].to_numpy(dtype=np.float64)

    @property
    def change(self) -> Array:
        """Stoichiometry in the test condition less that in the reference, shape (sites,)."""
        test, reference = self.conditions
        return self.stoichiometry(test) - self.stoichiometry(reference)

    @property
    def linear(self) -> Mask:
        """Sites on linear molecules, shape (sites,)."""
        return (self.sites["molecule"] == LINEAR).to_numpy(dtype=bool)

    def input_fragments(self, conditions: Iterable[str]) -> Array:
        """Return the fragments of each site's gene in the inputs of some conditions, summed.

        Returns
        -------
        numpy.ndarray
            Shape (sites,); 0 for a site of no gene.
        """
        chosen = self.libraries[self.libraries["condition"].isin(list(conditions))]
        columns = [name for name in self.inputs.columns if name in set(chosen["library"])]
        totals = self.inputs[columns].sum(axis=1)
        of_sites = totals.reindex(self.sites["gene_id"].fillna("")).fillna(0)
        return of_sites.to_numpy(dtype=np.float64)

    @cached_property
    def molecules(self) -> list[list[Molecule]]:
        """Molecules that hold each site."""
        columns = ("position", "gene_id", "molecule")
        rows = zip(*(self.sites[name].tolist() for name in columns), strict=True)
        return [
            [
                molecule
                for molecule in self._carriers(gene, name)
                if molecule.distance(position, position) is not None
            ]
            for position, gene, name in rows
        ]

    def _carriers(self, gene: object, name: str) -> list[Molecule]:
        if name != LINEAR:
            row = self.circles.loc[name]
            starts, ends = (
                np.array([int(text) for text in str(row[column]).split(",")])
                for column in ("block_starts", "block_ends")
            )
            return [Molecule(Blocks(starts, ends, str(row["strand"])), ring=True)]
        return [Molecule(item.exons) for item in self.annotation.genes[str(gene)].transcripts]

    def near(self, regions: Sequence[Region], reach: int) -> Mask:
        """Tell which sites lie up to ``reach`` nucleotides from which regions.

        Returns
        -------
        numpy.ndarray
            Shape (sites, regions).
        """
        around = []
        columns = ("chrom", "strand", "position")
        rows = zip(*(self.sites[name].tolist() for name in columns), strict=True)
        for index, (chrom, strand, position) in enumerate(rows):
            spans = [(position - reach, position + reach + 1)]
            for molecule in self.molecules[index]:
                spans += molecule.around(position, reach)
            around += [(chrom, strand, index, *span) for span in spans]
        covered = [
            (region.chrom, region.blocks.strand, index, start, end)
            for index, region in enumerate(regions)
            for start, end in zip(region.blocks.starts, region.blocks.ends, strict=True)
        ]
        near = np.zeros((len(self.sites), len(regions)), dtype=bool)
        names = ["chrom", "strand", "index", "start", "end"]
        parts = [
            dict(iter(pd.DataFrame(rows, columns=names).groupby(["chrom", "strand"])))
            for rows in (around, covered)
        ]
        for key in parts[0].keys() & parts[1].keys():
            site, region = (part[key] for part in parts)
            left, right = site[["start"]].to_numpy(), site[["end"]].to_numpy()
            hits = (left < region["end"].to_numpy()) & (region["start"].to_numpy() < right)
            first, second = np.nonzero(hits)
            near[site["index"].to_numpy()[first], region["index"].to_numpy()[second]] = True
        return near

    def distance(self, site: int, position: int) -> int:
        """Return the distance of a site from a genomic position on its strand."""
        own = int(self.sites["position"].iloc[site])
        along = [molecule.distance(own, position) for molecule in self.molecules[site]]
        known = [distance for distance in along if distance is not None]
        return min(known, default=abs(own - position))


def _read_sites(path: Path) -> tuple[pd.DataFrame, tuple[str, str]]:
    """Read the planted sites and the names of the test and the reference condition."""
    with path.open(encoding="utf-8") as handle:
        header = handle.readline().rstrip("\n").split("\t")
    columns = [name for name in header if name.startswith(STOICHIOMETRY)]
    if len(columns) != 2:
        raise InputError(
            f"{path}: {len(columns)} columns of stoichiometry, not 2",
            "give the folder that simulate_study.py made as --study",
        )
    table = Table("planted m6A sites", {**_SITE_COLUMNS, **dict.fromkeys(columns, NUMBER)})
    test, reference = (name.removeprefix(STOICHIOMETRY) for name in columns)
    return table.read(path), (test, reference)


@dataclass(frozen=True)
class Run:
    """What a run reports.

    Attributes
    ----------
    folder
        Its results.
    peaks
        Peaks by id (`PEAKS`).
    changes
        Their comparison between conditions (`DIFFERENTIAL`), in the order of the peaks; all missing
        if the run made none.
    quality
        Quality of the pairs (`QUALITY`).
    """

    folder: Path
    peaks: pd.DataFrame
    changes: pd.DataFrame
    quality: pd.DataFrame

    @classmethod
    def read(cls, results: Path) -> Run:
        """Read the tables of a run.

        Raises
        ------
        InputError
            If a table is malformed, or a peak stands twice.
        """
        peaks = PEAKS.read(results / "m6a" / "peaks.tsv")
        twice = sorted(set(peaks.loc[peaks["peak"].duplicated(), "peak"]))
        if twice:
            raise InputError(f"{results}: peak {twice[0]} stands twice", "make the peaks again")
        table = results / "differential" / "methylation.tsv"
        changes = DIFFERENTIAL.read(table) if table.exists() else DIFFERENTIAL.empty()
        quality = QUALITY.read(results / "m6a" / "quality.tsv")
        changes = changes.set_index("id").reindex(peaks["peak"])
        return cls(results, peaks.set_index("peak"), changes, quality)

    def called(self, condition: str) -> Mask:
        """Return which peaks are called in a condition, shape (peaks,)."""
        lists = self.peaks["conditions"].fillna("").str.split(",")
        return np.array([condition in names for names in lists], dtype=bool)

    @cached_property
    def regions(self) -> list[Region]:
        """Where the peaks are."""
        columns = ("chrom", "start", "strand", "block_sizes", "block_starts")
        rows = zip(*(self.peaks[name].tolist() for name in columns), strict=True)
        return [
            Region(chrom, Blocks.from_bed(start, sizes, starts, strand))
            for chrom, start, strand, sizes, starts in rows
        ]

    @property
    def widths(self) -> IntArray:
        """Spliced lengths of the peaks, shape (peaks,)."""
        return np.array([region.blocks.length for region in self.regions], dtype=np.int64)

"""Gene annotation: a GTF of any common dialect to genes, transcripts, exons and splice sites.

GENCODE, Ensembl, RefSeq (NCBI) and UCSC GTF files are read, plain or gzipped. Only ``exon`` and
``CDS`` lines are needed; genes and transcripts are built from them. The GTF is read once, by the
program that prepares the reference; every other program reads the compact transcript table.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

from ringmark.errors import InputError
from ringmark.files import whole_file
from ringmark.intervals import Blocks, merge
from ringmark.tables import INTEGER, STRING, Table

TRANSCRIPTS = Table(
    "transcripts",
    {
        "transcript": STRING,
        "gene_id": STRING,
        "gene_name": STRING,
        "gene_type": STRING,
        "chrom": STRING,
        "strand": STRING,
        "exon_starts": STRING,
        "exon_ends": STRING,
        "cds_start": INTEGER,
        "cds_end": INTEGER,
    },
)

#: What reading a file raises that is missing, not gzip after all, cut short or damaged.
UNREADABLE = (OSError, EOFError, zlib.error)

_ATTRIBUTE = re.compile(r'\s*([^\s;"=]+)\s+(?:"([^"]*)"|([^;"\s]+))\s*(?:;|$)')
_GFF3 = re.compile(r"^\s*[A-Za-z_]+=")
_NAME_KEYS = ("gene_name", "gene", "gene_symbol", "gene_id")
_TYPE_KEYS = ("gene_type", "gene_biotype", "transcript_biotype")


@dataclass(frozen=True)
class Transcript:
    """One transcript.

    Attributes
    ----------
    exons
        Exons on the genome with the transcript's strand.
    cds_start, cds_end
        Genomic span of the coding sequence, stop codon included where the GTF's CDS has it;
        ``None`` for a non-coding transcript.
    """

    transcript_id: str
    exons: Blocks
    cds_start: int | None = None
    cds_end: int | None = None


@dataclass(frozen=True)
class Gene:
    """A gene at one locus: transcripts of one strand of one contig."""

    gene_id: str
    name: str
    biotype: str
    chrom: str
    strand: str
    transcripts: tuple[Transcript, ...]

    @cached_property
    def union(self) -> Blocks:
        """Union of the exons of all transcripts."""
        starts = np.concatenate([item.exons.starts for item in self.transcripts])
        ends = np.concatenate([item.exons.ends for item in self.transcripts])
        return Blocks(*merge(starts, ends), self.strand)

    @property
    def start(self) -> int:
        """Leftmost base."""
        return int(self.union.starts[0])

    @property
    def end(self) -> int:
        """Right boundary, exclusive."""
        return int(self.union.ends[-1])


@dataclass(frozen=True)
class Intron:
    """A stretch of a gene in which no gene of either strand has an exon.

    It has what is asked of a `Gene`, and takes its place where introns are counted: as one exon of
    one transcript without coding sequence.

    Attributes
    ----------
    gene
        The gene it lies in.
    start, end
        On the genome, 0-based and half-open.
    """

    gene: Gene
    start: int
    end: int

    @cached_property
    def union(self) -> Blocks:
        """The stretch itself, as one block."""
        return Blocks(np.array([self.start]), np.array([self.end]), self.strand)

    @property
    def transcripts(self) -> tuple[Transcript]:
        """What the stretch is a part of before splicing."""
        return (Transcript(self.gene_id, self.union),)

    @property
    def gene_id(self) -> str:
        """That of the gene."""
        return self.gene.gene_id

    @property
    def name(self) -> str:
        """That of the gene."""
        return self.gene.name

    @property
    def chrom(self) -> str:
        """That of the gene."""
        return self.gene.chrom

    @property
    def strand(self) -> str:
        """That of the gene."""
        return self.gene.strand


@dataclass
class Annotation:
    """All genes, in order of contig, start and id, with look-ups by place.

    Attributes
    ----------
    genes
        Gene id to `Gene`.
    """

    genes: dict[str, Gene] = field(default_factory=dict)

    @cached_property
    def _by_chrom(self) -> dict[str, tuple[list[Gene], npt.NDArray[np.int64], int]]:
        grouped: dict[str, list[Gene]] = defaultdict(list)
        for gene in self.genes.values():
            grouped[gene.chrom].append(gene)
        index = {}
        for chrom, genes in grouped.items():
            genes.sort(key=lambda gene: gene.start)
            longest = max(gene.end - gene.start for gene in genes)
            index[chrom] = (genes, np.array([gene.start for gene in genes]), longest)
        return index

    @property
    def chroms(self) -> set[str]:
        """Contigs that carry a gene."""
        return set(self._by_chrom)

    def overlapping(
        self, chrom: str, start: int, end: int, strand: str | None = None
    ) -> list[Gene]:
        """Return the genes whose span overlaps ``[start, end)``, by start.

        Parameters
        ----------
        strand
            Only genes of this strand; ``None`` for both.
        """
        if chrom not in self._by_chrom:
            return []
        genes, starts, longest = self._by_chrom[chrom]
        first = int(np.searchsorted(starts, start - longest, side="left"))
        last = int(np.searchsorted(starts, end, side="left"))
        return [
            gene for gene in genes[first:last] if gene.end > start and strand in (None, gene.strand)
        ]

    def introns(self) -> Iterator[Intron]:
        """Yield the introns of all genes, gene by gene in their order, from left to right.

        An exon of another gene, on whichever strand, divides an intron: reads of spliced RNA lie
        there, and no library keeps all of them to its own strand.
        """
        exonic = {chrom: _merged_exons(found[0]) for chrom, found in self._by_chrom.items()}
        for gene in self.genes.values():
            starts, ends = exonic[gene.chrom]
            first = int(np.searchsorted(starts, gene.start, side="right"))
            last = int(np.searchsorted(starts, gene.end, side="left"))
            bounds = zip(
                ends[first - 1 : last - 1].tolist(), starts[first:last].tolist(), strict=True
            )
            yield from (Intron(gene, start, end) for start, end in bounds)

    @cached_property
    def splice_sites(self) -> dict[tuple[str, str], tuple[set[int], set[int]]]:
        """Acceptor and donor positions by contig and strand.

        Both are block boundaries on the genome: on ``+`` an acceptor is an exon's start and a
        donor an exon's end; on ``-`` the other way round. Transcript ends are not splice sites.
        """
        sites: dict[tuple[str, str], tuple[set[int], set[int]]] = defaultdict(
            lambda: (set(), set())
        )
        for gene in self.genes.values():
            acceptors, donors = sites[gene.chrom, gene.strand]
            for transcript in gene.transcripts:
                inner_starts = transcript.exons.starts[1:].tolist()
                inner_ends = transcript.exons.ends[:-1].tolist()
                if gene.strand == "+":
                    acceptors.update(inner_starts)
                    donors.update(inner_ends)
                else:
                    acceptors.update(inner_ends)
                    donors.update(inner_starts)
        return dict(sites)

    def write(self, path: str | Path) -> None:
        """Write the transcript table that `Annotation.read` reads."""
        rows = [
            {
                "transcript": transcript.transcript_id,
                "gene_id": gene.gene_id,
                "gene_name": gene.name,
                "gene_type": gene.biotype,
                "chrom": gene.chrom,
                "strand": gene.strand,
                "exon_starts": ",".join(map(str, transcript.exons.starts)),
                "exon_ends": ",".join(map(str, transcript.exons.ends)),
                "cds_start": transcript.cds_start,
                "cds_end": transcript.cds_end,
            }
            for gene in self.genes.values()
            for transcript in gene.transcripts
        ]
        TRANSCRIPTS.write(rows, path)

    def write_gtf(self, path: str | Path) -> None:
        """Write exon and CDS lines in one plain dialect for aligners and counters."""
        with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as handle:
            for gene in self.genes.values():
                for transcript in gene.transcripts:
                    _write_gtf_lines(handle, gene, transcript)

    @classmethod
    def read(cls, path: str | Path) -> Annotation:
        """Read a transcript table."""
        genes: dict[str, tuple[tuple[str, str, str, str], list[Transcript]]] = {}
        for row in TRANSCRIPTS.rows(path):
            exons = Blocks(
                _integers(row["exon_starts"]), _integers(row["exon_ends"]), row["strand"]
            )
            transcript = Transcript(row["transcript"], exons, row["cds_start"], row["cds_end"])
            facts = (row["gene_name"], row["gene_type"], row["chrom"], row["strand"])
            genes.setdefault(row["gene_id"], (facts, []))[1].append(transcript)
        return cls(
            {
                gene_id: Gene(gene_id, *facts, tuple(transcripts))
                for gene_id, (facts, transcripts) in genes.items()
            }
        )

    @classmethod
    def from_gtf(cls, path: str | Path, name: str = "") -> Annotation:
        """Read a GTF file.

        Parameters
        ----------
        name
            What messages call the file, if not by its path.

        Raises
        ------
        InputError
            If a line is not GTF (it is quoted with its number) or no exon is left.
        """
        loci: dict[tuple[str, str, str], _Locus] = {}
        name = name or str(path)
        for record in read_gtf(path, name):
            key = (record.gene_id, record.chrom, record.strand)
            locus = loci.setdefault(key, _Locus(record.gene_name, record.gene_type))
            locus.add(record)
        genes: dict[str, Gene] = {}
        ordered = sorted(
            ((key, locus) for key, locus in loci.items() if locus.exons),
            key=lambda item: (item[0][1], item[1].start, item[0][0]),
        )
        for (gene_id, chrom, strand), locus in ordered:
            unique = gene_id
            if unique in genes:
                unique = f"{gene_id}@{chrom}{strand}"
            genes[unique] = Gene(
                unique, locus.name, locus.biotype, chrom, strand, locus.transcripts(strand)
            )
        if not genes:
            raise InputError(
                f"{name}: no exon line with gene_id and transcript_id",
                "give a GTF with exon lines, such as GENCODE's or Ensembl's annotation",
            )
        return cls(genes)


@dataclass(frozen=True)
class GtfRecord:
    """The facts of one exon or CDS line; coordinates 0-based, half-open."""

    feature: str
    chrom: str
    start: int
    end: int
    strand: str
    gene_id: str
    transcript_id: str
    gene_name: str
    gene_type: str


def _merged_exons(genes: Sequence[Gene]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return starts and ends of the union of the exons of genes of one contig."""
    return merge(
        np.concatenate([gene.union.starts for gene in genes]),
        np.concatenate([gene.union.ends for gene in genes]),
    )


class _Locus:
    """Exons and coding spans of one gene at one place, collected line by line."""

    def __init__(self, name: str, biotype: str) -> None:
        self.name = name
        self.biotype = biotype
        self.exons: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.coding: dict[str, tuple[int, int]] = {}

    @property
    def start(self) -> int:
        return min(start for exons in self.exons.values() for start, _ in exons)

    def add(self, record: GtfRecord) -> None:
        if record.feature == "exon":
            self.exons[record.transcript_id].append((record.start, record.end))
            return
        start, end = self.coding.get(record.transcript_id, (record.start, record.end))
        self.coding[record.transcript_id] = (min(start, record.start), max(end, record.end))

    def transcripts(self, strand: str) -> tuple[Transcript, ...]:
        found = []
        for name, exons in self.exons.items():
            bounds = np.array(sorted(exons), dtype=np.int64)
            blocks = Blocks(*merge(bounds[:, 0], bounds[:, 1]), strand)
            found.append(Transcript(name, blocks, *self.coding.get(name, (None, None))))
        return tuple(found)


def open_text(path: str | Path) -> TextIO:
    """Open a plain or gzipped text file for reading, by its first bytes and not by its name.

    Reading can raise what `UNREADABLE` lists.
    """
    with Path(path).open("rb") as handle:
        compressed = handle.read(2) == b"\x1f\x8b"
    if compressed:
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="replace")
    return Path(path).open(encoding="utf-8-sig", errors="replace")


def read_gtf(path: str | Path, name: str = "") -> Iterator[GtfRecord]:
    """Yield the exon and CDS lines of a GTF file; messages call it ``name``, else by its path.

    Raises
    ------
    InputError
        If the file cannot be read, and at the first line that is not GTF, quoted with its number.
    """
    try:
        with open_text(path) as handle:
            yield from parse_gtf(handle, name or str(path))
    except UNREADABLE as error:
        raise unreadable(name or path, error) from None


def unreadable(place: str | Path, error: Exception) -> InputError:
    """Return the error of a file whose reading raised one of `UNREADABLE`."""
    return InputError(
        f"{place}: cannot be read: {getattr(error, 'strerror', None) or error}",
        "mend the path, or fetch the file again: it may have been cut short",
    )


def parse_gtf(lines: Iterable[str], name: str) -> Iterator[GtfRecord]:
    """Yield exon and CDS records from the lines of a GTF; ``name`` is used in messages."""
    for number, line in enumerate(lines, start=1):
        if line.startswith("#") or not line.strip():
            continue
        fields = line.rstrip("\r\n").split("\t")
        if len(fields) != 9:
            raise _bad_line(name, number, line, f"{len(fields)} tab-separated fields, not 9")
        if fields[2] not in ("exon", "CDS"):
            continue
        yield _parse_record(fields, name, number, line)


def _parse_record(fields: list[str], name: str, number: int, line: str) -> GtfRecord:
    chrom, _, feature, start, end, _, strand, _, attributes = fields
    if _GFF3.match(attributes):
        raise InputError(
            f"{name}, line {number}: this is GFF3 (key=value attributes), not GTF: "
            f"{line.strip()[:200]}",
            "convert it, for example with 'gffread annotation.gff3 -T -o annotation.gtf'",
        )
    if not (start.isdigit() and end.isdigit()) or not 1 <= int(start) <= int(end):
        raise _bad_line(name, number, line, f"start {start!r} and end {end!r}")
    if strand not in ("+", "-"):
        raise _bad_line(name, number, line, f"strand {strand!r} is neither + nor -")
    values: dict[str, str] = {}
    for key, quoted, plain in _ATTRIBUTE.findall(attributes):
        values.setdefault(key, quoted or plain)
    if not values.get("gene_id") or "transcript_id" not in values:
        missing = "transcript_id" if values.get("gene_id") else "gene_id"
        raise _bad_line(name, number, line, f"no {missing}")
    return GtfRecord(
        feature,
        chrom,
        int(start) - 1,
        int(end),
        strand,
        values["gene_id"],
        # NCBI leaves it empty where a gene's exons are not said to be of a transcript
        values["transcript_id"] or values["gene_id"],
        next(values[key] for key in _NAME_KEYS if values.get(key)),
        next((values[key] for key in _TYPE_KEYS if values.get(key)), "unknown"),
    )


def _bad_line(name: str, number: int, line: str, problem: str) -> InputError:
    return InputError(
        f"{name}, line {number}: {problem}: {line.strip()[:200]}",
        "mend or remove the line: an exon line of a GTF has 9 tab-separated fields, strand + or -, "
        "a gene_id and a transcript_id",
    )


def _write_gtf_lines(handle: TextIO, gene: Gene, transcript: Transcript) -> None:
    attributes = (
        f'gene_id "{gene.gene_id}"; transcript_id "{transcript.transcript_id}"; '
        f'gene_name "{gene.name}"; gene_type "{gene.biotype}";'
    )
    coding = transcript.exons.slice(0, 0)
    if transcript.cds_start is not None and transcript.cds_end is not None:
        coding = transcript.exons.clip(transcript.cds_start, transcript.cds_end)
    for feature, blocks in (("exon", transcript.exons), ("CDS", coding)):
        for start, end in zip(blocks.starts, blocks.ends, strict=True):
            fields = (gene.chrom, "ringmark", feature, start + 1, end, ".", gene.strand, ".")
            handle.write("\t".join(map(str, fields)) + f"\t{attributes}\n")


def _integers(text: object) -> npt.NDArray[np.int64]:
    return np.array(str(text).split(","), dtype=np.int64)

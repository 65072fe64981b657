"""A small genome with genes, circles in it, and BAM files of reads that an aligner might place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pysam

from ringmark.alignments import Mate, Placement, bam_header, mapping_quality, sam_records
from ringmark.annotation import Annotation
from ringmark.backsplice import JUNCTIONS, Junction, Limits, SpliceSites, find_junctions
from ringmark.circle_counter import Tally
from ringmark.circle_counts import count_circles
from ringmark.circles import build_circle
from ringmark.sequence import reverse_complement

#: Exons of the toy gene, the same on every contig.
EXONS = ((1000, 1200), (1800, 1950), (2500, 2700), (3300, 3450), (4200, 4500))
LENGTH = 6000

Spans = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class World:
    """A genome with its annotation, on disk and opened."""

    contigs: dict[str, str]
    fasta: Path
    genome: pysam.FastaFile
    annotation: Annotation
    transcripts: Path

    @property
    def sites(self) -> SpliceSites:
        return SpliceSites.of(self.annotation)

    def bases(self, chrom: str, spans: Spans) -> str:
        return "".join(self.contigs[chrom][start:end] for start, end in spans)


def random_bases(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def put(bases: str, position: int, text: str) -> str:
    return bases[:position] + text + bases[position + len(text) :]


def flip(bases: str, *places: int) -> str:
    """Return a sequence with other bases at some places."""
    for place in places:
        bases = put(bases, place, "A" if bases[place] != "A" else "C")
    return bases


def with_signals(
    bases: str, exons: Spans, strand: str, donor: str = "GT", acceptor: str = "AG"
) -> str:
    """Plant splice signals into the introns between exons."""
    for (_, left), (right, _) in pairwise(exons):
        if strand == "+":
            bases = put(put(bases, left, donor), right - 2, acceptor)
        else:
            bases = put(bases, left, reverse_complement(acceptor))
            bases = put(bases, right - 2, reverse_complement(donor))
    return bases


def toy_contig(strand: str, seed: int = 1, donor: str = "GT", acceptor: str = "AG") -> str:
    return with_signals(random_bases(LENGTH, seed), EXONS, strand, donor, acceptor)


def gtf_lines(gene: str, chrom: str, strand: str, transcripts: Sequence[Spans]) -> Iterable[str]:
    for number, exons in enumerate(transcripts):
        for start, end in exons:
            yield (
                f"{chrom}\ttoy\texon\t{start + 1}\t{end}\t.\t{strand}\t.\t"
                f'gene_id "{gene}"; transcript_id "{gene}.{number}"; gene_name "{gene}n";\n'
            )


def make_world(
    folder: Path,
    contigs: dict[str, str],
    genes: Sequence[tuple[str, str, str, Sequence[Spans]]],
) -> World:
    """Write genome and annotation; a gene is id, contig, strand and its transcripts' exons."""
    fasta = folder / "genome.fa"
    fasta.write_text("".join(f">{name}\n{bases}\n" for name, bases in contigs.items()))
    pysam.faidx(str(fasta))
    gtf = folder / "genes.gtf"
    gtf.write_text("".join(line for gene in genes for line in gtf_lines(*gene)))
    annotation = Annotation.from_gtf(gtf)
    transcripts = folder / "transcripts.tsv"
    annotation.write(transcripts)
    return World(contigs, fasta, pysam.FastaFile(str(fasta)), annotation, transcripts)


def toy_world(folder: Path) -> World:
    """Return a gene on ``+`` of contig p and one on ``-`` of contig m."""
    return make_world(
        folder,
        {"p": toy_contig("+"), "m": toy_contig("-", seed=2)},
        [("G1", "p", "+", [EXONS]), ("G2", "m", "-", [EXONS])],
    )


# ---------------------------------------------------------------- reads


def positions(spans: Spans, turns: int = 1) -> list[int]:
    """Return the genome's positions along a molecule, from left to right, ``turns`` times."""
    return [place for start, end in spans for place in range(start, end)] * turns


def placements_of(
    chrom: str, places: Sequence[int], strand: str, shortest: int = 10, hits: int = 1
) -> tuple[Placement, ...]:
    """Return how an aligner places a read whose bases lie at given positions.

    The read is broken where positions go back; parts under ``shortest`` are left clipped. The
    longest part is the primary one.
    """
    breaks = [number for number in range(1, len(places)) if places[number] < places[number - 1]]
    bounds = list(pairwise([0, *breaks, len(places)]))
    parts = []
    for first, last in bounds:
        if last - first < shortest:
            continue
        cigar = [(4, first)] if first else []
        run = 1
        for left, right in pairwise(places[first:last]):
            if right == left + 1:
                run += 1
            else:
                cigar += [(0, run), (3, right - left - 1)]
                run = 1
        cigar.append((0, run))
        if last < len(places):
            cigar.append((4, len(places) - last))
        quality = mapping_quality(hits)
        placement = Placement(chrom, places[first], strand, tuple(cigar), quality, 0, hits)
        parts.append((last - first, placement))
    parts.sort(key=lambda part: -part[0])
    return tuple(placement for _, placement in parts)


def mate(sequence: str, placements: Sequence[Placement]) -> Mate:
    """Return a mate from its sequence along the genome's forward strand."""
    backwards = bool(placements) and placements[0].strand == "-"
    own = reverse_complement(sequence) if backwards else sequence
    return Mate(own, "I" * len(own), tuple(placements))


def pair(
    world: World,
    chrom: str,
    molecule: Spans,
    offset: int,
    size: int,
    read: int,
    rna: str,
    library: str = "reverse",
    turns: int = 3,
    shortest: int = 10,
) -> list[Mate]:
    """Return both mates of a fragment of a molecule.

    Parameters
    ----------
    molecule
        Its blocks on the genome; with more than one turn it is a circle.
    offset, size
        Where the fragment starts in the molecule, from the left, and how long it is.
    read
        Length of the reads.
    rna, library
        Strand of the molecule; ``forward`` or ``reverse``.
    """
    places = positions(molecule, turns)[offset : offset + size]
    assert len(places) == size
    mates = []
    for part, strand in ((places[:read], "+"), (places[-read:], "-")):
        sequence = "".join(world.contigs[chrom][place] for place in part)
        mates.append(mate(sequence, placements_of(chrom, part, strand, shortest)))
    first_is_left = (rna == "+") == (library == "forward")
    return mates if first_is_left else mates[::-1]


def single(
    world: World,
    chrom: str,
    molecule: Spans,
    offset: int,
    read: int,
    rna: str,
    library: str = "reverse",
    turns: int = 2,
    shortest: int = 10,
) -> list[Mate]:
    """Return a single-end read of a molecule."""
    places = positions(molecule, turns)[offset : offset + read]
    assert len(places) == read
    sequence = "".join(world.contigs[chrom][place] for place in places)
    strand = "+" if (rna == "+") == (library == "forward") else "-"
    return [mate(sequence, placements_of(chrom, places, strand, shortest))]


def write_bam(path: Path, world: World, fragments: dict[str, list[Mate]]) -> Path:
    """Write fragments, by name, as a sorted and indexed BAM that keeps the contract."""
    contigs = [(name, len(bases)) for name, bases in world.contigs.items()]
    header = pysam.AlignmentHeader.from_dict(bam_header(contigs, "toy", "toy", "toy", "1"))
    unsorted = path.with_suffix(".unsorted.bam")
    with pysam.AlignmentFile(str(unsorted), "wb", header=header) as bam:
        for name, mates in fragments.items():
            for line in sam_records(name, mates, "toy"):
                bam.write(pysam.AlignedSegment.fromstring(line, header))
    pysam.sort("-o", str(path), str(unsorted))
    pysam.index(str(path))
    unsorted.unlink()
    return path


def write_summary(path: Path, strandedness: str = "reverse") -> Path:
    path.write_text(f"library\tstrandedness\ntoy\t{strandedness}\n")
    return path


def write_candidates(path: Path, junctions: Sequence[Junction], reads: int = 5) -> Path:
    JUNCTIONS.write(
        [
            {
                "chrom": item.chrom,
                "start": item.start,
                "end": item.end,
                "strand": item.strand,
                "splice_motif": item.motif,
                "split_reads": reads,
                "realigned_reads": 0,
            }
            for item in junctions
        ],
        path,
    )
    return path


def count(
    world: World,
    bam: Path,
    junctions: Sequence[Junction],
    strandedness: str = "reverse",
    limits: Limits | None = None,
    evidence: Sequence[int] | None = None,
) -> dict[str, Tally]:
    """Count junctions in a BAM."""
    circles = [build_circle(item, world.annotation, world.sites) for item in junctions]
    limits = limits or Limits()
    doubted: list[pysam.AlignedSegment] = []
    with pysam.AlignmentFile(str(bam)) as opened:
        find_junctions(opened, world.genome, world.annotation, strandedness, limits, doubted.append)
        counts = count_circles(
            opened,
            doubted,
            world.genome,
            world.annotation,
            world.sites,
            circles,
            evidence or [5] * len(circles),
            strandedness,
            limits,
        )
    return counts.tallies

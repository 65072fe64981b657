"""A random genome with genes: exons, introns, isoforms, coding sequences and decoys.

All positions in this module count along the concatenated contigs, 0-based and half-open;
`Genome.locate` turns them into contig and position. Exons of a gene are numbered 5' to 3'.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ringmark.errors import InputError
from ringmark.intervals import Blocks, IntArray
from ringmark.sequence import reverse_complement
from ringmark.simulate_parameters import SimulationParameters
from ringmark.simulate_random import Stream

Letters = npt.NDArray[np.uint8]

BASES: Letters = np.frombuffer(b"ACGT", dtype=np.uint8)
COMPLEMENT: Letters = np.zeros(256, dtype=np.uint8)
COMPLEMENT[np.frombuffer(b"ACGTN", dtype=np.uint8)] = np.frombuffer(b"TGCAN", dtype=np.uint8)

#: Longest run of one base in the genome.
LONGEST_HOMOPOLYMER = 7

CODING_NAMES = [
    "METTL3",
    "METTL14",
    "WTAP",
    "VIRMA",
    "RBM15",
    "FTO",
    "ALKBH5",
    "YTHDF1",
    "YTHDF2",
    "YTHDF3",
    "YTHDC1",
    "YTHDC2",
    "IGF2BP1",
    "IGF2BP2",
    "IGF2BP3",
    "HNRNPA2B1",
    "ABCB1",
    "ABCC1",
    "ABCG2",
    "HIPK3",
    "CUX1",
    "SMARCA5",
    "AKT3",
    "EGFR",
    "ERBB2",
    "MYC",
    "TP53",
    "PTEN",
    "BCL2",
    "ZEB1",
    "SOX2",
    "CFLAR",
    "FOXM1",
    "HK2",
    "SLC7A11",
    "MGMT",
]
NONCODING_NAMES = ["MALAT1", "NEAT1", "HOTAIR", "LINC00461", "XIST", "SNHG3", "DANCR", "PVT1"]


@dataclass
class Genome:
    """Contigs as one array of letters.

    Attributes
    ----------
    names
        Contig names.
    bounds
        Start of each contig and the end of the last one, shape (contigs + 1,).
    letters
        ASCII codes of A, C, G, T, shape (length,).
    fixed
        Positions whose letter something depends on (splice signals, motifs), shape (length,).
    occupied
        Positions that carry a gene or another planted element, shape (length,).
    """

    names: tuple[str, ...]
    bounds: IntArray
    letters: Letters
    fixed: npt.NDArray[np.bool_]
    occupied: npt.NDArray[np.bool_]

    def locate(self, position: int) -> tuple[str, int]:
        """Return contig name and offset of the contig that holds a position."""
        contig = int(np.searchsorted(self.bounds, position, side="right")) - 1
        return self.names[contig], int(self.bounds[contig])

    def text(self, start: int, end: int, strand: str = "+") -> str:
        """Return the letters of an interval, read along ``strand``."""
        text = self.letters[start:end].tobytes().decode("ascii")
        return text if strand == "+" else reverse_complement(text)

    def spliced(self, blocks: Blocks) -> Letters:
        """Return the letters of an RNA, 5' to 3'."""
        return self.read(blocks.to_genome(np.arange(blocks.length)), blocks.strand)

    def read(self, positions: IntArray, strand: str) -> Letters:
        """Return the letters at positions as read on ``strand``."""
        letters = self.letters[positions]
        return letters if strand == "+" else COMPLEMENT[letters]

    def plant(self, start: int, text: str, strand: str = "+") -> bool:
        """Write ``text`` (5' to 3' on ``strand``) at ``start`` and fix it.

        Returns
        -------
        bool
            Whether it was written; false, with nothing changed, where a fixed letter differs.
        """
        forward = text if strand == "+" else reverse_complement(text)
        letters = np.frombuffer(forward.encode("ascii"), dtype=np.uint8)
        span = slice(start, start + len(letters))
        if (self.fixed[span] & (self.letters[span] != letters)).any():
            return False
        self.letters[span] = letters
        self.fixed[span] = True
        return True

    def overwrite(self, start: int, letters: Letters) -> None:
        """Write letters at ``start`` wherever no letter is fixed."""
        span = slice(start, start + len(letters))
        self.letters[span] = np.where(self.fixed[span], self.letters[span], letters)

    def reserve(self, length: int, stream: Stream, what: str) -> int:
        """Find and occupy a free stretch between genes and return its start.

        Raises
        ------
        InputError
            If no free stretch of that length is found.
        """
        margin = 100
        for _ in range(2000):
            start = stream.integer(margin, len(self.letters) - length - margin)
            first, last = start - margin, start + length + margin
            contig = np.searchsorted(self.bounds, first, side="right")
            if last < self.bounds[contig] and not self.occupied[first:last].any():
                self.occupied[start : start + length] = True
                return start
        raise InputError(
            f"no room for {what} of {length} nt between the genes",
            "raise --genome-length or lower --genes",
        )


@dataclass(frozen=True)
class Gene:
    """A simulated gene.

    Attributes
    ----------
    exon_starts, exon_ends
        Exons in order of the RNA.
    transcripts
        Exon numbers of each transcript; the first is the main one.
    fractions
        Share of each transcript among the gene's linear molecules.
    donors, acceptors
        Splice signal after and before each exon.
    cds
        First base and end (stop codon included) of the coding sequence in the spliced main
        transcript; ``None`` for a non-coding gene.
    cases
        Names of the hard cases the gene takes part in.
    """

    index: int
    name: str
    strand: str
    exon_starts: tuple[int, ...]
    exon_ends: tuple[int, ...]
    transcripts: tuple[tuple[int, ...], ...]
    fractions: tuple[float, ...]
    donors: tuple[str, ...]
    acceptors: tuple[str, ...]
    coding_start: int | None
    stop_offset: int
    cases: tuple[str, ...] = ()

    @property
    def gene_id(self) -> str:
        """Identifier in the annotation."""
        return f"SIMG{self.index + 1:011d}"

    @property
    def start(self) -> int:
        """Leftmost base."""
        return min(self.exon_starts)

    @property
    def end(self) -> int:
        """Right boundary, exclusive."""
        return max(self.exon_ends)

    def blocks(self, exons: tuple[int, ...]) -> Blocks:
        """Return the given exons as blocks on the genome."""
        starts = np.array(sorted(self.exon_starts[exon] for exon in exons), dtype=np.int64)
        ends = np.array(sorted(self.exon_ends[exon] for exon in exons), dtype=np.int64)
        return Blocks(starts, ends, self.strand)

    @cached_property
    def main(self) -> Blocks:
        """Exons of the main transcript."""
        return self.blocks(self.transcripts[0])

    def intron(self, exon: int, following: int) -> tuple[int, int]:
        """Return the interval between two exons."""
        if self.strand == "+":
            return self.exon_ends[exon], self.exon_starts[following]
        return self.exon_ends[following], self.exon_starts[exon]

    def cds(self, transcript: int = 0) -> tuple[int, int] | None:
        """Return first base and end, stop codon included, of the coding sequence.

        Both are positions in the spliced transcript; the stop codon is never split by an intron.
        """
        if self.coding_start is None:
            return None
        exons = self.transcripts[transcript]
        lengths = [self.exon_ends[exon] - self.exon_starts[exon] for exon in exons]
        end = sum(lengths[:-1]) + self.stop_offset
        return self.coding_start, end - (end - self.coding_start) % 3


@dataclass(frozen=True)
class _Plan:
    """Structure of a gene before it has a place: lengths in order of the RNA."""

    exons: tuple[int, ...]
    introns: tuple[int, ...]
    transcripts: tuple[tuple[int, ...], ...]
    fractions: tuple[float, ...]
    donors: tuple[str, ...]
    acceptors: tuple[str, ...]
    coding: bool
    stop_offset: int
    cases: tuple[str, ...] = ()
    tandem_exon: int | None = None

    @property
    def length(self) -> int:
        return sum(self.exons) + sum(self.introns)


def random_letters(length: int, gc: float, stream: Stream) -> Letters:
    """Return random letters with the given share of G and C, shape (length,)."""
    cumulative = np.array([(1 - gc) / 2, 0.5, 0.5 + gc / 2])
    return BASES[np.searchsorted(cumulative, stream.uniform(length), side="right")]


def break_homopolymers(letters: Letters, longest: int = LONGEST_HOMOPOLYMER) -> None:
    """Interrupt, in place, every run of one base longer than ``longest``."""
    changes = np.flatnonzero(np.diff(letters)) + 1
    starts = np.concatenate([[0], changes])
    lengths = np.diff(np.concatenate([starts, [len(letters)]]))
    for start, length in zip(starts[lengths > longest], lengths[lengths > longest], strict=True):
        for position in range(start + longest, start + length, longest + 1):
            letters[position] = COMPLEMENT[letters[position]]


def random_genome(parameters: SimulationParameters, stream: Stream) -> Genome:
    """Return contigs of random letters; the share of G and C varies by stretches of 5 kb."""
    contigs, length = parameters.contigs, parameters.genome_length
    shares = np.linspace(1.2, 0.8, contigs) if contigs > 1 else np.ones(1)
    bounds = np.concatenate([[0], np.cumsum(shares / shares.sum() * length)]).astype(np.int64)
    bounds[-1] = length
    stretches = [
        random_letters(min(5000, length - start), stream.real(0.38, 0.52), stream)
        for start in range(0, length, 5000)
    ]
    letters = np.concatenate(stretches)
    break_homopolymers(letters)
    names = tuple(f"chr{number + 1}" for number in range(contigs))
    nothing = np.zeros(length, dtype=bool)
    return Genome(names, bounds, letters, nothing, nothing.copy())


def _exon_lengths(parameters: SimulationParameters, stream: Stream) -> list[int]:
    """Draw the exon lengths of a gene, with a long last exon and sometimes a long internal one."""
    last = stream.integer(parameters.last_exon_min, parameters.last_exon_max)
    if stream.chance(0.1):
        return [last + 300]
    count = stream.integer(2, 13) if stream.chance(0.3) else stream.integer(4, 10)
    internal = np.clip(stream.lognormal(count - 2, 140, 0.45), 60, 400).astype(int).tolist()
    if count > 3 and stream.chance(0.15):
        internal[stream.integer(0, len(internal))] = stream.integer(400, 900)
    return [stream.integer(100, 300), *internal, last]


def _isoforms(
    exons: list[int], stream: Stream
) -> tuple[list[int], tuple[tuple[int, ...], ...], tuple[float, ...]]:
    """Add exon skipping or an alternative last exon; return exons, transcripts and shares."""
    count = len(exons)
    everything = tuple(range(count))
    if count >= 4 and stream.chance(0.45):
        skipped = stream.integer(1, count - 1)
        exons[skipped] += -exons[skipped] % 3
        share = stream.real(0.6, 0.85)
        shorter = tuple(exon for exon in everything if exon != skipped)
        return exons, (everything, shorter), (share, 1 - share)
    if count >= 3 and stream.chance(0.3):
        extended = [*exons[:-1], stream.integer(300, 500), exons[-1]]
        share = stream.real(0.6, 0.85)
        main = (*everything[:-1], count)
        return extended, (main, everything), (share, 1 - share)
    return exons, (everything,), (1.0,)


def _splice_signals(
    exons: int, single: bool, parameters: SimulationParameters, stream: Stream
) -> tuple[list[str], list[str]]:
    """Draw the signals after and before each exon; ``single``: the gene has one transcript."""
    donors = ["GC" if stream.chance(parameters.gc_ag_fraction) else "GT" for _ in range(exons)]
    acceptors = ["AG"] * exons
    if single and exons >= 4 and stream.chance(parameters.at_ac_fraction):
        middle = stream.integer(1, exons - 1)
        for exon in (middle - 1, middle):
            donors[exon], acceptors[exon + 1] = "AT", "AC"
    return donors, acceptors


def _plan_gene(parameters: SimulationParameters, stream: Stream) -> _Plan:
    """Draw the structure of one gene."""
    exons, transcripts, fractions = _isoforms(_exon_lengths(parameters, stream), stream)
    sizes = stream.lognormal(len(exons) - 1, parameters.intron_median, 0.7)
    introns = np.clip(sizes, 120, parameters.intron_max).astype(int).tolist()
    donors, acceptors = _splice_signals(len(exons), len(transcripts) == 1, parameters, stream)
    offset = stream.integer(40, 160) if len(exons) > 1 else int(exons[0] * 0.55)
    return _Plan(
        tuple(exons),
        tuple(introns),
        transcripts,
        fractions,
        tuple(donors),
        tuple(acceptors),
        stream.chance(1 - parameters.noncoding_fraction),
        offset,
    )


def _with_tandem_exon(plan: _Plan, stream: Stream) -> _Plan:
    """Give a gene two neighbouring internal exons of equal length, to be made copies."""
    exon = stream.integer(1, len(plan.exons) - 2)
    exons = list(plan.exons)
    exons[exon + 1] = exons[exon]
    return replace(
        plan, exons=tuple(exons), tandem_exon=exon, cases=(*plan.cases, "tandem_duplication")
    )


def _plan_genes(
    parameters: SimulationParameters, stream: Stream
) -> tuple[list[_Plan], dict[int, int]]:
    """Draw all genes; also return which gene is a paralogue of which."""
    plans = [_plan_gene(parameters, stream) for _ in range(parameters.genes)]
    simple = [
        number
        for number, plan in enumerate(plans)
        if len(plan.transcripts) == 1 and len(plan.exons) >= 5 and "AT" not in plan.donors
    ]
    wanted = 2 * parameters.paralogues + parameters.tandem_duplications
    if len(simple) < wanted:
        raise InputError(
            f"{parameters.paralogues} paralogues and {parameters.tandem_duplications} tandem "
            f"duplications need {wanted} genes of simple structure; there are {len(simple)}",
            "raise --genes",
        )
    for number in simple[: parameters.tandem_duplications]:
        plans[number] = _with_tandem_exon(plans[number], stream)
    rest = simple[parameters.tandem_duplications : wanted]
    copies = dict(zip(rest[1::2], rest[::2], strict=True))
    for copy, source in copies.items():
        plans[source] = replace(plans[source], cases=("paralogue",))
        plans[copy] = plans[source]
    return plans, copies


def _place_genes(
    plans: list[_Plan], genome: Genome, parameters: SimulationParameters, stream: Stream
) -> tuple[list[int], list[str]]:
    """Spread genes over the contigs; return starts and strands.

    The overlapping genes are pairs of neighbours whose last exons overlap tail to tail.
    """
    sizes = np.diff(genome.bounds)
    contig = np.searchsorted(
        np.cumsum(sizes), (np.arange(len(plans)) + 0.5) / len(plans) * sizes.sum(), side="right"
    )
    strands = ["+" if stream.chance(0.5) else "-" for _ in plans]
    pairs = [number for number in range(1, len(plans), 2) if contig[number] == contig[number - 1]][
        : parameters.overlapping_genes
    ]
    for number in pairs:
        strands[number - 1 : number + 1] = ["+", "-"]
    starts: list[int] = []
    for number in range(parameters.contigs):
        members = np.flatnonzero(contig == number).tolist()
        lengths = [plans[member].length for member in members]
        overlaps = [stream.integer(80, 250) if member in pairs else 0 for member in members]
        starts += _spread(lengths, overlaps, genome, number, stream)
    return starts, strands


def _spread(
    lengths: list[int], overlaps: list[int], genome: Genome, contig: int, stream: Stream
) -> list[int]:
    """Return starts of neighbouring genes on a contig, with random gaps that fill it."""
    size = int(genome.bounds[contig + 1] - genome.bounds[contig])
    weights = stream.uniform(len(lengths) + 1, 0.3, 1.0)
    weights[:-1][np.array(overlaps, dtype=int) > 0] = 0
    free = size - sum(lengths) + sum(overlaps)
    if free < 400 * len(weights):
        raise InputError(
            f"{len(lengths)} genes of {sum(lengths)} nt do not fit a contig of {size} nt",
            "raise --genome-length, or lower --genes or --intron-median",
        )
    gaps = (weights / weights.sum() * free).astype(int).tolist()
    starts, position = [], int(genome.bounds[contig])
    for length, overlap, gap in zip(lengths, overlaps, gaps[:-1], strict=True):
        position += gap - overlap
        starts.append(position)
        position += length
    return starts


def _names(plans: list[_Plan]) -> list[str]:
    """Return gene names: well-known symbols as labels first, then numbered ones."""
    coding, other = iter(CODING_NAMES), iter(NONCODING_NAMES)
    return [
        next(coding if plan.coding else other, f"SIM{number + 1}")
        for number, plan in enumerate(plans)
    ]


def _build_gene(index: int, name: str, plan: _Plan, start: int, strand: str) -> Gene:
    """Turn a structure and a place into a gene."""
    steps = np.array([*np.ravel(list(zip(plan.exons, (*plan.introns, 0), strict=True)))])
    ends = np.cumsum(steps)[::2]
    begins = ends - np.array(plan.exons)
    if strand == "-":
        begins, ends = plan.length - ends, plan.length - begins
    return Gene(
        index,
        name,
        strand,
        tuple((start + begins).tolist()),
        tuple((start + ends).tolist()),
        plan.transcripts,
        plan.fractions,
        plan.donors,
        plan.acceptors,
        min(60, plan.exons[0] // 2) if plan.coding else None,
        plan.stop_offset,
        plan.cases,
    )


def diverged(letters: Letters, divergence: float, stream: Stream) -> Letters:
    """Return a copy of letters with a share of them substituted."""
    copy = letters.copy()
    hits = stream.positions(len(copy), divergence)
    codes = np.searchsorted(BASES, copy[hits])
    copy[hits] = BASES[(codes + stream.integers(1, 4, len(hits))) % 4]
    return copy


def _copy_genes(
    genes: list[Gene],
    plans: list[_Plan],
    copies: dict[int, int],
    genome: Genome,
    divergence: float,
    stream: Stream,
) -> None:
    """Make tandem exons copies of each other and paralogues copies of their sources."""
    for gene, plan in zip(genes, plans, strict=True):
        if plan.tandem_exon is not None:
            first, second = plan.tandem_exon, plan.tandem_exon + 1
            length = gene.exon_ends[first] - gene.exon_starts[first] + 60
            source = gene.exon_starts[first] - 30
            copy = diverged(genome.letters[source : source + length], 0.01, stream)
            genome.overwrite(gene.exon_starts[second] - 30, copy)
    for copy_index, source_index in copies.items():
        source_gene, gene = genes[source_index], genes[copy_index]
        letters = genome.letters[source_gene.start : source_gene.end]
        if gene.strand != source_gene.strand:
            letters = COMPLEMENT[letters[::-1]]
        genome.overwrite(gene.start, diverged(letters, divergence, stream))


def plant_donor(genome: Genome, gene_strand: str, start: int, end: int, text: str) -> bool:
    """Plant a signal just 3' of the exon ``[start, end)``."""
    left = end if gene_strand == "+" else start - len(text)
    return genome.plant(left, text, gene_strand)


def plant_acceptor(genome: Genome, gene_strand: str, start: int, end: int, text: str) -> bool:
    """Plant a signal just 5' of the exon ``[start, end)``."""
    left = start - len(text) if gene_strand == "+" else end
    return genome.plant(left, text, gene_strand)


def _plant_signals(gene: Gene, genome: Genome, stream: Stream) -> None:
    """Plant splice signals, start and stop codons of a gene."""
    inner = {exon for exons in gene.transcripts for exon in exons[1:]}
    outer = {exon for exons in gene.transcripts for exon in exons[:-1]}
    for exon, (start, end) in enumerate(zip(gene.exon_starts, gene.exon_ends, strict=True)):
        if exon in outer:
            tail = ("AAGT", "GAGT", "AAG", "")[stream.integer(0, 4)]
            if gene.donors[exon] == "AT":
                tail = "ATCCTT"
            plant_donor(genome, gene.strand, start, end, gene.donors[exon] + tail)
        if exon in inner:
            head = "CT"[stream.integer(0, 2)]
            plant_acceptor(genome, gene.strand, start, end, head + gene.acceptors[exon])
    for number, exons in enumerate(gene.transcripts):
        span = gene.cds(number)
        if span is None:
            continue
        blocks = gene.blocks(exons)
        for position, codon in ((span[0], "ATG"), (span[1] - 3, "TAA")):
            places = blocks.to_genome(np.arange(position, position + 3))
            genome.plant(int(places.min()), codon, gene.strand)


def simulate_genome(parameters: SimulationParameters) -> tuple[Genome, list[Gene]]:
    """Return a genome and its genes, in order of place.

    Raises
    ------
    InputError
        If the genes do not fit the genome.
    """
    stream = Stream(parameters.seed, 1)
    genome = random_genome(parameters, stream)
    plans, copies = _plan_genes(parameters, stream)
    starts, strands = _place_genes(plans, genome, parameters, stream)
    genes = [
        _build_gene(number, *facts)
        for number, facts in enumerate(zip(_names(plans), plans, starts, strands, strict=True))
    ]
    _copy_genes(genes, plans, copies, genome, parameters.paralogue_divergence, stream)
    for gene in genes:
        _plant_signals(gene, genome, stream)
        genome.occupied[max(gene.start - 200, 0) : gene.end + 200] = True
    plant_repeats(genome, genes, parameters.repeats, stream)
    return genome, genes


def plant_repeats(genome: Genome, genes: list[Gene], count: int, stream: Stream) -> None:
    """Plant copies, 10 % diverged and on either strand, of one 300 nt repeat in introns."""
    family = random_letters(300, 0.55, stream)
    introns = [
        gene.intron(exon, exon + 1)
        for gene in genes
        for exon in range(len(gene.exon_starts) - 1)
        if np.diff(gene.intron(exon, exon + 1))[0] > 400
    ]
    for number in stream.integers(0, max(len(introns), 1), count if introns else 0).tolist():
        start, end = introns[number]
        copy = diverged(family, 0.1, stream)
        if stream.chance(0.5):
            copy = COMPLEMENT[copy[::-1]]
        genome.overwrite(stream.integer(start + 50, end - 350), copy)

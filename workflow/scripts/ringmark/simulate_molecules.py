"""The RNA molecules of a simulated study: what they hold, how many there are, where their m6A is.

All molecules are laid out one after another in a pool of letters, so that a fragment is two
numbers. A circle is laid out from its back-splice acceptor and repeated until the longest fragment
fits behind its first turn, so that a fragment which crosses the back-splice is contiguous too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ringmark.intervals import Blocks, IntArray
from ringmark.sequence import drach_positions
from ringmark.simulate_circles import Circle
from ringmark.simulate_genome import COMPLEMENT, Gene, Genome, Letters, diverged
from ringmark.simulate_parameters import SimulationParameters
from ringmark.simulate_random import FloatArray, Stream

LINEAR, CIRCULAR, PREMRNA, RETRO, CHIMERA = range(5)

#: What is planted where no DRACH motif is near.
_MOTIF = "GGACT"

#: Smallest distance of two m6A sites of one molecule, in spliced nucleotides.
_SPACING = 40


@dataclass(frozen=True)
class Site:
    """An m6A site.

    Attributes
    ----------
    position
        Genomic position of the adenosine.
    gene
        Host gene, or -1.
    circle
        Index of the circle that carries it, or -1 for the gene's linear molecules.
    stoichiometry
        Share of molecules methylated, test and reference condition.
    """

    position: int
    strand: str
    gene: int
    circle: int
    stoichiometry: tuple[float, float]


@dataclass(frozen=True)
class Molecule:
    """One kind of molecule.

    Attributes
    ----------
    parts
        Blocks joined 5' to 3'; more than one only for a chimera.
    gene, circle
        Whose abundance and sites it has; -1 for none.
    share
        Share among the molecules of its gene or circle.
    """

    kind: int
    parts: tuple[Blocks, ...]
    gene: int = -1
    circle: int = -1
    share: float = 1.0

    @property
    def length(self) -> int:
        """Spliced length."""
        return sum(part.length for part in self.parts)


@dataclass(frozen=True)
class Pool:
    """All molecules laid out one after another.

    Attributes
    ----------
    letters
        Sequence, 5' to 3' of each molecule, shape (pool,).
    genome_positions
        Where each letter comes from, shape (pool,).
    starts, lengths
        First letter and spliced length (of a circle: one turn) of each molecule.
    ends
        End of each molecule's letters, the further turns of a circle included.
    forward
        Whether each molecule reads along the genome's forward strand.
    kinds, genes, circles, shares
        Facts of each molecule, shape (molecules,).
    site_positions, site_numbers
        Pool positions of methylated adenosines and the number of the site at each.
    """

    letters: Letters
    genome_positions: npt.NDArray[np.int32]
    starts: IntArray
    lengths: IntArray
    ends: IntArray
    forward: npt.NDArray[np.bool_]
    kinds: IntArray
    genes: IntArray
    circles: IntArray
    shares: FloatArray
    site_positions: IntArray
    site_numbers: IntArray


# ---------------------------------------------------------------- m6A sites


def _place_motif(genome: Genome, blocks: Blocks, target: int) -> int | None:
    """Return the genomic position of an adenosine in a DRACH motif near a spliced position.

    An existing motif within 15 nt is taken, else one is planted; ``None`` where neither can be.
    """
    first = max(target - 15, 0)
    last = min(target + 16, blocks.length)
    window = genome.read(blocks.to_genome(np.arange(first, last)), blocks.strand)
    motifs = drach_positions(window.tobytes().decode("ascii")) + first
    for motif in motifs[np.argsort(np.abs(motifs - target), kind="stable")].tolist():
        places = blocks.to_genome(np.arange(motif - 2, motif + 3))
        if np.ptp(places) == 4:
            genome.fixed[places] = True
            return int(places[2])
    if not 2 <= target < blocks.length - 2:
        return None
    places = blocks.to_genome(np.arange(target - 2, target + 3))
    if np.ptp(places) != 4 or not genome.plant(int(places.min()), _MOTIF, blocks.strand):
        return None
    return int(places[2])


def _stoichiometry(parameters: SimulationParameters, stream: Stream) -> tuple[float, float]:
    """Draw the stoichiometry of one site in the test and the reference condition."""
    low, high = parameters.stoichiometry_min, parameters.stoichiometry_max
    level = other = stream.real(low, high)
    if stream.chance(parameters.differential_site_fraction):
        change = parameters.stoichiometry_change
        level = stream.real(min(max(change, low), high), high)
        other = max(level - change, 0.0)
    if stream.chance(0.5):
        level, other = other, level
    return min(level * parameters.methylation_factor, 1.0), other


def _linear_target(gene: Gene, stream: Stream) -> int:
    """Draw a spliced position: mostly near the stop codon, or in a long internal exon."""
    length = gene.main.length
    span = gene.cds()
    if span is not None and stream.chance(0.6):
        return min(max(span[1] + stream.integer(-100, 250), 25), length - 25)
    lengths = np.array([gene.exon_ends[e] - gene.exon_starts[e] for e in gene.transcripts[0]])
    offsets = np.cumsum(lengths) - lengths
    weights = np.where(lengths > 300, 3.0, 1.0) * lengths
    exon = int(stream.categories(weights, 1)[0])
    target = int(offsets[exon]) + stream.integer(5, int(lengths[exon]) - 5)
    return min(max(target, 25), length - 25)


def _is_apart(blocks: Blocks, position: int, others: list[int]) -> bool:
    """Tell whether a genomic position is far enough from others along the spliced molecule."""
    places = blocks.to_spliced(np.array([position, *others], dtype=np.int64))
    return bool((np.abs(places[1:] - places[0]) >= _SPACING).all())


def _linear_sites(
    genome: Genome, genes: list[Gene], parameters: SimulationParameters, stream: Stream
) -> list[Site]:
    """Place the sites of linear molecules."""
    sites: list[Site] = []
    for gene in genes:
        if not stream.chance(parameters.methylated_fraction):
            continue
        extra = max(parameters.sites_per_gene - 1, 0)
        count = 1 + int(-np.log1p(-stream.real()) * extra + 0.5)
        taken: list[int] = []
        for _ in range(3 * count):
            target = _linear_target(gene, stream)
            position = _place_motif(genome, gene.main, target) if len(taken) < count else None
            if position is not None and _is_apart(gene.main, position, taken):
                taken.append(position)
                levels = _stoichiometry(parameters, stream)
                sites.append(Site(position, gene.strand, gene.index, -1, levels))
    return sites


def _circle_sites(
    genome: Genome,
    circles: list[Circle],
    linear: list[Site],
    parameters: SimulationParameters,
    stream: Stream,
) -> list[Site]:
    """Place the sites of circles: some shared with the linear molecule, some of their own."""
    sites: list[Site] = []
    for number, circle in enumerate(circles):
        if not stream.chance(parameters.methylated_circle_fraction):
            continue
        blocks = circle.paths[0]
        taken: list[int] = []
        for site in linear:
            inside = site.strand == circle.strand and circle.start <= site.position < circle.end
            if inside and blocks.to_spliced(np.array([site.position]))[0] >= 0:
                taken += [site.position] if stream.chance(0.5) else []
        if not taken or stream.chance(0.6):
            position = _place_motif(genome, blocks, _circle_target(blocks.length, stream))
            if position is not None and _is_apart(blocks, position, taken):
                taken.append(position)
        for position in taken:
            levels = _stoichiometry(parameters, stream)
            sites.append(Site(position, circle.strand, circle.gene, number, levels))
    return sites


def _circle_target(length: int, stream: Stream) -> int:
    """Draw a position on a circle: in half of all cases within 80 nt of the back-splice."""
    if stream.chance(0.5):
        distance = stream.integer(3, min(80, length // 2))
        return distance if stream.chance(0.5) else length - 1 - distance
    return stream.integer(5, length - 5)


def simulate_sites(
    genome: Genome, genes: list[Gene], circles: list[Circle], parameters: SimulationParameters
) -> list[Site]:
    """Place all m6A sites; DRACH motifs are planted where there are none."""
    stream = Stream(parameters.seed, 3)
    linear = _linear_sites(genome, genes, parameters, stream)
    return linear + _circle_sites(genome, circles, linear, parameters, stream)


# ---------------------------------------------------------------- molecules


def _linear_molecules(genes: list[Gene], parameters: SimulationParameters) -> list[Molecule]:
    found = [
        Molecule(LINEAR, (gene.blocks(exons),), gene.index, share=share)
        for gene in genes
        for exons, share in zip(gene.transcripts, gene.fractions, strict=True)
    ]
    if parameters.premrna_fraction > 0:
        found += [
            Molecule(
                PREMRNA,
                (Blocks(np.array([gene.start]), np.array([gene.end]), gene.strand),),
                gene.index,
            )
            for gene in genes
        ]
    return found


def _circular_molecules(circles: list[Circle]) -> list[Molecule]:
    shares = {1: (1.0,), 2: (0.7, 0.3)}
    return [
        Molecule(CIRCULAR, (path,), circle.gene, number, share)
        for number, circle in enumerate(circles)
        for path, share in zip(circle.paths, shares[len(circle.paths)], strict=True)
    ]


def _retro_sequence(genome: Genome, gene: Gene, back_spliced: bool, stream: Stream) -> Letters:
    """Return the sequence of a retro-copy: a whole transcript, or exons in back-spliced order."""
    exons = gene.transcripts[0]
    if not back_spliced or len(exons) < 4:
        return genome.spliced(gene.main)
    first = stream.integer(1, len(exons) - 2)
    last = stream.integer(first + 1, len(exons) - 1)
    circle = genome.spliced(gene.blocks(exons[first : last + 1]))
    turn = stream.integer(60, len(circle) - 60) if len(circle) > 121 else len(circle) // 2
    return np.roll(np.concatenate([circle, circle]), -turn)


def _plant_copies(
    genome: Genome, genes: list[Gene], parameters: SimulationParameters, stream: Stream
) -> list[Molecule]:
    """Insert processed pseudogenes and retro-copies; return the transcribed ones."""
    found = []
    silent, expressed = parameters.processed_pseudogenes, parameters.retro_copies
    for number in range(silent + expressed):
        gene = genes[stream.integer(0, len(genes))]
        transcribed = number >= silent
        sequence = _retro_sequence(genome, gene, transcribed and number % 2 == 0, stream)
        copy = diverged(sequence, 0.005 if transcribed else 0.03, stream)
        copy = np.concatenate([copy, np.full(20, ord("A"), dtype=np.uint8)])
        strand = "+-"[stream.integer(0, 2)]
        start = genome.reserve(len(copy), stream, "a retro-copy")
        genome.overwrite(start, copy if strand == "+" else COMPLEMENT[copy[::-1]])
        if transcribed:
            span = Blocks(np.array([start]), np.array([start + len(copy)]), strand)
            found.append(Molecule(RETRO, (span,)))
    return found


def _chimeras(
    genes: list[Gene], parameters: SimulationParameters, stream: Stream
) -> list[Molecule]:
    """Join a stretch of a transcript to one further upstream, as template switching does."""
    found: list[Molecule] = []
    flank = int(parameters.fragment_length)
    long = [gene for gene in genes if gene.main.length > 3 * flank]
    for _ in range(parameters.chimeras if long else 0):
        gene = long[stream.integer(0, len(long))]
        leave = stream.integer(flank, gene.main.length)
        enter = stream.integer(0, max(leave - 60, 1))
        head = gene.main.slice(max(leave - flank, 0), leave)
        tail = gene.main.slice(enter, min(enter + flank, gene.main.length))
        found.append(Molecule(CHIMERA, (head, tail), gene.index))
    return found


def simulate_molecules(
    genome: Genome, genes: list[Gene], circles: list[Circle], parameters: SimulationParameters
) -> list[Molecule]:
    """Return all kinds of molecules; retro-copies and pseudogenes are inserted in the genome."""
    stream = Stream(parameters.seed, 4)
    return [
        *_linear_molecules(genes, parameters),
        *_circular_molecules(circles),
        *_plant_copies(genome, genes, parameters, stream),
        *_chimeras(genes, parameters, stream),
    ]


def _layout(molecule: Molecule, longest: int) -> IntArray:
    """Return the genomic position of each letter of a molecule in the pool."""
    parts = [part.to_genome(np.arange(part.length)) for part in molecule.parts]
    positions = np.concatenate(parts)
    if molecule.kind == CIRCULAR:
        return np.resize(positions, molecule.length + longest)
    return positions


def _pool_sites(
    molecules: list[Molecule], starts: IntArray, sizes: IntArray, sites: list[Site]
) -> tuple[IntArray, IntArray]:
    """Return the pool positions of all sites, every turn of a circle included."""
    by_owner: dict[tuple[int, int], list[int]] = {}
    for number, site in enumerate(sites):
        owner = (-1, site.circle) if site.circle >= 0 else (site.gene, -1)
        by_owner.setdefault(owner, []).append(number)
    positions: list[IntArray] = [np.empty(0, np.int64)]
    numbers: list[IntArray] = [np.empty(0, np.int64)]
    for molecule, start, size in zip(molecules, starts.tolist(), sizes.tolist(), strict=True):
        owner = (-1, molecule.circle) if molecule.circle >= 0 else (molecule.gene, -1)
        if molecule.kind in (RETRO, CHIMERA) or owner not in by_owner:
            continue
        members = np.array(by_owner[owner], dtype=np.int64)
        places = np.array([sites[number].position for number in members.tolist()], dtype=np.int64)
        spliced = molecule.parts[0].to_spliced(places)
        for turn in range(0, size, molecule.length):
            inside = (spliced >= 0) & (spliced + turn < size)
            positions.append(start + turn + spliced[inside])
            numbers.append(members[inside])
    return np.concatenate(positions), np.concatenate(numbers)


def build_pool(genome: Genome, molecules: list[Molecule], sites: list[Site], longest: int) -> Pool:
    """Lay out the molecules; ``longest`` is the longest fragment that will be cut from them."""
    layouts = [_layout(molecule, longest) for molecule in molecules]
    sizes = np.array([len(layout) for layout in layouts], dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    letters = np.empty(int(sizes.sum()), dtype=np.uint8)
    positions = np.empty(len(letters), dtype=np.int32)
    for molecule, layout, start in zip(molecules, layouts, starts.tolist(), strict=True):
        span = slice(start, start + len(layout))
        letters[span] = genome.read(layout, molecule.parts[0].strand)
        positions[span] = layout
    return Pool(
        letters,
        positions,
        starts,
        np.array([molecule.length for molecule in molecules], dtype=np.int64),
        starts + sizes,
        np.array([molecule.parts[0].strand == "+" for molecule in molecules]),
        np.array([molecule.kind for molecule in molecules], dtype=np.int64),
        np.array([molecule.gene for molecule in molecules], dtype=np.int64),
        np.array([molecule.circle for molecule in molecules], dtype=np.int64),
        np.array([molecule.share for molecule in molecules]),
        *_pool_sites(molecules, starts, sizes, sites),
    )

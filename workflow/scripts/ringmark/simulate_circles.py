"""Circular RNAs of every type, planted in a simulated genome.

A circle is an interval of the genome on one strand, between the back-splice acceptor and the
back-splice donor, and the blocks inside that its molecules hold. Exonic circles lie between
annotated splice sites; lariats run from a 5' splice site to a branch point 15 to 50 nt upstream of
the 3' splice site (Zhang et al. 2013, Mol Cell 51:792); the others have planted splice signals.
Where bases are repeated at both ends a junction could be placed elsewhere as well: circles are
chosen so that only the true place carries a splice signal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ringmark.errors import InputError
from ringmark.intervals import Blocks
from ringmark.sequence import SPLICE_MOTIFS, junction_shifts
from ringmark.simulate_genome import (
    COMPLEMENT,
    Gene,
    Genome,
    diverged,
    plant_acceptor,
    plant_donor,
)
from ringmark.simulate_parameters import SimulationParameters
from ringmark.simulate_random import Stream

#: Range of the spliced length of a short circle.
SHORT = (120, 300)


@dataclass(frozen=True)
class Circle:
    """A planted circle.

    Attributes
    ----------
    start, end
        Interval of the genome.
    kind
        ``exonic``, ``exon_intron``, ``intronic``, ``antisense`` or ``intergenic``.
    gene
        Index of the host gene (of the gene on the other strand for an antisense circle), or -1.
    paths
        Blocks inside; the first is what most molecules hold.
    motif
        Signals of donor and acceptor, such as ``GT/AG``; for a lariat only the donor's are real.
    annotated
        ``both``, ``one`` or ``none`` of the ends are annotated splice sites.
    cases
        Hard cases the circle takes part in.
    """

    start: int
    end: int
    strand: str
    kind: str
    gene: int
    paths: tuple[Blocks, ...]
    exons: int
    motif: str
    annotated: str
    cases: tuple[str, ...] = ()

    @property
    def length(self) -> int:
        """Spliced length of most molecules."""
        return self.paths[0].length

    def name(self, genome: Genome) -> str:
        """Return the circle's id, ``chrom:start-end:strand``."""
        chrom, offset = genome.locate(self.start)
        return f"{chrom}:{self.start - offset}-{self.end - offset}:{self.strand}"


def junction_motif(genome: Genome, start: int, end: int, strand: str) -> str:
    """Return the dinucleotides after the donor and before the acceptor of a back-splice."""
    left, right = genome.text(start - 2, start, strand), genome.text(end, end + 2, strand)
    return f"{right}/{left}" if strand == "+" else f"{left}/{right}"


def is_unambiguous(genome: Genome, start: int, end: int, strand: str, *, lariat: bool) -> bool:
    """Tell whether no other place of the same junction sequence could be meant.

    A lariat must have no other place at all; for the others no other place may carry a splice
    signal.
    """
    flank = 30
    left, right = junction_shifts(
        genome.text(start - flank, start + flank), genome.text(end - flank, end + flank)
    )
    if lariat:
        return left == right == 0
    shifts = [shift for shift in range(-left, right + 1) if shift]
    return not any(
        junction_motif(genome, start + shift, end + shift, strand) in SPLICE_MOTIFS
        for shift in shifts
    )


def _exonic(
    gene: Gene, stream: Stream, motifs: tuple[str, ...], lengths: tuple[int, int]
) -> Circle | None:
    """Choose neighbouring internal exons of the main transcript."""
    exons = gene.transcripts[0]
    if len(exons) < 3:
        return None
    first = stream.integer(1, len(exons) - 1)
    last = min(first + stream.integer(0, 4), len(exons) - 2)
    chosen = exons[first : last + 1]
    motif = f"{gene.donors[chosen[-1]]}/{gene.acceptors[chosen[0]]}"
    blocks = gene.blocks(chosen)
    if motif not in motifs or not lengths[0] <= blocks.length <= lengths[1]:
        return None
    start, end = int(blocks.starts[0]), int(blocks.ends[-1])
    return Circle(
        start, end, gene.strand, "exonic", gene.index, (blocks,), len(chosen), motif, "both"
    )


def _plain(genome: Genome, gene: Gene, stream: Stream) -> Circle | None:
    return _exonic(gene, stream, SPLICE_MOTIFS[:2], (SHORT[0], 1500))


def _short(genome: Genome, gene: Gene, stream: Stream) -> Circle | None:
    circle = _exonic(gene, stream, SPLICE_MOTIFS[:2], SHORT)
    return replace(circle, cases=("short",)) if circle and circle.exons == 1 else None


def _at_ac(genome: Genome, gene: Gene, stream: Stream) -> Circle | None:
    circle = _exonic(gene, stream, SPLICE_MOTIFS[2:], (60, 1500))
    return replace(circle, cases=("at_ac",)) if circle else None


def _exon_intron(genome: Genome, gene: Gene, stream: Stream) -> Circle | None:
    """Retain one intron, of at most 800 nt, inside an exonic circle."""
    circle = _exonic(gene, stream, SPLICE_MOTIFS[:2], (SHORT[0], 900))
    if circle is None or circle.exons < 2:
        return None
    blocks = circle.paths[0]
    kept = stream.integer(0, circle.exons - 1)
    if blocks.starts[kept + 1] - blocks.ends[kept] > 800:
        return None
    starts, ends = np.delete(blocks.starts, kept + 1), np.delete(blocks.ends, kept)
    return replace(circle, kind="exon_intron", paths=(Blocks(starts, ends, gene.strand),))


def _intronic(genome: Genome, gene: Gene, stream: Stream) -> Circle | None:
    """Plant a branch point in an intron; the last base of the lariat circle is its adenosine."""
    exons = gene.transcripts[0]
    if len(exons) < 2:
        return None
    which = stream.integer(0, len(exons) - 1)
    intron = gene.intron(exons[which], exons[which + 1])
    reach = stream.integer(15, 51)
    forward = gene.strand == "+"
    start, end = (intron[0], intron[1] - reach) if forward else (intron[0] + reach, intron[1])
    if not 150 <= end - start <= 1200 or gene.donors[exons[which]] == "AT":
        return None
    branch = end - 4 if forward else start - 1
    if not genome.plant(branch, ("CTAAC", "CTGAC")[stream.integer(0, 2)], gene.strand):
        return None
    if not is_unambiguous(genome, start, end, gene.strand, lariat=True):
        return None
    motif = junction_motif(genome, start, end, gene.strand)
    before = genome.text(start, start + 2) if forward else genome.text(end - 2, end, "-")
    blocks = Blocks(np.array([start]), np.array([end]), gene.strand)
    if motif in SPLICE_MOTIFS or before not in ("GT", "GC"):
        return None
    return Circle(start, end, gene.strand, "intronic", gene.index, (blocks,), 0, motif, "one")


def _signals(genome: Genome, blocks: Blocks) -> bool:
    """Plant GT after and AG before every block; false where something fixed stands there."""
    return all(
        plant_donor(genome, blocks.strand, start, end, "GT")
        and plant_acceptor(genome, blocks.strand, start, end, "AG")
        for start, end in zip(blocks.starts.tolist(), blocks.ends.tolist(), strict=True)
    )


def _unannotated_blocks(start: int, strand: str, stream: Stream) -> Blocks:
    """Draw one or two blocks of a circle outside any annotation."""
    sizes = stream.integers(130, 400, 1 + stream.integer(0, 2))
    starts = start + np.concatenate([[0], np.cumsum(sizes[:-1] + stream.integer(120, 400))])
    return Blocks(starts.astype(np.int64), (starts + sizes).astype(np.int64), strand)


def _antisense(genome: Genome, gene: Gene, stream: Stream) -> Circle | None:
    """Plant a circle on the other strand, inside the span of a gene."""
    strand = "-" if gene.strand == "+" else "+"
    blocks = _unannotated_blocks(stream.integer(gene.start + 50, gene.end - 300), strand, stream)
    start, end = int(blocks.starts[0]), int(blocks.ends[-1])
    if end > gene.end - 50 or genome.fixed[start - 2 : end + 2].all():
        return None
    if not _signals(genome, blocks):
        return None
    exons = len(blocks.starts)
    return Circle(start, end, strand, "antisense", gene.index, (blocks,), exons, "GT/AG", "none")


def _intergenic(genome: Genome, gene: Gene, stream: Stream) -> Circle | None:
    """Plant a circle between genes; ``gene`` only takes part in the order of trials."""
    strand = "+-"[stream.integer(0, 2)]
    blocks = _unannotated_blocks(0, strand, stream)
    place = genome.reserve(int(blocks.ends[-1]) + 40, stream, "an intergenic circle") + 20
    blocks = Blocks(blocks.starts + place, blocks.ends + place, strand)
    if not _signals(genome, blocks):
        return None
    start, end = int(blocks.starts[0]), int(blocks.ends[-1])
    exons = len(blocks.starts)
    return Circle(start, end, strand, "intergenic", -1, (blocks,), exons, "GT/AG", "none")


def _novel(genome: Genome, gene: Gene, stream: Stream) -> Circle | None:
    """Move one end of an exonic circle to a cryptic site in its exon, or to a new exon."""
    circle = _exonic(gene, stream, SPLICE_MOTIFS[:1], (SHORT[0] + 60, 1500))
    if circle is None:
        return None
    starts, ends = circle.paths[0].starts.copy(), circle.paths[0].ends.copy()
    at_left = stream.chance(0.5)
    if stream.chance(0.5):
        shift = stream.integer(20, max(21, int(ends[0] - starts[0]) - 50))
        if at_left:
            starts[0] += shift
        else:
            ends[-1] -= shift
    else:
        gap, size = stream.integer(110, 200), stream.integer(80, 160)
        if at_left:
            starts = np.concatenate([[starts[0] - gap - size], starts])
            ends = np.concatenate([[starts[1] - gap], ends])
        else:
            starts = np.concatenate([starts, [ends[-1] + gap]])
            ends = np.concatenate([ends, [starts[-1] + size]])
    return _novel_circle(genome, gene, circle, Blocks(starts, ends, gene.strand), at_left)


def _novel_circle(
    genome: Genome, gene: Gene, circle: Circle, blocks: Blocks, at_left: bool
) -> Circle | None:
    """Plant the signals of a moved end, if the place is free and the blocks are sound."""
    changed = 0 if at_left else -1
    start, end = int(blocks.starts[changed]), int(blocks.ends[changed])
    exonic = len(blocks.starts) == circle.exons
    new = slice(start - 20, end + 20) if not exonic else slice(0, 0)
    sound = (blocks.ends - blocks.starts).min() >= 50 and not genome.fixed[new].any()
    inside = blocks.starts[0] > gene.start + 20 and blocks.ends[-1] < gene.end - 20
    if not (sound and inside and (exonic or _in_one_intron(gene, start, end))):
        return None
    acceptor_end = at_left == (gene.strand == "+")
    if exonic:
        plant = plant_acceptor if acceptor_end else plant_donor
        planted = plant(genome, gene.strand, start, end, "AG" if acceptor_end else "GT")
    else:
        planted = _signals(genome, Blocks(np.array([start]), np.array([end]), gene.strand))
    if not planted:
        return None
    left, right = int(blocks.starts[0]), int(blocks.ends[-1])
    case = ("cryptic_site",) if exonic else ("new_exon",)
    return Circle(
        left,
        right,
        gene.strand,
        "exonic",
        gene.index,
        (blocks,),
        len(blocks.starts),
        "GT/AG",
        "one",
        case,
    )


def _in_one_intron(gene: Gene, start: int, end: int) -> bool:
    """Tell whether an interval lies, with 60 nt to spare, outside every exon of a gene."""
    return all(
        end + 60 < exon_start or start - 60 > exon_end
        for exon_start, exon_end in zip(gene.exon_starts, gene.exon_ends, strict=True)
    )


_Maker = Callable[[Genome, Gene, Stream], "Circle | None"]


def _orders(parameters: SimulationParameters) -> Iterator[tuple[str, int, _Maker]]:
    yield "AT/AC", parameters.at_ac_circles, _at_ac
    yield "short", parameters.short_circles, _short
    yield "exonic", parameters.exonic_circles, _plain
    yield "exon-intron", parameters.exon_intron_circles, _exon_intron
    yield "intronic", parameters.intronic_circles, _intronic
    yield "novel", parameters.novel_circles, _novel
    yield "antisense", parameters.antisense_circles, _antisense
    yield "intergenic", parameters.intergenic_circles, _intergenic


def simulate_circles(
    genome: Genome, genes: list[Gene], parameters: SimulationParameters
) -> list[Circle]:
    """Plant all circles and return them in order of place.

    Raises
    ------
    InputError
        If the genes do not offer enough places for a type.
    """
    stream = Stream(parameters.seed, 2)
    found: dict[tuple[int, int, str], Circle] = {}
    for what, count, make in _orders(parameters):
        wanted = len(found) + count
        for trial in range(60 * len(genes)):
            if len(found) == wanted:
                break
            if trial % len(genes) == 0:
                order = stream.permutation(len(genes))
            circle = make(genome, genes[order[trial % len(genes)]], stream)
            if circle is not None and _is_new(circle, found, genome):
                found[circle.start, circle.end, circle.strand] = circle
        if len(found) < wanted:
            raise InputError(
                f"no place for {wanted - len(found)} of {count} {what} circles",
                "raise --genes and --genome-length, or plant fewer circles",
            )
    circles = [found[key] for key in sorted(found)]
    circles = [_with_host_cases(circle, genes) for circle in circles]
    circles = _with_isoforms(circles, parameters.circle_isoform_fraction, stream)
    return _with_inverted_repeats(circles, genome, genes, parameters.inverted_repeats, stream)


def _is_new(circle: Circle, found: dict[tuple[int, int, str], Circle], genome: Genome) -> bool:
    """Tell whether a circle is not there yet and its ends can be told from the sequence."""
    if (circle.start, circle.end, circle.strand) in found:
        return False
    lariat = circle.kind == "intronic"
    return is_unambiguous(genome, circle.start, circle.end, circle.strand, lariat=lariat)


def _with_host_cases(circle: Circle, genes: list[Gene]) -> Circle:
    if circle.gene < 0:
        return circle
    return replace(circle, cases=(*circle.cases, *genes[circle.gene].cases))


def _with_isoforms(circles: list[Circle], fraction: float, stream: Stream) -> list[Circle]:
    """Give some circles of three or more blocks a second path that skips an inner block."""
    changed = []
    for circle in circles:
        blocks = circle.paths[0]
        inner = len(blocks.starts) - 2
        if inner >= 1 and circle.kind == "exonic" and stream.chance(fraction):
            skipped = stream.integer(1, inner + 1)
            path = Blocks(
                np.delete(blocks.starts, skipped), np.delete(blocks.ends, skipped), circle.strand
            )
            cases = (*circle.cases, "isoforms")
            circle = replace(circle, paths=(blocks, path), cases=cases)
        changed.append(circle)
    return changed


def _with_inverted_repeats(
    circles: list[Circle], genome: Genome, genes: list[Gene], count: int, stream: Stream
) -> list[Circle]:
    """Put inverted copies, 3 % diverged, into both introns that flank exonic circles."""
    changed = list(circles)
    for number, circle in enumerate(circles):
        if count == 0:
            break
        if circle.kind != "exonic" or circle.annotated != "both":
            continue
        left, right = circle.start - 260, circle.end + 60
        if not all(_in_one_intron(genes[circle.gene], at + 61, at + 139) for at in (left, right)):
            continue
        copy = COMPLEMENT[diverged(genome.letters[left : left + 200], 0.03, stream)[::-1]]
        genome.overwrite(right, copy)
        changed[number] = replace(circle, cases=(*circle.cases, "inverted_repeat"))
        count -= 1
    return changed

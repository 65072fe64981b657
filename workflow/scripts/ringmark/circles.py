"""Circles: what lies between the ends of a back-splice, where it belongs, how sure it is.

The junctions of all libraries make one list of candidates, which `ringmark.circle_counts` counts in
every library. Here a candidate gets its host gene, its type and its exons, by the annotation and by
what its own fragments show inside, and is told with high or low confidence.

References
----------
Vromman et al. 2023, Nature Methods 20:1159 (below five reads the precision of every tool falls).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pysam

from ringmark.annotation import Annotation, Gene, Transcript
from ringmark.backsplice import Junction, SpliceSites, annotated_junction
from ringmark.errors import InputError
from ringmark.intervals import Blocks
from ringmark.sequence import reverse_complement

#: From here on a circle can have high confidence (Vromman 2023).
HIGH_CONFIDENCE_READS = 5
#: The same for a circle of which an end is no annotated splice site: repeats and exons that nobody
#: annotated make such junctions too.
HIGH_CONFIDENCE_NOVEL_READS = 10
#: Different places in the reads at which the junction must stand.
HIGH_CONFIDENCE_POSITIONS = 3
#: Bases inside a circle's end by which another splice site of the gene can be taken for it, and the
#: mismatches up to which it can.
LOOKALIKE_BASES = 25
LOOKALIKE_MISMATCHES = 2


def circle_id(chrom: str, start: int, end: int, strand: str) -> str:
    """Return ``chrom:start-end:strand``."""
    return f"{chrom}:{start}-{end}:{strand}"


def name_of(junction: Junction) -> str:
    """Return the id of the circle of a junction."""
    return circle_id(junction.chrom, junction.start, junction.end, junction.strand)


@dataclass(frozen=True)
class Circle:
    """A circle with its place in the annotation.

    Attributes
    ----------
    junction
        Its back-splice.
    gene
        Host gene: of the genes on its strand the one that shares most ends, then most exon.
    exons
        Blocks of the spliced circle on the genome, with the circle's strand.
    exon_count
        Annotated exons inside; 0 for a circle without any.
    kind
        ``exonic``, ``exon_intron``, ``intronic``, ``antisense`` or ``intergenic``.
    """

    junction: Junction
    gene: Gene | None
    exons: Blocks
    exon_count: int
    kind: str

    @property
    def name(self) -> str:
        """The circle's id."""
        return name_of(self.junction)

    def sequence(self, genome: pysam.FastaFile) -> str:
        """Return the spliced sequence from the back-splice acceptor on, in the RNA's sense."""
        forward = "".join(
            genome.fetch(self.junction.chrom, start, end).upper()
            for start, end in zip(self.exons.starts.tolist(), self.exons.ends.tolist(), strict=True)
        )
        return forward if self.junction.strand == "+" else reverse_complement(forward)


def read_circle_blocks(path: Path) -> dict[str, tuple[str, Blocks]]:
    """Return contig and exons of each circle by its id, in the order of a BED12 file.

    Raises
    ------
    InputError
        If a line is no BED12.
    """
    circles = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            chrom, start, _, name, _, strand, _, _, _, _, sizes, starts = line.split("\t")
            blocks = Blocks.from_bed(int(start), sizes, starts, strand)
        except ValueError as error:
            raise InputError(
                f"{path}: line {number}: {line[:80]!r} is no BED12", "make the circles again"
            ) from error
        circles[name] = (chrom, blocks)
    return circles


def build_circle(
    junction: Junction,
    annotation: Annotation,
    sites: SpliceSites,
    spliced: Mapping[tuple[int, int], int] | None = None,
    retained: Mapping[tuple[int, int], int] | None = None,
) -> Circle:
    """Place a junction in the annotation.

    Parameters
    ----------
    junction
        The back-splice.
    annotation, sites
        Genes and their splice sites.
    spliced, retained
        Introns that fragments of the circle splice over, or read into, with their numbers.
    """
    spliced, retained = spliced or {}, retained or {}
    start, end, strand = junction.start, junction.end, junction.strand
    whole = Blocks(np.array([start]), np.array([end]), strand)
    hosts = annotation.overlapping(junction.chrom, start, end, strand)
    if not hosts:
        opposite = annotation.overlapping(junction.chrom, start, end)
        kind = "antisense" if opposite else "intergenic"
        return Circle(junction, None, _cut(whole, spliced), 0, kind)
    gene = max(hosts, key=lambda host: (*_host_rank(host, start, end), host.gene_id))
    if sites.is_lariat(junction.chrom, start, end, strand) and junction.motif == "lariat":
        return Circle(junction, gene, whole, 0, "intronic")
    transcript = max(gene.transcripts, key=lambda item: _transcript_rank(item, start, end, spliced))
    inside = transcript.exons.clip(start, end)
    if len(inside.starts) == 0:
        inside = gene.union.clip(start, end)
    if len(inside.starts) == 0:
        return Circle(junction, gene, whole, 0, "intronic")
    starts, ends = inside.starts.copy(), inside.ends.copy()
    first, last = int(starts[0]), int(ends[-1])
    starts[0], ends[-1] = start, end
    kept = [
        (left, right)
        for left, right in zip(ends[:-1].tolist(), starts[1:].tolist(), strict=True)
        if is_retained((left, right), spliced, retained)
    ]
    # an end outside the annotated exons may belong to an exon that nobody annotated
    beyond = {
        intron: count for intron, count in spliced.items() if intron[0] < first or intron[1] > last
    }
    filled = _cut(Blocks(*_fill(starts, ends, kept), strand), beyond)
    return Circle(junction, gene, filled, len(starts), "exon_intron" if kept else "exonic")


def _cut(whole: Blocks, introns: Mapping[tuple[int, int], int]) -> Blocks:
    """Take the introns that two or more fragments splice over out of blocks.

    Of introns that overlap the one with more fragments is taken.
    """
    blocks = whole
    for (start, end), count in sorted(introns.items(), key=lambda item: (-item[1], item[0])):
        inside = blocks.clip(start, end)
        if count >= 2 and inside.length == end - start:
            left, right = blocks.clip(0, start), blocks.clip(end, int(whole.ends[-1]))
            blocks = Blocks(
                np.concatenate([left.starts, right.starts]),
                np.concatenate([left.ends, right.ends]),
                whole.strand,
            )
    return blocks


def is_retained(
    intron: tuple[int, int],
    spliced: Mapping[tuple[int, int], int],
    retained: Mapping[tuple[int, int], int],
) -> bool:
    """Return whether fragments of a circle show an intron inside it as retained.

    Two fragments must read into it, and they must be at least as many as splice over it.
    """
    return retained.get(intron, 0) >= max(2, spliced.get(intron, 0))


def _fill(
    starts: np.ndarray, ends: np.ndarray, introns: Iterable[tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Join the blocks on both sides of the introns."""
    gone = set(introns)
    pairs = zip(ends[:-1].tolist(), starts[1:].tolist(), strict=True)
    open_gap = np.array([pair not in gone for pair in pairs], dtype=bool)
    return (
        starts[np.concatenate([[True], open_gap])],
        ends[np.concatenate([open_gap, [True]])],
    )


def _host_rank(gene: Gene, start: int, end: int) -> tuple[int, int]:
    ends = max(_shared_ends(item, start, end) for item in gene.transcripts)
    return ends, gene.union.clip(start, end).length


def _shared_ends(transcript: Transcript, start: int, end: int) -> int:
    return int(start in transcript.exons.starts) + int(end in transcript.exons.ends)


def _transcript_rank(
    transcript: Transcript, start: int, end: int, spliced: Mapping[tuple[int, int], int]
) -> tuple[int, int, int, int, str]:
    """Order transcripts by shared ends, then by the introns that reads of the circle show."""
    inside = transcript.exons.clip(start, end)
    introns = zip(inside.ends[:-1].tolist(), inside.starts[1:].tolist(), strict=True)
    seen = sum(spliced.get(intron, 0) for intron in introns)
    return (
        _shared_ends(transcript, start, end),
        seen,
        len(inside.starts),
        inside.length,
        transcript.transcript_id,
    )


def has_clear_ends(circle: Circle, annotation: Annotation, genome: pysam.FastaFile) -> bool:
    """Return whether the ends of a circle can be told from others.

    They cannot if both are annotated, but in no gene together (paralogues and read-through), or if
    the exon at another splice site of the host gene begins or ends with the same bases (exons
    duplicated in tandem, where a linear splice reads like a back-splice).
    """
    junction = circle.junction
    if junction.annotated == 2 and not ends_share_gene(junction, annotation):
        return False
    return circle.gene is None or not any(
        lookalikes(circle.gene, side, junction, genome) for side in ("start", "end")
    )


def alternatives(
    junction: Junction, annotation: Annotation, genome: pysam.FastaFile
) -> list[Junction]:
    """Return the circles between splice sites that can be taken for those of a junction.

    They are of a gene that has both ends as splice sites, in order of place, without the junction.
    """
    found: dict[Junction, None] = {}
    for gene in annotation.overlapping(
        junction.chrom, junction.start, junction.end, junction.strand
    ):
        if not _has_ends(gene, junction):
            continue
        starts = [junction.start, *lookalikes(gene, "start", junction, genome)]
        ends = [junction.end, *lookalikes(gene, "end", junction, genome)]
        for start in sorted(starts):
            for end in sorted(ends):
                if start < end:
                    found[annotated_junction(gene, start, end, genome)] = None
    place = junction.start, junction.end
    return [item for item in found if (item.start, item.end) != place]


def lookalikes(gene: Gene, side: str, junction: Junction, genome: pysam.FastaFile) -> list[int]:
    """Return the other splice sites of a gene that can be taken for one end of a junction."""
    position = junction.start if side == "start" else junction.end
    own = end_bases(genome, junction.chrom, side, position)
    return [
        place
        for place in sorted(inner_ends(gene, side) - {position})
        if _looks_alike(end_bases(genome, junction.chrom, side, place), own)
    ]


def _has_ends(gene: Gene, junction: Junction) -> bool:
    """Return whether both ends of a junction are splice sites of a gene."""
    starts, ends = inner_ends(gene, "start"), inner_ends(gene, "end")
    return junction.start in starts and junction.end in ends


def ends_share_gene(junction: Junction, annotation: Annotation) -> bool:
    """Return whether both ends of a junction are splice sites of one gene."""
    return any(
        _has_ends(gene, junction)
        for gene in annotation.overlapping(
            junction.chrom, junction.start, junction.end, junction.strand
        )
    )


def inner_ends(gene: Gene, side: str) -> set[int]:
    """Return the starts, or ends, of a gene's exons that are splice sites."""
    if side == "start":
        return {place for item in gene.transcripts for place in item.exons.starts[1:].tolist()}
    return {place for item in gene.transcripts for place in item.exons.ends[:-1].tolist()}


def end_bases(genome: pysam.FastaFile, chrom: str, side: str, place: int) -> str:
    """Return the first `LOOKALIKE_BASES` behind an exon's start, or the last before its end."""
    first = place if side == "start" else max(place - LOOKALIKE_BASES, 0)
    return str(genome.fetch(chrom, first, first + LOOKALIKE_BASES)).upper()


def _looks_alike(one: str, other: str) -> bool:
    return sum(a != b for a, b in zip(one, other, strict=False)) <= LOOKALIKE_MISMATCHES


@dataclass(frozen=True)
class Support:
    """What the fragments of a study show of a circle.

    Attributes
    ----------
    reads
        Fragments across its back-splice.
    positions
        Different places in the reads at which the junction stands.
    shared
        Fragments that fit another circle as well.
    anchored
        Fragments that show the junction with 8 bases or more on both sides.
    estimated
        Fragments that are an estimate (`ringmark.tandem_copies`).
    """

    reads: int
    positions: int
    shared: int
    anchored: int
    estimated: int = 0


#: Why a circle is told with low confidence, in the order tested.
LOW_CONFIDENCE = (
    "ends that can be taken for others",
    "ends inside exons off splice sites",
    "no splice signal for ends nobody annotated",
    "most fragments fit another circle as well",
    "too few places of the junction in reads",
    "too few fragments with long anchors",
)


def low_confidence_reason(
    circle: Circle, support: Support, annotation: Annotation, genome: pysam.FastaFile
) -> str:
    """Return why a circle is told with low confidence, one of `LOW_CONFIDENCE`; empty if high.

    The rules, each against an artefact that published tools report as circles:

    1. The ends must be told from other ends (`has_clear_ends`): tandem duplications, paralogues.
    2. A junction between two places inside exons of its host gene, neither of them a splice site,
       is what template switching of the reverse transcriptase leaves.
    3. Where an end is no annotated splice site, GT/AG must flank the circle (or it is the lariat of
       an annotated intron): chance gives the rarer signals.
    4. At most half of the fragments may fit another circle as well.
    5. The junction must stand at three or more places of a read, which copies of one molecule do
       not show.
    6. Two annotated ends need five fragments with long anchors: below that the precision of every
       published tool falls (Vromman 2023). Other junctions need ten: repeats and exons that nobody
       annotated make such junctions too.
    """
    junction = circle.junction
    annotated = junction.annotated == 2
    least = HIGH_CONFIDENCE_READS if annotated else HIGH_CONFIDENCE_NOVEL_READS
    doubts = (
        not has_clear_ends(circle, annotation, genome),
        junction.annotated == 0 and _inside_exons(circle),
        not annotated and junction.motif not in ("GT/AG", "lariat"),
        2 * support.shared > support.reads,
        support.positions < HIGH_CONFIDENCE_POSITIONS,
        support.anchored < least,
    )
    return next((why for why, doubt in zip(LOW_CONFIDENCE, doubts, strict=True) if doubt), "")


def _inside_exons(circle: Circle) -> bool:
    """Return whether both ends of a circle lie inside exons of its host gene."""
    if circle.gene is None:
        return False
    exons = circle.gene.union
    return all(
        exons.clip(place - 1, place + 1).length == 2
        for place in (circle.junction.start, circle.junction.end)
    )

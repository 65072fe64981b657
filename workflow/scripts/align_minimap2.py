"""Align short RNA reads with minimap2 through mappy and write a BAM that keeps the contract.

Each mate is mapped by itself with short seeds and low thresholds, which finds both halves of a
back-spliced read; minimap2's own choices among the hits are made for long reads, so they are made
here:

1. An end behind an intron is kept only where it is long enough to be believed (5 nt behind a splice
   signal, 12 nt otherwise), else it becomes a soft clip.
2. A hit scores +1 a matching and -2 a mismatching base, -3 a gap and -1 a gap base, -1 an intron
   with a splice signal (GT/AG, GC/AG, AT/AC on either strand) and -8 one without.
3. Of all pairs of hits of the two mates the proper pair with the best sum is chosen where it is not
   more than 10 points worse than the mates' best hits apart from each other.
4. Hits within one point of the best are equally good: ``NH`` counts them, the mapping quality
   follows from it; of several, the closest mates win, then the leftmost place.
5. A hit that explains at least 10 further bases of the read and shares less than half of its length
   with what is explained becomes a supplementary record: the best-scoring first, of equally good
   ones the closest on the same contig and strand. Overlaps between the halves of a split read are
   left in: they are the bases that both ends of the circle share.

Batches of reads are mapped on threads (mappy leaves Python's lock) and written in their order, so
the result does not depend on the number of threads, and memory does not grow with the reads.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringmark.alignments import (
    DELETION,
    INSERTION,
    MATCH,
    MAXIMUM_INTRON,
    SKIP,
    SOFT_CLIP,
    Mate,
    Placement,
    aligned_introns,
    bam_header,
    is_proper_pair,
    mapping_quality,
    query_span,
    sam_records,
    sort_and_index,
)
from ringmark.errors import InputError, program
from ringmark.sequence import INTRON_SIGNALS, reverse_complement

if TYPE_CHECKING:
    import mappy

#: Presets of minimap2 that align RNA over introns; mappy accepts any text and ignores a wrong one.
PRESETS = ("splice:sr", "splice", "splice:hq")

BATCH = 2000
UNPAIRED_PENALTY = 10
TIE = 1
NEW_BASES = 10
OVERHANG, UNSIGNALLED_OVERHANG = 5, 12

#: A read: name, sequence, qualities.
Read = tuple[str, str, str]
#: Returns the bases of a contig in a half-open interval.
Fetch = Callable[[str, int, int], str]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the mapping depends on beside the index."""

    preset: str = "splice:sr"
    minimum_chain_score: int = 12
    minimum_alignment_score: int = 16
    minimum_seeds: int = 1
    maximum_hits: int = 20
    maximum_intron: int = MAXIMUM_INTRON

    def problems(self) -> list[str]:
        """Return what is wrong with the settings, one line each."""
        found = []
        if self.preset not in PRESETS:
            found.append(f"preset {self.preset!r} is none of {', '.join(PRESETS)}")
        for name in ("minimum_chain_score", "minimum_alignment_score", "minimum_seeds"):
            if getattr(self, name) < 1:
                found.append(f"{name} {getattr(self, name)} is not positive")
        if not 1 <= self.maximum_hits <= 1000:
            found.append(f"maximum_hits {self.maximum_hits} is not between 1 and 1000")
        if not 20 <= self.maximum_intron <= 200_000:
            found.append(f"maximum_intron {self.maximum_intron} is not between 20 and 200000")
        return found


@dataclass(frozen=True, slots=True)
class Hit:
    """A place of a read with our score; ``span`` is the part of the read it explains."""

    placement: Placement
    score: int
    span: tuple[int, int]


def splice_strand(fetch: Fetch, chrom: str, intron: tuple[int, int]) -> str | None:
    """Return the strand on which an intron has a splice signal, ``None`` where it has none."""
    start, end = intron
    if end - start < 4:
        return None
    ends = fetch(chrom, start, start + 2), fetch(chrom, end - 2, end)
    return INTRON_SIGNALS[ends][0] if ends in INTRON_SIGNALS else None


def rna_strand(fetch: Fetch, chrom: str, introns: Iterable[tuple[int, int]]) -> str | None:
    """Return the strand that the signals of all introns agree on, else ``None``."""
    strands = {splice_strand(fetch, chrom, intron) for intron in introns} - {None}
    return strands.pop() if len(strands) == 1 else None


def trim_overhangs(
    cigar: Sequence[tuple[int, int]], chrom: str, start: int, fetch: Fetch
) -> tuple[list[tuple[int, int]], int]:
    """Turn ends too short to be believed behind an intron into soft clips.

    Returns
    -------
    tuple
        CIGAR and leftmost aligned base.
    """
    operations = list(cigar)
    trimmed = True
    while trimmed:
        trimmed = False
        introns = aligned_introns(operations, start)
        if not introns:
            break
        cuts = [index for index, item in enumerate(operations) if item[0] == SKIP]
        left, right = operations[: cuts[0]], operations[cuts[-1] + 1 :]
        if _matches(left) < _overhang(fetch, chrom, introns[0]):
            operations = [(SOFT_CLIP, _bases(left)), *operations[cuts[0] + 1 :]]
            start = introns[0][1]
            start += _drop_edge_gap(operations, 1)
            trimmed = True
        elif _matches(right) < _overhang(fetch, chrom, introns[-1]):
            operations = [*operations[: cuts[-1]], (SOFT_CLIP, _bases(right))]
            _drop_edge_gap(operations, len(operations) - 2)
            trimmed = True
    return operations, start


def _drop_edge_gap(operations: list[tuple[int, int]], index: int) -> int:
    """Remove a gap that trimming left at the edge; returns the genome's bases it spanned."""
    operation, length = operations[index]
    if operation not in (DELETION, INSERTION):
        return 0
    clip = 0 if index == 1 else index + 1
    if operation == INSERTION:
        operations[clip] = (SOFT_CLIP, operations[clip][1] + length)
    del operations[index]
    return length if operation == DELETION else 0


def _overhang(fetch: Fetch, chrom: str, intron: tuple[int, int]) -> int:
    return OVERHANG if splice_strand(fetch, chrom, intron) else UNSIGNALLED_OVERHANG


def _matches(operations: Sequence[tuple[int, int]]) -> int:
    return sum(length for operation, length in operations if operation == MATCH)


def _bases(operations: Sequence[tuple[int, int]]) -> int:
    return sum(
        length for operation, length in operations if operation in (MATCH, INSERTION, SOFT_CLIP)
    )


def edit_distance(
    cigar: Sequence[tuple[int, int]], start: int, sequence: str, chrom: str, fetch: Fetch
) -> int:
    """Count mismatches and gap bases of an alignment.

    Parameters
    ----------
    sequence
        The whole read on the strand of the genome.
    """
    edits = base = 0
    place = start
    for operation, length in cigar:
        if operation == MATCH:
            window = fetch(chrom, place, place + length)
            edits += sum(
                own != other
                for own, other in zip(sequence[base : base + length], window, strict=True)
            )
        elif operation in (INSERTION, DELETION):
            edits += length
        if operation in (MATCH, INSERTION, SOFT_CLIP):
            base += length
        if operation in (MATCH, DELETION, SKIP):
            place += length
    return edits


def alignment_score(cigar: Sequence[tuple[int, int]], edits: int, signalled: Sequence[bool]) -> int:
    """Score an alignment (see the module); ``signalled``: which introns have a splice signal."""
    gaps = [length for operation, length in cigar if operation in (INSERTION, DELETION)]
    mismatches = edits - sum(gaps)
    introns = sum(1 if signal else 8 for signal in signalled)
    return _matches(cigar) - 3 * mismatches - 3 * len(gaps) - sum(gaps) - introns


def make_hit(raw: Any, sequence: str, fetch: Fetch) -> Hit | None:
    """Turn a hit of mappy into ours; ``None`` where nothing is left of it."""
    strand = "+" if raw.strand > 0 else "-"
    clips = [raw.q_st, len(sequence) - raw.q_en]
    if strand == "-":
        clips.reverse()
    inner = [(operation, length) for length, operation in raw.cigar]
    ends = [[(SOFT_CLIP, clip)] if clip else [] for clip in clips]
    cigar, start, edits = [*ends[0], *inner, *ends[1]], raw.r_st, raw.NM
    introns = aligned_introns(cigar, start)
    signalled: list[bool] = []
    if introns:
        whole = cigar
        cigar, start = trim_overhangs(cigar, raw.ctg, start, fetch)
        if cigar != whole:
            oriented = sequence if strand == "+" else reverse_complement(sequence)
            edits = edit_distance(cigar, start, oriented, raw.ctg, fetch)
            introns = aligned_introns(cigar, start)
        signalled = [splice_strand(fetch, raw.ctg, intron) is not None for intron in introns]
    score = alignment_score(cigar, edits, signalled)
    if score <= 0:
        return None
    placement = Placement(
        raw.ctg, start, strand, tuple(cigar), 0, edits, 1, rna_strand(fetch, raw.ctg, introns)
    )
    return Hit(placement, score, query_span(cigar, strand))


def choose_pair(
    first: Sequence[Hit], second: Sequence[Hit], maximum_distance: int
) -> tuple[Hit, Hit, int, int]:
    """Choose the places of two mates that both have hits.

    Returns
    -------
    tuple
        The hit of each mate and how many equally good ones there are.
    """
    apart = max(hit.score for hit in first) + max(hit.score for hit in second)
    proper = [
        (one.score + two.score, _distance(one.placement, two.placement), one, two)
        for one in first
        for two in second
        if is_proper_pair(one.placement, two.placement, maximum_distance)
    ]
    best = max((pair[0] for pair in proper), default=0)
    if not proper or best < apart - UNPAIRED_PENALTY:
        one, hits_one = choose_single(first)
        two, hits_two = choose_single(second)
        return one, two, hits_one, hits_two
    tied = [pair for pair in proper if pair[0] >= best - TIE]
    chosen = min(tied, key=lambda pair: (pair[1], -pair[0], _place(pair[2]), _place(pair[3])))
    return (
        chosen[2],
        chosen[3],
        len({_place(pair[2]) for pair in tied}),
        len({_place(pair[3]) for pair in tied}),
    )


def choose_single(hits: Sequence[Hit]) -> tuple[Hit, int]:
    """Choose the best place of a read, and count the equally good ones."""
    best = max(hit.score for hit in hits)
    tied = [hit for hit in hits if hit.score >= best - TIE]
    return min(tied, key=lambda hit: (-hit.score, _place(hit))), len(tied)


def supplementary_hits(primary: Hit, hits: Sequence[Hit]) -> list[tuple[Hit, int]]:
    """Choose the further parts of a split read, each with the number of equally good places."""
    explained = [primary.span]
    chosen: list[tuple[Hit, int]] = []
    while True:
        fitting = [hit for hit in hits if _explains_more(hit.span, explained)]
        if not fitting:
            return chosen
        best = max(hit.score for hit in fitting)
        tied = [hit for hit in fitting if hit.score >= best - TIE]
        hit = min(tied, key=lambda item: _kinship(item, primary))
        chosen.append((hit, len(tied)))
        explained.append(hit.span)


def _kinship(hit: Hit, primary: Hit) -> tuple[bool, bool, int, int, tuple[str, int, str]]:
    """Sort key: the same contig and strand, then the closest, then the best, then the leftmost."""
    own, other = hit.placement, primary.placement
    return (
        own.chrom != other.chrom,
        own.strand != other.strand,
        _distance(own, other) if own.chrom == other.chrom else 0,
        -hit.score,
        _place(hit),
    )


def _explains_more(span: tuple[int, int], explained: Sequence[tuple[int, int]]) -> bool:
    length = span[1] - span[0]
    shared = sum(max(0, min(span[1], end) - max(span[0], start)) for start, end in explained)
    return length - shared >= NEW_BASES and 2 * shared < length


def _distance(one: Placement, two: Placement) -> int:
    return max(one.end, two.end) - min(one.start, two.start)


def _place(hit: Hit) -> tuple[str, int, str]:
    return hit.placement.chrom, hit.placement.start, hit.placement.strand


def _final(hit: Hit, hits: int) -> Placement:
    own = hit.placement
    return Placement(
        own.chrom,
        own.start,
        own.strand,
        own.cigar,
        mapping_quality(hits),
        own.edit_distance,
        hits,
        own.rna_strand,
    )


def place_fragment(
    reads: Sequence[Read], hits: Sequence[Sequence[Hit]], maximum_distance: int
) -> list[Mate]:
    """Choose primary and supplementary places for the one or two reads of a fragment."""
    primaries: list[tuple[Hit, int] | None] = [
        choose_single(found) if found else None for found in hits
    ]
    if len(hits) == 2 and hits[0] and hits[1]:
        one, two, hits_one, hits_two = choose_pair(hits[0], hits[1], maximum_distance)
        primaries = [(one, hits_one), (two, hits_two)]
    mates = []
    for (_, sequence, qualities), found, primary in zip(reads, hits, primaries, strict=True):
        chosen = [primary, *supplementary_hits(primary[0], found)] if primary else []
        mates.append(Mate(sequence, qualities, tuple(_final(*item) for item in chosen)))
    return mates


@dataclass
class Mapper:
    """An index, its settings, and what turns a batch of fragments into lines of SAM."""

    aligner: mappy.Aligner
    settings: Settings
    library: str
    fetch: Fetch = field(init=False)

    def __post_init__(self) -> None:
        @lru_cache(maxsize=100_000)
        def fetch(chrom: str, start: int, end: int) -> str:
            return str(self.aligner.seq(chrom, start, end) or "").upper()

        self.fetch = fetch

    def __call__(self, batch: Sequence[Sequence[Read]]) -> list[str]:
        """Map a batch."""
        import mappy

        buffer = mappy.ThreadBuffer()
        lines: list[str] = []
        for reads in batch:
            hits = [self.hits(sequence, buffer) for _, sequence, _ in reads]
            mates = place_fragment(reads, hits, self.settings.maximum_intron)
            lines += sam_records(reads[0][0], mates, self.library, self.settings.maximum_intron)
        return lines

    def hits(self, sequence: str, buffer: mappy.ThreadBuffer) -> list[Hit]:
        """Map one read."""
        found = (
            make_hit(raw, sequence, self.fetch) for raw in self.aligner.map(sequence, buf=buffer)
        )
        unique = {(_place(hit), hit.placement.cigar): hit for hit in found if hit is not None}
        return list(unique.values())


def open_index(index: Path, settings: Settings) -> mappy.Aligner:
    """Open an index with checked settings.

    Raises
    ------
    InputError
        If a setting is unknown or out of range, or the file is no index.
    """
    problems = settings.problems()
    if problems:
        raise InputError(problems, "correct the options of minimap2")
    if not index.is_file() or index.open("rb").read(3) != b"MMI":
        raise InputError(f"{index}: not a minimap2 index", "make it with index_minimap2.py")
    import mappy

    return mappy.Aligner(
        str(index),
        preset=settings.preset,
        min_cnt=settings.minimum_seeds,
        min_chain_score=settings.minimum_chain_score,
        min_dp_score=settings.minimum_alignment_score,
        best_n=settings.maximum_hits,
        bw=settings.maximum_intron,
        bw_long=settings.maximum_intron,
    )


def read_fragments(fastq_1: Path, fastq_2: Path) -> Iterator[list[Read]]:
    """Yield one read or two mates a fragment; an empty second file means single-end reads.

    Raises
    ------
    InputError
        If the files do not hold the same number of reads.
    """
    import mappy

    seconds = mappy.fastx_read(str(fastq_2))
    second = next(seconds, None)
    if second is None:
        for read in mappy.fastx_read(str(fastq_1)):
            yield [_read(read)]
        return
    pairs = zip_longest(mappy.fastx_read(str(fastq_1)), chain([second], seconds))
    for count, (one, two) in enumerate(pairs):
        if one is None or two is None:
            short = fastq_1 if one is None else fastq_2
            raise InputError(
                f"{short}: ends after {count} reads, its mates' file goes on",
                "give both files of the same run, whole",
            )
        yield [_read(one), _read(two)]


def _read(raw: Sequence[str | None]) -> Read:
    name, sequence, qualities = raw[:3]
    name = str(name)
    if name[-2:] in ("/1", "/2"):
        name = name[:-2]
    return name, str(sequence).upper(), qualities or "*"


def map_all(
    mapper: Mapper, fragments: Iterable[Sequence[Read]], threads: int
) -> Iterator[list[str]]:
    """Map batches on threads and yield their records in the order of the reads."""
    fragments = iter(fragments)
    waiting: deque[Future[list[str]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        while batch := list(islice(fragments, BATCH)):
            waiting.append(pool.submit(mapper, batch))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def align(
    index: Path,
    fastq_1: Path,
    fastq_2: Path,
    output: Path,
    library: str,
    sample: str,
    settings: Settings,
    threads: int,
) -> None:
    """Align a library to a sorted and indexed BAM."""
    aligner = open_index(index, settings)
    import mappy
    import pysam

    contigs = [(name, len(aligner.seq(name) or "")) for name in aligner.seq_names]
    header = pysam.AlignmentHeader.from_dict(
        bam_header(contigs, library, sample, "minimap2", mappy.__version__)
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    unsorted = output.with_name(f".{output.name}.unsorted.bam")
    mapper = Mapper(aligner, settings, library)
    try:
        with pysam.AlignmentFile(
            str(unsorted), "wb", header=header, format_options=["level=1"]
        ) as bam:
            for lines in map_all(mapper, read_fragments(fastq_1, fastq_2), threads):
                for line in lines:
                    bam.write(pysam.AlignedSegment.fromstring(line, header))
        sort_and_index(unsorted, output, threads)
    finally:
        unsorted.unlink(missing_ok=True)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    defaults = Settings()
    result = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    result.add_argument("--index", type=Path, required=True, help="from index_minimap2.py")
    result.add_argument("--fastq-1", type=Path, required=True)
    result.add_argument("--fastq-2", type=Path, required=True, help="empty for single-end reads")
    result.add_argument("--library", required=True, help="read group of the records")
    result.add_argument("--sample", required=True, help="specimen the library is of")
    result.add_argument("--output", type=Path, required=True, help="the BAM; .bai is put beside")
    result.add_argument("--preset", default=defaults.preset)
    result.add_argument("--minimum-chain-score", type=int, default=defaults.minimum_chain_score)
    result.add_argument(
        "--minimum-alignment-score", type=int, default=defaults.minimum_alignment_score
    )
    result.add_argument("--minimum-seeds", type=int, default=defaults.minimum_seeds)
    result.add_argument("--maximum-hits", type=int, default=defaults.maximum_hits)
    result.add_argument("--maximum-intron", type=int, default=defaults.maximum_intron)
    result.add_argument("--threads", type=int, default=1)
    return result


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Align a library."""
    arguments = parser().parse_args(argv)
    settings = Settings(
        arguments.preset,
        arguments.minimum_chain_score,
        arguments.minimum_alignment_score,
        arguments.minimum_seeds,
        arguments.maximum_hits,
        arguments.maximum_intron,
    )
    align(
        arguments.index,
        arguments.fastq_1,
        arguments.fastq_2,
        arguments.output,
        arguments.library,
        arguments.sample,
        settings,
        arguments.threads,
    )


if __name__ == "__main__":
    sys.exit(main())

"""Counting the candidate circles of a study in one library.

Records at the ends of circles are judged there (`ringmark.circle_counter`). Those whose alignment
explains them badly (``find_back_splices.py`` has put them aside), and that no boundary gives to a
circle for certain, are settled by the bases of the candidates' junctions
(`ringmark.circle_search`). Of the BAM itself only what lies over the ends of circles is read, and
then, where circles were seen, what lies inside them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pysam

from ringmark.alignments import SECONDARY, SUPPLEMENTARY, records_over
from ringmark.annotation import Annotation
from ringmark.backsplice import PLACEMENT_RANGE, Limits, SpliceSites
from ringmark.circle_counter import MATE_FILTER, READ_FILTERS, ContigCounter, Tally
from ringmark.circle_search import CircleSearch, Preference, preference
from ringmark.circle_ways import CERTAIN_ANCHOR, BoundaryBuilder
from ringmark.circles import Circle
from ringmark.errors import InputError
from ringmark.tables import INTEGER, STRING, Table

#: Counts of the candidates in one library, one row a circle. Introns are ``start-end:fragments``.
CIRCLE_COUNTS = Table(
    "circle counts",
    {
        "circle": STRING,
        "back_splice": INTEGER,
        "linear_start": INTEGER,
        "linear_end": INTEGER,
        "distinct_positions": INTEGER,
        "shared_fragments": INTEGER,
        "anchored_fragments": INTEGER,
        "closer_reads": INTEGER,
        "spliced_introns": STRING,
        "retained_introns": STRING,
    },
)


@dataclass(frozen=True)
class LibraryCounts:
    """The circles of one library.

    Attributes
    ----------
    tallies
        Circle id to its tally, in the order of the circles.
    removed
        Filter (of `READ_FILTERS`, and `MATE_FILTER`) to the reads, or fragments, that it removed.
    crossing_reads
        Reads that passed `READ_FILTERS`.
    """

    tallies: dict[str, Tally]
    removed: Counter[str]
    crossing_reads: int

    def filter_rows(self) -> list[dict[str, object]]:
        """Return the filter log of the counting."""
        rows: list[dict[str, object]] = []
        kept = self.crossing_reads + sum(self.removed[name] for name in READ_FILTERS)
        for name in READ_FILTERS:
            kept -= self.removed[name]
            rows.append(_filter_row("reads round a circle", name, self.removed[name], kept))
        kept = sum(len(tally.back_splice) for tally in self.tallies.values())
        rows.append(_filter_row("fragments", MATE_FILTER, self.removed[MATE_FILTER], kept))
        return rows


def _filter_row(step: str, name: str, removed: int, kept: int) -> dict[str, object]:
    return {"step": step, "filter": name, "removed": removed, "kept": kept}


def count_circles(
    bam: pysam.AlignmentFile,
    doubted: Iterable[pysam.AlignedSegment],
    genome: pysam.FastaFile,
    annotation: Annotation,
    sites: SpliceSites,
    circles: Sequence[Circle],
    evidence: Sequence[int],
    strandedness: str,
    limits: Limits,
) -> LibraryCounts:
    """Count circles in one library.

    Parameters
    ----------
    bam
        Indexed BAM that keeps the contract of `ringmark.alignments`.
    doubted
        Its reads that `ringmark.backsplice.find_junctions` doubts.
    genome, annotation, sites
        The reference.
    circles
        Candidates of the study, each once.
    evidence
        How many reads of the study led to each, to decide between circles that a fragment fits
        equally well.
    strandedness
        The library's.
    limits
        Anchors and tolerances.

    Raises
    ------
    InputError
        If a circle, of another library then, lies on a contig that the BAM does not list.
    """
    if not circles:
        return LibraryCounts({}, Counter(), 0)
    foreign = sorted({circle.junction.chrom for circle in circles} - set(bam.references))
    if foreign:
        raise InputError(
            f"{bam.filename.decode()}: does not list {', '.join(foreign)} in its header, where "
            "other libraries show circles",
            "align all libraries to one genome",
        )
    counters: dict[str, ContigCounter] = {}
    numbers: dict[str, list[int]] = defaultdict(list)
    for number, circle in enumerate(circles):
        numbers[circle.junction.chrom].append(number)
    for chrom, own in numbers.items():
        of_contig = [circles[number] for number in own]
        builder = BoundaryBuilder(chrom, genome, annotation)
        boundaries = builder.build(of_contig)
        twins = [builder.twins(circle) for circle in of_contig]
        counters[chrom] = ContigCounter(
            bam, genome, of_contig, boundaries, twins, sites, strandedness, limits
        )

    def is_linear(number: int, before: str, after: str) -> bool:
        counter = counters[circles[number].junction.chrom]
        return counter.is_linear(circles[number], before, after)

    search = CircleSearch(circles, annotation, genome, sites, strandedness, limits, is_linear)
    for chrom, counter in counters.items():
        own = numbers[chrom]
        counter.alike = frozenset(
            place for place, number in enumerate(own) if number in search.alike
        )
    certain, doubtful = _judge_at_boundaries(bam, counters)
    for read in doubted:
        if (str(read.query_name), read.is_read2) not in certain:
            search.look(read)
    alone = {
        number: count
        for chrom, counter in counters.items()
        for number, count in zip(numbers[chrom], counter.count_alone(), strict=True)
    }
    preferences = [
        preference(circle, reads, annotation, alone[number])
        for number, (circle, reads) in enumerate(zip(circles, evidence, strict=True))
    ]
    own_preferences = {chrom: [preferences[n] for n in own] for chrom, own in numbers.items()}
    _keep_one_contig(counters, own_preferences)
    crossing = {name for counter in counters.values() for name in counter.crossings}
    settled = search.resolve(
        bam, (search.suspects.keys() - crossing) | (crossing - doubtful), preferences
    )
    for counter in counters.values():
        counter.forget(settled)
    tallies = [Tally() for _ in circles]
    for chrom, counter in counters.items():
        for number, tally in zip(
            numbers[chrom], counter.tally(own_preferences[chrom]), strict=True
        ):
            tallies[number] = tally
    # whom the search refused once it would refuse again
    taken = {name for tally in tallies for name in tally.back_splice} | (crossing & doubtful)
    for name, found in {**settled, **search.resolve(bam, taken, preferences)}.items():
        tallies[found.circle].back_splice.add(name)
        tallies[found.circle].positions.add(found.place)
        tallies[found.circle].anchored += found.anchor >= CERTAIN_ANCHOR
        tallies[found.circle].shared += found.shared
    for chrom, counter in counters.items():
        own_tallies = [tallies[number] for number in numbers[chrom]]
        counter.read_introns(own_tallies)
        counter.count_linear(own_tallies)
    removed = sum((counter.removed for counter in counters.values()), Counter())
    return LibraryCounts(
        {circle.name: tallies[number] for number, circle in enumerate(circles)},
        removed,
        sum(counter.crossing_reads for counter in counters.values()),
    )


def _judge_at_boundaries(
    bam: pysam.AlignmentFile, counters: Mapping[str, ContigCounter]
) -> tuple[set[tuple[str, bool]], set[str]]:
    """Show the records over the ends of circles to the counters of their contigs.

    Returns
    -------
    certain
        Reads, by name and is it the second mate, that cross a circle for certain.
    doubtful
        Names of fragments that cross circles, but of which the search has the last word.
    """
    certain: set[tuple[str, bool]] = set()
    doubtful: set[str] = set()
    # a record touches a boundary from this many bases on either side of it
    reach = PLACEMENT_RANGE + 1
    for chrom, counter in counters.items():
        spans = [(place - reach, place + reach) for place in counter.places]
        for read in records_over(bam, chrom, spans):
            flag, end = read.flag, read.reference_end
            if flag & SECONDARY or end is None or not counter.look(read, end):
                continue
            name = str(read.query_name)
            if counter.is_doubtful(name):
                doubtful.add(name)
            elif not flag & SUPPLEMENTARY:
                certain.add((name, read.is_read2))
    return certain, doubtful


def _keep_one_contig(
    counters: Mapping[str, ContigCounter], preferences: Mapping[str, Sequence[Preference]]
) -> None:
    """Leave every fragment to the contig with the circle that it fits best.

    The parts of a split read may lie on two contigs, and each at an end of another circle.
    """
    keepers: dict[str, str] = {}
    for chrom, counter in counters.items():
        for name in list(counter.crossings):
            other = keepers.setdefault(name, chrom)
            if other == chrom:
                continue
            rivals = [
                (counters[item].best(name, preferences[item])[:-1], place, item)
                for place, item in enumerate((other, chrom))
            ]
            keepers[name], loser = min(rivals)[-1], max(rivals)[-1]
            del counters[loser].crossings[name]


def counts_row(name: str, tally: Tally) -> dict[str, object]:
    """Return a tally as a row of `CIRCLE_COUNTS`."""
    return {
        "circle": name,
        "back_splice": len(tally.back_splice),
        "linear_start": tally.linear_start,
        "linear_end": tally.linear_end,
        "distinct_positions": len(tally.positions),
        "shared_fragments": tally.shared,
        "anchored_fragments": tally.anchored,
        "closer_reads": tally.closer,
        "spliced_introns": format_introns(tally.spliced),
        "retained_introns": format_introns(tally.retained),
    }


def format_introns(introns: Mapping[tuple[int, int], int]) -> str:
    """Write introns as ``start-end:fragments`` joined by commas, sorted; empty if none."""
    return ",".join(f"{start}-{end}:{count}" for (start, end), count in sorted(introns.items()))


def parse_introns(text: str) -> Counter[tuple[int, int]]:
    """Read what `format_introns` wrote."""
    introns: Counter[tuple[int, int]] = Counter()
    for item in filter(None, text.split(",")):
        place, count = item.split(":")
        start, end = place.split("-")
        introns[int(start), int(end)] += int(count)
    return introns

"""The BAM contract as assertions that any BAM of the workflow must pass."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pysam

from ringmark.alignments import format_cigar, parse_sa


def records_by_name(path: Path) -> dict[str, list[pysam.AlignedSegment]]:
    """Return the records of each fragment, in the order of the file."""
    found: dict[str, list[pysam.AlignedSegment]] = defaultdict(list)
    with pysam.AlignmentFile(path) as bam:
        for read in bam.fetch(until_eof=True):
            found[str(read.query_name)].append(read)
    return dict(found)


def check_contract(path: Path, library: str, sample: str) -> None:
    """Assert what ``ringmark.alignments`` promises of every BAM."""
    with pysam.AlignmentFile(path) as bam:
        header = bam.header.to_dict()
        assert bam.check_index()
    assert header["HD"]["SO"] == "coordinate"
    assert [(group["ID"], group["SM"]) for group in header["RG"]] == [(library, sample)]
    for records in records_by_name(path).values():
        _check_fragment(records, library)


def _check_fragment(records: list[pysam.AlignedSegment], library: str) -> None:
    primaries = [read for read in records if not read.is_supplementary]
    assert not any(read.is_secondary for read in records)
    assert {read.get_tag("RG") for read in records} == {library}
    if records[0].is_paired:
        assert sorted(read.is_read2 for read in primaries) == [False, True]
        _check_mates(records, primaries)
    else:
        assert len(primaries) == 1
    for primary in primaries:
        _check_parts([read for read in records if read.is_read2 == primary.is_read2])


def _check_mates(
    records: list[pysam.AlignedSegment], primaries: list[pysam.AlignedSegment]
) -> None:
    for read in records:
        assert read.is_paired
        assert read.is_read1 != read.is_read2
        mate = next(item for item in primaries if item.is_read2 != read.is_read2)
        assert read.mate_is_unmapped == mate.is_unmapped
        assert read.mate_is_reverse == mate.is_reverse
        assert read.next_reference_id == mate.reference_id
        assert read.next_reference_start == mate.reference_start
        if read.is_unmapped:
            assert read.reference_id == mate.reference_id
            assert read.reference_start == mate.reference_start
    assert sum(read.template_length for read in primaries) == 0
    assert primaries[0].is_proper_pair == primaries[1].is_proper_pair


def _check_parts(records: list[pysam.AlignedSegment]) -> None:
    assert len({len(str(read.query_sequence)) for read in records}) == 1
    if len(records) > 1:
        assert not any(read.is_unmapped for read in records)
    for read in records:
        if read.is_unmapped:
            continue
        assert read.has_tag("NM")
        assert int(read.get_tag("NH")) >= 1
        assert (read.mapping_quality == 60) == (read.get_tag("NH") == 1)
        assert read.cigarstring and "H" not in read.cigarstring
        others = [item for item in records if item is not read]
        assert read.has_tag("SA") == bool(others)
        if others:
            entries = parse_sa(str(read.get_tag("SA")))
            assert {
                (item.chrom, item.start, item.strand == "-", format_cigar(item.cigar))
                for item in entries
            } == {
                (item.reference_name, item.reference_start, item.is_reverse, item.cigarstring)
                for item in others
            }

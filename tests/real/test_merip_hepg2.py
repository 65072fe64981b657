"""Real m6A-seq of HepG2 cells, given as BAM files without a genome, against published peaks.

The files of seven untreated libraries and one treated pair name no pairs. Of the three untreated
inputs the first is taken for all IPs: the second has 800 reads, and of the third four in five lie
outside of exons.

Peaks published for several of the three libraries are merged where they overlap; those of two and
more libraries are 25, and one is covered if it shares a base with a block of a peak of ours. Of the
six that are not, two lie in an intron, 12,000 nt from the next annotated exon: where introns are
searched too, they are covered. The other four were published for the second and the third library
alone. In them IP over the one input that follows the exons is at most 1.6 times the background, all
IPs together.

None of the libraries is labelled wrongly. How the reads of a library are spread over the exons of
each gene can be fitted as a mixture of what the other IPs show and of an even coverage: the share
of the former is .84 or more in every library labelled as IP, and .34 or less in every one labelled
as input. So the test of mistaken labels makes the mistake itself.
"""

import pandas as pd
import pytest
import workflow_runs as runs

from ringmark import tables

DATA = runs.real_data("merip_HepG2_chr7")
pytestmark = [
    pytest.mark.real,
    pytest.mark.end_to_end,
    pytest.mark.xdist_group("real_hepg2"),
    pytest.mark.skipif(DATA is None, reason="RINGMARK_REAL_DATA does not hold merip_HepG2_chr7"),
]


def library(name, sample, assay, input_library="", condition="untreated"):
    return {
        "library": name,
        "sample": sample,
        "condition": condition,
        "assay": assay,
        "bam": str(DATA / f"{name}.bam"),
        "input_library": input_library,
    }


TREATED = [
    library("treated_IP1", "treated", "ip", condition="treated"),
    library("treated_Input1", "treated", "input", condition="treated"),
]


def run(folder, rows, *targets, **m6a):
    runs.sheet(folder, [*rows, *TREATED])
    runs.write_config(
        folder,
        {
            "samples": "samples.tsv",
            "reference": {"gtf": str(DATA / "example.gtf")},
            "contrast": {"test": "treated", "reference": "untreated"},
            "m6a": m6a,
        },
    )
    runs.run_to_end(folder, *targets)
    return folder / "results"


def shared_peaks(least=2, among=""):
    """Merge overlapping published peaks; keep those of so many of the three libraries.

    One of these libraries has ``among`` in its name.
    """
    published = sorted(
        (int(start), int(end), path.name)
        for path in (DATA / "expected").glob("*.narrowPeak")
        for start, end in (line.split("\t")[1:3] for line in path.read_text().splitlines())
    )
    merged = []
    for start, end, name in published:
        if merged and start < merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
            merged[-1][2].add(name)
        else:
            merged.append([start, end, {name}])
    return [
        (start, end)
        for start, end, names in merged
        if len(names) >= least and any(among in name for name in names)
    ]


def blocks(peaks):
    for peak in peaks.itertuples():
        starts = [peak.start + int(value) for value in peak.block_starts.split(",")]
        sizes = [int(value) for value in peak.block_sizes.split(",")]
        yield from ((left, left + size) for left, size in zip(starts, sizes, strict=True))


def covered(peaks):
    """Return the start of each shared peak, and whether one of ours covers it."""
    found = list(blocks(peaks))
    return {
        start: any(left < end and right > start for left, right in found)
        for start, end in shared_peaks()
    }


UNTREATED = [
    *(library(f"IP{number}", f"u{number}", "ip", "Input1") for number in (1, 2, 3, 4)),
    library("Input1", "u1", "input"),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run(tmp_path_factory.mktemp("hepg2"), UNTREATED)


def test_published_peaks_are_covered(results):
    shared = covered(tables.PEAKS.read(results / "m6a/peaks.tsv"))
    assert len(shared) == 25
    assert sum(shared.values()) >= 19
    # those that were published for the first library too, but for two in an intron
    first = shared_peaks(among="untreated_1")
    assert len(first) == 13
    assert [start for start, _ in first if not shared[start]] == [150_801_659, 150_801_895]


def test_introns_hold_the_two_that_no_exon_does(results, tmp_path):
    with_introns = run(tmp_path, UNTREATED, "peaks", introns=True)
    exonic, peaks = (
        tables.PEAKS.read(folder / "m6a/peaks.tsv") for folder in (results, with_introns)
    )
    pd.testing.assert_frame_equal(peaks.iloc[: len(exonic)], exonic)
    intronic = peaks.iloc[len(exonic) :]
    assert (intronic["region"] == "intron").all()
    assert 2 <= len(intronic) <= 30
    shared = covered(peaks)
    assert sum(shared.values()) >= 21
    assert shared[150_801_659] and shared[150_801_895]
    quality = (folder / "m6a/quality.tsv" for folder in (results, with_introns))
    assert next(quality).read_bytes() == next(quality).read_bytes()


def test_the_ips_are_good_and_motifs_are_missing(results):
    quality = tables.QUALITY.read(results / "m6a/quality.tsv").set_index("ip_library")
    assert (quality.loc[["IP1", "IP2", "IP3", "IP4"], "verdict"] == "good").all()
    assert quality["drach_odds_ratio"].isna().all()
    assert tables.PEAKS.read(results / "m6a/peaks.tsv")["drach"].isna().all()


def test_libraries_are_what_their_records_say(results):
    libraries = tables.LIBRARIES.read(results / "study/libraries.tsv").set_index("library")
    assert set(libraries["layout"]) == {"single"}
    assert set(libraries["read_length"]) == {36}
    # the primary records of the file, of which every one is aligned
    assert libraries.loc["IP1", "reads"] == 13_943
    assert set(libraries["strandedness"]) == {"unstranded"}
    counts = pd.read_csv(results / "expression/gene_counts.tsv", sep="\t", index_col=0)
    assert counts.loc["CHPF2", "IP1"] > 3000
    assert "This study was run without a genome" in (results / "report/index.html").read_text()


def test_an_ip_labelled_as_input_is_told(tmp_path):
    rows = [
        library("IP1", "u1", "ip"),
        library("Input1", "u1", "input"),
        library("IP3", "u3", "ip", "Input1"),
        # IP and input of this sample have each other's label
        library("IP4", "u4", "input"),
        library("Input2", "u4", "ip"),
    ]
    results = run(tmp_path, rows)
    quality = tables.QUALITY.read(results / "m6a/quality.tsv").set_index("ip_library")
    assert quality.loc["Input2", "verdict"] == "failed"
    assert "are they swapped?" in quality.loc["Input2", "reason"]
    assert (quality.loc[["IP1", "IP3"], "verdict"] == "good").all()

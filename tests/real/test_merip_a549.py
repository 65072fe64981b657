"""Real MeRIP-seq of A549 cells against peaks published for the same study by another group."""

import pandas as pd
import pytest
import workflow_runs as runs

from ringmark import tables

DATA = runs.real_data("merip_A549_shMETTL14")
pytestmark = [
    pytest.mark.real,
    pytest.mark.end_to_end,
    pytest.mark.skipif(
        DATA is None, reason="RINGMARK_REAL_DATA does not hold merip_A549_shMETTL14"
    ),
]


def study(folder, aligner):
    rows = [
        {
            "library": f"{condition}_{number}_{assay}",
            "sample": f"{condition}_{number}",
            "condition": condition,
            "assay": assay,
            "fastq_1": str(DATA / f"fastq/{condition}_{number}.{assay}_1.fastq.gz"),
            "fastq_2": str(DATA / f"fastq/{condition}_{number}.{assay}_2.fastq.gz"),
        }
        for condition in ("control", "treated")
        for number in (1, 2)
        for assay in ("input", "ip")
    ]
    runs.sheet(folder, rows)
    runs.write_config(
        folder,
        {
            "samples": "samples.tsv",
            "reference": {"fasta": str(DATA / "ref/genome.fa"), "gtf": str(DATA / "ref/genes.gtf")},
            "contrast": {"test": "treated", "reference": "control"},
            "alignment": {"aligner": aligner},
        },
    )


def overlaps(peaks, chrom, start, end):
    """Whether a block of a peak lies in an interval."""
    for peak in peaks[peaks["chrom"] == chrom].itertuples():
        starts = [peak.start + int(value) for value in peak.block_starts.split(",")]
        sizes = [int(value) for value in peak.block_sizes.split(",")]
        blocks = zip(starts, sizes, strict=True)
        if any(left < end and left + size > start for left, size in blocks):
            return True
    return False


@pytest.mark.parametrize("aligner", runs.aligners("real"))
def test_published_peaks_are_covered(tmp_path, aligner):
    study(tmp_path, aligner)
    runs.run_to_end(tmp_path)
    peaks = tables.PEAKS.read(tmp_path / "results/m6a/peaks.tsv")
    names = ["chrom", "start", "end", "name", "libraries"]
    consensus = pd.read_csv(DATA / "expected/consensus_A549_8libs.bed", sep="\t", names=names)
    shared = consensus[consensus["libraries"] >= 4]
    assert len(shared) == 16
    covered = sum(overlaps(peaks, row.chrom, row.start, row.end) for row in shared.itertuples())
    assert covered >= 15
    assert len(peaks) <= 45
    quality = tables.QUALITY.read(tmp_path / "results/m6a/quality.tsv")
    assert len(quality) == 4
    # a pair that has no peaks of its own has no summits either
    good = quality[quality["verdict"] == "good"]
    assert len(good) >= 2
    assert good[["drach_rate_summits", "drach_rate_background"]].notna().all(axis=None)
    assert (good["drach_odds_ratio"] > 1.5).all()
    assert (tmp_path / "results/report/index.html").exists()

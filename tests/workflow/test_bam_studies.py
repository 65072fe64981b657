"""Studies that start from BAM files: all of them, some of them, and without a genome."""

import json

import pandas as pd
import pysam
import pytest
import workflow_runs as runs

from ringmark import tables

LIBRARIES = [
    f"{condition}_1_{assay}"
    for condition in ("resistant", "sensitive")
    for assay in ("input", "ip")
]
#: Tables that come out the same whoever aligned the reads.
SAME = (
    "circrna/circles.tsv",
    "circrna/bsj_counts.tsv",
    "circrna/linear_counts.tsv",
    "expression/gene_counts.tsv",
    "m6a/peaks.tsv",
    "m6a/quality.tsv",
    "circrna_m6a/circles.tsv",
    "differential/genes.tsv",
    "differential/methylation.tsv",
)


@pytest.fixture(scope="module")
def aligned(tmp_path_factory):
    """The study from its reads, and its BAM files spoilt as other programs leave them.

    They are sorted by name, without the tags that aligners differ in, with hard clips and with
    another quality of unique alignments.
    """
    folder = runs.tiny_study(tmp_path_factory.mktemp("reads") / "study", LIBRARIES)
    runs.run_to_end(folder)
    bams = folder / "bams"
    bams.mkdir()
    for name in LIBRARIES:
        plain = bams / f"{name}.plain.bam"
        spoil(folder / f"results/alignment/{name}.bam", plain)
        pysam.sort("-n", "-o", str(bams / f"{name}.bam"), str(plain))
        plain.unlink()
    return folder


def spoil(source, target):
    with (
        pysam.AlignmentFile(str(source)) as reads,
        pysam.AlignmentFile(str(target), "wb", template=reads) as out,
    ):
        for read in reads.fetch(until_eof=True):
            split = read.get_tag("SA") if read.has_tag("SA") else None
            read.set_tags([("SA", split)] if split else [])
            if read.mapping_quality == 60:
                read.mapping_quality = 255
            if read.is_supplementary:
                hard_clip(read)
            out.write(read)


def hard_clip(read):
    bases, qualities = read.query_alignment_sequence, read.query_alignment_qualities
    read.cigartuples = [(5 if kind == 4 else kind, length) for kind, length in read.cigartuples]
    read.query_sequence = bases
    read.query_qualities = qualities


def from_bams(folder, aligned, libraries=LIBRARIES, genome=True):
    runs.tiny_study(folder, LIBRARIES)
    runs.bam_rows(folder, libraries, aligned / "bams")
    if not genome:
        runs.write_config(
            folder,
            {
                "samples": "samples.tsv",
                "reference": {"gtf": str(runs.TINY / "genes.gtf")},
                "contrast": {"test": "resistant", "reference": "sensitive"},
            },
        )
    runs.run_to_end(folder)
    return folder / "results"


@pytest.mark.end_to_end
@pytest.mark.xdist_group("bam_studies")
def test_results_are_those_of_the_reads(tmp_path, aligned):
    libraries = LIBRARIES[:3]
    results = from_bams(tmp_path / "study", aligned, libraries)
    for name in SAME:
        assert (results / name).read_bytes() == (aligned / "results" / name).read_bytes(), name
    trimmed = {path.name.split(".")[0] for path in (results / "reads").glob("*.cutadapt.json")}
    assert trimmed == set(LIBRARIES) - set(libraries)
    provenance = json.loads((results / "provenance.json").read_text())
    assert "minimap2" in provenance["versions"]
    inputs = {record["path"] for record in provenance["inputs"]}
    assert {str(aligned / f"bams/{name}.bam") for name in libraries} <= inputs
    assert (results / "report/index.html").exists()


@pytest.mark.end_to_end
@pytest.mark.xdist_group("bam_studies")
def test_without_a_genome_circles_and_motifs_are_left_out_and_the_report_says_so(tmp_path, aligned):
    results = from_bams(tmp_path / "study", aligned, genome=False)
    assert not (results / "circrna").exists()
    assert not (results / "circrna_m6a").exists()
    assert sorted(path.name for path in (results / "differential").iterdir()) == [
        "genes.tsv",
        "methylation.tsv",
        "shrunken_genes.tsv",
    ]
    for name in ("expression/gene_counts.tsv", "differential/genes.tsv", "m6a/ip_counts.tsv"):
        assert (results / name).read_bytes() == (aligned / "results" / name).read_bytes(), name
    found, known = (
        tables.PEAKS.read(folder / "m6a/peaks.tsv") for folder in (results, aligned / "results")
    )
    motifs = ["drach", "drach_distance"]
    assert found[motifs].isna().all(axis=None)
    pd.testing.assert_frame_equal(found.drop(columns=motifs), known.drop(columns=motifs))
    quality = tables.QUALITY.read(results / "m6a/quality.tsv")
    assert quality["drach_odds_ratio"].isna().all()
    assert quality["enrichment"].notna().all()
    overlap = pd.read_csv(results / "regulators/overlap.tsv", sep="\t")
    assert len(overlap)
    assert "This study was run without a genome" in (results / "report/index.html").read_text()


def test_only_what_is_given_as_reads_is_aligned(tmp_path):
    folder = runs.tiny_study(tmp_path / "study", LIBRARIES)
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": "chr1", "LN": 100_000}]}
    for name in LIBRARIES[:3]:
        with pysam.AlignmentFile(str(folder / f"{name}.bam"), "wb", header=header):
            pass
    runs.bam_rows(folder, LIBRARIES[:3], folder)
    jobs = runs.jobs_of(runs.run_to_end(folder, "--dry-run").stdout)
    assert (jobs["import_bam"], jobs["trim_reads"], jobs["align_minimap2"]) == (3, 1, 1)
    assert jobs["summarise_alignment"] == jobs["count_genes"] == jobs["count_circles"] == 4


def test_a_study_of_bam_files_plans_neither_reads_nor_an_index(tmp_path):
    folder = runs.tiny_study(tmp_path / "study", LIBRARIES)
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": "chr1", "LN": 100_000}]}
    for name in LIBRARIES:
        with pysam.AlignmentFile(str(folder / f"{name}.bam"), "wb", header=header):
            pass
    runs.bam_rows(folder, LIBRARIES, folder)
    jobs = runs.jobs_of(runs.run_to_end(folder, "--dry-run").stdout)
    assert jobs["import_bam"] == len(LIBRARIES)
    absent = {"trim_reads", "align_minimap2", "align_star", "index_minimap2", "index_star"}
    assert not absent & set(jobs)

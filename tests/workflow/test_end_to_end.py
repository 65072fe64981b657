"""The tiny study from FASTQ to report, under both aligners, against what was planted."""

import json

import numpy as np
import pandas as pd
import pytest
import workflow_runs as runs

from ringmark import tables
from ringmark.tables import read_matrix

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module", params=runs.aligners("tiny"))
def study(request, tmp_path_factory):
    """The tiny study after a run."""
    folder = tmp_path_factory.mktemp(request.param) / "study"
    runs.tiny_study(folder, config={"alignment": {"aligner": request.param}})
    runs.run_to_end(folder)
    return folder


@pytest.fixture(scope="module")
def results(study):
    return study / "results"


@pytest.fixture(scope="module")
def circles(results):
    return tables.CIRCLES.read(results / "circrna/circles.tsv").set_index("circle")


def planted(table, index):
    return pd.read_csv(runs.planted(table), sep="\t", index_col=index)


def test_every_planted_circle_with_five_reads_is_found_exactly(circles):
    reads = read_matrix(runs.planted("bsj_counts.tsv")).sum(axis="columns")
    expected = set(reads.index[reads >= 5])
    assert len(expected) >= 15
    assert expected <= set(circles.index)


def test_no_circle_with_three_reads_was_not_planted(circles):
    truth = planted("circles.tsv", "circle")
    assert set(circles.index[circles["reads"] >= 3]) <= set(truth.index)


def test_circles_have_their_type_and_host(circles):
    truth = planted("circles.tsv", "circle").loc[circles.index]
    assert (circles["type"] == truth["type"]).all()
    sense = truth["type"].isin(["exonic", "exon_intron", "intronic"])
    assert (circles["gene_id"][sense] == truth["gene_id"][sense]).all()


def test_back_splice_counts_follow_the_truth(results):
    counts = read_matrix(results / "circrna/bsj_counts.tsv")
    truth = read_matrix(runs.planted("bsj_counts_anchor8.tsv")).loc[counts.index, counts.columns]
    assert counts.to_numpy().sum() >= 0.95 * truth.to_numpy().sum()
    both = np.log2([counts.to_numpy().ravel() + 1, truth.to_numpy().ravel() + 1])
    assert np.corrcoef(both)[0, 1] >= 0.99


def covered(peaks, site):
    """Whether a site lies in a block of a peak of its strand."""
    for peak in peaks[
        (peaks["chrom"] == site.chrom) & (peaks["strand"] == site.strand)
    ].itertuples():
        starts = [peak.start + int(value) for value in peak.block_starts.split(",")]
        sizes = [int(value) for value in peak.block_sizes.split(",")]
        pairs = zip(starts, sizes, strict=True)
        if any(start <= site.position < start + size for start, size in pairs):
            return True
    return False


def test_peaks_cover_planted_sites_of_expressed_genes(results):
    peaks = tables.PEAKS.read(results / "m6a/peaks.tsv")
    sites = pd.read_csv(runs.planted("m6a_sites.tsv"), sep="\t")
    fragments = read_matrix(runs.planted("gene_counts.tsv"))
    inputs = [name for name in fragments if name.endswith("_input")]
    expressed = fragments.index[fragments[inputs].sum(axis="columns") >= 50]
    linear = sites[(sites["molecule"] == "linear") & sites["gene_id"].isin(expressed)]
    assert len(linear) >= 30
    assert np.mean([covered(peaks, site) for site in linear.itertuples()]) >= 0.8
    # nor by painting everything: a peak is at most a few fragments long, and there are not many
    assert len(peaks) <= 2 * len(sites)
    assert (peaks["end"] - peaks["start"]).median() <= 400


def test_changed_genes_carry_their_sign(results):
    genes = tables.DIFFERENTIAL.read(results / "differential/genes.tsv").set_index("id")
    truth = planted("genes.tsv", "gene_id")["log2_fold_change"]
    changed = truth[truth.abs() >= 2]
    assert len(changed) >= 6
    assert (np.sign(genes.loc[changed.index, "log2FoldChange"]) == np.sign(changed)).all()


def test_changed_circles_carry_their_sign(results):
    found = tables.DIFFERENTIAL.read(results / "differential/circles.tsv").set_index("id")
    truth = planted("circles.tsv", "circle")["log2_fold_change"]
    changed = truth[truth.abs() >= 2]
    assert (np.sign(found.loc[changed.index, "log2FoldChange"]) == np.sign(changed)).all()


def test_strandedness_is_inferred(results):
    libraries = tables.LIBRARIES.read(results / "study/libraries.tsv")
    assert set(libraries["strandedness"]) == {"reverse"}
    assert set(libraries["strandedness_declared"]) == {"auto"}
    assert (libraries["sense_fraction"] < 0.1).all()
    assert (libraries["aligned_fraction"] > 0.9).all()


def test_tables_have_the_columns_of_the_contract(results):
    expected = {
        "study/libraries.tsv": tables.LIBRARIES,
        "circrna/circles.tsv": tables.CIRCLES,
        "m6a/peaks.tsv": tables.PEAKS,
        "m6a/quality.tsv": tables.QUALITY,
        "m6a/saturation.tsv": tables.SATURATION,
        "m6a/metagene.tsv": tables.METAGENE,
        "m6a/motif.tsv": tables.MOTIF,
        "circrna_m6a/circles.tsv": tables.CIRCLE_M6A,
        "differential/genes.tsv": tables.DIFFERENTIAL,
        "differential/circles.tsv": tables.DIFFERENTIAL,
        "differential/methylation.tsv": tables.DIFFERENTIAL,
        "differential/circle_methylation.tsv": tables.DIFFERENTIAL,
        "differential/circle_ratio.tsv": tables.CIRCLE_RATIO,
    }
    for name, table in expected.items():
        header = (results / name).read_text().splitlines()[0].split("\t")
        assert header == list(table.columns), name


def test_matrices_share_their_rows(results):
    ids = tables.CIRCLES.read(results / "circrna/circles.tsv")["circle"].tolist()
    for name in ("bsj_counts", "linear_counts"):
        assert read_matrix(results / f"circrna/{name}.tsv").index.tolist() == ids
    peaks = tables.PEAKS.read(results / "m6a/peaks.tsv")["peak"].tolist()
    for name in ("ip_counts", "input_counts"):
        assert read_matrix(results / f"m6a/{name}.tsv").index.tolist() == peaks
    libraries = tables.LIBRARIES.read(results / "study/libraries.tsv")["library"].tolist()
    assert read_matrix(results / "expression/gene_counts.tsv").columns.tolist() == libraries


def test_the_report_and_its_neighbours_are_there(results):
    page = (results / "report/index.html").read_text()
    assert len(page) > 100_000
    assert (results / "report/multiqc.html").stat().st_size > 100_000
    provenance = json.loads((results / "provenance.json").read_text())
    assert {"STAR", "minimap2"} & set(provenance["versions"])
    names = {item["path"].rpartition("/")[2] for item in provenance["inputs"]}
    assert {"samples.tsv", "genome.fa", "genes.gtf"} <= names
    assert len(list((results / "tracks").glob("*.bw"))) == 24


def test_running_again_does_nothing(study):
    again = runs.run_to_end(study)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_a_touched_fastq_reruns_what_depends_on_it_and_no_more(study):
    changed, *others = sorted((study / "fastq").glob("sensitive_1_input_R1.fastq.gz"))
    assert not others
    changed.touch()
    printed = runs.run_to_end(study, "--dry-run").stdout
    jobs = runs.jobs_of(printed)
    aligner = "align_star" if "align_star" in jobs else "align_minimap2"
    once = ("trim_reads", aligner, "summarise_alignment", "count_genes", "find_back_splices")
    assert {rule: jobs.get(rule) for rule in once} == dict.fromkeys(once, 1)
    assert jobs["count_bins"] == jobs["write_tracks"] == 1
    # every library counts the candidates of the whole study
    assert jobs["count_circles"] == 12
    assert not {"prepare_reference", "index_star", "index_minimap2"} & set(jobs)
    runs.run_to_end(study, "--touch")

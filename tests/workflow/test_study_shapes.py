"""Studies that lack something: each runs, leaves out what cannot be computed and says so."""

import pandas as pd
import pytest
import workflow_runs as runs

from ringmark import tables

pytestmark = pytest.mark.end_to_end

SAMPLES = [f"{condition}_{number}" for condition in ("resistant", "sensitive") for number in (1, 2)]
INPUTS = [f"{sample}_input" for sample in SAMPLES]
#: A condition may have any name.
WORDS = {"resistant": "Tamoxifen-resistant (1 µM)", "sensitive": "it's parental"}
IPS = [f"{sample}_ip" for sample in SAMPLES]


def ended(tmp_path, **shape):
    folder = runs.tiny_study(tmp_path / "study", **shape)
    runs.run_to_end(folder)
    return folder / "results"


def page(results):
    return (results / "report/index.html").read_text()


@pytest.mark.xdist_group("no_ip")
def test_plain_rna_seq(tmp_path):
    results = ended(tmp_path, libraries=INPUTS, conditions=WORDS)
    assert not (results / "m6a").exists()
    assert not (results / "circrna_m6a").exists()
    assert not (results / "differential/methylation.tsv").exists()
    genes = tables.DIFFERENTIAL.read(results / "differential/genes.tsv")
    assert genes["padj"].notna().any()
    assert len(tables.CIRCLES.read(results / "circrna/circles.tsv")) >= 15
    assert "no immunoprecipitated libraries" in page(results)


@pytest.mark.xdist_group("no_replicates")
def test_one_library_a_condition(tmp_path):
    names = [
        f"{condition}_1_{assay}"
        for condition in ("resistant", "sensitive")
        for assay in ("input", "ip")
    ]
    results = ended(tmp_path, libraries=names, conditions=WORDS)
    libraries = tables.LIBRARIES.read(results / "study/libraries.tsv")
    assert set(libraries["condition"]) == set(WORDS.values())
    for name, table in (
        ("genes", tables.DIFFERENTIAL),
        ("circles", tables.DIFFERENTIAL),
        ("circle_ratio", tables.CIRCLE_RATIO),
        ("methylation", tables.DIFFERENTIAL),
    ):
        found = table.read(results / f"differential/{name}.tsv")
        assert len(found), name
        assert found["log2FoldChange"].notna().any(), name
        assert found["pvalue"].isna().all(), name
        assert found["padj"].isna().all(), name
    assert len(tables.PEAKS.read(results / "m6a/peaks.tsv")) >= 15
    assert "exploratory" in page(results).lower()


@pytest.mark.xdist_group("single_end")
def test_single_end_reads(tmp_path):
    names = INPUTS + IPS
    results = ended(tmp_path, libraries=names, single_end=names)
    libraries = tables.LIBRARIES.read(results / "study/libraries.tsv")
    assert set(libraries["layout"]) == {"single"}
    assert set(libraries["strandedness"]) == {"reverse"}
    truth = pd.read_csv(runs.planted("circles.tsv"), sep="\t")
    found = tables.CIRCLES.read(results / "circrna/circles.tsv")
    assert set(found["circle"][found["reads"] >= 3]) <= set(truth["circle"])
    assert len(found) >= 12
    assert len(tables.PEAKS.read(results / "m6a/peaks.tsv")) >= 15


@pytest.mark.xdist_group("no_ip")
def test_paired_end_ip_over_single_end_input(tmp_path):
    results = ended(tmp_path, libraries=INPUTS + IPS, single_end=INPUTS)
    libraries = tables.LIBRARIES.read(results / "study/libraries.tsv").set_index("library")
    assert set(libraries.loc[INPUTS, "layout"]) == {"single"}
    assert set(libraries.loc[IPS, "layout"]) == {"paired"}
    assert len(tables.PEAKS.read(results / "m6a/peaks.tsv")) >= 15
    assert (results / "circrna_m6a/circles.tsv").exists()

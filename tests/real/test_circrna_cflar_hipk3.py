"""Two circles validated in the laboratory, in human total RNA without IP and replicates."""

import pytest
import workflow_runs as runs

from ringmark import tables
from ringmark.tables import read_matrix

DATA = runs.real_data("circrna_CFLAR_HIPK3")
pytestmark = [
    pytest.mark.real,
    pytest.mark.end_to_end,
    pytest.mark.skipif(DATA is None, reason="RINGMARK_REAL_DATA does not hold circrna_CFLAR_HIPK3"),
]

HIPK3, CFLAR = "HIPK3:29740-30839:+", "CFLAR:29273-33731:+"
#: Fragments that must be counted at least, by aligner, circle and library.
LEAST = {
    "star": {HIPK3: {"A": 40, "B": 80}, CFLAR: {"A": 45, "B": 28}},
    "minimap2": {HIPK3: {"A": 20, "B": 40}, CFLAR: {"A": 23, "B": 14}},
}


@pytest.mark.parametrize("aligner", runs.aligners("real"))
def test_the_validated_circles_are_the_confident_ones(tmp_path, aligner):
    reads = DATA / "reads"
    rows = [
        {
            "library": name,
            "sample": name,
            "condition": f"library_{name}",
            "assay": "input",
            "fastq_1": str(reads / f"reads{name}_1.fastq.gz"),
            "fastq_2": str(reads / f"reads{name}_2.fastq.gz"),
        }
        for name in ("A", "B")
    ]
    runs.sheet(tmp_path, rows)
    runs.write_config(
        tmp_path,
        {
            "samples": "samples.tsv",
            "reference": {
                "fasta": str(DATA / "annotation/CFLAR_HIPK3.fa"),
                "gtf": str(DATA / "annotation/CFLAR_HIPK3.gtf"),
            },
            "contrast": {"test": "library_B", "reference": "library_A"},
            "alignment": {"aligner": aligner},
        },
    )
    runs.run_to_end(tmp_path)
    circles = tables.CIRCLES.read(tmp_path / "results/circrna/circles.tsv")
    assert set(circles["circle"][circles["confidence"] == "high"]) == {HIPK3, CFLAR}
    counts = read_matrix(tmp_path / "results/circrna/bsj_counts.tsv")
    for circle, libraries in LEAST[aligner].items():
        for library, least in libraries.items():
            assert counts.loc[circle, library] >= least, (circle, library)
    assert (tmp_path / "results/report/index.html").exists()

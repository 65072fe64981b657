"""The program that holds a study against the reviewed claims."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

import overlap_regulators
from ringmark import regulators, tables

PROJECT = Path(__file__).resolve().parents[2]
RESOURCE = PROJECT / "resources" / "reviewed_regulators"
REAL_DATA = Path(os.environ.get("RINGMARK_REAL_DATA", PROJECT / ".." / "shared" / "real-data"))
OUTPUTS = {
    "overlap": regulators.OVERLAP,
    "enrichment": regulators.ENRICHMENT,
    "axes": regulators.AXIS_RESULTS,
}


def gene(name: str, change: float, padj: float) -> dict[str, object]:
    return {
        "id": f"ENSG_{name}",
        "gene_id": f"ENSG_{name}",
        "gene_name": name,
        "baseMean": 100.0,
        "log2FoldChange": change,
        "lfcSE": 0.2,
        "stat": change / 0.2,
        "pvalue": padj / 10,
        "padj": padj,
    }


@pytest.fixture
def genes(tmp_path: Path) -> Path:
    path = tmp_path / "genes.tsv"
    rows = [gene("ABCC1", 1.0, 0.001), gene("BCL2", -1.0, 0.001), gene("METTL3", 0.1, 0.9)]
    tables.DIFFERENTIAL.write(rows, path)
    return path


def run(genes: Path, *options: str, claims: Path = RESOURCE / "claims.tsv") -> int:
    folder = genes.parent
    outputs = [f"--output-{name}={folder / name}.tsv" for name in OUTPUTS]
    axes = RESOURCE / "axes.tsv"
    arguments = [f"--claims={claims}", f"--axes={axes}", f"--genes={genes}", *outputs, *options]
    return overlap_regulators.main(arguments)


def written(genes: Path, name: str) -> pd.DataFrame:
    return OUTPUTS[name].read(genes.parent / f"{name}.tsv")


def nothing_written(genes: Path) -> bool:
    return not any((genes.parent / f"{name}.tsv").exists() for name in OUTPUTS)


def test_genes_alone_give_all_three_tables(genes: Path, capsys: pytest.CaptureFixture[str]):
    assert run(genes) == 0
    overlaps = written(genes, "overlap").set_index(["claim_id", "comparison"])
    assert overlaps.loc[("lin2022-t2-01-ABCC1", "expression"), "verdict"] == "confirmed"
    assert overlaps.loc[("lin2022-t1-17-BCL-2", "expression"), "verdict"] == "contradicted"
    assert overlaps.loc[("lin2022-t1-05-METTL3", "expression"), "verdict"] == "unchanged"
    circle = overlaps.loc[("lin2022-t2-01-circPVT1", "circle")]
    assert circle["reason"] == "the study has no differential test of circles"
    claims = regulators.CLAIMS.read(RESOURCE / "claims.tsv")
    assert set(overlaps.index.get_level_values("claim_id")) == set(claims["claim_id"])
    assert len(written(genes, "enrichment")) > 10
    chains = written(genes, "axes").set_index("axis_id")
    assert len(chains) == 60
    assert chains.loc["lin2022-t1-17", "coherent"] == "no"
    assert capsys.readouterr().out.startswith(f"{len(claims)} claims, ")


def test_every_table_of_a_study_is_read(genes: Path):
    folder, circle = genes.parent, "chr8:10-90:+"
    row = gene("PVT1", 1.0, 0.001) | {"id": circle}
    for name in ("circles", "methylation", "circle_methylation"):
        tables.DIFFERENTIAL.write([row], folder / f"{name}.tsv")
    tables.CIRCLE_RATIO.write(
        [row | {"ratio_test": 0.5, "ratio_reference": 0.2}], folder / "ratio.tsv"
    )
    tables.CIRCLES.write([], folder / "catalogue.tsv")
    tables.PEAKS.write([], folder / "peaks.tsv")
    tables.CIRCLE_M6A.write([], folder / "circle_m6a.tsv")
    options = [
        f"--circles-catalogue={folder}/catalogue.tsv",
        f"--circles={folder}/circles.tsv",
        f"--ratio={folder}/ratio.tsv",
        f"--peaks={folder}/peaks.tsv",
        f"--methylation={folder}/methylation.tsv",
        f"--circle-m6a={folder}/circle_m6a.tsv",
        f"--circle-methylation={folder}/circle_methylation.tsv",
    ]
    assert run(genes, *options) == 0
    overlaps = written(genes, "overlap").set_index(["claim_id", "comparison"])
    circles = overlaps.loc["lin2022-t2-01-circPVT1"]
    assert circles["matched_feature"].tolist() == [circle] * 3
    assert circles["verdict"].tolist() == ["confirmed", "confirmed", "not measurable"]


def test_header_only_genes_leave_everything_not_measurable(genes: Path):
    tables.DIFFERENTIAL.write([], genes)
    assert run(genes) == 0
    assert set(written(genes, "overlap")["verdict"]) == {"not measurable"}
    assert written(genes, "enrichment")["pvalue"].isna().all()


def test_header_only_claims_give_header_only_tables(genes: Path, tmp_path: Path):
    claims, axes = tmp_path / "claims.tsv", tmp_path / "no_axes.tsv"
    regulators.CLAIMS.write([], claims)
    regulators.AXES.write([], axes)
    assert run(genes, f"--axes={axes}", claims=claims) == 0
    for name in OUTPUTS:
        assert written(genes, name).empty


def test_filters_keep_fitting_claims_and_their_chains(genes: Path):
    assert run(genes, "--therapy", "tamoxifen", "--cancer", "Breast cancer") == 0
    overlaps = written(genes, "overlap")
    assert set(overlaps["therapy"]) == {"tamoxifen"}
    assert written(genes, "axes")["axis_id"].tolist() == ["lin2022-t1-03"]


def test_a_filter_keeps_each_of_its_values_as_a_rule_gives_them(genes: Path):
    assert run(genes, "--therapy", "tamoxifen", "--therapy", "cisplatin") == 0
    assert {"tamoxifen", "cisplatin"} <= set(written(genes, "overlap")["therapy"])


def test_same_input_same_bytes(genes: Path):
    assert run(genes) == 0
    first = [(genes.parent / f"{name}.tsv").read_bytes() for name in OUTPUTS]
    assert run(genes) == 0
    assert first == [(genes.parent / f"{name}.tsv").read_bytes() for name in OUTPUTS]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fdr", "0"], "--fdr 0.0 is not between 0 and 1"),
        (["--cancer", "breast"], "--cancer 'breast': no claim has it"),
        (["--therapy-class", "surgery"], "known: chemotherapy, immunotherapy"),
        (["--circles", "absent.tsv"], "absent.tsv: does not exist"),
    ],
)
def test_bad_options_are_told(
    genes: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
):
    assert run(genes, *options) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.splitlines()[-1].startswith("Hint: ")
    assert nothing_written(genes)


def test_empty_file_is_told(genes: Path, capsys: pytest.CaptureFixture[str]):
    genes.write_text("")
    assert run(genes) == 1
    assert "is empty, not even a header" in capsys.readouterr().err


def test_missing_column_is_told(genes: Path, capsys: pytest.CaptureFixture[str]):
    genes.write_text("id\tgene_id\n")
    assert run(genes) == 1
    assert "no column gene_name" in capsys.readouterr().err


def test_claim_out_of_the_vocabulary_is_told(
    genes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    claims = regulators.CLAIMS.read(RESOURCE / "claims.tsv")
    claims.loc[3, "effect"] = "helps"
    path = tmp_path / "mine.tsv"
    regulators.CLAIMS.write(claims, path)
    assert run(genes, claims=path) == 1
    assert f"{path}, row 5: effect 'helps'" in capsys.readouterr().err
    assert nothing_written(genes)


def test_chain_that_contradicts_its_claim_is_told(
    genes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    claims = regulators.CLAIMS.read(RESOURCE / "claims.tsv")
    here = claims["claim_id"] == "lin2022-t2-01-ABCC1"
    claims.loc[here, "direction_in_resistance"] = "down"
    path = tmp_path / "mine.tsv"
    regulators.CLAIMS.write(claims, path)
    assert run(genes, claims=path) == 1
    assert "the path from ABCC1 to resistance" in capsys.readouterr().err


@pytest.mark.real
def test_tamoxifen_resistant_cells(genes: Path):
    source = REAL_DATA / "de_MCF7_tamoxifen" / "pydeseq2_TAMR_vs_OH.csv"
    if not source.is_file():
        pytest.skip("no real data: set RINGMARK_REAL_DATA to their folder")
    table = pd.read_csv(source, keep_default_na=False, na_values=[""]).rename(
        columns={"Name": "id"}
    )
    tables.DIFFERENTIAL.write(table.assign(gene_id=table["id"], gene_name=table["id"]), genes)
    assert run(genes) == 0
    overlaps = written(genes, "overlap").set_index(["claim_id", "comparison"])
    for claim_id, verdict in {
        "lin2022-t2-24-ABCG2": "confirmed",
        "lin2022-t1-17-BCL-2": "contradicted",
        "lin2022-t1-05-METTL3": "unchanged",
    }.items():
        row = overlaps.loc[(claim_id, "expression")]
        assert row["verdict"] == verdict
        measured = table.set_index("id").loc[row["symbol"], "log2FoldChange"]
        assert row["log2FoldChange"] == pytest.approx(measured, rel=1e-4)
    assert overlaps.loc[("lin2022-t4-05-VIRMA", "expression"), "match"] == "alias"

"""The curated claims: complete, in their vocabularies, and true to the printed tables."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import pandas as pd
import pytest

from ringmark import regulators

PROJECT = Path(__file__).resolve().parents[2]
RESOURCE = PROJECT / "resources" / "reviewed_regulators"
REVIEWS = Path(os.environ.get("RINGMARK_REVIEWS", PROJECT / ".." / "shared" / "reviews"))
REAL_DATA = Path(os.environ.get("RINGMARK_REAL_DATA", PROJECT / ".." / "shared" / "real-data"))
TEXTS = {
    "lin2022": "lin2022_m6a_circrna_resistance.txt",
    "radioresistance2023": "radioresistance2023_mechanisms.txt",
    "zuo2022": "zuo2022_ncrna_oxidative_stress.txt",
}
ROWS = {
    ("lin2022", "Table 1"): 21,
    ("lin2022", "Table 2"): 28,
    ("lin2022", "Table 3"): 5,
    ("lin2022", "Table 4"): 6,
    ("radioresistance2023", "Table 1"): 19,
    ("zuo2022", "Table 1"): 9,
}
#: Approved symbols newer than the list they are checked against, with the symbol they replace.
RENAMED = {"VIRMA": "KIAA1429", "H2AX": "H2AFX", "MRE11": "MRE11A", "DOP1B": "DOPEY2"}


@pytest.fixture(scope="module")
def claims() -> pd.DataFrame:
    return regulators.CLAIMS.read(RESOURCE / "claims.tsv")


@pytest.fixture(scope="module")
def axes() -> pd.DataFrame:
    return regulators.AXES.read(RESOURCE / "axes.tsv")


def in_table(claims: pd.DataFrame, review: str, table: str) -> pd.DataFrame:
    here = (claims["review"] == review) & claims["location"].str.startswith(f"{table}, ")
    return claims[here]


def test_columns_are_exactly_those_of_the_tables():
    for name, table in (("claims", regulators.CLAIMS), ("axes", regulators.AXES)):
        header = (RESOURCE / f"{name}.tsv").read_text(encoding="utf-8").splitlines()[0]
        assert header.split("\t") == list(table.columns)


def test_every_row_keeps_to_its_vocabulary(claims: pd.DataFrame):
    assert regulators.check_claims(claims) == []


def test_no_cell_is_empty_or_padded():
    for name in ("claims", "axes"):
        with (RESOURCE / f"{name}.tsv").open(encoding="utf-8", newline="") as handle:
            for row in csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE):
                assert all(cell and cell == cell.strip() for cell in row), row


@pytest.mark.parametrize(("review", "table"), ROWS)
def test_every_row_of_every_table_is_there(claims: pd.DataFrame, review: str, table: str):
    numbers = set(in_table(claims, review, table)["location"].str.extract(r"row (\d+)$")[0])
    assert numbers == {str(number) for number in range(1, ROWS[review, table] + 1)}


def test_no_two_rows_are_the_same_claim(claims: pd.DataFrame):
    assert not claims.duplicated(["review", "location", "entity"]).any()
    assert claims["claim_id"].is_unique


def test_a_row_has_one_cancer_therapy_and_reference(claims: pd.DataFrame):
    shared = ["cancer", "therapy", "therapy_class", "mechanism", "reference"]
    assert (claims.fillna("NA").groupby(["review", "location"])[shared].nunique() == 1).all(
        axis=None
    )


def test_a_circle_without_host_gene_says_why(claims: pd.DataFrame):
    circles = claims[claims["entity_type"] == "circRNA"]
    assert len(circles) >= 38
    without = circles[circles["host_gene"].isna()]
    assert without["note"].str.contains("host gene").all()


def test_a_host_gene_stands_in_the_name_or_the_note_says_where_from(claims: pd.DataFrame):
    for row in claims[claims["host_gene"].notna()].itertuples():
        note = "" if pd.isna(row.note) else row.note
        assert row.host_gene in row.entity or "host gene" in note, row.claim_id


def test_a_target_takes_the_direction_the_chain_gives_it(claims: pd.DataFrame, axes: pd.DataFrame):
    assert regulators.check_axes(axes, claims) == []


def test_every_table_row_of_lin_has_a_chain_that_ends_in_resistance(
    claims: pd.DataFrame, axes: pd.DataFrame
):
    chains = regulators.read_chains(axes, claims)
    assert len(chains) == 60
    for chain in chains:
        assert any(target == regulators.RESISTANCE for _, target, _ in chain.edges), chain.axis_id


def test_every_node_is_an_entity_of_the_same_row(claims: pd.DataFrame, axes: pd.DataFrame):
    types = claims.set_index("claim_id")["location"].to_dict()
    known = set(zip(claims["location"], claims["review"], claims["entity"], strict=True))
    for row in axes.itertuples():
        for node, kind in ((row.source, row.source_type), (row.target, row.target_type)):
            if node == regulators.RESISTANCE:
                assert kind == "phenotype"
                continue
            marked = re.fullmatch(r"m6A\((.*)\)", node)
            assert (kind == "m6A") == bool(marked)
            entity = marked.group(1) if marked else node
            assert (types[row.claim_id], row.review, entity) in known


def test_chains_carry_cancer_and_therapy_of_their_claims(claims: pd.DataFrame, axes: pd.DataFrame):
    columns = ["cancer", "therapy", "review"]
    merged = axes.merge(claims[["claim_id", *columns]], on="claim_id", suffixes=("", "_claim"))
    for column in columns:
        assert (merged[column].fillna("") == merged[f"{column}_claim"].fillna("")).all()


def test_steps_follow_the_chain(axes: pd.DataFrame):
    for _, rows in axes.groupby("axis_id"):
        depth = dict(zip(rows["target"], rows["step"], strict=True))
        for row in rows.itertuples():
            assert row.step == 1 + depth.get(row.source, 0)


@pytest.mark.parametrize(
    ("claim_id", "expected"),
    [
        (
            "lin2022-t1-01-IGF2BP3",
            {"symbol": "IGF2BP3", "entity_type": "reader", "direction_in_resistance": "up"},
        ),
        ("lin2022-t1-06-ERCC1", {"symbol": "ERCC1", "as_printed": "ECCR1", "reference": "13"}),
        ("lin2022-t2-07-MCL-1", {"symbol": "MCL1", "as_printed": "MLC-1"}),
        ("lin2022-t2-15-circ_0000079", {"host_gene": "USP1", "direction_in_resistance": "down"}),
        (
            "lin2022-t2-01-circPVT1",
            {"host_gene": "PVT1", "partner": "miR-145-5p", "partner_relation": "sponges"},
        ),
        (
            "lin2022-t3-01-METTL3",
            {"partner": "circCUX1", "partner_relation": "methylates", "effect": "promotes"},
        ),
    ],
)
def test_claims_read_by_hand(claims: pd.DataFrame, claim_id: str, expected: dict[str, str]):
    row = claims.set_index("claim_id").loc[claim_id]
    assert {column: row[column] for column in expected} == expected


@pytest.mark.parametrize(
    ("claim_id", "words"),
    [
        ("lin2022-t2-12-circCUL2", "miR-142-3p"),
        ("lin2022-t2-22-cZNF292", "contradict"),
        ("lin2022-t3-03-IGF2BP1", "194"),
        ("lin2022-t4-05-circMORC3", "212"),
        ("lin2022-t1-18-METTL3", "row 21"),
    ],
)
def test_contradictions_are_noted(claims: pd.DataFrame, claim_id: str, words: str):
    assert words in claims.set_index("claim_id").loc[claim_id, "note"]


# --- against the printed reviews ------------------------------------------------------------------


def review_text(review: str) -> str:
    path = REVIEWS / TEXTS[review]
    if not path.is_file():
        pytest.skip(f"no text of {review}: set RINGMARK_REVIEWS to the folder of the reviews")
    return re.sub(r"[^\S\n]", " ", path.read_text(encoding="utf-8"))


def squeeze(text: str) -> str:
    """Text without white space, hyphens and case: cells are broken over lines at any of them."""
    return re.sub(r"[\s\-‐‑]", "", text).casefold()


def printed_rows(review: str, table: str) -> list[tuple[str, str]]:
    """Return (content, reference) of the rows of a printed table: each ends with its reference."""
    body = review_text(review).split(f"\n{table} ", 1)[1]
    if review == "zuo2022":
        body = body.split("Identifier", 1)[1]
        rows = re.findall(r"(.*?)((?:NCT\d{8}[,\s]*)+)", body, flags=re.S)
        references = [(cell, ";".join(re.findall(r"NCT\d{8}", found))) for cell, found in rows]
    else:
        if review == "radioresistance2023":
            body = body.split("Mechanisms Mediators References", 1)[1]
        rows = re.findall(r"(.*?)\[([\d, –]+)\]", body, flags=re.S)
        references = [(cell, found.replace("–", "-").replace(", ", ";")) for cell, found in rows]
    return references[: ROWS[review, table]]


@pytest.mark.parametrize(("review", "table"), ROWS)
def test_entity_and_reference_stand_in_the_printed_row(
    claims: pd.DataFrame, review: str, table: str
):
    rows = printed_rows(review, table)
    for claim in in_table(claims, review, table).itertuples():
        content, reference = rows[int(claim.location.rsplit(" ", 1)[1]) - 1]
        unique = ";".join(dict.fromkeys(reference.split(";")))
        assert claim.reference == unique, claim.claim_id
        printed = claim.entity if pd.isna(claim.as_printed) else claim.as_printed
        assert squeeze(printed) in squeeze(content), claim.claim_id


def test_arrows_of_the_regulators_are_the_printed_ones(claims: pd.DataFrame):
    signs = {"up": "↑", "down": "↓"}
    checked = 0
    for table in ("Table 1", "Table 2"):
        rows = printed_rows("lin2022", table)
        for claim in in_table(claims, "lin2022", table).itertuples():
            printed = claim.entity if pd.isna(claim.as_printed) else claim.as_printed
            content = squeeze(rows[int(claim.location.rsplit(" ", 1)[1]) - 1][0])
            # not a circle that carries the name of its host gene
            arrow = re.search(rf"(?<!circ){re.escape(squeeze(printed))}.*?([↑↓])", content)
            assert arrow is not None, claim.claim_id
            assert arrow.group(1) == signs[claim.direction_in_resistance], claim.claim_id
            checked += 1
    assert checked > 140


def test_no_sentence_of_a_review_is_copied(claims: pd.DataFrame):
    texts = [" ".join(review_text(name).casefold().split()) for name in TEXTS]
    for note in claims["note"].dropna():
        words = note.casefold().split()
        for start in range(len(words) - 7):
            run = " ".join(words[start : start + 8])
            assert not any(run in text for text in texts), note


def test_symbols_are_approved(claims: pd.DataFrame):
    path = REAL_DATA / "de_MCF7_tamoxifen" / "raw_counts.csv"
    if not path.is_file():
        pytest.skip("no list of symbols: set RINGMARK_REAL_DATA to the folder of the real data")
    approved = set(pd.read_csv(path, usecols=["Name"], keep_default_na=False)["Name"])
    genes = claims[claims["entity_type"].isin(regulators.TRANSCRIPT_TYPES)]
    symbols = set(genes["symbol"].dropna()) | set(claims["host_gene"].dropna())
    assert {RENAMED.get(symbol, symbol) for symbol in symbols} <= approved
    for new, old in RENAMED.items():
        users = claims[(claims["symbol"] == new) | (claims["host_gene"] == new)]
        assert users["aliases"].str.contains(old).all(), new


def test_no_alias_is_the_symbol_of_another_gene(claims: pd.DataFrame):
    path = REAL_DATA / "de_MCF7_tamoxifen" / "raw_counts.csv"
    if not path.is_file():
        pytest.skip("no list of symbols: set RINGMARK_REAL_DATA to the folder of the real data")
    approved = set(pd.read_csv(path, usecols=["Name"], keep_default_na=False)["Name"])
    replaced = set(RENAMED.values())
    for aliases in claims["aliases"]:
        assert not (set(regulators.split(aliases)) & approved - replaced)

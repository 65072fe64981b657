import numpy as np
import pytest

from ringmark.annotation import Gene, Transcript
from ringmark.intervals import Blocks
from ringmark.profiles import (
    CODING_REGIONS,
    FLANK,
    MOTIF_DISTANCE,
    PARTS,
    information,
    letter_counts,
    metagene_rows,
    motif_rows,
    nearest_motifs,
)
from ringmark.tables import METAGENE, MOTIF


def gene(strand="+", coding=(200, 1300), name="G"):
    """Return a gene of two exons, 100-500 and 1000-1600: 5' UTR 100, CDS 600, 3' UTR 300 nt."""
    exons = Blocks(np.array([100, 1000]), np.array([500, 1600]), strand)
    transcript = Transcript("T", exons, *(coding or (None, None)))
    return Gene(name, name, "x", "c", strand, (transcript,))


def metagene(summits):
    return METAGENE.frame(metagene_rows("a", summits))


def where(table):
    rows = table[table["summits"] > 0]
    return [
        (row.region, round(row.start * PARTS), row.summits) for row in rows.itertuples(index=False)
    ]


@pytest.mark.parametrize(
    ("position", "place"),
    [
        (100, ("5UTR", 0)),
        (199, ("5UTR", 19)),
        (200, ("CDS", 0)),
        # spliced 400, the 300th base of 600
        (1000, ("CDS", 10)),
        (1299, ("CDS", 19)),
        (1300, ("3UTR", 0)),
        (1599, ("3UTR", 19)),
    ],
)
def test_place_along_the_transcript(position, place):
    assert where(metagene([(gene(), position)])) == [(*place, 1)]


def test_the_reverse_strand_starts_at_the_right():
    # the 5' UTR is what lies right of the coding sequence: 1300 to 1600
    table = metagene([(gene("-"), 1599), (gene("-"), 100)])
    assert where(table) == [("5UTR", 0, 1), ("3UTR", 19, 1)]
    first = table.groupby("region")["uniform"].sum()
    assert first["5UTR"] == pytest.approx(2 * 300 / 1000)


def test_uniform_placement_follows_the_lengths():
    table = metagene([(gene(), 1000), (gene(), 1001), (gene(), 150)])
    assert len(table) == len(CODING_REGIONS) * PARTS
    assert table["summits"].sum() == 3
    assert table["uniform"].sum() == pytest.approx(3)
    sums = table.groupby("region")["uniform"].sum()
    assert sums.to_dict() == pytest.approx({"5UTR": 0.3, "CDS": 1.8, "3UTR": 0.9})
    assert table["uniform"].iloc[0] == pytest.approx(3 * 0.1 / 20)


def test_a_transcript_without_a_5utr():
    table = metagene([(gene(coding=(100, 1300)), 100)])
    assert where(table) == [("CDS", 0, 1)]
    assert table.groupby("region")["uniform"].sum()["5UTR"] == 0


@pytest.mark.parametrize("summits", [[], [(gene(coding=None), 200)], [(gene(), 700)]])
def test_nothing_on_a_coding_transcript_gives_no_rows(summits):
    assert metagene(summits).empty


class Letters:
    """A genome of one contig."""

    def __init__(self, text):
        self.text = text

    def fetch(self, reference, start, end):
        return self.text[start:end]


def short(text, strand="+"):
    exons = Blocks(np.array([0]), np.array([len(text)]), strand)
    return Gene("G", "G", "x", "c", strand, (Transcript("T", exons),))


def test_letters_around_a_motif():
    text = "C" * 20 + "GGACT" + "C" * 20
    table = MOTIF.frame(motif_rows([(short(text), 25)], Letters(text))).set_index("offset")
    assert table.index.tolist() == list(range(-FLANK, FLANK + 1))
    expected = {-3: "C", -2: "G", -1: "G", 0: "A", 1: "C", 2: "U", 3: "C"}
    for offset, letter in expected.items():
        assert table.loc[offset, letter] == table.loc[offset, f"all_{letter}"] == 1
        assert table.loc[offset, list("ACGU")].sum() == 1
    # one letter says nothing: 2 bits less 3 / (2 ln 2) is below 0
    assert (table["information"] == 0).all()


def test_the_reverse_strand_is_read_as_the_rna():
    text = "G" * 20 + "AGTCC" + "G" * 20
    table = MOTIF.frame(motif_rows([(short(text, "-"), 22)], Letters(text))).set_index("offset")
    assert [table.loc[offset, list("ACGU")].idxmax() for offset in range(-2, 3)] == list("GGACU")


def test_the_motif_nearest_to_a_summit_counts_and_all_of_the_gene_beside_it():
    text = "C" * 20 + "GGACT" + "C" * 10 + "AAACA" + "C" * 20
    rows = motif_rows([(short(text), 36), (short(text), 37)], Letters(text))
    table = MOTIF.frame(rows).set_index("offset")
    assert table.loc[-2, list("ACGU")].tolist() == [2, 0, 0, 0]
    assert table.loc[-2, ["all_A", "all_C", "all_G", "all_U"]].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("text", "summit"),
    [("C" * 50, 20), ("C" * 20 + "GGACT" + "C" * 40, 22 + MOTIF_DISTANCE + 1)],
)
def test_no_motif_at_a_summit_gives_no_rows(text, summit):
    assert motif_rows([(short(text), summit)], Letters(text)) == []
    assert motif_rows([], Letters(text)) == []


def test_the_nearest_motif_and_of_two_the_first():
    motifs = np.array([10, 30, 90])
    places = np.array([19, 20, 21, 60, 105, 106])
    assert nearest_motifs(motifs, places).tolist() == [10, 10, 30, 90]
    assert nearest_motifs(motifs[:0], places).tolist() == []


def test_letters_beyond_the_ends_and_unknown_ones_do_not_count():
    counts = letter_counts("ANt", np.array([0, 2]))
    assert counts.sum() == 4
    assert counts[FLANK].tolist() == [1, 0, 0, 1]
    assert counts[FLANK + 2].tolist() == [0, 0, 0, 1]
    assert counts[FLANK - 2].tolist() == [1, 0, 0, 0]
    assert letter_counts("", np.array([], dtype=np.int64)).sum() == 0


def test_information():
    counts = np.array([[100, 0, 0, 0], [50, 50, 0, 0], [25, 25, 25, 25], [1, 0, 0, 0], [0] * 4])
    chance = 3 / (2 * np.log(2) * 100)
    assert information(counts) == pytest.approx([2 - chance, 1 - chance, 0, 0, 0])

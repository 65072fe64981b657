import numpy as np
import pytest
from toy_m6a import peak

import profile_peaks
from ringmark.annotation import Annotation, Gene, Transcript
from ringmark.intervals import Blocks
from ringmark.tables import METAGENE, MOTIF, PEAKS


@pytest.fixture
def study(tmp_path):
    """One coding gene, 100-400 and 1000-1400, with a motif at 1100."""
    exons = Blocks(np.array([100, 1000]), np.array([400, 1400]), "+")
    gene = Gene("G1", "G1", "x", "c", "+", (Transcript("T", exons, 150, 1150),))
    Annotation({"G1": gene}).write(tmp_path / "transcripts.tsv")
    text = "C" * 1098 + "GGACT" + "C" * 400
    (tmp_path / "genome.fa").write_text(f">c\n{text}\n")
    return tmp_path


def run(study, peaks, genome=True):
    PEAKS.write(peaks, study / "peaks.tsv")
    options = ["--peaks", study / "peaks.tsv", "--annotation", study / "transcripts.tsv"]
    options += ["--genome", study / "genome.fa"] if genome else []
    options += ["--metagene", study / "metagene.tsv", "--motif", study / "motif.tsv"]
    return profile_peaks.main([str(item) for item in options])


def read(study):
    return METAGENE.read(study / "metagene.tsv"), MOTIF.read(study / "motif.tsv")


def test_one_peak(study):
    assert run(study, [peak("+", (1050, 1150), conditions="r", summit=1102)]) == 0
    metagene, motif = read(study)
    assert metagene["condition"].unique().tolist() == ["r"]
    (row,) = metagene[metagene["summits"] > 0].itertuples(index=False)
    # the coding sequence has 250 + 150 nt, of which the summit is the 353rd
    assert (row.region, row.start, row.summits) == ("CDS", 0.85, 1)
    assert motif.set_index("offset").loc[0, "A"] == 1


def test_a_peak_of_two_conditions_counts_in_both(study):
    peaks = [
        peak("+", (1050, 1150), conditions="r,s", summit=1102),
        peak("+", (1300, 1350), conditions="s", summit=1320),
    ]
    assert run(study, peaks) == 0
    metagene, motif = read(study)
    assert metagene.groupby("condition", sort=False)["summits"].sum().to_dict() == {"r": 1, "s": 2}
    assert motif.set_index("offset").loc[0, "A"] == 1


def test_peaks_in_introns_are_left_out(study):
    intron = peak("+", (600, 700), conditions="r,s", summit=650, region="intron")
    assert run(study, [peak("+", (1050, 1150), conditions="r", summit=1102), intron]) == 0
    metagene, motif = read(study)
    assert metagene["condition"].unique().tolist() == ["r"]
    assert motif.set_index("offset").loc[0, "A"] == 1
    assert run(study, [intron]) == 0
    assert all(table.empty for table in read(study))


def test_without_a_genome_there_are_no_letters(study):
    assert run(study, [peak("+", (1050, 1150), summit=1102)], genome=False) == 0
    metagene, motif = read(study)
    assert len(metagene) and motif.empty


def test_no_peak_gives_headers(study):
    assert run(study, []) == 0
    metagene, motif = read(study)
    assert metagene.empty and motif.empty


def test_peaks_of_another_annotation_are_told(study, capsys):
    assert run(study, [peak("+", (1050, 1150), gene="other")]) == 1
    assert "gene other is not in the annotation" in capsys.readouterr().err


def test_a_genome_without_the_contig_is_told(study, capsys):
    (study / "genome.fa").write_text(">d\nACGT\n")
    assert run(study, [peak("+", (1050, 1150))]) == 1
    assert "no contig c" in capsys.readouterr().err

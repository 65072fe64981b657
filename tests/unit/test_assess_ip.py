import numpy as np
import pandas as pd
import pysam
import pytest
from toy_pairs import ToyStudy
from toy_pairs import annotation as toy_annotation

import assess_ip
import call_peaks
from assess_ip import Motifs, jaccard, verdict
from ringmark.annotation import Annotation, Gene, Transcript
from ringmark.bins import BinLayout, Coverage
from ringmark.intervals import Blocks
from ringmark.pairing import InputMatch
from ringmark.peaks import Peak, describe_peaks
from ringmark.tables import PEAKS, QUALITY, SATURATION

GENES, LENGTH, SITE, FRAGMENT = 40, 2000, 1200, 150


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Forty genes with a DRACH motif at the site of every second one, which is near the stop."""
    folder = tmp_path_factory.mktemp("assess")
    generator = np.random.default_rng(11)
    letters = generator.choice(list("CT"), GENES * 3000)
    genes = {}
    for index in range(GENES):
        start = 500 + index * 3000
        exons = Blocks(np.array([start]), np.array([start + LENGTH]), "+")
        coding = (start + 100, start + SITE + 30)
        genes[f"G{index}"] = Gene(
            f"G{index}", f"N{index}", "x", "chr1", "+", (Transcript(f"T{index}", exons, *coding),)
        )
        for place in (SITE, 300, 700):
            letters[start + place - 2 : start + place + 3] = list("GGACT")
    (folder / "genome.fa").write_text(f">chr1\n{''.join(letters)}\n")
    annotation = Annotation(genes)
    annotation.write(folder / "transcripts.tsv")
    layout = BinLayout.of(annotation)
    for sample in "12":
        library(layout, generator, True).save(folder / f"{sample}_ip.npz")
        library(layout, generator, False).save(folder / f"{sample}_input.npz")
    library(layout, generator, False).save(folder / "failed_ip.npz")
    library(layout, generator, False, 0).save(folder / "empty.npz")
    peaks = [
        Peak(index, SITE - 60, SITE + 60, SITE, 0.0, padj=0.01) for index in range(0, GENES, 2)
    ]
    with pysam.FastaFile(str(folder / "genome.fa")) as genome:
        PEAKS.write(describe_peaks(peaks, layout, genome), folder / "peaks.tsv")
    PEAKS.write([], folder / "none.tsv")
    write_background(folder / "background.tsv", {"1_ip": 0, "2_ip": 0, "failed_ip": 0})
    return folder


def write_background(path, ratios):
    frame = pd.DataFrame({"ip_library": list(ratios), "input_library": "x"})
    frame["log_ratio"] = list(ratios.values())
    frame.to_csv(path, sep="\t", index=False)


def library(layout, generator, pulled, number=12_000):
    genes = generator.integers(0, GENES, number)
    starts = generator.integers(0, LENGTH - FRAGMENT, number)
    if pulled:
        genes = np.append(genes, 2 * generator.integers(0, GENES // 2, 4000))
        starts = np.append(starts, generator.integers(SITE - FRAGMENT + 1, SITE + 1, 4000))
    first, last = np.zeros(layout.steps, np.int32), np.zeros(layout.steps, np.int32)
    np.add.at(first, layout.step_offsets[genes] + starts // 5, 1)
    np.add.at(last, layout.step_offsets[genes] + (starts + FRAGMENT - 1) // 5, 1)
    lengths = np.bincount(np.full(len(genes), FRAGMENT), minlength=1001)
    totals, number = np.bincount(genes, minlength=GENES), len(genes)
    return Coverage(first, last, totals, lengths, number, number, layout.digest, "reverse")


def run(study, output, pairs, *more, genome=True):
    options = ["--annotation", study / "transcripts.tsv"]
    options += ["--genome", study / "genome.fa"] if genome else []
    options += ["--peaks", study / "peaks.tsv", "--background", study / "background.tsv"]
    options += ["--output", output / "quality.tsv"]
    for pair in pairs:
        options += ["--pair", *pair]
    options += ["--bins", *sorted(study.glob("*.npz"))]
    return assess_ip.main([str(item) for item in (*options, *more)])


GOOD = [("1_ip", "1_input", "s1", "a"), ("2_ip", "2_input", "s2", "a")]


def read(folder):
    return QUALITY.read(folder / "quality.tsv").set_index("sample")


def test_good_pairs(study, tmp_path):
    assert run(study, tmp_path, GOOD) == 0
    table = read(tmp_path)
    assert table["verdict"].tolist() == ["good", "good"]
    assert table["enrichment"].between(4, 12).all()
    assert table["ip_fraction_in_peaks"].between(0.15, 0.35).all()
    assert (table["drach_rate_summits"] > 0.9).all()
    assert table["drach_rate_background"].between(0.0, 0.2).all()
    assert (table["drach_odds_ratio"] > 10).all() and (table["drach_pvalue"] < 1e-6).all()
    assert (table["stop_codon_enrichment"] > 3).all()
    assert table["replicate_jaccard"].between(0.5, 1).all()
    assert table["reason"].str.contains("DRACH odds ratio").all()
    # the genes of these samples do not differ
    assert table["closest_input"].isna().all()
    assert table["reason"].str.endswith("whether the input is its own cannot be told").all()


def test_without_a_genome_all_but_the_motifs_is_told(study, tmp_path):
    tables = []
    for genome in (True, False):
        output = tmp_path / str(genome)
        output.mkdir()
        assert run(study, output, GOOD, genome=genome) == 0
        tables.append(read(output))
    differ = [name for name in tables[0] if name.startswith("drach")]
    assert tables[1][differ].isna().all(axis=None)
    assert tables[1]["verdict"].tolist() == ["good", "good"]
    assert tables[1]["reason"].str.contains("no genome to find DRACH in").all()
    same = [name for name in tables[0] if name not in (*differ, "reason")]
    pd.testing.assert_frame_equal(tables[0][same], tables[1][same])


def test_own_peaks_and_saturation_keep_to_the_thresholds(study, tmp_path):
    found = {}
    for enrichment in ("1", "9"):
        output = tmp_path / enrichment
        output.mkdir()
        more = ("--min-log2-enrichment", enrichment, "--saturation", output / "saturation.tsv")
        assert run(study, output, GOOD, *more) == 0
        found[enrichment] = read(output), SATURATION.read(output / "saturation.tsv")
    assert (found["1"][1]["peaks"] > 0).all()
    assert (found["9"][1]["peaks"] == 0).all()
    assert found["9"][0]["reason"].str.contains("no peaks in this pair alone").all()


def test_a_threshold_that_means_nothing_is_told(study, tmp_path, capsys):
    assert run(study, tmp_path, GOOD, "--fdr", "0") == 1
    assert "--fdr 0" in capsys.readouterr().err


def test_pair_without_replicate(study, tmp_path):
    assert run(study, tmp_path, GOOD[:1]) == 0
    table = read(tmp_path)
    assert table["replicate_jaccard"].isna().all()
    assert table["verdict"].tolist() == ["good"]


def test_failed_ip_is_told(study, tmp_path):
    pairs = [*GOOD, ("failed_ip", "1_input", "s3", "a")]
    assert run(study, tmp_path, pairs) == 0
    table = read(tmp_path)
    assert table["verdict"].tolist() == ["good", "good", "failed"]
    assert table.loc["s3", "enrichment"] == pytest.approx(1, abs=0.3)
    assert "1-fold" in table.loc["s3", "reason"] or "fold in peaks" in table.loc["s3", "reason"]


def test_swapped_libraries_are_told(study, tmp_path):
    write_background(tmp_path / "background.tsv", {"1_input": 0, "2_ip": 0})
    pairs = [("1_input", "1_ip", "s1", "a"), GOOD[1]]
    more = ["--background", str(tmp_path / "background.tsv")]
    assert run(study, tmp_path, pairs, *more) == 0
    table = read(tmp_path)
    assert table.loc["s1", "verdict"] == "failed"
    assert "are they swapped?" in table.loc["s1", "reason"]
    assert table.loc["s2", "verdict"] in ("good", "weak")


def test_swapped_libraries_are_told_without_other_pairs(study, tmp_path):
    write_background(tmp_path / "background.tsv", {"1_input": 0})
    more = ["--background", str(tmp_path / "background.tsv")]
    assert run(study, tmp_path, [("1_input", "1_ip", "s1", "a")], *more) == 0
    assert "are they swapped?" in read(tmp_path).loc["s1", "reason"]


def test_empty_library(study, tmp_path):
    write_background(tmp_path / "background.tsv", {"empty": 0})
    more = ["--background", str(tmp_path / "background.tsv")]
    assert run(study, tmp_path, [("empty", "1_input", "s", "a")], *more) == 0
    row = read(tmp_path).loc["s"]
    assert row["verdict"] == "failed" and row["ip_fraction_in_peaks"] == 0
    assert row["reason"] == "no fragment in genes: IP"
    for name in ("enrichment", "drach_rate_summits", "stop_codon_enrichment"):
        assert np.isnan(row[name]), name


def test_empty_input(study, tmp_path):
    write_background(tmp_path / "background.tsv", {"1_ip": 10, "2_ip": 0})
    more = ["--background", str(tmp_path / "background.tsv")]
    pairs = [("1_ip", "empty", "s", "a"), ("2_ip", "2_input", "t", "a")]
    assert run(study, tmp_path, pairs, *more) == 0
    table = read(tmp_path)
    assert table.loc["s", "reason"] == "no fragment in genes: input"
    assert table.loc["s", "verdict"] == "failed" and np.isnan(table.loc["s", "enrichment"])
    assert table.loc["t", "enrichment"] > 1


def test_study_without_peaks(study, tmp_path):
    assert run(study, tmp_path, GOOD, "--peaks", str(study / "none.tsv")) == 0
    table = read(tmp_path)
    assert (table["verdict"] == "failed").all()
    assert table["reason"].str.contains("the study has no peak").all()


def test_no_pair_gives_a_header(study, tmp_path):
    assert run(study, tmp_path, [], "--saturation", str(tmp_path / "saturation.tsv")) == 0
    assert read(tmp_path).empty
    assert SATURATION.read(tmp_path / "saturation.tsv").empty


def test_same_bytes_each_time(study, tmp_path):
    run(study, tmp_path, GOOD)
    first = (tmp_path / "quality.tsv").read_bytes()
    run(study, tmp_path, GOOD)
    assert (tmp_path / "quality.tsv").read_bytes() == first


def test_missing_background_is_told(study, tmp_path, capsys):
    write_background(tmp_path / "background.tsv", {"1_ip": 0})
    more = ["--background", str(tmp_path / "background.tsv")]
    assert run(study, tmp_path, GOOD, *more) == 1
    assert "no background ratio of 2_ip" in capsys.readouterr().err
    (tmp_path / "background.tsv").write_text("something\nelse\n")
    assert run(study, tmp_path, GOOD, *more) == 1
    assert "log_ratio" in capsys.readouterr().err


def test_peaks_of_another_annotation_are_told(study, tmp_path, capsys):
    table = PEAKS.read(study / "peaks.tsv").assign(gene_id="other")
    PEAKS.write(table, tmp_path / "peaks.tsv")
    assert run(study, tmp_path, GOOD, "--peaks", str(tmp_path / "peaks.tsv")) == 1
    assert "gene other is not in the annotation" in capsys.readouterr().err


def test_motifs():
    motifs = Motifs(20, 400, 18, 160, 10, 40)
    assert motifs.odds_ratio == pytest.approx(18.5 / 2.5 / (160.5 / 240.5))
    assert motifs.pvalue < 1e-4
    assert np.isnan(Motifs().odds_ratio) and np.isnan(Motifs().pvalue)


def test_jaccard():
    exons = Blocks(np.array([0]), np.array([1000]), "+")
    record = Gene("G", "G", "x", "c", "+", (Transcript("T", exons),))
    layout = BinLayout.of(Annotation({"G": record}))
    peaks = [Peak(0, start, start + 100, start, 0.0) for start in (0, 50, 500)]
    assert jaccard([peaks[0]], [peaks[1]], layout) == pytest.approx(1 / 3)
    assert jaccard([peaks[0]], [peaks[2]], layout) == 0
    assert jaccard(peaks, peaks, layout) == 1


OWN = InputMatch("1_input")
FOREIGN = InputMatch("2_input", foreign=True, scatter=0.5, usual=0.1)
STRANGE = InputMatch(strange=True, scatter=np.log(2), usual=np.log(1.1))


@pytest.mark.parametrize(
    "enrichment, own, odds, shared, turned, match, word, reason",
    [
        (5, 50, 3, 0.5, False, OWN, "good", "5-fold"),
        (5, 50, 3, np.nan, False, OWN, "good", "odds ratio 3"),
        (5, 50, 3, 0.5, False, InputMatch(), "good", "whether the input is its own cannot be told"),
        (2, 50, 3, 0.5, False, OWN, "weak", "2-fold"),
        (5, 4, 3, 0.5, False, OWN, "weak", "4 peaks"),
        (5, 0, np.nan, np.nan, False, OWN, "weak", "no peaks"),
        (5, 50, 1.2, 0.5, False, OWN, "weak", "DRACH odds ratio 1.2"),
        (5, 50, 3, 0.1, False, OWN, "weak", "Jaccard index with replicates up to 0.1"),
        (1.2, 50, 3, 0.5, False, OWN, "failed", "1.2-fold"),
        (5, 50, 0.8, 0.5, False, OWN, "failed", "no more than background"),
        (5, 4, 0.8, 0.5, False, OWN, "weak", "DRACH odds ratio 0.8"),
        (5, 50, 3, 0.5, True, OWN, "failed", "swapped"),
        (5, 50, 3, 0.5, False, FOREIGN, "failed", "follows 2_input, not its own input"),
        (5, 50, 3, 0.5, False, STRANGE, "weak", "varies 2-fold between IP and input, 1.1-fold in"),
        (np.nan, 0, np.nan, np.nan, False, OWN, "failed", "no peak"),
    ],
)
def test_verdict(monkeypatch, enrichment, own, odds, shared, turned, match, word, reason):
    monkeypatch.setattr(Motifs, "odds_ratio", property(lambda self: odds))
    found = verdict(enrichment, own, Motifs(), shared, turned, match)
    assert found[0] == word
    assert reason in found[1]


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Two conditions of samples that differ in their expression."""
    folder = tmp_path_factory.mktemp("samples")
    toy = ToyStudy(3, (("a", 3), ("b", 2)))
    toy_annotation().write(folder / "transcripts.tsv")
    for name, coverage in toy.libraries.items():
        coverage.save(folder / f"{name}.npz")
    return folder, toy


def assessed(samples, output, pairs):
    """Call the peaks of pairs without a genome and assess them."""
    folder, _ = samples
    options = ["--annotation", folder / "transcripts.tsv"]
    for pair in pairs:
        options += ["--pair", *pair]
    options += ["--bins", *sorted(folder.glob("*.npz"))]
    made = ["--peaks", output / "peaks.tsv", "--background", output / "background.tsv"]
    others = [
        f"--{name}={output / name}"
        for name in ("bed", "ip-counts", "input-counts", "gene-background")
    ]
    assert call_peaks.main([str(item) for item in (*options, *made, *others)]) == 0
    more = ["--output", output / "quality.tsv", "--saturation", output / "saturation.tsv"]
    assert assess_ip.main([str(item) for item in (*options, *made, *more)]) == 0
    return read(output)


def test_ordinary_pairs_of_differing_samples_are_good(samples, tmp_path):
    table = assessed(samples, tmp_path, samples[1].pairs)
    assert (table["verdict"] == "good").all()
    assert (table["closest_input"] == table["input_library"]).all()
    assert not table["reason"].str.contains("sample|told").any()
    depths = SATURATION.read(tmp_path / "saturation.tsv")
    assert depths["condition"].tolist() == ["a"] * 4 + ["b"] * 4
    assert depths["peaks"].iloc[3] == pytest.approx(50, abs=4)


def test_swapped_failed_and_foreign_are_told_apart(samples, tmp_path):
    toy = samples[1]
    pairs = toy.exchanged(0, 3)
    pairs[1] = ("a2_input", "a2_ip", "a2", "a")
    pairs[4] = ("failed_ip", toy.last, "b2", "b")
    table = assessed(samples, tmp_path, pairs)
    assert table["verdict"].tolist() == ["failed", "failed", "good", "failed", "failed"]
    told = {
        "a1": "background follows a1_input, not its own input: is that of another sample?",
        "a2": "are they swapped?",
        "b1": "background follows b1_input, not its own input: is that of another sample?",
        "b2": "-fold in peaks",
    }
    for sample, words in told.items():
        assert words in table.loc[sample, "reason"]
    named = {word: table["reason"].str.contains(word) for word in ("sample", "swapped")}
    assert named["sample"].tolist() == [True, False, False, True, False]
    assert named["swapped"].tolist() == [False, True, False, False, False]
    assert table.loc["b2", "closest_input"] == toy.last


def test_a_library_from_outside_the_study(samples, tmp_path):
    table = assessed(samples, tmp_path, samples[1].with_input(0, "outside_input"))
    assert table["verdict"].tolist() == ["failed", "good", "good", "good", "good"]
    assert "another sample?" in table.loc["a1", "reason"]


def test_peaks_in_introns_are_left_out(study, tmp_path):
    peaks = PEAKS.read(study / "peaks.tsv")
    intron = peaks.iloc[:1].assign(region="intron", start=0, end=90, summit=50)
    PEAKS.write(pd.concat([peaks, intron]), tmp_path / "peaks.tsv")
    for name, more in (("with", ["--peaks", str(tmp_path / "peaks.tsv")]), ("without", [])):
        (tmp_path / name).mkdir()
        assert run(study, tmp_path / name, GOOD, *more) == 0
    with_introns, without = (tmp_path / name / "quality.tsv" for name in ("with", "without"))
    assert with_introns.read_bytes() == without.read_bytes()

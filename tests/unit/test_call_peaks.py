import numpy as np
import pandas as pd
import pytest

import call_peaks
from ringmark.annotation import Annotation, Gene, Transcript
from ringmark.bins import BinLayout, Coverage
from ringmark.intervals import Blocks
from ringmark.tables import GENE_BACKGROUND, PEAKS, read_matrix

LENGTH, SITE = 2000, 1000
OUTPUTS = ("peaks", "bed", "ip-counts", "input-counts", "background", "gene-background")


def simulate(layout, generator, fragments, enriched):
    """Fragments of 150 nt on all genes alike; in an IP a fifth of the background is kept."""
    genes = generator.integers(0, len(layout.genes), fragments)
    starts = generator.integers(0, LENGTH - 150, fragments)
    if enriched:
        at_site = (genes % 2 == 0) & (starts <= SITE) & (starts + 150 > SITE)
        kept = at_site | (generator.random(fragments) < 0.2)
        genes, starts = genes[kept], starts[kept]
    first, last = np.zeros(layout.steps, np.int32), np.zeros(layout.steps, np.int32)
    np.add.at(first, layout.step_offsets[genes] + starts // 5, 1)
    np.add.at(last, layout.step_offsets[genes] + (starts + 149) // 5, 1)
    lengths = np.bincount(np.full(len(genes), 150), minlength=1001)
    totals = np.bincount(genes, minlength=len(layout.genes))
    counted = len(genes)
    return Coverage(first, last, totals, lengths, counted, counted, layout.digest, "reverse")


def write_introns(folder, annotation):
    """Write counts on the introns, of 600 nt each; a site in the middle of that of G1 alone."""
    layout = BinLayout.of_introns(annotation)
    generator = np.random.default_rng(8)
    (folder / "introns").mkdir()
    for library in sorted(path.stem for path in folder.glob("*.npz")):
        genes = generator.integers(0, len(layout.genes), 1000)
        starts = generator.integers(0, 450, 1000)
        if library.endswith("ip"):
            genes = np.append(genes, np.full(100, 1))
            starts = np.append(starts, generator.integers(150, 300, 100))
        first, last = np.zeros(layout.steps, np.int32), np.zeros(layout.steps, np.int32)
        np.add.at(first, layout.step_offsets[genes] + starts // 5, 1)
        np.add.at(last, layout.step_offsets[genes] + (starts + 149) // 5, 1)
        lengths = np.bincount(np.full(len(genes), 150), minlength=1001)
        totals, number = np.bincount(genes, minlength=len(layout.genes)), len(genes)
        coverage = Coverage(first, last, totals, lengths, number, number, layout.digest, "reverse")
        coverage.sparse().save(folder / "introns" / f"{library}.npz")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Twelve genes of two exons, every second with a site; 2 pairs a condition."""
    folder = tmp_path_factory.mktemp("study")
    genes = {}
    for index in range(12):
        start = 1000 + 3000 * index
        strand = "+-"[index // 2 % 2]
        bounds = np.array([[start, start + 900], [start + 1500, start + 2600]])
        exons = Blocks(bounds[:, 0], bounds[:, 1], strand)
        transcript = Transcript(f"T{index}", exons)
        genes[f"G{index}"] = Gene(f"G{index}", f"N{index}", "x", "chr1", strand, (transcript,))
    annotation = Annotation(genes)
    annotation.write(folder / "transcripts.tsv")
    layout = BinLayout.of(annotation)
    generator = np.random.default_rng(7)
    for condition in "ab":
        for sample in "12":
            for assay, fragments in (("ip", 20_000), ("input", 4_000)):
                coverage = simulate(layout, generator, fragments, assay == "ip")
                coverage.save(folder / f"{condition}{sample}_{assay}.npz")
    write_introns(folder, annotation)
    sequence = "".join(np.random.default_rng(1).choice(list("ACGT"), 40_000))
    (folder / "genome.fa").write_text(f">chr1\n{sequence}\n")
    return folder


def run(study, output, pairs, *more, genome=True):
    options = ["--annotation", study / "transcripts.tsv"]
    options += ["--genome", study / "genome.fa"] if genome else []
    for name in OUTPUTS:
        options += [f"--{name}", output / f"{name}.out"]
    for pair in pairs:
        options += ["--pair", *pair]
    libraries = dict.fromkeys(name for pair in pairs for name in pair[:2])
    options += ["--bins", *(study / f"{library}.npz" for library in libraries)]
    return call_peaks.main([str(item) for item in (*options, *more)])


def pair(name, sample=None, control=None):
    return (f"{name}_ip", control or f"{name}_input", sample or name, name[0])


ALL = [pair("a1"), pair("a2"), pair("b1"), pair("b2")]


def read(folder):
    return PEAKS.read(folder / "peaks.out")


def test_planted_sites_are_found_and_nothing_else(study, tmp_path, capsys):
    assert run(study, tmp_path, ALL) == 0
    peaks = read(tmp_path)
    assert peaks["gene_id"].tolist() == [f"G{index}" for index in range(0, 12, 2)]
    genes = Annotation.read(study / "transcripts.tsv").genes
    for row in peaks.itertuples():
        site = int(genes[row.gene_id].union.to_genome(np.array([SITE]))[0])
        assert abs(row.summit - site) <= 20
        assert row.start <= site < row.end
        assert 80 <= sum(map(int, row.block_sizes.split(","))) <= 160
        assert row.conditions == "a,b" and row.samples == 4
        assert row.log2_enrichment > 1.5 and row.padj < 1e-6
    log = capsys.readouterr().err
    assert "candidates" in log and "padj up to 0.05" in log


def test_peaks_span_introns_as_blocks(study, tmp_path):
    run(study, tmp_path, ALL)
    peaks = read(tmp_path)
    for row in peaks[peaks["strand"] == "+"].itertuples():
        sizes, starts = (
            list(map(int, text.split(","))) for text in (row.block_sizes, row.block_starts)
        )
        assert len(sizes) == len(starts)
        assert starts[0] == 0 and starts[-1] + sizes[-1] == row.end - row.start
        assert row.peak == f"chr1:{row.start}-{row.end}:{row.strand}"


def test_bed_has_twelve_columns_and_the_same_peaks(study, tmp_path):
    run(study, tmp_path, ALL)
    bed = pd.read_csv(tmp_path / "bed.out", sep="\t", header=None)
    peaks = read(tmp_path)
    assert bed.shape == (len(peaks), 12)
    assert bed[3].tolist() == peaks["peak"].tolist()
    assert (bed[6] == peaks["summit"]).all() and (bed[7] == peaks["summit"] + 1).all()
    assert bed[4].between(60, 1000).all()


def test_counts_are_whole_fragments_of_every_library(study, tmp_path):
    run(study, tmp_path, ALL)
    ip, control = (read_matrix(tmp_path / f"{name}-counts.out") for name in ("ip", "input"))
    assert ip.columns.tolist() == [item[0] for item in ALL]
    assert control.columns.tolist() == [item[1] for item in ALL]
    assert ip.index.tolist() == control.index.tolist() == read(tmp_path)["peak"].tolist()
    assert (ip.to_numpy() > 2 * control.to_numpy()).all()
    assert (control.to_numpy() > 10).all()


def test_background_is_that_of_the_unmethylated_genes(study, tmp_path):
    run(study, tmp_path, ALL)
    table = pd.read_csv(tmp_path / "background.out", sep="\t")
    assert table.columns.tolist() == ["ip_library", "input_library", "log_ratio"]
    assert table["ip_library"].tolist() == [item[0] for item in ALL]
    np.testing.assert_allclose(table["log_ratio"], np.log(20_000 * 0.2 / 4_000), atol=0.08)


def test_background_of_genes_stands_around_that_of_their_pair(study, tmp_path):
    run(study, tmp_path, ALL)
    table = pd.read_csv(tmp_path / "gene-background.out", sep="\t")
    assert list(table.columns) == list(GENE_BACKGROUND.columns)
    pairs = pd.read_csv(tmp_path / "background.out", sep="\t").set_index("ip_library")["log_ratio"]
    any_gene = table[table["gene_id"].isna()].set_index("ip_library")
    assert any_gene["log_ratio"].to_dict() == pytest.approx(pairs.to_dict())
    of_genes = table.dropna(subset="gene_id")
    assert len(of_genes) == 12 * len(ALL)
    assert (of_genes["log_ratio"] - of_genes["ip_library"].map(pairs)).abs().max() < 0.3
    assert (table["error"] > 0).all()


def test_one_pair_is_enough(study, tmp_path):
    assert run(study, tmp_path, [pair("a1")]) == 0
    peaks = read(tmp_path)
    assert set(peaks["gene_id"]) == {f"G{index}" for index in range(0, 12, 2)}
    assert (peaks["samples"] == 1).all()


def test_an_input_may_serve_two_ips(study, tmp_path):
    pairs = [pair("a1"), ("a2_ip", "a1_input", "a2", "a")]
    assert run(study, tmp_path, pairs) == 0
    assert read_matrix(tmp_path / "input-counts.out").columns.tolist() == ["a1_input"]
    assert len(pd.read_csv(tmp_path / "background.out", sep="\t")) == 2
    assert len(read(tmp_path)) == 6


def test_no_pair_gives_headers(study, tmp_path):
    assert run(study, tmp_path, []) == 0
    assert read(tmp_path).empty
    assert (tmp_path / "bed.out").read_text() == ""
    assert (tmp_path / "ip-counts.out").read_text() == "peak\n"
    assert (tmp_path / "background.out").read_text() == "ip_library\tinput_library\tlog_ratio\n"


def test_input_against_input_gives_no_peak(study, tmp_path):
    pairs = [("a1_input", "b1_input", "a1", "a"), ("a2_input", "b2_input", "a2", "a")]
    assert run(study, tmp_path, pairs) == 0
    assert read(tmp_path).empty
    assert read_matrix(tmp_path / "ip-counts.out").shape == (0, 2)


def test_libraries_without_fragments(study, tmp_path):
    layout = BinLayout.of(Annotation.read(study / "transcripts.tsv"))
    nothing = np.zeros(layout.steps, np.int32)
    empty = Coverage(
        nothing, nothing, np.zeros(12, int), np.zeros(1001, int), 0, 0, layout.digest, "reverse"
    )
    empty.save(tmp_path / "none_ip.npz")
    empty.save(tmp_path / "none_input.npz")
    assert run(tmp_path, tmp_path, [], "--annotation", str(study / "transcripts.tsv")) == 1
    options = ["--genome", str(study / "genome.fa"), "--annotation", str(study / "transcripts.tsv")]
    pairs = [("none_ip", "none_input", "s", "a")]
    assert run(tmp_path, tmp_path, pairs, *options) == 0
    assert read(tmp_path).empty


def test_same_bytes_each_time(study, tmp_path):
    run(study, tmp_path, ALL)
    first = {name: (tmp_path / f"{name}.out").read_bytes() for name in OUTPUTS}
    run(study, tmp_path, ALL)
    assert first == {name: (tmp_path / f"{name}.out").read_bytes() for name in OUTPUTS}


def test_without_a_genome_only_the_motifs_are_missing(study, tmp_path):
    tables = []
    for genome in (True, False):
        output = tmp_path / str(genome)
        output.mkdir()
        assert run(study, output, ALL, genome=genome) == 0
        tables.append(PEAKS.read(output / "peaks.out"))
    motifs = ["drach", "drach_distance"]
    assert tables[0]["drach"].notna().all()
    assert tables[1][motifs].isna().all(axis=None)
    pd.testing.assert_frame_equal(tables[0].drop(columns=motifs), tables[1].drop(columns=motifs))


def test_bins_can_be_named(study, tmp_path):
    pairs = [("x", "y", "s", "a")]
    named = [f"x={study / 'a1_ip.npz'}", f"y={study / 'a1_input.npz'}"]
    options = ["--annotation", study / "transcripts.tsv", "--genome", study / "genome.fa"]
    for name in OUTPUTS:
        options += [f"--{name}", tmp_path / f"{name}.out"]
    options += ["--pair", *pairs[0], "--bins", *named]
    assert call_peaks.main([str(item) for item in options]) == 0
    assert read_matrix(tmp_path / "ip-counts.out").columns.tolist() == ["x"]


@pytest.mark.parametrize(
    "pairs, more, message",
    [
        ([("a1_ip", "a1_input", "s", "a")] * 2, [], "given twice"),
        ([("a1_ip", "a1_ip", "s", "a")], [], "its own input"),
        ([("a1_ip", "a1_input", "s", "a")], ["--fdr", "0"], "--fdr 0.0"),
        ([("a1_ip", "a1_input", "s", "a")], ["--min-fragments", "0"], "--min-fragments 0"),
        ([("a1_ip", "a1_input", "s", "a")], ["--bin-width", "50"], "another annotation"),
        ([("a1_ip", "a1_input", "s", "a")], ["--bin-width", "12"], "--bin-width 12"),
        ([("a1_ip", "a1_input", "s", "a")], ["--genome", "none.fa"], "none.fa"),
    ],
)
def test_mistakes_are_told(study, tmp_path, capsys, pairs, more, message):
    assert run(study, tmp_path, pairs, *more) == 1
    error = capsys.readouterr().err
    assert message in error and "Hint:" in error
    assert not (tmp_path / "peaks.out").exists()


def test_missing_counts_are_told(study, tmp_path, capsys):
    options = ["--pair", "x_ip", "x_input", "s", "a", "--annotation", study / "transcripts.tsv"]
    options += ["--genome", study / "genome.fa"]
    for name in OUTPUTS:
        options += [f"--{name}", tmp_path / f"{name}.out"]
    assert call_peaks.main([str(item) for item in options]) == 1
    error = capsys.readouterr().err
    assert "x_ip" in error and "x_input" in error


def test_two_files_of_one_library_are_told(study, tmp_path, capsys):
    twice = ["--bins", str(study / "a1_ip.npz"), str(tmp_path / "a1_ip.npz")]
    assert run(study, tmp_path, [pair("a1")], *twice) == 1
    assert "already has" in capsys.readouterr().err


def test_contig_missing_in_the_genome_is_told(study, tmp_path, capsys):
    (tmp_path / "other.fa").write_text(">chr2\nACGT\n")
    assert run(study, tmp_path, [pair("a1")], "--genome", str(tmp_path / "other.fa")) == 1
    assert "no contig chr1" in capsys.readouterr().err


@pytest.mark.parametrize("padj, score", [(1.0, 0), (0.01, 20), (1e-30, 300), (0.0, 1000)])
def test_score(padj, score):
    assert call_peaks.score_of(padj) == score


def test_peaks_in_introns_follow_the_others_which_stay_the_same(study, tmp_path):
    run(study, tmp_path, ALL)
    without = {name: (tmp_path / f"{name}.out").read_text() for name in OUTPUTS}
    assert run(study, tmp_path, ALL, "--introns", *sorted((study / "introns").iterdir())) == 0
    for name in OUTPUTS:
        assert (tmp_path / f"{name}.out").read_text().startswith(without[name])
    assert (tmp_path / "background.out").read_text() == without["background"]
    peaks = read(tmp_path)
    assert peaks["region"].tolist() == ["exon"] * 6 + ["intron"]
    row = peaks.iloc[-1]
    assert (row["gene_id"], row["gene_name"], row["samples"]) == ("G1", "N1", 4)
    # the intron of G1 is 4900-5500
    assert 4900 <= row["start"] < row["summit"] < row["end"] <= 5500
    assert abs(row["summit"] - 5200) <= 20
    assert row["drach"] >= 0 and row["drach_distance"] >= 0
    for name, least in (("ip", 100), ("input", 10)):
        matrix = read_matrix(tmp_path / f"{name}-counts.out")
        assert matrix.index.tolist() == peaks["peak"].tolist()
        assert (matrix.iloc[-1] >= least).all()


def test_introns_without_pairs_or_without_fragments(study, tmp_path):
    assert run(study, tmp_path, [], "--introns") == 0
    assert read(tmp_path).empty
    layout = BinLayout.of_introns(Annotation.read(study / "transcripts.tsv"))
    nothing = np.zeros(layout.steps, np.int32)
    empty = Coverage(nothing, nothing, np.zeros(12, int), np.zeros(1001, int), 0, 0, layout.digest)
    for name in ("a1_ip", "a1_input"):
        empty.sparse().save(tmp_path / f"{name}.npz")
    places = [tmp_path / "a1_ip.npz", tmp_path / "a1_input.npz"]
    assert run(study, tmp_path, [pair("a1")], "--introns", *places) == 0
    assert read(tmp_path)["region"].tolist() == ["exon"] * 6


@pytest.mark.parametrize(
    "places, message",
    [([], "library a1_ip has no --introns file"), (["a1_ip.npz", "a1_input.npz"], "another annot")],
)
def test_introns_that_were_not_counted_are_told(study, tmp_path, capsys, places, message):
    more = ["--introns", *(study / place for place in places)]
    assert run(study, tmp_path, [pair("a1")], *more) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "peaks.out").exists()

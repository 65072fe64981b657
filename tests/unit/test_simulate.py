"""Simulated studies: what is planted is there, and what is counted can be counted again."""

import gzip
import hashlib
import re
import zlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ringmark.annotation import Annotation
from ringmark.errors import InputError
from ringmark.intervals import Blocks
from ringmark.sequence import (
    SPLICE_MOTIFS,
    drach_positions,
    junction_shifts,
    reverse_complement,
)
from ringmark.simulate import (
    TRUTH_CIRCLES,
    TRUTH_GENES,
    TRUTH_LIBRARIES,
    plan_study,
    simulate_study,
)
from ringmark.simulate_genome import break_homopolymers, simulate_genome
from ringmark.simulate_molecules import (
    CHIMERA,
    LINEAR,
    RETRO,
    simulate_molecules,
)
from ringmark.simulate_parameters import PRESETS
from ringmark.simulate_reads import (
    ADAPTERS,
    draw_fragments,
    escape_track,
    local_bias,
    perfect_reads,
)
from ringmark.tables import read_matrix

TINY = Path(__file__).parents[1] / "data" / "tiny"

#: The tiny study with few reads, and with nothing that disturbs them.
SMALL = replace(PRESETS["tiny"], read_pairs=400, replicates=1)
CLEAN = replace(
    SMALL,
    replicates=2,
    read_pairs=1500,
    substitution_rate=0.0,
    indel_rate=0.0,
    low_quality_tails=0.0,
)
#: Every hard case at once, in a genome that is just large enough.
HARD = replace(
    SMALL,
    genome_length=1_200_000,
    genes=110,
    at_ac_circles=1,
    circle_isoform_fraction=0.5,
    exonic_circles=12,
    repeats=40,
    inverted_repeats=3,
    tandem_duplications=3,
    paralogues=3,
    processed_pseudogenes=4,
    retro_copies=4,
    chimeras=50,
    chimera_fraction=0.02,
    premrna_fraction=0.05,
    batch_effect=0.3,
    depth_spread=0.3,
    duplicate_fraction=0.1,
    outlier_samples=1,
)


def written(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder by its relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_fasta(path: Path) -> dict[str, str]:
    records = path.read_text().split(">")[1:]
    return {text.split("\n")[0]: "".join(text.split("\n")[1:]) for text in records}


def read_fastq(path: Path) -> list[tuple[str, str, str]]:
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    return [(lines[i], lines[i + 1], lines[i + 3]) for i in range(0, len(lines), 4)]


def library_reads(folder: Path, library: str) -> list[list[str]]:
    """Return the reads of each fragment of a library."""
    sheet = pd.read_csv(folder / "samples.tsv", sep="\t", keep_default_na=False)
    fragments: list[list[str]] = []
    for row in sheet[sheet.library == library].itertuples():
        names = [name for name in (row.fastq_1, row.fastq_2) if name]
        mates = [[read[1] for read in read_fastq(folder / name)] for name in names]
        fragments += [list(reads) for reads in zip(*mates, strict=True)]
    return fragments


def count_any(fragments: list[list[str]], probes: list[str]) -> int:
    """Count fragments of which a read holds one of the probes, on either strand."""
    both = [*probes, *map(reverse_complement, probes)]
    pattern = re.compile("|".join(both)) if both else re.compile("(?!)")
    return sum(any(pattern.search(read) for read in reads) for reads in fragments)


def spliced(genome: dict[str, str], row: object) -> str:
    """Return the spliced sequence of a circle's row, from its acceptor."""
    starts = map(int, str(row.block_starts).split(","))
    ends = map(int, str(row.block_ends).split(","))
    text = "".join(genome[row.chrom][s:e] for s, e in zip(starts, ends, strict=True))
    return text if row.strand == "+" else reverse_complement(text)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean") / "study"
    simulate_study(CLEAN, folder)
    return folder


@pytest.fixture(scope="module")
def hard(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hard") / "study"
    simulate_study(HARD, folder)
    return folder


@pytest.fixture(scope="module", params=["tiny", "hard"])
def folder(request):
    return TINY if request.param == "tiny" else request.getfixturevalue("hard")


@pytest.fixture(scope="module")
def genome(folder):
    return read_fasta(folder / "genome.fa")


@pytest.fixture(scope="module")
def circles(folder):
    return TRUTH_CIRCLES.read(folder / "truth" / "circles.tsv")


@pytest.fixture(scope="module")
def annotation(folder):
    return Annotation.from_gtf(folder / "genes.gtf")


@pytest.fixture(scope="module")
def sites(folder):
    return pd.read_csv(folder / "truth" / "m6a_sites.tsv", sep="\t")


# ---------------------------------------------------------------- the same again


def test_the_committed_tiny_study_is_what_the_program_makes(tmp_path):
    simulate_study(PRESETS["tiny"], tmp_path / "tiny")
    made, committed = written(tmp_path / "tiny"), written(TINY)
    assert list(made) == list(committed)
    for name in made:
        if name.endswith(".gz"):
            assert gzip.decompress(made[name]) == gzip.decompress(committed[name]), name
        else:
            assert made[name] == committed[name], name
    # Other implementations of deflate pack the same content into other bytes.
    if re.fullmatch(r"1\.[23]\.[\d.]+", zlib.ZLIB_RUNTIME_VERSION):
        assert made == committed


def test_the_tiny_study_is_small():
    assert sum(len(content) for content in written(TINY).values()) < 5_000_000


def test_same_parameters_same_bytes_other_seed_other_bytes(tmp_path):
    digests = []
    for name, seed in (("a", 2), ("b", 2), ("c", 3)):
        simulate_study(replace(SMALL, seed=seed), tmp_path / name)
        content = written(tmp_path / name)
        assert not any("part" in path for path in content)
        digests.append(hashlib.sha256(b"".join(content.values())).hexdigest())
    assert digests[0] == digests[1] != digests[2]


# ---------------------------------------------------------------- genome and genes


def test_introns_carry_splice_signals(genome, annotation):
    introns = 0
    for gene in annotation.genes.values():
        for transcript in gene.transcripts:
            pairs = zip(transcript.exons.ends[:-1], transcript.exons.starts[1:], strict=True)
            for start, end in pairs:
                text = genome[gene.chrom][start:end]
                text = text if gene.strand == "+" else reverse_complement(text)
                assert f"{text[:2]}/{text[-2:]}" in SPLICE_MOTIFS
                introns += 1
    assert introns > 100


def test_coding_sequences_have_start_stop_and_frame(genome, annotation):
    coding = 0
    for gene in annotation.genes.values():
        for transcript in gene.transcripts:
            if transcript.cds_start is None:
                assert gene.biotype == "lncRNA"
                continue
            coding += 1
            exons = transcript.exons
            ends = np.array([transcript.cds_start, transcript.cds_end - 1])
            first, last = np.sort(exons.to_spliced(ends)).tolist()
            positions = exons.to_genome(np.arange(exons.length))
            text = "".join(genome[gene.chrom][position] for position in positions)
            text = text if gene.strand == "+" else text.translate(str.maketrans("ACGT", "TGCA"))
            assert text[first : first + 3] == "ATG"
            assert text[last + 1 : last + 4] == "TAA"
            assert (last + 1 - first) % 3 == 0
    assert coding > 20


def test_genes_of_both_strands_some_overlapping_some_with_one_exon(annotation):
    genes = list(annotation.genes.values())
    assert {gene.strand for gene in genes} == {"+", "-"}
    assert any(len(gene.transcripts) == 1 and len(gene.union.starts) == 1 for gene in genes)
    assert any(len(gene.transcripts) == 2 for gene in genes)
    other = {"+": "-", "-": "+"}
    overlapping = [
        gene
        for gene in genes
        if annotation.overlapping(gene.chrom, gene.start, gene.end, other[gene.strand])
    ]
    assert len(overlapping) >= 4


def test_no_long_homopolymer():
    for text in read_fasta(TINY / "genome.fa").values():
        assert not re.search(r"A{11}|C{11}|G{11}|T{11}", text)


def test_break_homopolymers():
    letters = np.frombuffer(b"CAAAAAAAAAAAAAAAAAAG", dtype=np.uint8).copy()
    break_homopolymers(letters, 4)
    assert not re.search(rb"A{5}", letters.tobytes())
    assert letters[0] == ord("C") and letters[-1] == ord("G")


# ---------------------------------------------------------------- circles


def test_circles_of_every_type_and_unique(circles):
    assert set(circles.type) == {
        "exonic",
        "exon_intron",
        "intronic",
        "antisense",
        "intergenic",
    }
    assert circles.circle.is_unique
    expected = [f"{r.chrom}:{r.start}-{r.end}:{r.strand}" for r in circles.itertuples()]
    assert circles.circle.tolist() == expected


def test_splice_signals_at_the_ends_of_circles(genome, circles):
    for row in circles.itertuples():
        text = genome[row.chrom]
        left, right = text[row.start - 2 : row.start], text[row.end : row.end + 2]
        if row.strand == "-":
            left, right = reverse_complement(right), reverse_complement(left)
        assert row.splice_motif == f"{right}/{left}"
        assert (row.splice_motif in SPLICE_MOTIFS) == (row.type != "intronic")


def test_ends_are_annotated_as_told(circles, annotation):
    for row in circles.itertuples():
        acceptors, donors = annotation.splice_sites[row.chrom, row.strand]
        ends = (row.start, row.end) if row.strand == "+" else (row.end, row.start)
        if row.type == "intronic":  # its 5' end is the intron's, where the exon's donor is
            known = [ends[0] in donors, ends[1] in acceptors]
        else:
            known = [ends[0] in acceptors, ends[1] in donors]
        assert {0: "none", 1: "one", 2: "both"}[sum(known)] == row.annotated_ends


def test_lariats_end_at_a_branch_point(genome, circles, annotation):
    lariats = circles[circles.type == "intronic"]
    assert len(lariats)
    for row in lariats.itertuples():
        text = genome[row.chrom][row.start : row.end]
        text = text if row.strand == "+" else reverse_complement(text)
        assert text[:2] in ("GT", "GC") and text[-1] == "A"
        acceptors = annotation.splice_sites[row.chrom, row.strand][0]
        distance = [site - row.end if row.strand == "+" else row.start - site for site in acceptors]
        assert any(15 <= value <= 50 for value in distance)


def test_no_other_place_of_a_junction_carries_a_signal(genome, circles):
    for row in circles.itertuples():
        text = genome[row.chrom]
        left, right = junction_shifts(
            text[row.start - 30 : row.start + 30], text[row.end - 30 : row.end + 30]
        )
        for shift in [shift for shift in range(-left, right + 1) if shift]:
            before = text[row.start + shift - 2 : row.start + shift]
            after = text[row.end + shift : row.end + shift + 2]
            if row.strand == "-":
                before, after = reverse_complement(after), reverse_complement(before)
            assert f"{after}/{before}" not in SPLICE_MOTIFS
            assert row.type != "intronic"


def test_blocks_of_circles(circles, genome):
    for row in circles.itertuples():
        assert len(spliced(genome, row)) == row.spliced_length
        assert row.block_starts.split(",")[0] == str(row.start)
        assert row.block_ends.split(",")[-1] == str(row.end)
    retained = circles[circles.type == "exon_intron"]
    assert (retained.block_starts.str.count(",") + 1 == retained.exons - 1).all()


# ---------------------------------------------------------------- reads against truth


def check_crossing_counts(folder: Path) -> int:
    """Compare the crossing counts of a study with a search for the junctions in its reads."""
    genome = read_fasta(folder / "genome.fa")
    circles = TRUTH_CIRCLES.read(folder / "truth" / "circles.tsv")
    counts = read_matrix(folder / "truth" / "bsj_counts_anchor8.tsv")
    for library in counts.columns:
        fragments = library_reads(folder, library)
        for row in circles.itertuples():
            sequence = spliced(genome, row)
            found = count_any(fragments, [sequence[-8:] + sequence[:8]])
            assert found == counts.loc[row.circle, library], (row.circle, library)
    return int(counts.to_numpy().sum())


def test_reads_hold_the_junctions_as_often_as_told(clean):
    assert check_crossing_counts(clean) > 300


@pytest.mark.parametrize(
    "changes",
    [
        {"layout": "single"},
        {"layout": "single", "strandedness": "forward"},
        {"layout": "single", "strandedness": "unstranded"},
        {"layout": "mixed"},
        {"read_length": 150, "fragment_length": 160.0},
        {"read_length": 36},
    ],
)
def test_crossing_counts_of_other_designs(tmp_path, changes):
    simulate_study(replace(CLEAN, replicates=1, **changes), tmp_path / "study")
    assert check_crossing_counts(tmp_path / "study") > 50


def test_anchors_only_lose_fragments(clean):
    for kind in ("bsj", "linear"):
        every = read_matrix(clean / "truth" / f"{kind}_counts.tsv")
        anchored = read_matrix(clean / "truth" / f"{kind}_counts_anchor8.tsv")
        assert (every >= anchored).all().all()
        assert every.to_numpy().sum() > anchored.to_numpy().sum()


def linear_probes(row: object, annotation: Annotation, genome: dict[str, str]) -> list[list[str]]:
    """Return, for both ends of a circle, what reads through the linear boundary hold."""
    text = genome[row.chrom]
    through = [
        [text[row.start - 8 : row.start + 8]],
        [text[row.end - 8 : row.end + 8]],
    ]
    for transcript in annotation.genes[row.gene_id].transcripts:
        exons = transcript.exons
        for left, right in zip(exons.ends[:-1], exons.starts[1:], strict=True):
            probe = text[left - 8 : left] + text[right : right + 8]
            if right == row.start:
                through[0].append(probe)
            if left == row.end:
                through[1].append(probe)
    return through


def test_linear_counts_can_be_counted_again(clean):
    genome, annotation = read_fasta(clean / "genome.fa"), Annotation.from_gtf(clean / "genes.gtf")
    circles = TRUTH_CIRCLES.read(clean / "truth" / "circles.tsv")
    counts = read_matrix(clean / "truth" / "linear_counts_anchor8.tsv")
    chosen = circles[circles.annotated_ends == "both"]
    fragments = library_reads(clean, counts.columns[0])
    total = 0
    for row in chosen.itertuples():
        ends = [count_any(fragments, probes) for probes in linear_probes(row, annotation, genome)]
        assert counts.loc[row.circle, counts.columns[0]] == np.rint(np.mean(ends))
        total += sum(ends)
    assert total > 50


def test_gene_counts_are_all_fragments_where_there_is_nothing_else(tmp_path):
    parameters = replace(SMALL, **NO_CIRCLES)
    simulate_study(parameters, tmp_path / "study")
    counts = read_matrix(tmp_path / "study" / "truth" / "gene_counts.tsv")
    assert (counts.sum() == parameters.read_pairs).all()


def test_gene_counts_follow_the_planted_changes():
    counts = read_matrix(TINY / "truth" / "gene_counts.tsv")
    truth = TRUTH_GENES.read(TINY / "truth" / "genes.tsv").set_index("gene_id")
    inputs = [name for name in counts.columns if name.endswith("_input")]
    means = counts[inputs].T.groupby(lambda name: name.split("_")[0]).mean().T
    found = np.log2(means["resistant"] / means["sensitive"])
    strong = truth.log2_fold_change[truth.log2_fold_change.abs() >= 2]
    assert (strong > 0).sum() >= 3 and (strong < 0).sum() >= 3
    assert (np.sign(found[strong.index]) == np.sign(strong)).all()
    assert (found[strong.index] - strong).abs().mean() < 0.6


def test_tiny_study_has_the_reads_the_tests_need():
    circles = TRUTH_CIRCLES.read(TINY / "truth" / "circles.tsv")
    counts = read_matrix(TINY / "truth" / "gene_counts.tsv")
    inputs = [name for name in counts.columns if name.endswith("_input")]
    assert (counts[inputs].mean(axis=1) >= 50).mean() > 0.9
    crossing = read_matrix(TINY / "truth" / "bsj_counts.tsv")
    assert (crossing.sum(axis=1) >= 15).mean() > 0.8
    assert (crossing[inputs].sum(axis=1) < 15).any()
    assert (circles.log2_fold_change.abs() >= 2).sum() >= 4


def test_reads_are_of_the_stated_strand(clean):
    """Read 1 of a reverse library is the reverse complement of the RNA."""
    genome, annotation = read_fasta(clean / "genome.fa"), Annotation.from_gtf(clean / "genes.gtf")
    texts = []
    for gene in annotation.genes.values():
        exons = gene.transcripts[0].exons
        text = "".join(
            genome[gene.chrom][s:e] for s, e in zip(exons.starts, exons.ends, strict=True)
        )
        texts.append(text if gene.strand == "+" else reverse_complement(text))
    everything = "|".join(texts)
    fragments = library_reads(clean, "sensitive_1_input")
    sense = sum(reads[0] in everything for reads in fragments)
    antisense = sum(reverse_complement(reads[0]) in everything for reads in fragments)
    assert antisense > 800
    assert sense < 0.03 * antisense


# ---------------------------------------------------------------- m6A and the IP


def test_sites_stand_in_drach_motifs(genome, circles, sites):
    assert {"linear"} < set(sites.molecule) <= {"linear", *circles.circle}
    for row in sites.itertuples():
        text = genome[row.chrom][row.position - 2 : row.position + 3]
        text = text if row.strand == "+" else reverse_complement(text)
        assert drach_positions(text).tolist() == [2]
    change = sites.stoichiometry_resistant - sites.stoichiometry_sensitive
    assert (change.abs() > 0.4).any() and (change == 0).any()


def test_sites_of_circles_lie_on_their_molecules(circles, sites):
    rows = circles.set_index("circle")
    for site in sites[sites.molecule != "linear"].itertuples():
        row = rows.loc[site.molecule]
        starts = np.array(row.block_starts.split(","), dtype=np.int64)
        ends = np.array(row.block_ends.split(","), dtype=np.int64)
        blocks = Blocks(starts, ends, row.strand)
        assert blocks.to_spliced(np.array([site.position]))[0] >= 0
        assert site.strand == row.strand


def test_the_antibody_enriches_methylated_fragments_unless_it_failed():
    parameters = replace(SMALL, read_pairs=4000, failed_ips=1)
    plan = plan_study(parameters)
    bias = local_bias(parameters.genome_length, parameters)
    shares = {}
    for library in plan.libraries:
        fragments = draw_fragments(plan.pool, plan.expression, library, bias, parameters)
        assert len(fragments.starts) == 4000
        # The sites of one reference library tell which fragments could be methylated.
        track = escape_track(plan.pool, plan.expression, replace(library, efficiency=0.9))
        methylated = track[fragments.starts + fragments.lengths] < track[fragments.starts]
        shares[library.name] = methylated.mean()
    assert shares["sensitive_1_ip"] > 2 * shares["sensitive_1_input"]
    assert shares["resistant_1_ip"] == pytest.approx(shares["resistant_1_input"], abs=0.05)


def test_methylation_factor_lowers_only_the_test_condition(tmp_path):
    simulate_study(replace(SMALL, methylation_factor=0.25), tmp_path / "less")
    simulate_study(SMALL, tmp_path / "same")
    name = Path("truth/m6a_sites.tsv")
    less, same = (pd.read_csv(tmp_path / x / name, sep="\t") for x in ("less", "same"))
    assert less.stoichiometry_sensitive.equals(same.stoichiometry_sensitive)
    expected = same.stoichiometry_resistant * 0.25
    np.testing.assert_allclose(less.stoichiometry_resistant, expected, rtol=1e-4)


# ---------------------------------------------------------------- sequencing


def test_reads_run_into_the_adapter(tmp_path):
    parameters = replace(CLEAN, replicates=1, fragment_length=50.0, fragment_length_sd=0.0)
    simulate_study(parameters, tmp_path / "study")
    for mate in (0, 1):
        for library in ("resistant_1_ip", "sensitive_1_input"):
            path = tmp_path / "study" / "fastq" / f"{library}_R{mate + 1}.fastq.gz"
            adapter = ADAPTERS[mate][:25].decode()
            assert all(read[50:75] == adapter for _, read, _ in read_fastq(path))


def test_mates_are_the_two_ends_of_a_fragment():
    parameters = replace(CLEAN, fragment_length=60.0, fragment_length_sd=0.0)
    plan = plan_study(parameters)
    bias = local_bias(parameters.genome_length, parameters)
    fragments = draw_fragments(plan.pool, plan.expression, plan.libraries[0], bias, parameters)
    first, second = (perfect_reads(plan.pool, fragments, mate, 60) for mate in (0, 1))
    for one, two in zip(first, second, strict=True):
        assert one.tobytes().decode() == reverse_complement(two.tobytes().decode())


def test_fastq_records_and_runs():
    sheet = pd.read_csv(TINY / "samples.tsv", sep="\t")
    assert sheet.library.value_counts().tolist() == [2] + [1] * 11
    first, second = (read_fastq(TINY / name) for name in sheet.loc[0, ["fastq_1", "fastq_2"]])
    assert [read[0][:-2] for read in first] == [read[0][:-2] for read in second]
    assert first[0][0].endswith("/1") and second[0][0].endswith("/2")
    assert all(len(read) == len(quality) == 75 for _, read, quality in first)
    names = [name for row in (0, 1) for name, _, _ in read_fastq(TINY / sheet.fastq_1[row])]
    assert len(set(names)) == len(names) == 5500


def test_errors_are_as_frequent_as_asked(tmp_path):
    noisy = replace(CLEAN, replicates=1, substitution_rate=0.02)
    simulate_study(noisy, tmp_path / "noisy")
    simulate_study(replace(noisy, substitution_rate=0.0), tmp_path / "clean")
    name = Path("fastq/sensitive_1_ip_R2.fastq.gz")
    texts = [
        "".join(read for _, read, _ in read_fastq(tmp_path / x / name)) for x in ("noisy", "clean")
    ]
    different = np.mean([a != b for a, b in zip(*texts, strict=True)])
    assert different == pytest.approx(0.02, rel=0.1)


# ---------------------------------------------------------------- hard cases


def test_hard_cases_are_planted(hard):
    circles = TRUTH_CIRCLES.read(hard / "truth" / "circles.tsv")
    cases = circles.cases.dropna().str.split(",").explode().value_counts()
    assert cases["inverted_repeat"] == 3
    assert cases["at_ac"] == 1
    assert cases["isoforms"] >= 1
    at_ac = circles.cases.str.contains("at_ac", na=False)
    assert circles.splice_motif[at_ac].tolist() == ["AT/AC"]
    genes = TRUTH_GENES.read(hard / "truth" / "genes.tsv")
    assert genes.cases.value_counts().to_dict() == {"paralogue": 6, "tandem_duplication": 3}
    libraries = TRUTH_LIBRARIES.read(hard / "truth" / "libraries.tsv")
    assert libraries.fragments.nunique() > 1
    assert "batch" in pd.read_csv(hard / "samples.tsv", sep="\t").columns


def test_paralogues_and_tandem_exons_are_similar(hard):
    genome, genes = simulate_genome(HARD)
    paralogues = [gene for gene in genes if "paralogue" in gene.cases]
    shapes: dict[tuple[int, ...], list[str]] = {}
    for gene in paralogues:
        text = genome.spliced(gene.main).tobytes().decode()
        shapes.setdefault(tuple(len(e) for e in (gene.exon_starts, text)), []).append(text)
    assert all(len(pair) == 2 for pair in shapes.values())
    for one, two in shapes.values():
        assert 0.92 < np.mean([a == b for a, b in zip(one, two, strict=True)]) < 1
    for gene in genes:
        if "tandem_duplication" in gene.cases:
            exons = [
                genome.text(start, end)
                for start, end in zip(gene.exon_starts, gene.exon_ends, strict=True)
            ]
            alike = [
                np.mean([a == b for a, b in zip(one, two, strict=True)])
                for one, two in pairwise(exons)
                if len(one) == len(two)
            ]
            assert max(alike) > 0.93


def test_decoys_give_fragments_but_no_truth():
    plan = plan_study(replace(HARD, read_pairs=4000))
    bias = local_bias(HARD.genome_length, HARD)
    fragments = draw_fragments(plan.pool, plan.expression, plan.libraries[0], bias, HARD)
    kinds = plan.pool.kinds[fragments.molecules]
    for kind in (RETRO, CHIMERA, LINEAR):
        assert (kinds == kind).any()


def test_a_chimera_joins_an_exon_to_something_upstream():
    genome, genes = simulate_genome(HARD)
    molecules = simulate_molecules(genome, genes, [], HARD)
    chimeras = [molecule for molecule in molecules if molecule.kind == CHIMERA]
    assert len(chimeras) == HARD.chimeras
    for molecule in chimeras:
        head, tail = molecule.parts
        main = genes[molecule.gene].main
        leave = main.to_spliced(head.to_genome(np.array([head.length - 1])))[0]
        enter = main.to_spliced(tail.to_genome(np.array([0])))[0]
        assert enter < leave


# ---------------------------------------------------------------- empty and wrong

NO_CIRCLES = {
    f"{kind}_circles": 0
    for kind in (
        "exonic",
        "short",
        "exon_intron",
        "intronic",
        "antisense",
        "intergenic",
        "novel",
        "at_ac",
    )
}


def test_a_study_without_circles_sites_or_ip(tmp_path):
    parameters = replace(SMALL, ip=False, methylated_fraction=0.0, layout="single", **NO_CIRCLES)
    simulate_study(parameters, tmp_path / "study")
    truth = tmp_path / "study" / "truth"
    assert TRUTH_CIRCLES.read(truth / "circles.tsv").empty
    for name in ("bsj_counts", "bsj_counts_anchor8", "linear_counts", "linear_counts_anchor8"):
        matrix = read_matrix(truth / f"{name}.tsv")
        assert matrix.empty
        assert matrix.columns.tolist() == ["resistant_1_input", "sensitive_1_input"]
    assert pd.read_csv(truth / "m6a_sites.tsv", sep="\t").empty
    sheet = pd.read_csv(tmp_path / "study" / "samples.tsv", sep="\t")
    assert set(sheet.assay) == {"input"}
    assert sheet.fastq_2.isna().all()
    assert len(list((tmp_path / "study" / "fastq").iterdir())) == len(sheet)


def test_one_fragment(tmp_path):
    parameters = replace(SMALL, read_pairs=1, split_libraries=0)
    simulate_study(parameters, tmp_path / "study")
    assert len(library_reads(tmp_path / "study", "sensitive_1_ip")) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"replicates": 0}, "--replicates 0"),
        ({"circle_fraction": 1.5}, "--circle-fraction 1.5"),
        ({"exonic_circles": -1}, "--exonic-circles -1"),
        ({"layout": "triple"}, "--layout triple"),
        ({"strandedness": "fr-firststrand"}, "--strandedness fr-firststrand"),
        ({"test_condition": "sensitive"}, "both conditions"),
        ({"read_length": 5}, "--read-length"),
        ({"compression": 10}, "--compression 10"),
        ({"stoichiometry_min": 0.9, "stoichiometry_max": 0.5}, "--stoichiometry-min"),
    ],
)
def test_bad_parameters(changes, message):
    with pytest.raises(InputError, match=re.escape(message)):
        replace(SMALL, **changes)


def test_all_bad_parameters_are_told_at_once():
    with pytest.raises(InputError) as error:
        replace(SMALL, replicates=0, layout="x", read_pairs=0)
    assert len(error.value.problems) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"genome_length": 50_000}, "do not fit"),
        ({"exonic_circles": 5_000}, "exonic circles"),
        ({"paralogues": 30}, "paralogues"),
        ({"intergenic_circles": 400}, "no room"),
    ],
)
def test_parameters_that_cannot_be_met(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        simulate_study(replace(SMALL, **changes), tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        simulate_study(SMALL, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

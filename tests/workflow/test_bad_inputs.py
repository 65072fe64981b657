"""Mistakes of a user, through the real command line: a message with a remedy, and nothing written.

Each case spoils a sound study in one way and says what the message must name. A dry run makes the
same check as a run; a few cases are run in earnest.
"""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pysam
import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
TINY = PROJECT / "tests" / "data" / "tiny"


@dataclass
class Draft:
    """A sound study in a folder of its own, to be spoiled before it is written."""

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, str]] = field(default_factory=list)
    separator: str = "\t"

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.config = {
            "samples": str(self.folder / "samples.tsv"),
            "reference": {"fasta": str(TINY / "genome.fa"), "gtf": str(TINY / "genes.gtf")},
            "contrast": {"test": "resistant", "reference": "sensitive"},
            "alignment": {"aligner": "minimap2"},
        }
        with (TINY / "samples.tsv").open(newline="") as handle:
            self.rows = list(csv.DictReader(handle, delimiter="\t"))
        for row in self.rows:
            for column in ("fastq_1", "fastq_2"):
                row[column] = str(TINY / row[column])

    def row(self, line: int) -> dict[str, str]:
        """The row on that line of the sheet, the header being line 1."""
        return self.rows[line - 2]

    def file(self, name: str, content: str | bytes) -> str:
        """Write a file beside the sheet and return its path."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def covariate(self, name: str, level: Callable[[dict[str, str]], str]) -> None:
        """Give every row a covariate, and the contrast the order to adjust for it."""
        for row in self.rows:
            row[name] = level(row)
        self.config["contrast"]["covariates"] = [name]

    def write(self) -> Path:
        """Write sheet and configuration; a sheet that a case wrote itself is left alone."""
        sheet = self.folder / "samples.tsv"
        if not sheet.exists() and self.config.get("samples") == str(sheet):
            columns = list(dict.fromkeys(column for row in self.rows for column in row))
            lines = [columns, *([row.get(name, "") for name in columns] for row in self.rows)]
            sheet.write_text("".join(self.separator.join(line) + "\n" for line in lines))
        path = self.folder / "study.yaml"
        path.write_text(yaml.safe_dump(self.config))
        return path


def snakemake(configfile: Path, work: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "-s", PROJECT / "Snakefile"]
    command += ["--configfile", configfile, "--directory", work, "--cores", "1", *options]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)


def bam(draft: Draft, contig: str = "chr1") -> str:
    """Write a BAM without reads beside the sheet and return its path."""
    path = draft.folder / "a.bam"
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": contig, "LN": 1000}]}
    with pysam.AlignmentFile(str(path), "wb", header=header):
        pass
    return str(path)


Spoil = Callable[[Draft], None]
CASES: dict[str, tuple[Spoil, tuple[str, ...]]] = {}


def told(*fragments: str) -> Callable[[Spoil], Spoil]:
    """Register a case: the message holds all these fragments; ``{}`` is the study's folder."""

    def register(spoil: Spoil) -> Spoil:
        CASES[spoil.__name__] = (spoil, fragments)
        return spoil

    return register


# the configuration


@told("{}/study.yaml", "unknown key 'algnment'", "did you mean 'alignment'?")
def unknown_key(draft):
    draft.config["algnment"] = {"aligner": "star"}


@told("{}/study.yaml", "unknown key 'circrna.min_read'", "did you mean 'min_reads'?")
def unknown_nested_key(draft):
    draft.config["circrna"] = {"min_read": 3}


@told("{}/study.yaml", "the key 'samples' is missing")
def no_samples(draft):
    del draft.config["samples"]


@told("{}/study.yaml", "the key 'reference' is missing")
def no_reference(draft):
    del draft.config["reference"]


@told("{}/study.yaml", "the key 'reference.gtf' is missing")
def reference_without_gtf(draft):
    draft.config["reference"]["gtf"] = None


@told("{}/study.yaml", "the key 'contrast' is missing")
def no_contrast(draft):
    del draft.config["contrast"]


@told("{}/study.yaml", "m6a.fdr: 'five percent' is not a number")
def wrong_type(draft):
    draft.config["m6a"] = {"fdr": "five percent"}


@told("{}/study.yaml", "contrast.test: 1 is not text; put it in quotes")
def number_for_a_level(draft):
    draft.config["contrast"]["test"] = 1


@told("{}/study.yaml", "circrna: 'all' is not a section")
def word_for_a_section(draft):
    draft.config["circrna"] = "all"


@told("{}/study.yaml", "circrna.min_anchor: 50 is not at most 30")
def value_out_of_range(draft):
    draft.config["circrna"] = {"min_anchor": 50}


@told("{}/study.yaml", "alignment.aligner: 'bwa' is not one of star, minimap2")
def wrong_aligner(draft):
    draft.config["alignment"]["aligner"] = "bwa"


@told("alignment.minimap2_preset: 'splice:hg' is not one of splice:sr, splice", "did you mean")
def wrong_minimap2_preset(draft):
    draft.config["alignment"]["minimap2_preset"] = "splice:hg"


@told("alignment.max_intron: 500000 is more than minimap2 takes", "200000", "aligner: star")
def max_intron_too_large_for_minimap2(draft):
    draft.config["alignment"]["max_intron"] = 500_000


@told("circrna.min_span: 5000 is more than circrna.max_span, 2000")
def spans_the_wrong_way_round(draft):
    draft.config["circrna"] = {"min_span": 5000, "max_span": 2000}


@told("{}/study.yaml", "reads.adapter_1: 'TruSeq' is not valid; write the adapter's bases")
def adapter_by_name(draft):
    draft.config["reads"] = {"adapter_1": "TruSeq"}


@told("{}/study.yaml", "reference.sha256.gtf: 'd41d8' is not valid", "64 hexadecimal digits")
def checksum_too_short(draft):
    draft.config["reference"]["sha256"] = {"gtf": "d41d8"}


@told("{}/study.yaml", "contrast.test and contrast.reference are both 'resistant'")
def contrast_of_a_level_with_itself(draft):
    draft.config["contrast"]["reference"] = "resistant"


@told("{}/study.yaml", "samples: '{}/{library}.tsv' is not valid; give a path without braces")
def path_with_braces(draft):
    draft.config["samples"] = f"{draft.folder}/{{library}}.tsv"


# the sheet


@told("{}/gone.tsv: no such samples sheet")
def sheet_missing(draft):
    draft.config["samples"] = str(draft.folder / "gone.tsv")


@told("{}/samples.tsv, row 1: the header 'library,sample", "not separated by tabs")
def sheet_separated_by_commas(draft):
    draft.separator = ","


@told("{}/samples.tsv, row 1: no column assay", "(found: library, sample, condition, fastq_1")
def column_missing(draft):
    for row in draft.rows:
        del row["assay"]


@told("{}/samples.tsv, row 1: the column 'fastq1' is not known; did you mean 'fastq_1'?")
def column_misspelt(draft):
    for row in draft.rows:
        row["fastq1"] = row.pop("fastq_1")


@told("{}/samples.tsv, row 1: column sample stands twice")
def column_twice(draft):
    draft.file("samples.tsv", "library\tsample\tcondition\tassay\tsample\na\ta\tx\tinput\ta\n")


@told("{}/samples.tsv: no rows")
def sheet_of_a_header_alone(draft):
    draft.file("samples.tsv", "library\tsample\tcondition\tassay\tfastq_1\n")


@told("{}/samples.tsv: no rows")
def sheet_empty(draft):
    draft.file("samples.tsv", "")


@told("{}/samples.tsv, row 3: 6 fields under 5 columns", "'late'")
def field_too_many(draft):
    text = "library\tsample\tcondition\tassay\tfastq_1\na\ta\tx\tinput\ta.fq\nb\tb\ty\tinput\tb.fq"
    draft.file("samples.tsv", f"{text}\tlate\n")


@told("{}/samples.tsv, row 2: b'\\xe9' is not UTF-8")
def sheet_in_a_code_page(draft):
    draft.file(
        "samples.tsv", "library\tsample\tcondition\tassay\na\tRené\tx\tinput\n".encode("cp1252")
    )


@told("{}/samples.tsv, row 9: library 'sensitive 1' is not valid; use letters")
def library_name_with_a_space(draft):
    draft.row(9)["library"] = "sensitive 1"


@told("{}/samples.tsv, row 4: library '-ip' is not valid", "the first a letter")
def library_name_like_an_option(draft):
    draft.row(4)["library"] = "-ip"


@told("{}/samples.tsv, row 10: condition has no value")
def condition_empty(draft):
    draft.row(10)["condition"] = ""


@told("{}/samples.tsv, row 4: assay 'IP' is not valid; write 'input'")
def wrong_assay(draft):
    draft.row(4)["assay"] = "IP"


@told("{}/samples.tsv, row 7: strandedness 'fr-firststrand' is not valid; write 'auto'")
def wrong_strandedness(draft):
    draft.row(7)["strandedness"] = "fr-firststrand"


@told("{}/samples.tsv, row 5: neither fastq_1 nor accession nor bam has a value")
def neither_fastq_nor_accession(draft):
    draft.row(5).update(fastq_1="", fastq_2="")


@told("{}/samples.tsv, row 5: both fastq_1 and accession 'SRR1234567' are given")
def both_fastq_and_accession(draft):
    draft.row(5)["accession"] = "SRR1234567"


@told("{}/samples.tsv, row 5: both fastq_1 and bam 'a.bam' are given; keep one")
def both_fastq_and_bam(draft):
    draft.row(5)["bam"] = "a.bam"


@told("{}/samples.tsv, row 5: both accession and bam 'a.bam' are given; keep one")
def both_accession_and_bam(draft):
    draft.row(5).update(fastq_1="", fastq_2="", accession="SRR1234567", bam="a.bam")


@told("{}/samples.tsv, row 5: fastq_2", "stands without fastq_1")
def second_mate_beside_a_bam(draft):
    draft.row(5).update(fastq_1="", bam=bam(draft))


@told("row 3: library 'resistant_1_input' has a BAM here and paired-end files in row 2")
def reads_and_alignments_of_a_library(draft):
    draft.row(3).update(fastq_1="", fastq_2="", bam=bam(draft))


@told("row 6: bam '", "is already used in row 5 (library 'resistant_2_input')")
def bam_used_twice(draft):
    for line in (5, 6):
        draft.row(line).update(fastq_1="", fastq_2="", bam=bam(draft))


@told("{}/samples.tsv, row 5: {}/gone.bam: no such file", "relative to the sheet's folder")
def bam_missing(draft):
    draft.row(5).update(fastq_1="", fastq_2="", bam="gone.bam")


@told("{}/samples.tsv, row 5: {}/a.bam: cannot be read", "transfer the file again")
def bam_cut_short(draft):
    whole = Path(bam(draft)).read_bytes()
    draft.row(5).update(fastq_1="", fastq_2="", bam=draft.file("a.bam", whole[:-10]))


@told("{}/samples.tsv, row 5: {}/a.bam: not BAM; give BAM; 'samtools view -b' makes it")
def bam_is_sam(draft):
    name = draft.file("a.bam", "@HD\tVN:1.6\n@SQ\tSN:chr1\tLN:100\n")
    draft.row(5).update(fastq_1="", fastq_2="", bam=name)


@told("{}/samples.tsv, row 5: {}/a.bam: not BAM")
def bam_is_fastq(draft):
    reads = Path(draft.row(5)["fastq_1"]).read_bytes()
    draft.row(5).update(fastq_1="", fastq_2="", bam=draft.file("a.bam", reads))


@told("no contig of", "genes.gtf (chr1, chr2, ...) is in {}/a.bam (1, ...)", "rename", "BAM files")
def bam_of_other_contigs(draft):
    draft.row(5).update(fastq_1="", fastq_2="", bam=bam(draft, "1"))


@told(
    "{}/study.yaml: the key 'reference.fasta' is missing or has no value; set it",
    "only a study whose rows all give a bam may leave the genome out",
)
def genome_left_out(draft):
    del draft.config["reference"]["fasta"]
    draft.row(5).update(fastq_1="", fastq_2="", bam=bam(draft))


@told("{}/samples.tsv, row 5: accession 'GSM1234567' is not valid; give a run")
def accession_of_a_sample(draft):
    draft.row(5).update(fastq_1="", fastq_2="", accession="GSM1234567")


@told("{}/samples.tsv, row 5: fastq_2", "stands without fastq_1")
def second_mate_alone(draft):
    draft.row(5)["fastq_1"] = ""


@told("{}/samples.tsv, row 6: {}/fastq/gone.fastq.gz: no such file", "relative to the sheet")
def fastq_missing(draft):
    draft.row(6)["fastq_1"] = "fastq/gone.fastq.gz"


@told("{}/samples.tsv, row 8: fastq_1 '", "is already used in row 6 (library 'resistant_2_ip')")
def file_used_twice(draft):
    name = Path(draft.row(6)["fastq_1"]).name
    draft.row(8)["fastq_1"] = f"{TINY}/truth/../fastq/{name}"


@told("{}/samples.tsv, row 15: fastq_1", "row 15: fastq_2", "is already used in row 14")
def row_twice(draft):
    draft.rows.append(dict(draft.row(14)))


@told(
    "{}/samples.tsv, row 3: library 'resistant_1_input' has condition 'sensitive' here and "
    "'resistant' in row 2"
)
def rows_of_a_library_disagree(draft):
    draft.row(3)["condition"] = "sensitive"


@told("row 3: library 'resistant_1_input' has single-end files here and paired-end files in row 2")
def layouts_of_a_library_differ(draft):
    draft.row(3)["fastq_2"] = ""


@told(
    "{}/samples.tsv, row 13: library 'sensitive_3_ip' is an IP of sample 'sensitive_3', which has "
    "no input; add the input's row or name another sample's input in input_library"
)
def ip_without_input(draft):
    draft.rows.remove(draft.row(13))


@told(
    "row 4: library 'resistant_1_ip' is an IP of sample 'resistant_1', which has the inputs "
    "resistant_1_input, resistant_2_input; name one in input_library"
)
def input_ambiguous(draft):
    draft.row(5)["sample"] = "resistant_1"
    draft.row(6)["sample"] = "resistant_1"


@told("row 4: library 'resistant_1_ip': input_library 'resistant_9_input' is not in the sheet")
def input_library_unknown(draft):
    draft.row(4)["input_library"] = "resistant_9_input"


@told("row 4: library 'resistant_1_ip': input_library 'resistant_2_ip' is not an input")
def input_library_is_an_ip(draft):
    draft.row(4)["input_library"] = "resistant_2_ip"


@told("row 10: sample 'resistant_1' has condition 'sensitive' here and 'resistant' in row 2")
def sample_in_two_conditions(draft):
    draft.row(10)["sample"] = "resistant_1"


@told(
    "{}/samples.tsv, column condition: no input library has the contrast's level 'naive'",
    "the sheet has resistant, sensitive",
)
def level_without_library(draft):
    draft.config["contrast"]["reference"] = "naive"


@told("{}/samples.tsv, row 1: the contrast names 'batch', which is not a column of the sheet")
def covariate_missing(draft):
    draft.config["contrast"]["covariates"] = ["batch"]


@told("column batch: covariate 'batch' is aliased with 'condition'", "leave it out")
def covariate_aliased(draft):
    draft.covariate("batch", lambda row: row["condition"][0])


@told("column batch: covariate 'batch' is 'b1' in every library", "leave it out")
def covariate_of_a_single_level(draft):
    draft.covariate("batch", lambda row: "b1")


@told("column batch: covariate 'batch' with its", "no residual degrees", "add replicates")
def covariate_of_too_many_levels(draft):
    draft.covariate("batch", lambda row: row["sample"].replace("sensitive_1", "resistant_1"))


@told("row 7: covariate 'batch' has no value", "{}/samples.tsv")
def covariate_with_a_gap(draft):
    draft.covariate("batch", lambda row: {"1": "x", "2": "y"}.get(row["sample"][-1], ""))


# the files


@told("row 6: {}/reads.fastq: not FASTQ, begins with '>read1'; give FASTQ")
def fastq_is_fasta(draft):
    draft.row(6).update(
        fastq_1=draft.file("reads.fastq", ">read1\nACGT\n>read2\nACG\n"), fastq_2=""
    )


@told("row 6: {}/reads.fastq.gz: cannot be read", "transfer the file again")
def fastq_cut_short(draft):
    whole = Path(draft.row(6)["fastq_1"]).read_bytes()
    draft.row(6)["fastq_1"] = draft.file("reads.fastq.gz", whole[:60])


@told("row 6: the first reads of", "'first.1' and 'other.1'; give the two mate files of one run")
def mates_of_different_runs(draft):
    draft.row(6).update(
        fastq_1=draft.file("one_R1.fastq", "@first.1 1\nACGT\n+\nIIII\n"),
        fastq_2=draft.file("two_R2.fastq", "@other.1 2\nACGT\n+\nIIII\n"),
    )


@told("reference.gtf: {}/gone.gtf: no such file", "relative to the working folder")
def gtf_missing(draft):
    draft.config["reference"]["gtf"] = str(draft.folder / "gone.gtf")


@told("{}/genes.gff3, line 2: this is GFF3", "ID=exon1;Parent=t1", "gffread")
def gtf_is_gff3(draft):
    line = "chr1\tx\texon\t1\t9\t.\t+\t.\tID=exon1;Parent=t1\n"
    draft.config["reference"]["gtf"] = draft.file("genes.gff3", f"##gff-version 3\n{line}")


@told("{}/genes.gtf, line 1: 1 tab-separated fields, not 9: chr1 x exon")
def gtf_without_tabs(draft):
    draft.config["reference"]["gtf"] = draft.file("genes.gtf", "chr1 x exon 1 9 . + . a\n")


@told("{}/genes.gtf: no exon line")
def gtf_without_exons(draft):
    draft.config["reference"]["gtf"] = draft.file("genes.gtf", "#!genome-build X\n")


@told("{}/genes.gtf.gz: cannot be read", "cut short")
def gtf_cut_short(draft):
    packed = gzip.compress((TINY / "genes.gtf").read_bytes())
    draft.config["reference"]["gtf"] = draft.file("genes.gtf.gz", packed[: len(packed) // 2])


@told("{}/genes.gtf.gz: cannot be read")
def gtf_damaged(draft):
    packed = bytearray(gzip.compress((TINY / "genes.gtf").read_bytes()))
    packed[200:260] = bytes(60)
    draft.config["reference"]["gtf"] = draft.file("genes.gtf.gz", bytes(packed))


@told("no contig of {}/genes.gtf (1, 2, ...) is in", "genome.fa (chr1, chr2, ...)", "rename")
def contigs_named_otherwise(draft):
    text = (TINY / "genes.gtf").read_text().replace("chr", "")
    draft.config["reference"]["gtf"] = draft.file("genes.gtf", text)


@told("{}/genome.fa: not FASTA, begins with 'LOCUS", "give the genome as FASTA")
def fasta_is_genbank(draft):
    draft.config["reference"]["fasta"] = draft.file("genome.fa", "LOCUS       X 4 bp\n")


@told("{}/genome.fa.gz: cannot be read", "cut short")
def fasta_cut_short(draft):
    packed = gzip.compress((TINY / "genome.fa").read_bytes())
    draft.config["reference"]["fasta"] = draft.file("genome.fa.gz", packed[: len(packed) // 2])


# several at once


@told(
    "{}/study.yaml: unknown key 'circ_rna'",
    "{}/study.yaml: alignment.aligner: 'bwa'",
    "{}/samples.tsv, row 4: assay 'IP' is not valid",
    "{}/samples.tsv, row 6: {}/gone.fastq.gz: no such file",
    "{}/samples.tsv, row 9: strandedness 'yes' is not valid",
    "reference.gtf: {}/gone.gtf: no such file",
)
def mistakes_of_all_kinds(draft):
    draft.config["circ_rna"] = {}
    draft.config["alignment"]["aligner"] = "bwa"
    draft.config["reference"]["gtf"] = str(draft.folder / "gone.gtf")
    draft.row(4)["assay"] = "IP"
    draft.row(6)["fastq_1"] = "gone.fastq.gz"
    draft.row(9)["strandedness"] = "yes"


@told(
    "{}/study.yaml: contrast.test and contrast.reference are both 'sensitive'",
    "{}/samples.tsv, row 4: library 'resistant_1_ip': input_library 'nobody' is not in the sheet",
)
def contrast_and_pairs(draft):
    draft.config["contrast"]["test"] = "sensitive"
    draft.row(4)["input_library"] = "nobody"


RUN_IN_EARNEST = ("unknown_key", "ip_without_input", "fastq_missing", "contigs_named_otherwise")


def test_there_are_enough_cases():
    assert len(CASES) >= 25
    assert set(RUN_IN_EARNEST) <= set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_a_message_and_nothing_is_written(name, tmp_path):
    spoil, fragments = CASES[name]
    draft = Draft(tmp_path / "study")
    spoil(draft)
    work = tmp_path / "work"
    work.mkdir()
    answer = snakemake(draft.write(), work, *([] if name in RUN_IN_EARNEST else ["-n"]))
    said = answer.stdout + answer.stderr
    assert answer.returncode != 0, said
    assert "Traceback" not in said
    for fragment in fragments:
        assert fragment.replace("{}", str(draft.folder)) in said
    lines = answer.stderr.splitlines()
    assert any(line.startswith("Error: ") for line in lines)
    assert lines[-1].startswith("Hint: ")
    assert not list(work.glob("results/**/*"))


def test_the_sound_study_passes(tmp_path):
    answer = snakemake(Draft(tmp_path / "study").write(), tmp_path / "work", "-n", "-q")
    assert answer.returncode == 0, answer.stderr


def test_paths_with_spaces_relative_to_sheet_and_working_folder_pass(tmp_path):
    draft = Draft(tmp_path / "my study")
    (draft.folder / "my reads").symlink_to(TINY / "fastq")
    for row in draft.rows:
        for column in ("fastq_1", "fastq_2"):
            row[column] = f"my reads/{Path(row[column]).name}"
    configfile = draft.write()
    (draft.folder / "my genome.fa").symlink_to(TINY / "genome.fa")
    draft.config["reference"]["fasta"] = "my study/my genome.fa"
    draft.config["samples"] = "my study/samples.tsv"
    configfile.write_text(yaml.safe_dump(draft.config))
    answer = snakemake(configfile, tmp_path, "-n", "-q")
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("samples: [\n", "line 2"),
        ("\tsamples: x\n", "line 1"),
        ("- samples\n", "['samples']"),
        ("samples\n", "'samples'"),
        ("", "None"),
    ],
    ids=["open-bracket", "tab", "list", "word", "empty"],
)
def test_a_configuration_that_is_not_yaml(content, place, tmp_path):
    """Snakemake reads it before anybody is asked; `check_study.py` says where it is wrong."""
    configfile = tmp_path / "study.yaml"
    configfile.write_text(content)
    answer = snakemake(configfile, tmp_path / "work", "-n")
    assert answer.returncode != 0
    assert "Config file" in answer.stdout + answer.stderr
    assert "Traceback" not in answer.stdout + answer.stderr
    assert not list(tmp_path.glob("work/results/**/*"))
    program = PROJECT / "workflow" / "scripts" / "check_study.py"
    answer = subprocess.run(
        [sys.executable, str(program), "--configfile", str(configfile)],
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    assert f"Error: {configfile}: not " in answer.stderr
    assert place in answer.stderr
    assert answer.stderr.splitlines()[-1].startswith("Hint: ")

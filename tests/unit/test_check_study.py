"""The check before a run: configuration, first records of all files, and the design."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import check_study
from ringmark.errors import InputError
from ringmark.study import Contrast, Run, read_study

EXON = '{}\tx\texon\t1\t9\t.\t+\t.\tgene_id "g"; transcript_id "t";\n'
READ = "@{}\nACGT\n+\nIIII\n"


def text_file(path: Path, content: str, packed: bool = False) -> str:
    data = content.encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    return str(path)


@pytest.fixture
def config(tmp_path) -> dict[str, Any]:
    """A sound study of two single-end inputs."""
    for name in "rs":
        text_file(tmp_path / f"{name}.fastq", READ.format("read1"))
    sheet = (
        "library\tsample\tcondition\tassay\tfastq_1\n"
        "r\tr\tresistant\tinput\tr.fastq\n"
        "s\ts\tsensitive\tinput\ts.fastq\n"
    )
    return {
        "samples": text_file(tmp_path / "samples.tsv", sheet),
        "reference": {
            "fasta": text_file(tmp_path / "genome.fa", ">chr1\nACGTACGTACGT\n"),
            "gtf": text_file(tmp_path / "genes.gtf", EXON.format("chr1")),
        },
        "contrast": {"test": "resistant", "reference": "sensitive"},
    }


def problems(config: dict[str, Any], read_files: bool = True) -> list[str]:
    with pytest.raises(InputError) as caught:
        check_study.load(config, "config", read_files)
    return caught.value.problems


# the configuration


def test_defaults_are_filled_in_and_what_is_given_stays(config):
    config["circrna"] = {"min_reads": 5}
    given = yaml.safe_dump(config)
    completed, study = check_study.load(config, "config", read_files=True)
    assert completed["circrna"]["min_reads"] == 5
    assert completed["circrna"]["min_anchor"] == 4
    assert completed["alignment"]["aligner"] == "star"
    assert completed["reference"]["sha256"] == {"fasta": None, "gtf": None}
    assert study.contrast == Contrast("condition", "resistant", "sensitive", ())
    assert yaml.safe_dump(config) == given


def test_a_key_without_a_value_takes_its_default(config):
    config |= {"m6a": None, "reads": {"quality_cutoff": None}}
    config["contrast"]["covariates"] = None
    completed, _ = check_study.load(config, "config", read_files=False)
    assert completed["m6a"]["fdr"] == 0.05
    assert completed["reads"]["quality_cutoff"] == 15
    assert completed["contrast"]["covariates"] == []


def test_an_unknown_key_without_a_value_is_still_unknown(config):
    config["alignmnt"] = None
    assert "unknown key 'alignmnt'; did you mean 'alignment'?" in problems(config)[0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"threads": 8}, "unknown key 'threads'"),
        ({1: 2}, "unknown key '1'; known: samples, reference, contrast"),
        ({"samples": ["a.tsv"]}, "samples: ['a.tsv'] is not text; put it in quotes"),
        ({"samples": ""}, "samples: '' is not valid; give a path without braces"),
        ({"samples": None}, "the key 'samples' is missing or has no value; set it"),
        ({"reference": {"fasta": "a.fa"}}, "the key 'reference.gtf' is missing"),
        ({"contrast": {"test": "a"}}, "the key 'contrast.reference' is missing"),
        ({"contrast": {"test": "", "reference": "b"}}, "contrast.test: the text is empty"),
        ({"contrast": {"test": True, "reference": "b"}}, "contrast.test: True is not text"),
        ({"reads": {"quality_cutoff": 15.5}}, "reads.quality_cutoff: 15.5 is not a whole number"),
        ({"reads": {"quality_cutoff": "15"}}, "reads.quality_cutoff: '15' is not a whole number"),
        ({"reads": {"quality_cutoff": True}}, "reads.quality_cutoff: True is not a whole number"),
        ({"reads": {"minimum_length": 5}}, "reads.minimum_length: 5 is not at least 15"),
        ({"m6a": {"fdr": 0}}, "m6a.fdr: 0 is not more than 0"),
        ({"m6a": {"fdr": 1}}, "m6a.fdr: 1 is not less than 1"),
        ({"m6a": {"introns": "yes"}}, "m6a.introns: 'yes' is not true or false"),
        ({"m6a": {"introns": 1}}, "m6a.introns: 1 is not true or false"),
        ({"m6a": []}, "m6a: [] is not a section; write its keys below it"),
        ({"regulators": {"cancer": "breast"}}, "regulators.cancer: 'breast' is not a list"),
        ({"regulators": {"cancer": [1]}}, "regulators.cancer.0: 1 is not text"),
        (
            {"regulators": {"therapy_class": ["chemo"]}},
            "regulators.therapy_class.0: 'chemo' is not one of chemotherapy, radiotherapy, "
            "targeted, immunotherapy; did you mean 'chemotherapy'?",
        ),
        ({"report": {"title": 2026}}, "report.title: 2026 is not text; put it in quotes"),
    ],
)
def test_values_that_are_wrong(config, change, told):
    (problem,) = [text for _, text in check_study.config_problems(config | change)]
    assert told in problem


def test_a_covariate_named_twice(config):
    config["contrast"]["covariates"] = ["batch", "batch"]
    (problem,) = check_study.config_problems(config)
    assert problem[0] == "contrast"
    assert "names something twice" in problem[1]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"alignment": {"aligner": "minimap2", "max_intron": 200_000}}, False),
        ({"alignment": {"aligner": "minimap2", "max_intron": 200_001}}, True),
        ({"alignment": {"aligner": "star", "max_intron": 500_000}}, False),
        ({"circrna": {"min_span": 2000, "max_span": 2000}}, False),
        ({"circrna": {"min_span": 2001, "max_span": 2000}}, True),
        ({"contrast": {"test": "a", "reference": "b"}}, False),
        ({"contrast": {"test": "a", "reference": "a"}}, True),
    ],
)
def test_values_that_do_not_go_together(config, change, fault):
    found = check_study.config_problems(config | change)
    assert [section for section, _ in found] == list(change) * fault


def test_a_conflict_is_told_beside_a_wrong_value_elsewhere(config):
    config |= {"circrna": {"min_span": 5000, "max_span": 1000}, "m6a": {"fdr": 2}}
    assert [section for section, _ in check_study.config_problems(config)] == ["m6a", "circrna"]


def test_configuration_sheet_and_files_are_told_together(config):
    config["contrast"]["test"] = 5
    config["reference"]["gtf"] = "gone.gtf"
    sheet = Path(config["samples"])
    sheet.write_text(
        sheet.read_text().replace("s.fastq", "gone.fastq").replace("r\tr\t", "r r\tr\t")
    )
    found = problems(config)
    assert len(found) == 4
    for text in (
        "contrast.test: 5",
        "row 2: library 'r r'",
        "gone.fastq: no such",
        "gone.gtf: no s",
    ):
        assert any(text in problem for problem in found), text


def test_nothing_at_all_is_known(tmp_path):
    assert problems({}) == [
        f"config: the key {key!r} is missing or has no value; set it"
        for key in ("samples", "reference", "contrast")
    ]


# FASTQ


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("names", "mates"),
    [
        (("r.1 1:N:0", "r.1 2:N:0"), True),
        (("r/1", "r/2"), True),
        (("SRR1.1.1 x", "SRR1.1.2 x"), True),
        (("r_1", "r_2"), True),
        (("r.1", "r.1"), True),
        (("r.1", "s.1"), False),
        (("r/2", "r/1"), False),
        (("r/1", "r"), False),
        (("run1.7", "run1.8"), False),
        (("", ""), True),
    ],
)
def test_names_of_mates(tmp_path, names, mates, packed):
    first, second = (
        Path(text_file(tmp_path / f"{number}.fq", READ.format(name), packed))
        for number, name in enumerate(names)
    )
    found = check_study.check_run(Run(2, first, second))
    assert bool(found) != mates
    if not mates:
        assert str(first) in found[0]
        assert repr(names[0]) in found[0]
        assert "give the two mate files of one run" in found[0]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "content", ["", READ.format("a"), "@a\r\nACGT\r\n+\r\nIIII\r\n", "@a\n\n+\n\n"]
)
def test_files_that_are_fastq(tmp_path, content, packed):
    path = Path(text_file(tmp_path / "a.fq", content, packed))
    assert check_study.check_run(Run(2, path)) == []


@pytest.mark.parametrize(
    "content", [">a\nACGT\n", "@a\nACGT\n", "@a\nACGT\n+\nIII\n", "@a\nACGT\nIIII\n+\n", "\n\n\n\n"]
)
def test_files_that_are_not_fastq(tmp_path, content):
    path = Path(text_file(tmp_path / "a.fq", content))
    (problem,) = check_study.check_run(Run(2, path))
    first = content.splitlines()[0]
    assert problem == f"{path}: not FASTQ, begins with {first!r}; give FASTQ, plain or gzipped"


def test_files_that_cannot_be_read(tmp_path):
    gone, short, broken = tmp_path / "gone.fq", tmp_path / "short.fq.gz", tmp_path / "bad.fq.gz"
    packed = gzip.compress((READ.format("a") * 99).encode())
    short.write_bytes(packed[:15])
    broken.write_bytes(packed[:12] + bytes(20) + packed[32:])
    assert "no such file" in check_study.check_run(Run(2, gone))[0]
    assert "no such file" in check_study.check_run(Run(2, tmp_path))[0]
    assert f"{short}: cannot be read" in check_study.check_run(Run(2, short))[0]
    assert f"{broken}: cannot be read" in check_study.check_run(Run(2, broken))[0]
    assert len(check_study.check_run(Run(2, gone, short))) == 2


def test_an_accession_has_no_file_to_look_at():
    assert check_study.check_run(Run(2, accession="SRR1234567")) == []


# FASTA and GTF


def reference(folder: Path, fasta: str, gtf: str, packed: bool = False) -> tuple[str, str]:
    return (
        text_file(folder / "genome.fa", fasta, packed),
        text_file(folder / "genes.gtf", gtf, packed),
    )


@pytest.mark.parametrize("packed", [False, True])
def test_a_sound_reference(tmp_path, packed):
    fasta = ">chr1 a description\nACGT\n>\n>chr2\nAC\n"
    check_study.check_reference(*reference(tmp_path, fasta, EXON.format("chr2"), packed))


def test_an_annotation_that_begins_elsewhere_is_read_on(tmp_path, monkeypatch):
    """A part of a genome with the annotation of the whole is no mismatch."""
    monkeypatch.setattr(check_study, "GTF_LINES", 3)
    gtf = EXON.format("chr1") * 5 + "# chr11\n" + EXON.format("chr11")
    check_study.check_reference(*reference(tmp_path, ">chr11\nACGT\n", gtf))
    with pytest.raises(InputError, match="no contig of"):
        check_study.check_reference(*reference(tmp_path, ">chr12\nACGT\n", gtf))


def test_contigs_of_two_sources(tmp_path):
    fasta, gtf = reference(tmp_path, ">1\nAC\n>2\nAC\n>3\nAC\n>X\nA\n", EXON.format("chr1"))
    with pytest.raises(InputError) as caught:
        check_study.check_reference(fasta, gtf)
    assert caught.value.problems == [f"no contig of {gtf} (chr1, ...) is in {fasta} (1, 2, 3, ...)"]
    assert "chr1 against 1" in caught.value.hint


def test_an_index_beside_the_fasta_tells_its_contigs(tmp_path):
    fasta, gtf = reference(tmp_path, "not looked at", EXON.format("chr7"))
    text_file(tmp_path / "genome.fa.fai", "chr7\t4\t6\t4\t5\n")
    check_study.check_reference(fasta, gtf)
    text_file(tmp_path / "genome.fa.fai", "7\t4\t6\t4\t5\n")
    with pytest.raises(InputError, match="no contig"):
        check_study.check_reference(fasta, gtf)


def test_a_large_fasta_is_looked_at_when_it_is_indexed(tmp_path, monkeypatch):
    fasta, gtf = reference(tmp_path, ">1\nAC\n", EXON.format("chr1"))
    monkeypatch.setattr(check_study, "SMALL_FASTA", 3)
    check_study.check_reference(fasta, gtf)


@pytest.mark.parametrize(
    ("fasta", "gtf", "told"),
    [
        ("", EXON.format("chr1"), ["genome.fa: not FASTA, begins with ''"]),
        ("ACGT\n", EXON.format("chr1"), ["genome.fa: not FASTA, begins with 'ACGT"]),
        (">chr1\nA\n", "", ["genes.gtf: no exon line"]),
        (">chr1\nA\n", "chr1\tx\texon\n", ["genes.gtf, line 1: 3 tab-separated fields"]),
        ("ACGT\n", "chr1\n", ["genome.fa: not FASTA", "genes.gtf, line 1: 1 tab-separated"]),
    ],
)
def test_references_of_other_formats(tmp_path, fasta, gtf, told):
    with pytest.raises(InputError) as caught:
        check_study.check_reference(*reference(tmp_path, fasta, gtf))
    assert len(caught.value.problems) == len(told)
    for problem, text in zip(caught.value.problems, told, strict=True):
        assert text in problem


def test_files_that_are_not_there_are_told_both(tmp_path):
    with pytest.raises(InputError) as caught:
        check_study.check_reference("no.fa", "no.gtf")
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "reference.fasta",
        "reference.gtf",
    ]


def test_urls_are_left_for_the_run(tmp_path):
    fasta, gtf = reference(tmp_path, ">chr1\nA\n", EXON.format("1"))
    url = "https://example.org/x.gz"
    check_study.check_reference(url, url)
    check_study.check_reference(fasta, url)
    check_study.check_reference(url, gtf)
    with pytest.raises(InputError, match=r"reference\.gtf: gone"):
        check_study.check_reference(url, "gone")
    assert not check_study.is_url("data/https.fa")


# the program


def run(folder: Path, config: dict[str, Any]) -> int:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return check_study.main(["--configfile", str(path)])


def test_the_design_is_printed(tmp_path, config, capsys):
    sheet = Path(config["samples"])
    text_file(tmp_path / "ip.fastq", READ.format("x"))
    sheet.write_text(sheet.read_text() + "r_ip\tr\tresistant\tip\tip.fastq\n")
    before = sorted(tmp_path.iterdir())
    assert run(tmp_path, config) == 0
    assert capsys.readouterr().out.splitlines() == [
        "condition: resistant over sensitive",
        "  resistant\tr\tr\tinput",
        "  sensitive\ts\ts\tinput",
        "  resistant\tr\tr_ip\tIP over r",
    ]
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "config.yaml"])


def test_covariates_are_printed(tmp_path):
    sheet = text_file(
        tmp_path / "s.tsv",
        "library\tsample\tcondition\tassay\tbatch\n"
        "a\ta\tx\tinput\t1\nb\tb\tx\tinput\t2\nc\tc\ty\tinput\t1\nd\td\ty\tinput\t2\n",
    )
    study = read_study(sheet, Contrast("condition", "x", "y", ("batch",)))
    first = check_study.describe(study).splitlines()[0]
    assert first == "condition: x over y, adjusted for batch"


def test_a_mistake_is_a_message_with_the_name_of_the_file(tmp_path, config, capsys):
    assert run(tmp_path, config | {"circrna": {"min_readz": 2}}) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[0] == (
        f"Error: {tmp_path / 'config.yaml'}: unknown key 'circrna.min_readz'; "
        "did you mean 'min_reads'?"
    )
    assert captured.err.splitlines()[-1].startswith("Hint: ")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file"),
        (b"", "not a configuration, but 'None'"),
        (b"- a\n", "not a configuration, but \"['a']\""),
        (b"a: [\n", "not YAML in UTF-8: "),
        (b"a: b: c\n", "line 1"),
        (b"a: \xff\n", "not YAML in UTF-8: "),
    ],
)
def test_configurations_that_cannot_be_read(tmp_path, capsys, content, told):
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_bytes(content)
    assert check_study.main(["--configfile", str(path)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"Error: {path}: ")
    assert told in lines[0]
    assert len(lines) == 2


def test_a_configuration_with_a_byte_order_mark(tmp_path, config):
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + yaml.safe_dump(config).encode())
    assert check_study.read_config(path) == config


# what the workflow asks for besides


def test_own_programs_come_first_on_the_path(monkeypatch):
    monkeypatch.setenv("PATH", "/elsewhere")
    check_study.put_own_programs_first()
    assert os.environ["PATH"].split(os.pathsep) == [str(Path(sys.executable).parent), "/elsewhere"]


def test_commit_of_a_checkout_and_of_a_plain_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert check_study.commit_of(str(tmp_path)) == "unknown"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "a").write_text("1")
    subprocess.run([*git, "add", "a"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "one"], check=True)
    commit = check_study.commit_of(str(tmp_path))
    assert len(commit) == 40
    (tmp_path / "a").write_text("2")
    assert check_study.commit_of(str(tmp_path)) == f"{commit}-dirty"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check_study.commit_of(str(tmp_path)) == "unknown"


def test_paths_start_at_the_working_folder(tmp_path, config, capsys, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    relative = config | {"samples": Path(config["samples"]).name}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(relative))
    call = ["--configfile", "../config.yaml", "--directory"]
    assert check_study.main([*call, ".."]) == 0
    assert Path.cwd() == elsewhere
    assert check_study.main([*call, "."]) == 1
    assert "samples.tsv: no such samples sheet" in capsys.readouterr().err
    assert check_study.main([*call, "gone"]) == 1
    assert "gone: no such folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("aligner", "head", "size", "refused"),
    [
        ("minimap2", b">a", 2_000_000_000, True),
        ("minimap2", b">a", 900_000_000, False),
        ("minimap2", b"\x1f\x8b", 300_000_000, True),
        ("minimap2", b"\x1f\x8b", 200_000_000, False),
        ("star", b">a", 2_000_000_000, False),
    ],
)
def test_minimap2_is_refused_for_large_genomes(tmp_path, aligner, head, size, refused):
    path = tmp_path / "genome.fa"
    with path.open("wb") as handle:
        handle.write(head)
        handle.truncate(size)
    if not refused:
        check_study.check_genome_size(str(path), aligner)
        return
    with pytest.raises(InputError, match=r"too large for alignment\.aligner"):
        check_study.check_genome_size(str(path), aligner)


def test_a_genome_at_a_url_has_no_size_yet():
    check_study.check_genome_size("https://example.org/genome.fa", "minimap2")

"""The reference: fetched, checked against itself and its checksums, and put in one plain form."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pysam
import pytest

import prepare_reference
from ringmark.annotation import Annotation
from ringmark.errors import InputError

GENOME = ">chr1 first\nACGTACGTAC\nGTACGTACGT\nACG\n>chr2\nTTTTTCCCCC\n"


def exon(gene: str, chrom: str, start: int, end: int, strand: str = "+") -> str:
    attributes = f'gene_id "{gene}"; transcript_id "t{gene}"; gene_name "{gene.upper()}";'
    return f"{chrom}\tx\texon\t{start}\t{end}\t.\t{strand}\t.\t{attributes}\n"


GENES = exon("a", "chr1", 1, 5) + exon("a", "chr1", 11, 23) + exon("b", "chr2", 3, 10, "-")


def pack(content: str, packed: bool) -> bytes:
    return gzip.compress(content.encode(), mtime=0) if packed else content.encode()


class Place:
    """A folder of sources, and what is made of them beside it."""

    def __init__(self, folder: Path) -> None:
        self.sources = folder / "sources"
        self.made = folder / "results" / "reference"
        self.sources.mkdir()

    def source(self, name: str, content: str | bytes) -> Path:
        path = self.sources / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def run(self, fasta: object, gtf: object, *options: str) -> int:
        return prepare_reference.main(
            [
                *("--fasta", str(fasta), "--gtf", str(gtf)),
                *("--genome", str(self.made / "genome.fa")),
                *("--transcripts", str(self.made / "transcripts.tsv")),
                *("--annotation", str(self.made / "annotation.gtf")),
                *options,
            ]
        )

    def check(self) -> None:
        """The outputs are those of `GENOME` and `GENES`, and nothing else lies beside them."""
        genome = self.made / "genome.fa"
        assert sorted(item.name for item in self.made.iterdir()) == [
            "annotation.gtf",
            "genome.fa",
            "genome.fa.fai",
            "transcripts.tsv",
        ]
        assert genome.read_text() == GENOME
        with pysam.FastaFile(str(genome)) as fasta:
            assert dict(zip(fasta.references, fasta.lengths, strict=True)) == {
                "chr1": 23,
                "chr2": 10,
            }
            assert fasta.fetch("chr1", 18, 23) == "GTACG"
        for annotation in (
            Annotation.read(self.made / "transcripts.tsv"),
            Annotation.from_gtf(self.made / "annotation.gtf"),
        ):
            assert [(g.gene_id, g.start, g.end, g.strand) for g in annotation.genes.values()] == [
                ("a", 0, 23, "+"),
                ("b", 2, 10, "-"),
            ]


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path)


def told(capfd) -> list[str]:
    """The message of a failed program: problems, then the hint."""
    lines = capfd.readouterr().err.splitlines()
    assert "Traceback" not in "\n".join(lines)
    assert lines[-1].startswith("Hint: ")
    return [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]


@pytest.mark.parametrize("fasta_packed", [False, True])
@pytest.mark.parametrize("gtf_packed", [False, True])
def test_local_files_plain_or_gzipped(place, fasta_packed, gtf_packed):
    fasta = place.source("genome.fa.gz", pack(GENOME, fasta_packed))
    gtf = place.source("genes.gtf", pack(GENES, gtf_packed))
    assert place.run(fasta, gtf) == 0
    place.check()
    assert (place.made / "genome.fa").is_symlink() is not fasta_packed


def test_a_plain_local_fasta_is_linked_from_any_folder(place, monkeypatch, tmp_path):
    place.source("genome.fa", GENOME)
    place.source("genes.gtf", GENES)
    monkeypatch.chdir(tmp_path)
    assert place.run("sources/genome.fa", "sources/genes.gtf") == 0
    place.check()
    assert (place.made / "genome.fa").resolve() == place.sources / "genome.fa"
    assert [item.name for item in place.sources.iterdir() if item.suffix == ".fai"] == []


def test_a_second_run_gives_the_same(place):
    sources = place.source("genome.fa", GENOME), place.source("genes.gtf", GENES)
    assert place.run(*sources) == 0
    before = {item.name: item.read_bytes() for item in place.made.iterdir()}
    assert place.run(*sources) == 0
    assert {item.name: item.read_bytes() for item in place.made.iterdir()} == before


def test_the_index_is_not_older_than_the_genome(place):
    assert place.run(place.source("g.fa", GENOME), place.source("g.gtf", GENES)) == 0
    genome, index = place.made / "genome.fa", place.made / "genome.fa.fai"
    assert index.stat().st_mtime >= genome.stat().st_mtime


def test_genes_on_other_contigs_are_left_out_and_counted(place, capfd):
    gtf = place.source("g.gtf", GENES + exon("c", "chrUn_patch", 1, 900) + exon("d", "chr9", 1, 2))
    assert place.run(place.source("g.fa", GENOME), gtf) == 0
    assert "2 genes lie on contigs that " in capfd.readouterr().err
    place.check()


def test_one_record(place):
    fasta, gtf = place.source("g.fa", ">c\nA\n"), place.source("g.gtf", exon("a", "c", 1, 1))
    assert place.run(fasta, gtf) == 0
    assert (place.made / "genome.fa.fai").read_text().startswith("c\t1\t")
    assert len((place.made / "transcripts.tsv").read_text().splitlines()) == 2


# what does not fit


def test_no_shared_contig(place, capfd):
    fasta, gtf = place.source("g.fa", GENOME), place.source("g.gtf", GENES.replace("chr", ""))
    assert place.run(fasta, gtf) == 1
    assert told(capfd) == [f"no contig of {gtf} (1, 2, ...) is in {fasta} (chr1, chr2, ...)"]
    assert not (place.made / "transcripts.tsv").exists()


@pytest.mark.parametrize("strand", ["+", "-"])
def test_exons_beyond_their_contig(place, capfd, strand):
    fasta = place.source("g.fa", GENOME)
    gtf = place.source("g.gtf", GENES + exon("c", "chr2", 10, 11, strand))
    assert place.run(fasta, gtf) == 1
    assert told(capfd) == [
        f"{gtf}: gene c ends at 11 of chr2, which has 10 bases in {fasta}",
    ]


def test_of_many_genes_beyond_their_contig_a_few_are_named(place, capfd):
    gtf = place.source("g.gtf", "".join(exon(f"g{n}", "chr1", 90, 99) for n in range(8)))
    assert place.run(place.source("g.fa", GENOME), gtf) == 1
    found = told(capfd)
    assert len(found) == 6
    assert found[-1] == f"{gtf}: 3 more genes do so"


@pytest.mark.parametrize(
    ("fasta", "problem"),
    [
        ("", "cannot be indexed: the file is empty"),
        (">c\n", "cannot be indexed"),
        ("ACGT\n", "cannot be indexed: not FASTA, or lines of uneven length"),
        (">c\nACGT\nAC\nACGT\n", "cannot be indexed: not FASTA, or lines of uneven length"),
        (">\nACGT\n", "a contig has no name"),
        (">c\nACGT\n>d\nAC\n>c x\nGG\n", "contig c stands twice"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_genomes_that_are_none(place, capfd, fasta, problem, packed):
    path = place.source("g.fa", pack(fasta, packed))
    assert place.run(path, place.source("g.gtf", exon("a", "c", 1, 2))) == 1
    (found,) = told(capfd)
    assert found.startswith(f"{path}: ")
    assert problem in found


@pytest.mark.parametrize("gtf", ["", "#!genome-build X\n"])
def test_annotations_without_genes(place, capfd, gtf):
    path = place.source("g.gtf", gtf)
    assert place.run(place.source("g.fa", GENOME), path) == 1
    assert told(capfd) == [f"{path}: no exon line with gene_id and transcript_id"]


def test_gff3(place, capfd):
    path = place.source("g.gff3", "chr1\tx\texon\t1\t9\t.\t+\t.\tID=e1;Parent=t1\n")
    assert place.run(place.source("g.fa", GENOME), path) == 1
    assert told(capfd)[0].startswith(f"{path}, line 1: this is GFF3")


@pytest.mark.parametrize("which", ["fasta", "gtf"])
@pytest.mark.parametrize("damage", ["missing", "short"])
def test_files_that_cannot_be_read(place, capfd, which, damage):
    contents = {"fasta": GENOME * 200, "gtf": GENES * 200}
    paths = {}
    for name, content in contents.items():
        packed = pack(content, packed=True)
        length = len(packed) // 2 if name == which else len(packed)
        paths[name] = place.source(f"{name}.gz", packed[:length])
    if damage == "missing":
        paths[which].unlink()
    assert place.run(paths["fasta"], paths["gtf"]) == 1
    assert str(paths[which]) in told(capfd)[0]
    assert not (place.made / "transcripts.tsv").exists()


# checksums


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_checksums_are_of_the_files_as_given(place):
    fasta = place.source("g.fa.gz", pack(GENOME, packed=True))
    gtf = place.source("g.gtf", GENES)
    sums = ("--fasta-sha256", digest(fasta), "--gtf-sha256", digest(gtf))
    assert place.run(fasta, gtf, *sums) == 0
    place.check()


@pytest.mark.parametrize("which", ["fasta", "gtf"])
def test_another_checksum(place, capfd, which):
    paths = {"fasta": place.source("g.fa", GENOME), "gtf": place.source("g.gtf", GENES)}
    assert place.run(paths["fasta"], paths["gtf"], f"--{which}-sha256", "0" * 64) == 1
    assert told(capfd) == [f"{paths[which]}: sha256 is {digest(paths[which])}, expected {'0' * 64}"]
    assert list(place.made.iterdir()) == []


# URLs


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server of files that breaks off after half of what it promised, if asked for it."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if not self.path.startswith("/half/"):
            super().do_GET()
            return
        content = Path(self.directory, Path(self.path).name).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])


@pytest.fixture
def server(place) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(place.sources))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("packed", [False, True])
def test_urls(place, server, packed):
    fasta = place.source("genome.fa.gz", pack(GENOME, packed))
    gtf = place.source("genes.gtf", pack(GENES, packed))
    sums = ("--fasta-sha256", digest(fasta), "--gtf-sha256", digest(gtf))
    assert place.run(f"{server}/genome.fa.gz?release=1", f"{server}/genes.gtf", *sums) == 0
    place.check()
    assert not (place.made / "genome.fa").is_symlink()


def test_two_urls_of_one_file_name(place, server):
    for name, content in (("fasta", GENOME), ("gtf", GENES)):
        (place.sources / name).mkdir()
        (place.sources / name / "download").write_text(content)
    assert place.run(f"{server}/fasta/download", f"{server}/gtf/download") == 0
    place.check()


def test_a_url_that_is_not_there(place, server, capfd):
    url = f"{server}/gone.fa"
    assert place.run(url, place.source("g.gtf", GENES)) == 1
    (found,) = told(capfd)
    assert found.startswith(f"{url}: cannot be downloaded: ")
    assert "404" in found
    assert list(place.made.iterdir()) == []


def test_a_server_that_is_not_there(place, capfd):
    with http.server.HTTPServer(("127.0.0.1", 0), Quiet) as free:
        url = f"http://127.0.0.1:{free.server_address[1]}/genes.gtf"
    assert place.run(place.source("g.fa", GENOME), url) == 1
    assert told(capfd)[0].startswith(f"{url}: cannot be downloaded: ")


def test_a_download_that_breaks_off(place, server, capfd):
    place.source("genes.gtf", GENES)
    url = f"{server}/half/genes.gtf"
    assert place.run(place.source("g.fa", GENOME), url) == 1
    (found,) = told(capfd)
    assert found.startswith(f"{url}: cannot be downloaded: ")
    assert not (place.made / "annotation.gtf").exists()


def test_a_damaged_download_is_told_by_its_url(place, server, capfd):
    packed = pack(GENOME * 200, packed=True)
    place.source("genome.fa.gz", packed[: len(packed) // 2])
    assert place.run(f"{server}/genome.fa.gz", place.source("g.gtf", GENES)) == 1
    assert told(capfd)[0].startswith(f"{server}/genome.fa.gz: cannot be read: ")
    place.source("genes.gtf", "<html>\n")
    assert place.run(place.source("g.fa", GENOME), f"{server}/genes.gtf") == 1
    assert told(capfd)[0].startswith(f"{server}/genes.gtf, line 1: ")


def test_without_a_genome_the_annotation_is_taken_as_it_is(place):
    gtf = place.source("genes.gtf", GENES)
    outputs = [
        *("--transcripts", str(place.made / "transcripts.tsv")),
        *("--annotation", str(place.made / "annotation.gtf")),
    ]
    assert prepare_reference.main(["--gtf", str(gtf), *outputs]) == 0
    assert sorted(item.name for item in place.made.iterdir()) == [
        "annotation.gtf",
        "transcripts.tsv",
    ]
    annotation = Annotation.read(place.made / "transcripts.tsv")
    assert set(annotation.genes) == set(Annotation.from_gtf(gtf).genes)


def test_a_genome_without_a_place_for_it(place, capfd):
    gtf = place.source("genes.gtf", GENES)
    outputs = ["--transcripts", str(place.made / "t.tsv"), "--annotation", str(place.made / "a")]
    assert prepare_reference.main(["--fasta", "x", "--gtf", str(gtf), *outputs]) == 1
    assert told(capfd) == ["--fasta and --genome belong together"]


def test_options_are_required():
    with pytest.raises(SystemExit) as stop:
        prepare_reference.main(["--fasta", "x"])
    assert stop.value.code == 2


# small functions


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("A>\n", 0), (">a", 1), (">a\nAC>GT\n>b\n", 2), ("\n>a\n\n>b\n>c\nA\n>", 4)],
)
@pytest.mark.parametrize("chunk", [1, 2, 3, 1 << 20])
def test_headers_are_counted_across_the_edges_of_chunks(tmp_path, text, count, chunk):
    path = tmp_path / "a.fa"
    path.write_text(text)
    assert prepare_reference.count_headers(path, chunk) == count


def test_restrict_keeps_the_order_and_needs_a_gene(tmp_path):
    (tmp_path / "g.gtf").write_text(GENES)
    annotation = Annotation.from_gtf(tmp_path / "g.gtf")
    kept = prepare_reference.restrict(annotation, {"chr2": 10}, "f", "g")
    assert list(kept.genes) == ["b"]
    with pytest.raises(InputError, match="no contig of g"):
        prepare_reference.restrict(annotation, {}, "f", "g")

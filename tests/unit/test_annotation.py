"""Annotation: GTF dialects to genes, exons and splice sites, and the table made of them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from ringmark.annotation import (
    TRANSCRIPTS,
    UNREADABLE,
    Annotation,
    Gene,
    Transcript,
    open_text,
    parse_gtf,
    read_gtf,
)
from ringmark.errors import InputError
from ringmark.intervals import Blocks


def line(
    attributes: str, start: int = 1, end: int = 9, *, feature="exon", chrom="chr1", strand="+"
) -> str:
    return f"{chrom}\tx\t{feature}\t{start}\t{end}\t.\t{strand}\t.\t{attributes}\n"


def write(folder: Path, *lines: str, name: str = "genes.gtf") -> Path:
    path = folder / name
    path.write_text("".join(lines))
    return path


def exons(annotation: Annotation, gene_id: str) -> dict[str, list[tuple[int, int]]]:
    return {
        item.transcript_id: list(
            zip(item.exons.starts.tolist(), item.exons.ends.tolist(), strict=True)
        )
        for item in annotation.genes[gene_id].transcripts
    }


GENCODE = (
    "##description: evidence-based annotation\n",
    line(
        'gene_id "ENSG1.5"; gene_type "protein_coding"; gene_name "ONE"; level 2;',
        101,
        500,
        feature="gene",
    ),
    line(
        'gene_id "ENSG1.5"; transcript_id "ENST1.2"; gene_type "protein_coding"; gene_name "ONE"; '
        'transcript_type "protein_coding"; exon_number 1; tag "basic"; tag "CCDS";',
        101,
        200,
    ),
    line(
        'gene_id "ENSG1.5"; transcript_id "ENST1.2"; gene_type "protein_coding"; gene_name "ONE"; '
        "exon_number 1;",
        150,
        200,
        feature="CDS",
    ),
    line(
        'gene_id "ENSG1.5"; transcript_id "ENST1.2"; gene_type "protein_coding"; gene_name "ONE"; '
        "exon_number 2;",
        401,
        500,
    ),
    line(
        'gene_id "ENSG1.5"; transcript_id "ENST1.2"; gene_type "protein_coding"; gene_name "ONE"; '
        "exon_number 2;",
        401,
        450,
        feature="CDS",
    ),
    line(
        'gene_id "ENSG1.5"; transcript_id "ENST1.2"; gene_type "protein_coding";',
        451,
        453,
        feature="stop_codon",
    ),
)
ENSEMBL = (
    "#!genome-build GRCh38.p14\n",
    line('gene_id "ENSG1"; gene_version "5"; gene_name "ONE"; gene_biotype "protein_coding";',
         101, 500, feature="gene", chrom="1"),
    line('gene_id "ENSG1"; gene_version "5"; transcript_id "ENST1"; transcript_version "2"; '
         'exon_number "1"; gene_name "ONE"; gene_biotype "protein_coding";', 101, 200, chrom="1"),
    line('gene_id "ENSG1"; transcript_id "ENST1"; exon_number "1"; gene_name "ONE"; '
         'gene_biotype "protein_coding"; protein_id "P;1";', 150, 200, feature="CDS", chrom="1"),
    line('gene_id "ENSG1"; transcript_id "ENST1"; exon_number "2"; gene_name "ONE"; '
         'gene_biotype "protein_coding";', 401, 500, chrom="1"),
    line('gene_id "ENSG1"; transcript_id "ENST1"; exon_number "2"; gene_name "ONE"; '
         'gene_biotype "protein_coding";', 401, 450, feature="CDS", chrom="1"),
)  # fmt: skip
REFSEQ = (
    "#gtf-version 2.2\n",
    line('gene_id "ONE"; transcript_id ""; db_xref "GeneID:1"; gbkey "Gene"; gene "ONE"; '
         'gene_biotype "protein_coding";', 101, 500, feature="gene", chrom="NC_000001.11"),
    line('gene_id "ONE"; transcript_id "NM_1.2"; db_xref "GeneID:1"; db_xref "GenBank:NM_1.2"; '
         'gbkey "mRNA"; gene "ONE"; product "one; or the other"; exon_number "1";', 101, 200,
         chrom="NC_000001.11"),
    line('gene_id "ONE"; transcript_id "NM_1.2"; db_xref "CCDS:CCDS1"; gbkey "CDS"; gene "ONE"; '
         'note "isoform a; see GeneID 2"; exon_number "1";', 150, 200, feature="CDS",
         chrom="NC_000001.11"),
    line('gene_id "ONE"; transcript_id "NM_1.2"; db_xref "GeneID:1"; gene "ONE"; exon_number "2";',
         401, 500, chrom="NC_000001.11"),
    line('gene_id "ONE"; transcript_id "NM_1.2"; gene "ONE"; exon_number "2";', 401, 450,
         feature="CDS", chrom="NC_000001.11"),
)  # fmt: skip
UCSC = (
    line('gene_id "ONE"; transcript_id "NM_1";  gene_name "ONE";', 101, 500, feature="transcript"),
    line('gene_id "ONE"; transcript_id "NM_1"; exon_number "1"; exon_id "NM_1.1"; '
         'gene_name "ONE";', 101, 200),
    line('gene_id "ONE"; transcript_id "NM_1"; exon_number "1"; exon_id "NM_1.1"; '
         'gene_name "ONE";', 150, 200, feature="CDS"),
    line('gene_id "ONE"; transcript_id "NM_1"; exon_number "2"; exon_id "NM_1.2"; '
         'gene_name "ONE";', 401, 500),
    line('gene_id "ONE"; transcript_id "NM_1"; exon_number "2"; exon_id "NM_1.2"; '
         'gene_name "ONE";', 401, 450, feature="CDS"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "gene_id", "transcript", "chrom", "biotype"),
    [
        (GENCODE, "ENSG1.5", "ENST1.2", "chr1", "protein_coding"),
        (ENSEMBL, "ENSG1", "ENST1", "1", "protein_coding"),
        (REFSEQ, "ONE", "NM_1.2", "NC_000001.11", "unknown"),
        (UCSC, "ONE", "NM_1", "chr1", "unknown"),
    ],
    ids=["GENCODE", "Ensembl", "RefSeq", "UCSC"],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["unix", "windows"])
def test_dialects_give_the_same_gene(tmp_path, lines, gene_id, transcript, chrom, biotype, ending):
    path = tmp_path / "genes.gtf"
    path.write_bytes("".join(lines).replace("\n", ending).encode())
    annotation = Annotation.from_gtf(path)
    assert list(annotation.genes) == [gene_id]
    gene = annotation.genes[gene_id]
    assert (gene.name, gene.chrom, gene.strand, gene.biotype) == ("ONE", chrom, "+", biotype)
    assert (gene.start, gene.end) == (100, 500)
    assert exons(annotation, gene_id) == {transcript: [(100, 200), (400, 500)]}
    assert (gene.transcripts[0].cds_start, gene.transcripts[0].cds_end) == (149, 450)


def test_spellings_of_attributes():
    texts = [
        'transcript_id "t 1"; gene_id "g1"',
        "gene_id g1; transcript_id t1;",
        '  gene_id   "g1" ;transcript_id "t1";',
        'note "gene_id \'x\'"; gene_id "g1"; transcript_id "t1"; gene_id "g2";',
    ]
    records = list(parse_gtf([line(text) for text in texts], "x"))
    assert [record.gene_id for record in records] == ["g1"] * 4
    assert [record.transcript_id for record in records] == ["t 1", "t1", "t1", "t1"]
    assert (records[0].start, records[0].end) == (0, 9)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["genes.gtf", "genes.gtf.gz"])
def test_content_and_not_the_name_says_what_is_gzipped(tmp_path, packed, name):
    content = "".join(GENCODE).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if packed else content)
    assert list(Annotation.from_gtf(tmp_path / name).genes) == ["ENSG1.5"]


def test_a_byte_order_mark_is_not_part_of_a_contig(tmp_path):
    path = tmp_path / "genes.gtf"
    path.write_bytes(b"\xef\xbb\xbf" + line('gene_id "g"; transcript_id "t";').encode())
    assert Annotation.from_gtf(path).chroms == {"chr1"}


def test_gff3_is_refused_with_the_remedy(tmp_path):
    path = write(
        tmp_path,
        "##gff-version 3\n",
        line("ID=gene1;Name=ONE", feature="gene"),
        line("ID=exon1;Parent=rna1;gene=ONE"),
    )
    with pytest.raises(InputError) as caught:
        Annotation.from_gtf(path)
    assert f"{path}, line 3: this is GFF3" in caught.value.problems[0]
    assert "ID=exon1" in caught.value.problems[0]
    assert "gffread" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("chr1 x exon 1 9 . + . gene_id\n", "1 tab-separated fields, not 9"),
        (line('gene_id "g"; transcript_id "t";', 0, 9), "start '0' and end '9'"),
        (line('gene_id "g"; transcript_id "t";', 10, 9), "start '10' and end '9'"),
        (line('gene_id "g"; transcript_id "t";').replace("\t9\t", "\tnine\t"), "end 'nine'"),
        (line('gene_id "g"; transcript_id "t";', strand="."), "strand '.' is neither"),
        (line('gene_id "g"; transcript_id "t";', strand="+-"), "strand '+-' is neither"),
        (line('gene_id "g"; transcript_id "t";', strand=""), "strand '' is neither"),
        (line('gene_id "g";'), "no transcript_id"),
        (line('transcript_id "t";'), "no gene_id"),
        (line('gene_id ""; transcript_id "t";'), "no gene_id"),
        (line(""), "no gene_id"),
    ],
)
def test_a_line_that_is_not_gtf_is_quoted_with_its_number(tmp_path, text, problem):
    path = write(tmp_path, "# comment\n", "\n", text)
    with pytest.raises(InputError) as caught:
        list(read_gtf(path))
    assert caught.value.problems[0].startswith(f"{path}, line 3: ")
    assert problem in caught.value.problems[0]
    assert text.split("\t")[0].split()[0] in caught.value.problems[0]


def test_an_exon_whose_transcript_is_empty_belongs_to_the_gene(tmp_path):
    path = write(tmp_path, line('gene_id "TRNA"; transcript_id ""; gene "TRNA";'))
    assert exons(Annotation.from_gtf(path), "TRNA") == {"TRNA": [(0, 9)]}


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["#!genome-build X\n", "\n"],
        [line('gene_id "g"; transcript_id "t";', feature="gene")],
        [line('gene_id "g"; transcript_id "t";', feature="CDS")],
    ],
    ids=["empty", "comments", "gene-lines", "CDS-lines"],
)
def test_a_gtf_without_exons_is_an_error(tmp_path, lines):
    path = write(tmp_path, *lines)
    with pytest.raises(InputError, match="no exon line") as caught:
        Annotation.from_gtf(path)
    assert str(path) in caught.value.problems[0]


@pytest.mark.parametrize("damage", ["missing", "folder", "short", "damaged", "not gzip"])
def test_a_file_that_cannot_be_read_is_a_message(tmp_path, damage):
    path = tmp_path / "genes.gtf.gz"
    packed = bytearray(gzip.compress("".join(GENCODE * 50).encode()))
    if damage == "folder":
        path.mkdir()
    elif damage == "short":
        path.write_bytes(packed[: len(packed) // 2])
    elif damage == "damaged":
        packed[60:90] = bytes(30)
        path.write_bytes(packed)
    elif damage == "not gzip":
        path.write_bytes(b"\x1f\x8bno")
    with pytest.raises(UNREADABLE):
        open_text(path).read()
    with pytest.raises(InputError) as caught:
        Annotation.from_gtf(path)
    assert f"{path}: cannot be read" in caught.value.problems[0]


def test_same_gene_id_at_two_loci(tmp_path):
    path = write(
        tmp_path,
        line('gene_id "g"; transcript_id "t";', 11, 20, chrom="chrY"),
        line('gene_id "g"; transcript_id "t";', 31, 40, chrom="chrY"),
        line('gene_id "g"; transcript_id "t";', 1, 9, chrom="chrX"),
        line('gene_id "g"; transcript_id "u";', 101, 109, chrom="chrX", strand="-"),
    )
    genes = Annotation.from_gtf(path).genes
    assert {name: (gene.chrom, gene.strand) for name, gene in genes.items()} == {
        "g": ("chrX", "+"),
        "g@chrX-": ("chrX", "-"),
        "g@chrY+": ("chrY", "+"),
    }
    assert [gene.gene_id for gene in genes.values()] == list(genes)


def test_exons_are_sorted_and_joined_where_they_overlap_or_touch(tmp_path):
    text = 'gene_id "g"; transcript_id "t";'
    path = write(tmp_path, *(line(text, *span) for span in ((31, 40), (1, 9), (10, 12), (35, 50))))
    assert exons(Annotation.from_gtf(path), "g") == {"t": [(0, 12), (30, 50)]}


def test_genes_stand_in_order_of_contig_start_and_id(tmp_path):
    spans = [("b", "chr2", 1), ("z", "chr1", 5), ("y", "chr1", 50), ("a", "chr1", 5)]
    path = write(
        tmp_path,
        *(
            line(f'gene_id "{name}"; transcript_id "t{name}";', start, start + 9, chrom=chrom)
            for name, chrom, start in spans
        ),
    )
    assert list(Annotation.from_gtf(path).genes) == ["a", "z", "y", "b"]


ISOFORMS = {1: ((101, 200), (301, 400), (501, 600)), 2: ((151, 200), (501, 650))}
TWO_STRANDS = tuple(
    line(f'gene_id "{gene}"; transcript_id "{gene}{transcript}";', *span, strand=strand)
    for gene, strand in (("plus", "+"), ("minus", "-"))
    for transcript, spans in ISOFORMS.items()
    for span in spans
)


def test_splice_sites_of_both_strands(tmp_path):
    sites = Annotation.from_gtf(write(tmp_path, *TWO_STRANDS)).splice_sites
    assert sites["chr1", "+"] == ({300, 500}, {200, 400})
    assert sites["chr1", "-"] == ({200, 400}, {300, 500})


def test_a_gene_of_one_exon_has_no_splice_site(tmp_path):
    path = write(tmp_path, line('gene_id "g"; transcript_id "t";'))
    assert Annotation.from_gtf(path).splice_sites == {("chr1", "+"): (set(), set())}
    assert Annotation().splice_sites == {}


def test_union_of_transcripts(tmp_path):
    gene = Annotation.from_gtf(write(tmp_path, *TWO_STRANDS)).genes["minus"]
    assert gene.union.starts.tolist() == [100, 300, 500]
    assert gene.union.ends.tolist() == [200, 400, 650]
    assert gene.union.strand == "-"


@pytest.mark.parametrize(
    ("start", "end", "strand", "found"),
    [
        (0, 10, None, ["long"]),
        (10, 20, None, ["long"]),
        (0, 1, None, ["long"]),
        (990, 1000, None, ["long", "late"]),
        (1000, 2000, None, []),
        (55, 56, None, ["long", "short"]),
        (55, 56, "+", ["long"]),
        (55, 56, "-", ["short"]),
        (60, 61, "-", []),
        (49, 50, "-", []),
        (0, 1000, None, ["long", "short", "late"]),
    ],
)
def test_overlapping(tmp_path, start, end, strand, found):
    path = write(
        tmp_path,
        line('gene_id "long"; transcript_id "a";', 1, 1000),
        line('gene_id "short"; transcript_id "b";', 51, 60, strand="-"),
        line('gene_id "late"; transcript_id "c";', 991, 1000),
        line('gene_id "other"; transcript_id "d";', 1, 1000, chrom="chr2"),
    )
    annotation = Annotation.from_gtf(path)
    assert [gene.gene_id for gene in annotation.overlapping("chr1", start, end, strand)] == found
    assert annotation.overlapping("chr3", start, end) == []


def same(one: Annotation, other: Annotation) -> bool:
    def facts(annotation: Annotation) -> list[object]:
        return [
            (
                *(gene.gene_id, gene.name, gene.biotype, gene.chrom, gene.strand),
                *(
                    (
                        *(item.transcript_id, item.cds_start, item.cds_end, item.exons.strand),
                        *(item.exons.starts.tolist(), item.exons.ends.tolist()),
                    )
                    for item in gene.transcripts
                ),
            )
            for gene in annotation.genes.values()
        ]

    return facts(one) == facts(other)


@pytest.mark.parametrize("lines", [GENCODE, ENSEMBL, REFSEQ, UCSC, TWO_STRANDS])
def test_table_and_gtf_come_back(tmp_path, lines):
    annotation = Annotation.from_gtf(write(tmp_path, *lines))
    annotation.write(tmp_path / "transcripts.tsv")
    annotation.write_gtf(tmp_path / "new" / "annotation.gtf")
    assert same(annotation, Annotation.read(tmp_path / "transcripts.tsv"))
    assert same(annotation, Annotation.from_gtf(tmp_path / "new" / "annotation.gtf"))
    assert [item.name for item in (tmp_path / "new").iterdir()] == ["annotation.gtf"]


def test_coding_lines_of_the_written_gtf_stay_inside_exons(tmp_path):
    Annotation.from_gtf(write(tmp_path, *GENCODE)).write_gtf(tmp_path / "out.gtf")
    rows = [text.split("\t") for text in (tmp_path / "out.gtf").read_text().splitlines()]
    assert [(row[2], row[3], row[4]) for row in rows] == [
        ("exon", "101", "200"),
        ("exon", "401", "500"),
        ("CDS", "150", "200"),
        ("CDS", "401", "450"),
    ]


def test_no_genes_at_all(tmp_path):
    empty = Annotation()
    assert empty.chroms == set()
    assert empty.overlapping("chr1", 0, 10) == []
    empty.write(tmp_path / "t.tsv")
    assert Annotation.read(tmp_path / "t.tsv").genes == {}
    empty.write_gtf(tmp_path / "t.gtf")
    assert (tmp_path / "t.gtf").read_text() == ""


def test_a_table_of_another_kind_is_refused(tmp_path):
    (tmp_path / "t.tsv").write_text("gene_id\tcount\na\t1\n")
    with pytest.raises(InputError, match="transcripts table has no column transcript, gene_name"):
        Annotation.read(tmp_path / "t.tsv")
    header = "\t".join(TRANSCRIPTS.columns)
    (tmp_path / "t.tsv").write_text(f"{header}\nt\tg\tG\tx\tchr1\t+\t1\t9\tone\tNA\n")
    with pytest.raises(InputError, match="row 2: cds_start 'one' is not a whole number"):
        Annotation.read(tmp_path / "t.tsv")


def gene(gene_id: str, strand: str, *bounds: tuple[int, int], chrom: str = "chr1") -> Gene:
    starts, ends = np.array(bounds, dtype=np.int64).T
    exons = Blocks(starts, ends, strand)
    return Gene(gene_id, f"name of {gene_id}", "x", chrom, strand, (Transcript("t", exons),))


def introns_of(*genes: Gene) -> list[tuple[str, int, int]]:
    found = Annotation({item.gene_id: item for item in genes}).introns()
    return [(item.gene_id, item.start, item.end) for item in found]


@pytest.mark.parametrize("strand", ["+", "-"])
def test_introns_lie_between_exons(strand):
    found = introns_of(gene("A", strand, (100, 200), (300, 350), (500, 600)))
    assert found == [("A", 200, 300), ("A", 350, 500)]


def test_a_gene_of_one_exon_has_no_intron():
    assert introns_of(gene("A", "+", (100, 200))) == introns_of() == []


@pytest.mark.parametrize("strand", ["+", "-"])
def test_exons_of_other_genes_of_either_strand_divide_introns(strand):
    host = gene("A", "+", (100, 200), (500, 600))
    assert introns_of(host, gene("B", strand, (300, 400))) == [("A", 200, 300), ("A", 400, 500)]
    assert introns_of(host, gene("B", strand, (150, 300))) == [("A", 300, 500)]
    assert introns_of(host, gene("B", strand, (200, 500))) == []
    assert introns_of(host, gene("B", strand, (300, 400), chrom="chr2")) == [("A", 200, 500)]


def test_genes_share_the_introns_they_both_have():
    host = gene("A", "+", (100, 200), (900, 999))
    found = introns_of(host, gene("B", "+", (300, 400), (500, 600)))
    assert found == [("A", 200, 300), ("A", 400, 500), ("A", 600, 900), ("B", 400, 500)]


def test_an_intron_is_an_exon_of_its_own_with_the_name_of_its_gene():
    host = gene("A", "-", (100, 200), (300, 400))
    (intron,) = Annotation({"A": host}).introns()
    facts = (intron.gene_id, intron.name, intron.chrom, intron.strand)
    assert facts == ("A", "name of A", "chr1", "-")
    (transcript,) = intron.transcripts
    assert transcript.cds_start is None and transcript.exons.length == 100
    assert intron.union.to_genome(np.array([0, 99])).tolist() == [299, 200]

"""Prepare the reference: an indexed FASTA, a table of transcripts and a plain GTF.

FASTA and GTF are paths or URLs, plain or gzipped. They are fetched, checked against their sha256
where one is given, and checked against each other: contig names must not stand twice, at least one
contig must carry a gene, and no exon may reach beyond its contig. Genes on contigs that the FASTA
does not have (patches, alternative loci) are left out and counted on standard error.
Without a FASTA the annotation is taken as it is.

A plain local FASTA is linked, not copied.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import http.client
import os
import shutil
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pysam

from check_study import contig_mismatch, is_url
from ringmark.annotation import UNREADABLE, Annotation, unreadable
from ringmark.errors import InputError, program
from ringmark.files import whole_file

#: How many genes are named that do not fit the genome.
MAX_EXAMPLES = 5


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    options = argparse.ArgumentParser(description="Prepare genome and annotation.")
    options.add_argument("--fasta", help="path or URL, plain or gzipped")
    options.add_argument("--gtf", required=True, help="path or URL, plain or gzipped")
    options.add_argument(
        "--fasta-sha256", default="", help="expected checksum of the FASTA as given"
    )
    options.add_argument("--gtf-sha256", default="", help="expected checksum of the GTF as given")
    options.add_argument("--genome", type=Path, help="FASTA to write, where there is one")
    options.add_argument("--transcripts", type=Path, required=True, help="table to write")
    options.add_argument("--annotation", type=Path, required=True, help="GTF to write")
    return options


def fetch(place: str, target: Path) -> Path:
    """Return a local file: the path itself, or the target with the download of a URL.

    Raises
    ------
    InputError
        If the download fails or is shorter than the server said.
    """
    if not is_url(place):
        return Path(place).absolute()
    try:
        with urllib.request.urlopen(place, timeout=120) as answer, target.open("wb") as handle:
            promised = answer.headers.get("Content-Length")
            shutil.copyfileobj(answer, handle, 1 << 20)
        # a connection that breaks off ends the copy without an error
        if promised is not None and target.stat().st_size != int(promised):
            raise OSError(f"{target.stat().st_size} of {promised} bytes came")
    except (http.client.HTTPException, OSError) as error:
        raise InputError(
            f"{place}: cannot be downloaded: {error}",
            "try again, or download it by hand and give its path in the configuration's "
            "'reference'",
        ) from None
    return target


def check_digest(path: Path, expected: str, place: str) -> None:
    """Compare a file with its sha256, where one is given.

    Raises
    ------
    InputError
        If they differ.
    """
    if not expected:
        return
    with path.open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != expected:
        raise InputError(
            f"{place}: sha256 is {found}, expected {expected}",
            "fetch the file again, or mend reference.sha256 if the file is the one you mean",
        )


def place_fasta(source: Path, target: Path, place: str) -> None:
    """Put a plain FASTA at the target: a link to a local plain file, else a decompressed copy.

    Raises
    ------
    InputError
        If the source cannot be read; ``place`` is what the configuration calls it.
    """
    with source.open("rb") as handle:
        compressed = handle.read(2) == b"\x1f\x8b"
    with whole_file(target) as temporary:
        if compressed:
            try:
                with gzip.open(source) as handle, temporary.open("wb") as out:
                    shutil.copyfileobj(handle, out, 1 << 20)
            except UNREADABLE as error:
                raise unreadable(place, error) from None
        elif is_url(place):
            shutil.move(source, temporary)
        else:
            temporary.symlink_to(source.resolve())


def index_fasta(fasta: Path, place: str) -> dict[str, int]:
    """Index a FASTA file and return the lengths of its contigs.

    Raises
    ------
    InputError
        If it is not FASTA or a contig name stands twice.
    """
    index = Path(f"{fasta}.fai")
    index.unlink(missing_ok=True)
    hint = "give a FASTA whose sequence lines have one length within each contig"
    try:
        pysam.faidx(str(fasta))
    except pysam.SamtoolsError:
        size = fasta.stat().st_size
        reason = "not FASTA, or lines of uneven length" if size else "the file is empty"
        raise InputError(f"{place}: cannot be indexed: {reason}", hint) from None
    rows = [line.split("\t") for line in index.read_text().splitlines()]
    lengths = {row[0]: int(row[1]) for row in rows}
    if "" in lengths:
        raise InputError(f"{place}: a contig has no name", "write a name after every '>'")
    # the index leaves out, without an error, a contig whose name was there before
    if count_headers(fasta) > len(lengths):
        twice = ", ".join(repeated_names(fasta)[:MAX_EXAMPLES])
        raise InputError(f"{place}: contig {twice} stands twice", "give each contig its own name")
    return lengths


def count_headers(fasta: Path, size: int = 1 << 20) -> int:
    """Return the number of header lines of a plain FASTA, read in chunks of so many bytes."""
    count, before = 0, b"\n"
    with fasta.open("rb") as handle:
        while chunk := handle.read(size):
            count += chunk.count(b"\n>") + (before.endswith(b"\n") and chunk.startswith(b">"))
            before = chunk
    return count


def repeated_names(fasta: Path) -> list[str]:
    """Return the contig names that stand more than once in a plain FASTA, in order."""
    seen: Counter[str] = Counter()
    with fasta.open(encoding="utf-8", errors="replace") as handle:
        seen.update(line[1:].split()[0] for line in handle if line.startswith(">"))
    return [name for name, times in seen.items() if times > 1]


def restrict(annotation: Annotation, lengths: dict[str, int], fasta: str, gtf: str) -> Annotation:
    """Return the genes whose contig the FASTA has.

    Raises
    ------
    InputError
        If none is left, or an exon reaches beyond its contig.
    """
    kept = {name: gene for name, gene in annotation.genes.items() if gene.chrom in lengths}
    if not kept:
        raise contig_mismatch(fasta, gtf, set(lengths), annotation.chroms)
    beyond = [gene for gene in kept.values() if gene.end > lengths[gene.chrom]]
    if beyond:
        problems = [
            f"{gtf}: gene {gene.gene_id} ends at {gene.end} of {gene.chrom}, which has "
            f"{lengths[gene.chrom]} bases in {fasta}"
            for gene in beyond[:MAX_EXAMPLES]
        ]
        if len(beyond) > MAX_EXAMPLES:
            problems.append(f"{gtf}: {len(beyond) - MAX_EXAMPLES} more genes do so")
        raise InputError(problems, "take FASTA and GTF of the same assembly")
    left_out = len(annotation.genes) - len(kept)
    if left_out:
        print(f"{left_out} genes lie on contigs that {fasta} does not have", file=sys.stderr)
    return Annotation(kept)


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Prepare the reference of a study."""
    arguments = parser().parse_args(argv)
    if bool(arguments.fasta) != bool(arguments.genome):
        raise InputError("--fasta and --genome belong together", "give both or neither")
    folder = arguments.transcripts.parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        gtf = fetch(arguments.gtf, Path(scratch, "gtf"))
        check_digest(gtf, arguments.gtf_sha256, arguments.gtf)
        annotation = Annotation.from_gtf(gtf, arguments.gtf)
        if arguments.fasta:
            fasta = fetch(arguments.fasta, Path(scratch, "fasta"))
            check_digest(fasta, arguments.fasta_sha256, arguments.fasta)
            place_fasta(fasta, arguments.genome, arguments.fasta)
    if arguments.fasta:
        lengths = index_fasta(arguments.genome, arguments.fasta)
        annotation = restrict(annotation, lengths, arguments.fasta, arguments.gtf)
        # the index is newer than the FASTA it belongs to, whatever the file system's clock does
        os.utime(f"{arguments.genome}.fai")
    annotation.write_gtf(arguments.annotation)
    annotation.write(arguments.transcripts)


if __name__ == "__main__":
    sys.exit(main())

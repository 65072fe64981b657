"""Download the reads of one public run from the European Nucleotide Archive.

The archive's portal is asked which files a run has, with their sizes and MD5 sums; the files are
downloaded over HTTPS to a temporary name, checked and renamed. A failed attempt is repeated, each
time after a longer pause. A single-end run gets an empty gzip file as its second output.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import http.client
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from ringmark.errors import InputError, program

PORTAL = "https://www.ebi.ac.uk/ena/portal/api"

_ACCESSION = re.compile(r"[SED]RR[0-9]{5,12}")
_ATTEMPTS = 5
_TIMEOUT = 60.0
_CHUNK = 1 << 20

Result = TypeVar("Result")


@dataclass(frozen=True)
class RemoteFile:
    """A file of the archive and what it must be."""

    url: str
    size: int
    md5: str


def parse_report(text: str, accession: str) -> list[RemoteFile]:
    """Read the portal's table of a run's files: one for single-end reads, two for mates.

    Raises
    ------
    InputError
        If the archive has no FASTQ file of the run.
    """
    rows = list(csv.DictReader(text.splitlines(), delimiter="\t"))
    files: list[RemoteFile] = []
    if rows and rows[0].get("fastq_ftp"):
        row = rows[0]
        columns = [row[name].split(";") for name in ("fastq_ftp", "fastq_bytes", "fastq_md5")]
        for url, size, md5 in zip(*columns, strict=True):
            files.append(RemoteFile(url if "://" in url else f"https://{url}", int(size), md5))
    mates = [file for file in files if re.search(r"_[12]\.fastq\.gz$", file.url)]
    # A run of mates may have a third file, of reads that lost theirs: it is left out.
    chosen = sorted(mates, key=lambda file: file.url) if len(mates) == 2 else files
    if len(chosen) not in (1, 2):
        raise InputError(
            f"{accession}: the archive has {len(files)} FASTQ files of this run",
            "check the accession; for reads under controlled access give fastq_1 and fastq_2",
        )
    return chosen


def attempt(action: Callable[[], Result], what: str, pause: float) -> Result:
    """Repeat an action that depends on the network until it works.

    Parameters
    ----------
    pause
        Seconds before the second attempt; doubled each time.

    Raises
    ------
    InputError
        If it fails every time.
    """
    for number in range(_ATTEMPTS):
        try:
            return action()
        except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
            last = error
        if number + 1 < _ATTEMPTS:
            time.sleep(pause * 2**number)
    raise InputError(
        f"{what}: {last} ({_ATTEMPTS} attempts)",
        "check the connection and run again, or download the reads and give fastq_1 and fastq_2",
    )


def read_text(url: str) -> str:
    """Return what a URL answers."""
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
        return str(answer.read().decode("utf-8"))


def download(file: RemoteFile, output: Path) -> None:
    """Download one file and check its size and MD5 sum.

    Raises
    ------
    ValueError
        If it is not what the archive says it is.
    """
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    with urllib.request.urlopen(file.url, timeout=_TIMEOUT) as answer, output.open("wb") as handle:
        while chunk := answer.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            handle.write(chunk)
    if size != file.size:
        raise ValueError(f"{size} bytes instead of {file.size}")
    if digest.hexdigest() != file.md5:
        raise ValueError(f"MD5 {digest.hexdigest()} instead of {file.md5}")


def fetch(accession: str, outputs: Sequence[Path], portal: str, pause: float) -> None:
    """Download the one or two files of a run; the second output is empty for single-end reads."""
    if not _ACCESSION.fullmatch(accession):
        raise InputError(
            f"accession {accession!r} is no run",
            "a run begins with SRR, ERR or DRR; a study's page lists its runs",
        )
    query = urllib.parse.urlencode(
        {
            "accession": accession,
            "result": "read_run",
            "fields": "fastq_ftp,fastq_bytes,fastq_md5",
            "format": "tsv",
        }
    )
    url = f"{portal.rstrip('/')}/filereport?{query}"
    files = parse_report(attempt(partial(read_text, url), url, pause), accession)
    parts = [path.with_name(f".{path.name}.part") for path in outputs]
    try:
        for path in outputs:
            path.parent.mkdir(parents=True, exist_ok=True)
        for file, part in zip(files, parts, strict=False):
            attempt(partial(download, file, part), file.url, pause)
        if len(files) == 1:
            with gzip.GzipFile(parts[1], "wb", mtime=0):
                pass
        for part, path in zip(parts, outputs, strict=True):
            part.replace(path)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    result.add_argument("--accession", required=True, help="SRR, ERR or DRR")
    result.add_argument("--output-1", type=Path, required=True, help="gzipped FASTQ")
    result.add_argument("--output-2", type=Path, required=True, help="empty for single-end reads")
    result.add_argument("--portal", default=PORTAL, help="base address of the archive's portal")
    result.add_argument("--pause", type=float, default=5.0, help="seconds before a second attempt")
    return result


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Download a run."""
    arguments = parser().parse_args(argv)
    outputs = (arguments.output_1, arguments.output_2)
    fetch(arguments.accession, outputs, arguments.portal, arguments.pause)


if __name__ == "__main__":
    sys.exit(main())

"""Merge the runs of a library and trim adapters and low quality with cutadapt.

The files of all runs, plain or gzipped by their content, are decompressed here and streamed into
one cutadapt; reads are counted on the way, so that a truncated file or a run whose mates do not
match is named. Every library has two output files: for single-end reads the second one is an empty
gzip file, which tells the aligners the layout. A library of which no read is left is no error.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO, cast

from ringmark.errors import InputError, program

#: The common start of Illumina's TruSeq adapters, on both mates.
ILLUMINA_ADAPTER = "AGATCGGAAGAGC"

_CHUNK = 1 << 20
_ADAPTER = re.compile(r"[ACGTURYSWKMBDHVNI]*", re.IGNORECASE)


@dataclass
class Feeder:
    """Streams the files of one mate into a pipe and counts the reads of each.

    Attributes
    ----------
    lines
        Lines read, one number a file.
    problem
        Why a file could not be read to its end.
    """

    files: Sequence[Path]
    lines: list[int] = field(default_factory=list)
    problem: str | None = None

    def run(self, pipe: int) -> None:
        """Write all files to the pipe, then close it.

        Where cutadapt has given up the files are still read to their end: what is wrong with them
        says more than its message.
        """
        with os.fdopen(pipe, "wb", buffering=0) as handle:
            open_end = True
            for path in self.files:
                self.lines.append(0)
                for chunk in self._chunks(path):
                    open_end = open_end and _write(handle, chunk)

    def _chunks(self, path: Path) -> Iterator[bytes]:
        last = b"\n"
        try:
            with open_reads(path) as reads:
                while chunk := reads.read(_CHUNK):
                    self.lines[-1] += chunk.count(b"\n")
                    last = chunk
                    yield chunk
        except (EOFError, zlib.error, OSError) as error:
            self.problem = f"{path}: cannot be read to its end: {error}"
            return
        if not last.endswith(b"\n"):
            self.lines[-1] += 1
            yield b"\n"
        if self.lines[-1] % 4:
            self.problem = f"{path}: {self.lines[-1]} lines, not four a read"


def _write(handle: RawIOBase, chunk: bytes) -> bool:
    """Write all of a chunk; ``False`` where nobody reads any more."""
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[handle.write(rest) or 0 :]
    except BrokenPipeError:
        return False
    return True


def open_reads(path: Path) -> BinaryIO:
    """Open a plain or gzipped file for reading, by its first bytes and not by its name."""
    with path.open("rb") as handle:
        compressed = handle.read(2) == b"\x1f\x8b"
    return cast("BinaryIO", gzip.open(path, "rb") if compressed else path.open("rb"))


def check_arguments(arguments: argparse.Namespace) -> None:
    """Check what was asked for before anything is read.

    Raises
    ------
    InputError
        All problems at once.
    """
    problems = []
    if arguments.fastq_2 and len(arguments.fastq_1) != len(arguments.fastq_2):
        problems.append(
            f"{len(arguments.fastq_1)} files of first and {len(arguments.fastq_2)} of second mates"
        )
    for path in (*arguments.fastq_1, *arguments.fastq_2):
        if not path.is_file():
            problems.append(f"{path}: no such file")
    for name in ("adapter_1", "adapter_2"):
        if not _ADAPTER.fullmatch(getattr(arguments, name)):
            problems.append(f"{name} {getattr(arguments, name)!r} is not a nucleotide sequence")
    if not 0 <= arguments.quality_cutoff <= 60:
        problems.append(f"quality cutoff {arguments.quality_cutoff} is not between 0 and 60")
    if arguments.minimum_length < 1:
        problems.append(f"minimum length {arguments.minimum_length} is not positive")
    if problems:
        raise InputError(problems, "correct the samples sheet or the section reads")


def cutadapt_command(
    arguments: argparse.Namespace, inputs: Sequence[str], outputs: Sequence[Path], report: Path
) -> list[str]:
    """Return the call of cutadapt for one or two mates."""
    command = [
        sys.executable, "-m", "cutadapt",
        "--cores", str(arguments.threads),
        "--quality-cutoff", str(arguments.quality_cutoff),
        "--minimum-length", str(arguments.minimum_length),
        "--compression-level", "1",
        "--json", str(report),
    ]  # fmt: skip
    if arguments.adapter_1:
        command += ["-a", arguments.adapter_1]
    if arguments.adapter_2 and len(inputs) == 2:
        command += ["-A", arguments.adapter_2]
    command += ["--output", str(outputs[0])]
    if len(inputs) == 2:
        command += ["--paired-output", str(outputs[1])]
    return [*command, *inputs]


def run_cutadapt(
    arguments: argparse.Namespace, outputs: Sequence[Path], report: Path
) -> list[Feeder]:
    """Stream all runs through cutadapt.

    Raises
    ------
    InputError
        If a file is damaged, mates do not match, or cutadapt refuses the reads.
    """
    feeders = [Feeder(files) for files in (arguments.fastq_1, arguments.fastq_2) if files]
    pipes = [os.pipe() for _ in feeders]
    inputs = [f"/dev/fd/{reading}" for reading, _ in pipes]
    process = subprocess.Popen(
        cutadapt_command(arguments, inputs, outputs, report),
        pass_fds=[reading for reading, _ in pipes],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    threads = [
        threading.Thread(target=feeder.run, args=(writing,))
        for feeder, (_, writing) in zip(feeders, pipes, strict=True)
    ]
    for reading, _ in pipes:
        os.close(reading)
    for thread in threads:
        thread.start()
    text, _ = process.communicate()
    for thread in threads:
        thread.join()
    _check_run(feeders, process.returncode, text)
    return feeders


def _check_run(feeders: Sequence[Feeder], code: int, text: str) -> None:
    problems = [feeder.problem for feeder in feeders if feeder.problem]
    if not problems and len(feeders) == 2:
        one, two = feeders
        for first, second, reads_1, reads_2 in zip(
            one.files, two.files, one.lines, two.lines, strict=False
        ):
            if reads_1 != reads_2:
                problems.append(f"{first} has {reads_1 // 4} reads, {second} has {reads_2 // 4}")
    if not problems and code:
        names = ", ".join(str(path) for feeder in feeders for path in feeder.files)
        lines = [line for line in text.strip().splitlines() if line]
        problems.append(f"{names}: cutadapt: {lines[-1] if lines else f'exit code {code}'}")
    if problems:
        raise InputError(problems, "get the files again; both mates must come from the same run")


def name_report(report: Path, output: Path, layouts: int) -> None:
    """Give the report the library's name, which MultiQC takes from the input files in it."""
    library = output.name.removesuffix(".json").removesuffix(".cutadapt")
    content = json.loads(report.read_text(encoding="utf-8"))
    content["input"]["path1"] = f"{library}.fastq.gz"
    content["input"]["path2"] = f"{library}.fastq.gz" if layouts == 2 else None
    report.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def trim(arguments: argparse.Namespace) -> None:
    """Trim a library to two FASTQ files and a report, all of them or none."""
    check_arguments(arguments)
    finals = [arguments.output_1, arguments.output_2, arguments.report]
    for path in finals:
        path.parent.mkdir(parents=True, exist_ok=True)
    # cutadapt compresses by the name's end, so that the mark of an unfinished file comes first.
    parts = [path.with_name(f".part.{path.name}") for path in finals]
    try:
        feeders = run_cutadapt(arguments, parts[:2], parts[2])
        if len(feeders) == 1:
            with gzip.GzipFile(parts[1], "wb", mtime=0):
                pass
        name_report(parts[2], arguments.report, len(feeders))
        for part, final in zip(parts, finals, strict=True):
            part.replace(final)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    result.add_argument("--fastq-1", type=Path, nargs="+", required=True, help="one file a run")
    result.add_argument(
        "--fastq-2", type=Path, nargs="*", default=[], help="one file a run; none: single-end"
    )
    result.add_argument("--output-1", type=Path, required=True, help="gzipped FASTQ")
    result.add_argument("--output-2", type=Path, required=True, help="empty for single-end reads")
    result.add_argument("--report", type=Path, required=True, help="LIBRARY.cutadapt.json")
    result.add_argument("--adapter-1", default=ILLUMINA_ADAPTER, help="3' adapter; '' for none")
    result.add_argument("--adapter-2", default=ILLUMINA_ADAPTER, help="of the second mates")
    result.add_argument("--quality-cutoff", type=int, default=20, help="of 3' ends")
    result.add_argument("--minimum-length", type=int, default=18, help="of a read, and of its mate")
    result.add_argument("--threads", type=int, default=1)
    return result


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Trim a library."""
    trim(parser().parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())

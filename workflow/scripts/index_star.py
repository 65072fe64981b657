"""Build the STAR index of a genome with its annotated splice junctions.

Two settings depend on the size of the genome and are computed as STAR's manual asks: the length of
the words of the suffix array's index, min(14, log2(length) / 2 - 1), and the size of the bins the
genome is stored in, min(18, log2(max(length / contigs, read length))).
"""

from __future__ import annotations

import argparse
import math
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ringmark.annotation import open_text
from ringmark.errors import InputError, program

REMEDY = (
    "install STAR (for example from bioconda) or let Snakemake do so with "
    "--software-deployment-method conda, or set alignment.aligner: minimap2"
)


def require_star() -> None:
    """Check that STAR is there.

    Raises
    ------
    InputError
        If no program of this name is on the PATH.
    """
    if shutil.which("STAR") is None:
        raise InputError("STAR is not installed: there is no program STAR on the PATH", REMEDY)


def contig_lengths(fasta: Path) -> list[int]:
    """Return the lengths of the contigs of a FASTA file.

    Raises
    ------
    InputError
        If it has none.
    """
    lengths: list[int] = []
    with open_text(fasta) as handle:
        for line in handle:
            if line.startswith(">"):
                lengths.append(0)
            elif lengths:
                lengths[-1] += len(line.strip())
    if not sum(lengths):
        raise InputError(f"{fasta}: no genome sequence", "give the genome as FASTA")
    return lengths


def index_word(length: int) -> int:
    """Return ``--genomeSAindexNbases`` for a genome of ``length`` nucleotides."""
    return max(2, min(14, int(math.log2(length) / 2 - 1)))


def bin_bits(length: int, contigs: int, read_length: int) -> int:
    """Return ``--genomeChrBinNbits`` for a genome of ``contigs`` contigs."""
    return min(18, int(math.log2(max(length / contigs, read_length))))


def index_command(
    fasta: Path,
    gtf: Path,
    folder: Path,
    lengths: Sequence[int],
    read_length: int,
    memory: int,
    threads: int,
) -> list[str]:
    """Return the call of STAR that writes the index to ``folder`` in ``memory`` megabytes."""
    return [
        "STAR", "--runMode", "genomeGenerate",
        "--runThreadN", str(threads),
        "--genomeDir", str(folder),
        "--genomeFastaFiles", str(fasta),
        "--sjdbGTFfile", str(gtf),
        "--sjdbOverhang", str(read_length - 1),
        "--genomeSAindexNbases", str(index_word(sum(lengths))),
        "--genomeChrBinNbits", str(bin_bits(sum(lengths), len(lengths), read_length)),
        "--limitGenomeGenerateRAM", str(memory * 1_000_000),
        "--outTmpDir", str(folder / "temporary"),
        "--outFileNamePrefix", f"{folder}/",
    ]  # fmt: skip


def build_index(
    fasta: Path, gtf: Path, output: Path, read_length: int, memory: int, threads: int
) -> None:
    """Write the index to the folder ``output``, whole or not at all.

    Raises
    ------
    InputError
        If STAR is missing, the genome is empty, or STAR refuses; its own words are quoted.
    """
    require_star()
    lengths = contig_lengths(fasta)
    if read_length < 20:
        raise InputError(f"reads of {read_length} nt", "give the usual read length, 20 or more")
    folder = output.with_name(f".{output.name}.part")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        command = index_command(fasta, gtf, folder, lengths, read_length, memory, threads)
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            raise InputError(
                f"STAR could not build the index: {star_message(result.stderr)}",
                "correct the genome or the annotation it names",
            )
        shutil.rmtree(output, ignore_errors=True)
        folder.rename(output)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def star_message(text: str) -> str:
    """Return STAR's own account of a failure, on one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    starts = [i for i, line in enumerate(lines) if line.startswith(("EXITING", "Fatal"))]
    return " ".join(lines[starts[0] : starts[0] + 4] if starts else lines[-3:])


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    result.add_argument("--fasta", type=Path, required=True, help="the genome, not compressed")
    result.add_argument("--gtf", type=Path, required=True, help="exon lines of the annotation")
    result.add_argument("--output", type=Path, required=True, help="folder of the index")
    result.add_argument(
        "--read-length", type=int, default=101, help="longest usual read, for the junctions"
    )
    result.add_argument(
        "--memory", type=int, default=31_000, help="megabytes STAR may use (default %(default)s)"
    )
    result.add_argument("--threads", type=int, default=1)
    return result


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Build the index."""
    arguments = parser().parse_args(argv)
    build_index(
        arguments.fasta,
        arguments.gtf,
        arguments.output,
        arguments.read_length,
        arguments.memory,
        arguments.threads,
    )


if __name__ == "__main__":
    sys.exit(main())

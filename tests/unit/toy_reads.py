"""A random genome with one gene, and reads of known origin, for the tests of the aligners."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from ringmark.sequence import reverse_complement

#: Exons of the gene on ``chrA``, plus strand; introns begin with GT and end with AG.
EXONS = ((2000, 2400), (3000, 3500), (4200, 4700))
LENGTHS = {"chrA": 12_000, "chrB": 8_000}


@dataclass(frozen=True)
class Pair:
    """A fragment: name, first mate and second mate as sequenced."""

    name: str
    first: str
    second: str = ""


def genome() -> dict[str, str]:
    """Return the contigs, the same every time."""
    random = np.random.default_rng(7)
    contigs = {
        name: list("".join(random.choice(list("ACGT"), length))) for name, length in LENGTHS.items()
    }
    for (_, left), (right, _) in pairwise(EXONS):
        contigs["chrA"][left : left + 2] = "GT"
        contigs["chrA"][right - 2 : right] = "AG"
    return {name: "".join(bases) for name, bases in contigs.items()}


def spliced(contigs: dict[str, str], exons: Sequence[tuple[int, int]] = EXONS) -> str:
    """Return the sequence of exons of the gene joined."""
    return "".join(contigs["chrA"][start:end] for start, end in exons)


def pair_of(name: str, template: str, start: int, length: int, read: int) -> Pair:
    """Return a fragment of a template, the first mate along it."""
    fragment = template[start : start + length]
    return Pair(name, fragment[:read], reverse_complement(fragment)[:read])


def write_fasta(path: Path, contigs: dict[str, str]) -> Path:
    path.write_text("".join(f">{name}\n{bases}\n" for name, bases in contigs.items()))
    return path


def write_gtf(path: Path) -> Path:
    path.write_text(
        "".join(
            f"chrA\ttoy\texon\t{start + 1}\t{end}\t.\t+\t.\t"
            'gene_id "g1"; transcript_id "t1"; gene_name "One";\n'
            for start, end in EXONS
        )
    )
    return path


def write_fastq(path: Path, reads: Sequence[tuple[str, str]]) -> Path:
    """Write (name, sequence) as gzipped FASTQ; none gives an empty gzip file."""
    with gzip.open(path, "wt") as handle:
        for name, sequence in reads:
            handle.write(f"@{name}\n{sequence}\n+\n{'I' * len(sequence)}\n")
    return path


def write_pairs(folder: Path, pairs: Sequence[Pair]) -> tuple[Path, Path]:
    """Write a library; second mates are left out where no pair has one."""
    first = write_fastq(folder / "toy_1.fastq.gz", [(pair.name, pair.first) for pair in pairs])
    seconds = [(pair.name, pair.second) for pair in pairs if pair.second]
    return first, write_fastq(folder / "toy_2.fastq.gz", seconds)


def library(contigs: dict[str, str], read: int = 50) -> list[Pair]:
    """Return pairs of known names: linear, spliced, back-spliced, half known and unknown."""
    mrna = spliced(contigs)
    circle = spliced(contigs, EXONS[1:2]) * 2
    random = np.random.default_rng(3)
    junk = "".join(random.choice(list("ACGT"), 200))
    return [
        pair_of("linear", contigs["chrB"], 1000, 180, read),
        pair_of("spliced", mrna, 380, 180, read),
        Pair("half", contigs["chrB"][3000 : 3000 + read], junk[:read]),
        Pair("unknown", junk[50 : 50 + read], junk[100 : 100 + read]),
        pair_of("circle_first", circle, 475, 180, read),
        pair_of("circle_second", circle, 345, 180, read),
        Pair("apart", contigs["chrA"][500 : 500 + read], contigs["chrB"][500 : 500 + read]),
    ]

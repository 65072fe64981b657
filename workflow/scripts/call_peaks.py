"""Call m6A peaks of a whole study from the binned fragments of its IP and input libraries.

Each condition is called from its pairs of IP and input; the peaks of all conditions are then joined
to one list, so that every table has the same rows. The model, the background, the false discovery
rate and how peaks are joined are described in ``ringmark.peaks``.

A pair is given as IP library, input library, sample and condition. An input may serve several IPs.
A condition without a pair has no peaks, and a study without pairs has tables without rows.

With ``--introns`` peaks are also called in introns, apart from those in exons; in the tables they
follow these.

The counts of a peak are the fragments that overlap it. The background tables hold the natural log
of IP over input fragments where nothing is methylated: of each pair, and of each gene in each pair.

How many bins were tested, and how many candidates each filter removed, is printed.
"""

from __future__ import annotations

import argparse
import functools
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pysam

from count_bins import layout_of
from ringmark.bins import BIN_WIDTH, BinLayout, Coverage
from ringmark.errors import InputError, program
from ringmark.files import write_text
from ringmark.intervals import IntArray
from ringmark.peaks import (
    Condition,
    PairCoverage,
    Peak,
    Thresholds,
    call_peaks,
    describe_peaks,
    peak_counts,
    prepare_condition,
    well_covered,
    with_common_spread,
)
from ringmark.tables import BACKGROUND, GENE_BACKGROUND, PEAKS, write_counts

if TYPE_CHECKING:
    import pandas as pd


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    command = argparse.ArgumentParser(description="Call m6A peaks from IP and input libraries.")
    add_study_options(command)
    command.add_argument(
        "--introns",
        nargs="*",
        metavar="LIBRARY.npz",
        help="counts on introns by count_bins.py; without the option there are no peaks in introns",
    )
    command.add_argument("--genome", type=Path, help="FASTA, for DRACH motifs; NA without it")
    add_threshold_options(command)
    command.add_argument("--peaks", type=Path, required=True, help="table of peaks")
    command.add_argument("--bed", type=Path, required=True, help="BED12 of the peaks")
    command.add_argument("--ip-counts", type=Path, required=True, help="peak by IP library")
    command.add_argument("--input-counts", type=Path, required=True, help="peak by input library")
    command.add_argument("--background", type=Path, required=True, help="log ratio of each pair")
    command.add_argument(
        "--gene-background", type=Path, required=True, help="log ratio of each gene in each pair"
    )
    return command


def add_threshold_options(command: argparse.ArgumentParser) -> None:
    """Add the options that say what a peak has to pass."""
    command.add_argument("--fdr", type=float, default=Thresholds.fdr, help="default %(default)s")
    command.add_argument(
        "--min-log2-enrichment",
        type=float,
        default=Thresholds.min_log2_enrichment,
        help="of IP over background at the summit (default %(default)s)",
    )
    command.add_argument(
        "--min-fragments",
        type=int,
        default=Thresholds.min_fragments,
        help="a bin with fewer, IP and input together, is not tested (default %(default)s)",
    )


def add_study_options(command: argparse.ArgumentParser) -> None:
    """Add the options that name pairs, counts and annotation."""
    command.add_argument(
        "--pair",
        nargs=4,
        action="append",
        default=[],
        metavar=("IP", "INPUT", "SAMPLE", "CONDITION"),
        help="an IP library with its input; once for each pair",
    )
    command.add_argument(
        "--bins",
        nargs="*",
        default=[],
        metavar="LIBRARY.npz",
        help="counts by count_bins.py, named after their library, or LIBRARY=path",
    )
    command.add_argument("--annotation", type=Path, required=True, help="table of transcripts")
    command.add_argument(
        "--bin-width", type=int, default=BIN_WIDTH, help="as counted (default %(default)s)"
    )


@dataclass(frozen=True)
class Called:
    """The peaks of a study in exons, or in introns.

    Attributes
    ----------
    layout
        Of the counts of the pairs.
    pairs, conditions
        In the order of the command line.
    peaks
        In the order of the layout.
    """

    layout: BinLayout
    pairs: list[PairCoverage]
    conditions: list[Condition]
    peaks: list[Peak]


def call(layout: BinLayout, pairs: list[PairCoverage], thresholds: Thresholds) -> Called:
    """Call the peaks of all conditions, and print what each filter left."""
    conditions = conditions_of(pairs, layout, thresholds)
    log = functools.partial(print, file=sys.stderr)
    return Called(layout, pairs, conditions, call_peaks(conditions, layout, thresholds, report=log))


def covered_introns(
    options: argparse.Namespace, thresholds: Thresholds
) -> tuple[BinLayout, list[PairCoverage]]:
    """Read the counts of all pairs in those introns that have enough fragments."""
    layout = layout_of(options.annotation, options.bin_width, introns=True)
    pairs = read_pairs(options.pair, bin_paths(options.introns, "--introns"), layout, "--introns")
    kept = well_covered(pairs, layout, thresholds)
    print(f"introns: {kept.sum()} of {len(kept)} have enough fragments", file=sys.stderr)
    libraries = {pair.ip_library: pair.ip for pair in pairs}
    libraries |= {pair.input_library: pair.input for pair in pairs}
    chosen = {name: coverage.select(layout, kept) for name, coverage in libraries.items()}
    return layout.select(kept), [
        replace(pair, ip=chosen[pair.ip_library], input=chosen[pair.input_library])
        for pair in pairs
    ]


def bin_paths(places: Iterable[str], option: str = "--bins") -> dict[str, Path]:
    """Return the file of each library from ``path/LIBRARY.npz`` or ``LIBRARY=path``.

    Parameters
    ----------
    option
        That gave the places, for messages.

    Raises
    ------
    InputError
        If a library has two files.
    """
    found: dict[str, Path] = {}
    for place in places:
        name, _, path = place.partition("=") if "=" in place else (Path(place).stem, "", place)
        if name in found:
            raise InputError(
                f"{option} {place}: library {name} already has {found[name]}",
                "give one file a library",
            )
        found[name] = Path(path)
    return found


def read_pairs(
    pairs: Sequence[Sequence[str]],
    paths: Mapping[str, Path],
    layout: BinLayout,
    option: str = "--bins",
) -> list[PairCoverage]:
    """Read the counts of all pairs; an input that several IPs share is read once.

    Parameters
    ----------
    option
        That gave the paths, for messages.

    Raises
    ------
    InputError
        If a pair is given twice or a library has no counts.
    """
    needed = sorted({library for pair in pairs for library in pair[:2]})
    problems = [f"--pair: library {library} has no {option} file" for library in needed
                if library not in paths]  # fmt: skip
    names = [pair[0] for pair in pairs]
    problems += [f"--pair: IP {name} is given twice" for name in sorted(set(names))
                 if names.count(name) > 1]  # fmt: skip
    problems += [f"--pair: {pair[0]} is its own input" for pair in pairs if pair[0] == pair[1]]
    if problems:
        raise InputError(problems, "each pair is IP, INPUT, SAMPLE and CONDITION")
    coverage = {library: Coverage.load(paths[library], layout) for library in needed}
    return [
        PairCoverage(sample, condition, ip, control, coverage[ip], coverage[control])
        for ip, control, sample, condition in pairs
    ]


def conditions_of(
    pairs: Sequence[PairCoverage], layout: BinLayout, thresholds: Thresholds
) -> list[Condition]:
    """Group pairs by condition, in order of appearance, and test the bins of each."""
    names = list(dict.fromkeys(pair.condition for pair in pairs))
    return with_common_spread(
        [
            prepare_condition(
                name, [pair for pair in pairs if pair.condition == name], layout, thresholds
            )
            for name in names
        ]
    )


def background_rows(
    conditions: Sequence[Condition], pairs: Sequence[PairCoverage]
) -> list[dict[str, object]]:
    """Return the log ratio of each pair on background, in the order of the pairs."""
    ratios = {
        pair.ip_library: float(ratio)
        for condition in conditions
        for pair, ratio in zip(condition.pairs, condition.background.log_ratio, strict=True)
    }
    return [
        {
            "ip_library": pair.ip_library,
            "input_library": pair.input_library,
            "log_ratio": ratios[pair.ip_library],
        }
        for pair in pairs
    ]


def gene_background_rows(
    conditions: Sequence[Condition], layout: BinLayout
) -> Iterator[dict[str, object]]:
    """Yield the log ratio of genes with fragments on background, and of any gene, in each IP.

    The error is that of the gene's ratio and that of a stretch of RNA within a gene.
    """
    names = [gene.gene_id for gene in layout.genes]
    for condition in conditions:
        background, local = condition.background, condition.tests.spread
        seen = np.add.reduceat(
            np.append((condition.ip + condition.input).sum(axis=1), 0), layout.bin_offsets[:-1]
        )
        genes = np.flatnonzero((seen > 0) & (np.diff(layout.bin_offsets) > 0)).tolist()
        errors = np.hypot(background.gene_error, np.sqrt(local)).tolist()
        for column, pair in enumerate(condition.pairs):
            ratios = background.gene_log_ratio[:, column].tolist()
            known = [(names[gene], ratios[gene], errors[gene]) for gene in genes]
            any_gene = float(np.hypot(background.deviation, np.sqrt(local)))
            for gene, ratio, error in [(None, background.log_ratio[column], any_gene), *known]:
                yield {
                    "gene_id": gene,
                    "ip_library": pair.ip_library,
                    "log_ratio": ratio,
                    "error": error,
                }


def bed_line(row: Mapping[str, Any]) -> str:
    """Return a peak as BED12; the score is -10 log10 of padj, up to 1000.

    The thick part is the summit.
    """
    fields = (
        row["chrom"], row["start"], row["end"], row["peak"], score_of(row["padj"]), row["strand"],
        row["summit"], row["summit"] + 1, 0, len(row["block_sizes"].split(",")),
        row["block_sizes"], row["block_starts"],
    )  # fmt: skip
    return "\t".join(map(str, fields)) + "\n"


def score_of(padj: float) -> int:
    """Return the score of a BED line, 0 to 1000, for an adjusted p-value."""
    return 1000 if padj < 1e-100 else min(1000, round(-10 * math.log10(padj)))


def counts_of(
    parts: Sequence[Called], libraries: Callable[[PairCoverage], tuple[str, Coverage]]
) -> dict[str, IntArray]:
    """Return the fragments of all peaks in one library of each pair, by library."""
    columns = []
    for part in parts:
        chosen = dict(libraries(pair) for pair in part.pairs)
        columns.append(
            {
                name: peak_counts(part.peaks, coverage, part.layout)
                for name, coverage in chosen.items()
            }
        )
    return {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}


def in_exons(peaks: pd.DataFrame) -> pd.DataFrame:
    """Return the peaks of a table that are not in introns."""
    return peaks[peaks["region"] != "intron"]


def sequence_reader(path: Path | None) -> AbstractContextManager[pysam.FastaFile | None]:
    """Open a FASTA file, where there is one.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    if path is None:
        return nullcontext()
    try:
        return pysam.FastaFile(str(path))
    except (OSError, ValueError) as error:
        raise InputError(
            f"--genome {path}: {error}", "give a FASTA file, not compressed"
        ) from error


def check_contigs(needed: set[str], genome: pysam.FastaFile | None) -> None:
    """Raise an `InputError` if there is a genome and it lacks a contig that carries a peak."""
    missing = sorted(needed - set(genome.references)) if genome else []
    if missing:
        raise InputError(
            f"--genome: no contig {', '.join(missing[:5])}",
            "give the FASTA that belongs to the annotation",
        )


def check_thresholds(options: argparse.Namespace) -> Thresholds:
    """Return the thresholds of the command line.

    Raises
    ------
    InputError
        If one of them cannot be met or means nothing.
    """
    problems = []
    if not 0 < options.fdr <= 1:
        problems.append(f"--fdr {options.fdr}: not above 0 and up to 1")
    if options.min_fragments < 1:
        problems.append(f"--min-fragments {options.min_fragments}: below 1")
    if problems:
        raise InputError(problems, "the defaults suit most studies")
    return Thresholds(options.fdr, options.min_log2_enrichment, options.min_fragments)


def write_results(
    options: argparse.Namespace, parts: Sequence[Called], genome: pysam.FastaFile | None
) -> None:
    """Write the peaks of exons, and of introns, and their counts."""
    rows = [row for part in parts for row in describe_peaks(part.peaks, part.layout, genome)]
    PEAKS.write(rows, options.peaks)
    write_text("".join(map(bed_line, rows)), options.bed)
    names = [str(row["peak"]) for row in rows]
    ips = counts_of(parts, lambda pair: (pair.ip_library, pair.ip))
    inputs = counts_of(parts, lambda pair: (pair.input_library, pair.input))
    write_counts(names, ips, options.ip_counts, "peak")
    write_counts(names, inputs, options.input_counts, "peak")


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Run the program."""
    options = parser().parse_args(argv)
    thresholds = check_thresholds(options)
    layout = layout_of(options.annotation, options.bin_width)
    pairs = read_pairs(options.pair, bin_paths(options.bins), layout)
    with sequence_reader(options.genome) as genome:
        exons = call(layout, pairs, thresholds)
        parts = [exons]
        if options.introns is not None:
            parts.append(call(*covered_introns(options, thresholds), thresholds))
        needed = {part.layout.genes[peak.gene].chrom for part in parts for peak in part.peaks}
        check_contigs(needed, genome)
        write_results(options, parts, genome)
    BACKGROUND.write(background_rows(exons.conditions, pairs), options.background)
    genes = list(gene_background_rows(exons.conditions, layout))
    GENE_BACKGROUND.write(genes, options.gene_background)


if __name__ == "__main__":
    sys.exit(main())

"""Compare the m6A enrichment of peaks, or of circles, between two conditions.

Each IP is compared with its own input: beta-binomial regression of the IP's share of both
libraries' fragments, with the log background ratio of the pair as offset, on covariates and
condition. The condition's coefficient is the interaction of condition and assay: the change of
enrichment, free of changes of abundance, and on the scale of the background, so that a change of
all features at once stays visible (``ringmark.methylation``).

For peaks, ``--bins`` of the inputs and the annotation say what their genes hold, and circles with
their counts what else than a methyl group can have changed (``ringmark.peak_context``).

For circles ``--ip-counts`` and ``--input-counts`` may be the same matrix of back-splice counts:
libraries are looked up by name. How much each IP enriches is then learnt from the peaks of the
study (``--peaks``, ``--peak-ip-counts``, ``--peak-input-counts``).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from call_peaks import bin_paths, in_exons
from contrast_options import add_contrast_options, print_notes, read_features, study_from
from count_bins import layout_of
from ringmark.bins import BIN_WIDTH, BinLayout, Coverage
from ringmark.circles import read_circle_blocks
from ringmark.differential import aligned, with_names
from ringmark.errors import InputError, program
from ringmark.methylation import compare_methylation
from ringmark.peak_context import GeneFragments, PeakContext, peak_context
from ringmark.tables import BACKGROUND, DIFFERENTIAL, PEAKS, read_matrix


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    options = argparse.ArgumentParser(description="Compare the m6A enrichment of features.")
    add_contrast_options(options)
    options.add_argument("--ip-counts", type=Path, required=True)
    options.add_argument("--input-counts", type=Path, required=True)
    options.add_argument("--background", type=Path, required=True, help="log ratio of each pair")
    options.add_argument("--gene-counts", type=Path, help="for the size factors of baseMean")
    options.add_argument("--features", type=Path, required=True, help="peaks or circles")
    options.add_argument("--output", type=Path, required=True)
    learnt = options.add_argument_group("circles", "where it is learnt how much each IP enriches")
    learnt.add_argument("--peak-ip-counts", type=Path, help="IP fragments of peaks")
    learnt.add_argument("--peak-input-counts", type=Path, help="input fragments of peaks")
    learnt.add_argument("--peaks", type=Path, help="these peaks; those in introns are left out")
    context = options.add_argument_group("peaks", "what else than their methyl groups moves them")
    context.add_argument(
        "--bins", nargs="*", default=[], metavar="LIBRARY.npz", help="inputs, by count_bins.py"
    )
    context.add_argument("--annotation", type=Path, help="table of transcripts, with --bins")
    context.add_argument(
        "--bin-width", type=int, default=BIN_WIDTH, help="as counted (default %(default)s)"
    )
    context.add_argument("--circles", type=Path, help="circles, BED12")
    context.add_argument("--bsj-counts", type=Path, help="their back-splice fragments")
    return options


def check_context(options: argparse.Namespace) -> None:
    """Raise an `InputError` if options of the context are given without what they need."""
    problems = []
    if options.bins and not options.annotation:
        problems.append("--bins: without --annotation")
    if (options.circles is None) != (options.bsj_counts is None):
        problems.append("--circles and --bsj-counts: one without the other")
    if options.circles and not options.bins:
        problems.append("--circles: without --bins")
    if problems:
        raise InputError(problems, "give --bins and --annotation, or these and both of circles")
    of_peaks = (options.peaks, options.peak_ip_counts, options.peak_input_counts)
    if any(of_peaks) and not all(of_peaks):
        raise InputError(
            "--peaks, --peak-ip-counts and --peak-input-counts: one without the others",
            "give all of them or none",
        )


def context_of(
    peaks: pd.DataFrame,
    counts: pd.DataFrame,
    layout: BinLayout,
    bins: Mapping[str, Path],
    circles: Path | None = None,
    bsj_counts: Path | None = None,
) -> PeakContext:
    """Return the context of peaks.

    Parameters
    ----------
    peaks
        Table of peaks (`PEAKS`), index: peaks.
    counts
        Fragments of the inputs in the same peaks, shape (peaks, inputs).
    layout
        Genes as in the bins.
    bins
        File of every input.
    circles, bsj_counts
        BED12 of the circles and their back-splice fragments; None: nothing is known of circles.

    Raises
    ------
    InputError
        If an input has no bins, or a file is malformed.
    """
    crossing = None if bsj_counts is None else read_matrix(bsj_counts)
    problems = [f"--bins: none of input {name}" for name in counts.columns if name not in bins]
    if crossing is not None:
        absent = [name for name in counts.columns if name not in crossing.columns]
        problems += [f"{bsj_counts}: no column {name}" for name in absent]
    known = {gene.gene_id for gene in layout.genes}
    strange = peaks[~peaks["gene_id"].isin(known)]
    problems += [
        f"peak {peak}: gene {gene} is not in the annotation"
        for peak, gene in strange["gene_id"].head(5).items()
    ]
    if problems:
        raise InputError(
            problems, "give the inputs, circles and annotation of the run of the peaks"
        )
    # one coverage at a time: they are large, and little of them is needed
    libraries = {
        name: GeneFragments.of(Coverage.load(bins[name], layout)) for name in counts.columns
    }
    if circles is None or crossing is None:
        none = pd.DataFrame(columns=counts.columns, dtype="int64")
        return peak_context(peaks, counts, layout, libraries, {}, none)
    return peak_context(peaks, counts, layout, libraries, read_circle_blocks(circles), crossing)


def counts_in_exons(peaks: Path, ip: Path, inputs: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the IP and input fragments of the peaks that are not in introns.

    Introns have a background of their own, which the ratios of pairs are not.

    Raises
    ------
    InputError
        If a table is malformed, or lacks a peak.
    """
    chosen = pd.Index(in_exons(PEAKS.read(peaks))["peak"])
    return (
        aligned(read_matrix(ip), chosen, str(ip)),
        aligned(read_matrix(inputs), chosen, str(inputs)),
    )


def peaks_of(path: Path, wanted: pd.Index) -> pd.DataFrame:
    """Return the table of peaks in the order of a count matrix.

    Raises
    ------
    InputError
        If it is malformed, or lacks a peak.
    """
    peaks = PEAKS.read(path).set_index("peak")
    return aligned(peaks, wanted, str(path))


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Compare enrichments and write the table."""
    options = parser().parse_args(argv)
    check_context(options)
    study = study_from(options)
    ip_counts, input_counts = read_matrix(options.ip_counts), read_matrix(options.input_counts)
    peak_counts = None
    if options.peaks:
        peak_counts = counts_in_exons(
            options.peaks, options.peak_ip_counts, options.peak_input_counts
        )
    context = None
    if options.bins:
        context = context_of(
            peaks_of(options.features, ip_counts.index),
            aligned(input_counts, ip_counts.index, str(options.input_counts)),
            layout_of(options.annotation, options.bin_width),
            bin_paths(options.bins),
            options.circles,
            options.bsj_counts,
        )
    result = compare_methylation(
        ip_counts,
        input_counts,
        BACKGROUND.read(options.background),
        study,
        read_matrix(options.gene_counts) if options.gene_counts else None,
        source=str(options.ip_counts),
        context=context,
        peak_counts=peak_counts,
    )
    features = read_features(options.features)
    DIFFERENTIAL.write(with_names(result.table, features), options.output)
    print_notes("methylation", result.notes)


if __name__ == "__main__":
    sys.exit(main())

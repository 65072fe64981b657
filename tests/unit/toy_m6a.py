"""A toy study of m6A with two genes and one circle, and the tables of a run on it."""

import numpy as np
import pandas as pd

from ringmark.simulate import TRUTH_CIRCLES, TRUTH_LIBRARIES
from ringmark.tables import (
    BACKGROUND,
    DIFFERENTIAL,
    PEAKS,
    QUALITY,
    TEST_COLUMNS,
    write_matrix,
    write_tsv,
)

CONDITIONS = ("r", "s")

#: Strand, exons, coding sequence or None, and fragments in each input.
GENES = {
    "G1": ("+", ((100, 400), (1000, 1400)), (150, 1150), 40),
    "G2": ("-", ((2000, 2500),), None, 20),
}
CIRCLE = "c:1000-1400:+"


def site(position, strand, gene, test=0.5, reference=0.5, molecule="linear"):
    """Return a row of the planted sites."""
    return ("c", position, strand, gene, molecule, test, reference)


def peak(strand, *bounds, conditions="r", summit=None, gene="G1", region="CDS", drach=1):
    """Return a row of the peaks; blocks are given as genomic intervals."""
    start, end = bounds[0][0], bounds[-1][1]
    return {
        "peak": f"c:{start}-{end}:{strand}",
        "chrom": "c",
        "start": start,
        "end": end,
        "strand": strand,
        "block_sizes": ",".join(str(right - left) for left, right in bounds),
        "block_starts": ",".join(str(left - start) for left, _ in bounds),
        "gene_id": gene,
        "gene_name": gene,
        "region": region,
        "summit": start if summit is None else summit,
        "log2_enrichment": 2.0,
        "pvalue": 0.001,
        "padj": 0.01,
        "conditions": conditions,
        "samples": 1,
        "drach": drach,
        "drach_distance": 3,
    }


def library(condition, number, assay, efficiency=0.75):
    return {
        "library": f"{condition}{number}_{assay}",
        "sample": f"{condition}{number}",
        "condition": condition,
        "assay": assay,
        "fragments": 1000,
        "background": 0.05 if assay == "ip" else 1.0,
        "efficiency": efficiency if assay == "ip" else 0.0,
        "strandedness": "reverse",
        "layout": "paired",
    }


def libraries(replicates=2, efficiency=0.75):
    """Return the rows of all libraries."""
    return [
        library(condition, number + 1, assay, efficiency)
        for condition in CONDITIONS
        for number in range(replicates)
        for assay in ("input", "ip")
    ]


def gtf_lines():
    for name, (strand, exons, coding, _) in GENES.items():
        parts = [("exon", *exon) for exon in exons]
        for start, end in exons if coding else ():
            parts.append(("CDS", max(start, coding[0]), min(end, coding[1])))
        for feature, start, end in parts:
            attributes = f'gene_id "{name}"; transcript_id "T{name}"; gene_name "{name}";'
            yield f"c\tx\t{feature}\t{start + 1}\t{end}\t.\t{strand}\t.\t{attributes}\n"


def write_study(folder, sites, replicates=2, efficiency=0.75):
    """Write a study with the sites given; return its folder."""
    study, truth = folder / "study", folder / "study" / "truth"
    truth.mkdir(parents=True)
    (study / "genes.gtf").write_text("".join(gtf_lines()))
    names = ["chrom", "position", "strand", "gene_id", "molecule"]
    names += [f"stoichiometry_{condition}" for condition in CONDITIONS]
    write_tsv(pd.DataFrame(sites, columns=names), truth / "m6a_sites.tsv")
    rows = libraries(replicates, efficiency)
    TRUTH_LIBRARIES.write(rows, truth / "libraries.tsv")
    counts = {name: [gene[-1]] * len(rows) for name, gene in GENES.items()}
    columns = [row["library"] for row in rows]
    matrix = pd.DataFrame.from_dict(counts, orient="index", columns=columns)
    write_matrix(matrix, truth / "gene_counts.tsv", "gene_id")
    circle = {
        "circle": CIRCLE,
        "chrom": "c",
        "start": 1000,
        "end": 1400,
        "strand": "+",
        "type": "exonic",
        "gene_id": "G1",
        "gene_name": "G1",
        "exons": 1,
        "spliced_length": 400,
        "block_starts": "1000",
        "block_ends": "1400",
        "splice_motif": "GT/AG",
        "annotated_ends": "both",
        "log2_fold_change": 0.0,
        "baseline": 1.0,
        "cases": None,
    }
    TRUTH_CIRCLES.write([circle], truth / "circles.tsv")
    (truth / "parameters.tsv").write_text("parameter\tvalue\nseed\t1\nfragment_length\t100.0\n")
    return study


def quality_row(condition, number, **changed):
    row = {
        "sample": f"{condition}{number}",
        "condition": condition,
        "ip_library": f"{condition}{number}_ip",
        "input_library": f"{condition}{number}_input",
        "enrichment": 5.0,
        "ip_fraction_in_peaks": 0.4,
        "drach_rate_summits": 0.8,
        "drach_rate_background": 0.4,
        "drach_odds_ratio": 4.0,
        "drach_pvalue": 0.01,
        "stop_codon_enrichment": 2.0,
        "replicate_jaccard": 0.5,
        "closest_input": f"{condition}{number}_input",
        "verdict": "good",
        "reason": "IP over input 5-fold",
    }
    return row | changed


def quality_rows(replicates=2):
    return [
        quality_row(condition, number + 1)
        for condition in CONDITIONS
        for number in range(replicates)
    ]


def write_results(folder, peaks, changes=None, quality=None, counts=None):
    """Write the tables of a run; return its folder of results.

    ``counts`` are IP and input fragments of each peak, shape (peaks, 2, pairs).
    """
    results = folder / "results"
    PEAKS.write(peaks, results / "m6a" / "peaks.tsv")
    quality = quality_rows() if quality is None else quality
    QUALITY.write(quality, results / "m6a" / "quality.tsv")
    if changes is not None:
        known = dict.fromkeys(TEST_COLUMNS, np.nan) | {"gene_id": "G", "gene_name": "G"}
        table = changes.assign(**{k: v for k, v in known.items() if k not in changes})
        DIFFERENTIAL.write(table, results / "differential" / "methylation.tsv")
    if counts is not None:
        pairs = [(row["ip_library"], row["input_library"]) for row in quality]
        index = [row["peak"] for row in peaks]
        for number, name in enumerate(("ip", "input")):
            columns = [pair[number] for pair in pairs]
            matrix = pd.DataFrame(np.array(counts)[:, number], index=index, columns=columns)
            write_matrix(matrix, results / "m6a" / f"{name}_counts.tsv", "peak")
        rows = [
            {"ip_library": ip, "input_library": control, "log_ratio": 0.0} for ip, control in pairs
        ]
        BACKGROUND.write(rows, results / "m6a" / "background.tsv")
    return results

"""Simulated studies with known truth: genome, annotation, reads of every library, truth tables.

The steps, each in its own module: `simulate_genome` (contigs and genes), `simulate_circles`,
`simulate_molecules` (m6A sites and the pool of molecules), `simulate_expression` (conditions,
samples, libraries), `simulate_reads` (fragments, immunoprecipitation, sequencing),
`simulate_counts` (true counts). Here they are joined, and the study is written.

The same parameters give the same files, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd

from ringmark.errors import InputError
from ringmark.intervals import IntArray
from ringmark.simulate_circles import Circle, simulate_circles
from ringmark.simulate_counts import ANCHORS, linear_boundaries, true_counts
from ringmark.simulate_expression import (
    Expression,
    Library,
    plan_libraries,
    simulate_expression,
)
from ringmark.simulate_genome import Gene, Genome, gtf_lines, simulate_genome
from ringmark.simulate_molecules import (
    Pool,
    Site,
    build_pool,
    simulate_molecules,
    simulate_sites,
)
from ringmark.simulate_parameters import SimulationParameters
from ringmark.simulate_reads import (
    Fragments,
    draw_fragments,
    fastq_chunks,
    local_bias,
    write_gzip,
)
from ringmark.tables import INTEGER, NUMBER, STRING, Table, write_matrix, write_tsv

TRUTH_CIRCLES = Table(
    "planted circles",
    {
        "circle": STRING,
        "chrom": STRING,
        "start": INTEGER,
        "end": INTEGER,
        "strand": STRING,
        "type": STRING,
        "gene_id": STRING,
        "gene_name": STRING,
        "exons": INTEGER,
        "spliced_length": INTEGER,
        "block_starts": STRING,
        "block_ends": STRING,
        "splice_motif": STRING,
        "annotated_ends": STRING,
        "log2_fold_change": NUMBER,
        "baseline": NUMBER,
        "cases": STRING,
    },
)
TRUTH_GENES = Table(
    "planted genes",
    {
        "gene_id": STRING,
        "gene_name": STRING,
        "log2_fold_change": NUMBER,
        "baseline": NUMBER,
        "cases": STRING,
    },
)
TRUTH_LIBRARIES = Table(
    "simulated libraries",
    {
        "library": STRING,
        "sample": STRING,
        "condition": STRING,
        "assay": STRING,
        "fragments": INTEGER,
        "background": NUMBER,
        "efficiency": NUMBER,
        "strandedness": STRING,
        "layout": STRING,
    },
)

_COUNTS = ("bsj_counts", "linear_counts")

_CONFIG = """\
samples: samples.tsv
reference:
  fasta: genome.fa
  gtf: genes.gtf
contrast:
  factor: condition
  test: {test}
  reference: {reference}
alignment:
  aligner: minimap2
"""


def simulate_study(parameters: SimulationParameters, folder: str | Path) -> None:
    """Simulate a study and write it to a folder.

    Parameters
    ----------
    folder
        Is made where needed; must be empty. Holds afterwards ``genome.fa``, ``genes.gtf``,
        ``fastq/``, ``samples.tsv``, ``config.yaml`` and ``truth/``.

    Raises
    ------
    InputError
        If the folder is not empty, or the parameters cannot be met together.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not an empty folder", "give a new folder as --output")
    genome, genes = simulate_genome(parameters)
    circles = simulate_circles(genome, genes, parameters)
    sites = simulate_sites(genome, genes, circles, parameters)
    molecules = simulate_molecules(genome, genes, circles, parameters)
    pool = build_pool(genome, molecules, sites, parameters.longest_fragment)
    expression = simulate_expression(len(genes), len(circles), sites, parameters)
    libraries = plan_libraries(parameters)

    folder.mkdir(parents=True, exist_ok=True)
    _write_text(folder / "genome.fa", fasta_lines(genome))
    _write_text(folder / "genes.gtf", gtf_lines(genome, genes))
    counts = _write_reads(pool, circles, expression, libraries, parameters, folder / "fastq")
    truth = folder / "truth"
    names = [circle.name(genome) for circle in circles]
    identifiers = [gene.gene_id for gene in genes]
    for name, rows, id_name in (
        ("gene_counts", identifiers, "gene_id"),
        *((f"{kind}{suffix}", names, "circle") for kind in _COUNTS for suffix in ANCHORS),
    ):
        matrix = pd.DataFrame(
            {library.name: counts[name][:, library.number] for library in libraries}, index=rows
        )
        write_matrix(matrix, truth / f"{name}.tsv", id_name)
    TRUTH_CIRCLES.write(circle_rows(genome, genes, circles, expression), truth / "circles.tsv")
    TRUTH_GENES.write(_gene_rows(genes, expression), truth / "genes.tsv")
    write_tsv(site_frame(genome, genes, names, sites, parameters), truth / "m6a_sites.tsv")
    TRUTH_LIBRARIES.write(_library_rows(libraries, parameters), truth / "libraries.tsv")
    write_tsv(_parameter_frame(parameters), truth / "parameters.tsv")
    write_tsv(sheet(libraries, parameters), folder / "samples.tsv")
    test, reference = parameters.conditions
    _write_text(folder / "config.yaml", iter([_CONFIG.format(test=test, reference=reference)]))


def _write_text(path: Path, lines: Iterator[str]) -> None:
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("w", encoding="ascii", newline="\n") as handle:
        handle.writelines(lines)
    temporary.replace(path)


def fasta_lines(genome: Genome) -> Iterator[str]:
    """Yield the genome as FASTA, 80 letters a line."""
    for name, start, end in zip(
        genome.names, genome.bounds[:-1].tolist(), genome.bounds[1:].tolist(), strict=True
    ):
        yield f">{name}\n"
        text = genome.text(start, end)
        for place in range(0, len(text), 80):
            yield text[place : place + 80] + "\n"


def runs_of(library: Library, parameters: SimulationParameters) -> list[str]:
    """Return the names of a library's runs: its own, or two where it is split."""
    if library.number < parameters.split_libraries:
        return [f"{library.name}_run1", f"{library.name}_run2"]
    return [library.name]


def _write_reads(
    pool: Pool,
    circles: list[Circle],
    expression: Expression,
    libraries: list[Library],
    parameters: SimulationParameters,
    folder: Path,
) -> dict[str, IntArray]:
    """Write the FASTQ files of all libraries and return the true counts.

    Returns
    -------
    dict
        The counts of `true_counts`, each of shape (genes or circles, libraries).
    """
    bias = local_bias(int(pool.genome_positions.max()) + 1, parameters)
    boundaries = linear_boundaries(pool, circles)
    counts: dict[str, list[IntArray]] = {}
    for library in libraries:
        fragments = draw_fragments(pool, expression, library, bias, parameters)
        genes = len(expression.gene_baseline)
        found = true_counts(pool, fragments, library, boundaries, genes, parameters)
        for name, column in found.items():
            counts.setdefault(name, []).append(column)
        _write_library(pool, fragments, library, parameters, folder)
    return {name: np.column_stack(columns) for name, columns in counts.items()}


def _write_library(
    pool: Pool,
    fragments: Fragments,
    library: Library,
    parameters: SimulationParameters,
    folder: Path,
) -> None:
    """Write the FASTQ files of one library, run by run."""
    names = runs_of(library, parameters)
    parts = np.array_split(np.arange(len(fragments.starts)), len(names))
    mates = 2 if library.layout == "paired" else 1
    for run, (name, part) in enumerate(zip(names, parts, strict=True), start=1):
        for mate in range(mates):
            chunks = fastq_chunks(pool, fragments.take(part), library, run, mate, parameters)
            path = folder / f"{name}_R{mate + 1}.fastq.gz"
            write_gzip(path, chunks, parameters.compression)


# ---------------------------------------------------------------- tables


def circle_rows(
    genome: Genome, genes: list[Gene], circles: list[Circle], expression: Expression
) -> list[dict[str, object]]:
    """Return the rows of the planted circles."""
    rows: list[dict[str, object]] = []
    for number, circle in enumerate(circles):
        chrom, offset = genome.locate(circle.start)
        host = genes[circle.gene] if circle.gene >= 0 else None
        blocks = circle.paths[0]
        rows.append(
            {
                "circle": circle.name(genome),
                "chrom": chrom,
                "start": circle.start - offset,
                "end": circle.end - offset,
                "strand": circle.strand,
                "type": circle.kind,
                "gene_id": host.gene_id if host else None,
                "gene_name": host.name if host else None,
                "exons": circle.exons,
                "spliced_length": circle.length,
                "block_starts": ",".join(map(str, (blocks.starts - offset).tolist())),
                "block_ends": ",".join(map(str, (blocks.ends - offset).tolist())),
                "splice_motif": circle.motif,
                "annotated_ends": circle.annotated,
                "log2_fold_change": expression.circle_changes[number],
                "baseline": expression.circle_baseline[number],
                "cases": ",".join(circle.cases) or None,
            }
        )
    return rows


def _gene_rows(genes: list[Gene], expression: Expression) -> list[dict[str, object]]:
    return [
        {
            "gene_id": gene.gene_id,
            "gene_name": gene.name,
            "log2_fold_change": expression.gene_changes[gene.index],
            "baseline": expression.gene_baseline[gene.index],
            "cases": ",".join(gene.cases) or None,
        }
        for gene in genes
    ]


def site_frame(
    genome: Genome,
    genes: list[Gene],
    circle_names: list[str],
    sites: list[Site],
    parameters: SimulationParameters,
) -> pd.DataFrame:
    """Return the planted m6A sites, in order of place."""
    columns = ["chrom", "position", "strand", "gene_id", "molecule"]
    columns += [f"stoichiometry_{condition}" for condition in parameters.conditions]
    rows = []
    for site in sorted(sites, key=lambda site: (site.position, site.strand, site.circle)):
        chrom, offset = genome.locate(site.position)
        rows.append(
            [
                chrom,
                site.position - offset,
                site.strand,
                genes[site.gene].gene_id if site.gene >= 0 else None,
                circle_names[site.circle] if site.circle >= 0 else "linear",
                *site.stoichiometry,
            ]
        )
    return pd.DataFrame(rows, columns=columns)


def _library_rows(
    libraries: list[Library], parameters: SimulationParameters
) -> list[dict[str, object]]:
    return [
        {
            "library": library.name,
            "sample": library.sample,
            "condition": library.condition,
            "assay": library.assay,
            "fragments": library.fragments,
            "background": library.background,
            "efficiency": library.efficiency,
            "strandedness": parameters.strandedness,
            "layout": library.layout,
        }
        for library in libraries
    ]


def _parameter_frame(parameters: SimulationParameters) -> pd.DataFrame:
    return pd.DataFrame(
        [(item.name, str(getattr(parameters, item.name))) for item in fields(parameters)],
        columns=["parameter", "value"],
    )


def sheet(libraries: list[Library], parameters: SimulationParameters) -> pd.DataFrame:
    """Return the samples sheet: a row a run, paths relative to the sheet."""
    rows = [
        {
            "library": library.name,
            "sample": library.sample,
            "condition": library.condition,
            "assay": library.assay,
            "fastq_1": f"fastq/{run}_R1.fastq.gz",
            "fastq_2": f"fastq/{run}_R2.fastq.gz" if library.layout == "paired" else "",
            "strandedness": "auto",
            "batch": library.batch,
        }
        for library in libraries
        for run in runs_of(library, parameters)
    ]
    frame = pd.DataFrame(rows)
    return frame if parameters.batch_effect > 0 else frame.drop(columns="batch")

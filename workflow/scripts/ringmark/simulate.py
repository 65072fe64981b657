"""Simulated studies with known truth: genome, annotation, reads of every library, truth tables.

The steps, each in its own module: `simulate_genome` (contigs and genes), `simulate_circles`,
`simulate_molecules` (m6A sites and the pool of molecules), `simulate_expression` (conditions,
samples, libraries), `simulate_reads` (fragments, immunoprecipitation, sequencing),
`simulate_counts` (true counts). Here they are joined, and the study is written.

The same parameters give the same files, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from ringmark.errors import InputError
from ringmark.files import write_text
from ringmark.intervals import IntArray
from ringmark.simulate_circles import Circle, simulate_circles
from ringmark.simulate_counts import linear_boundaries, true_counts
from ringmark.simulate_expression import (
    Expression,
    Library,
    plan_libraries,
    simulate_expression,
)
from ringmark.simulate_genome import Gene, Genome, simulate_genome
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


@dataclass(frozen=True)
class Plan:
    """Everything about a study but its reads."""

    parameters: SimulationParameters
    genome: Genome
    genes: list[Gene]
    circles: list[Circle]
    sites: list[Site]
    pool: Pool
    expression: Expression
    libraries: list[Library]

    @property
    def circle_names(self) -> list[str]:
        """Ids of the circles."""
        return [circle.name(self.genome) for circle in self.circles]


def plan_study(parameters: SimulationParameters) -> Plan:
    """Draw everything about a study but its reads.

    Raises
    ------
    InputError
        If the parameters cannot be met together.
    """
    genome, genes = simulate_genome(parameters)
    circles = simulate_circles(genome, genes, parameters)
    sites = simulate_sites(genome, genes, circles, parameters)
    molecules = simulate_molecules(genome, genes, circles, parameters)
    pool = build_pool(genome, molecules, sites, parameters.longest_fragment)
    expression = simulate_expression(len(genes), len(circles), sites, parameters)
    libraries = plan_libraries(parameters)
    return Plan(parameters, genome, genes, circles, sites, pool, expression, libraries)


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
    plan = plan_study(parameters)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(fasta_lines(plan.genome), folder / "genome.fa")
    write_text(gtf_lines(plan.genome, plan.genes), folder / "genes.gtf")
    _write_truth(plan, _write_reads(plan, folder / "fastq"), folder / "truth")
    write_tsv(sheet(plan.libraries, parameters), folder / "samples.tsv")
    test, reference = parameters.conditions
    write_text(_CONFIG.format(test=test, reference=reference), folder / "config.yaml")


def _write_truth(plan: Plan, counts: dict[str, IntArray], folder: Path) -> None:
    """Write the truth tables; ``counts`` are those of `_write_reads`."""
    for name, values in counts.items():
        of_genes = name == "gene_counts"
        index = [gene.gene_id for gene in plan.genes] if of_genes else plan.circle_names
        columns = [library.name for library in plan.libraries]
        matrix = pd.DataFrame(values, index=index, columns=columns)
        write_matrix(matrix, folder / f"{name}.tsv", "gene_id" if of_genes else "circle")
    TRUTH_CIRCLES.write(circle_rows(plan), folder / "circles.tsv")
    TRUTH_GENES.write(_gene_rows(plan), folder / "genes.tsv")
    write_tsv(site_frame(plan), folder / "m6a_sites.tsv")
    TRUTH_LIBRARIES.write(_library_rows(plan), folder / "libraries.tsv")
    write_tsv(_parameter_frame(plan.parameters), folder / "parameters.tsv")


def fasta_lines(genome: Genome) -> Iterator[str]:
    """Yield the genome as FASTA, 80 letters a line."""
    for name, start, end in zip(
        genome.names, genome.bounds[:-1].tolist(), genome.bounds[1:].tolist(), strict=True
    ):
        yield f">{name}\n"
        text = genome.text(start, end)
        for place in range(0, len(text), 80):
            yield text[place : place + 80] + "\n"


def gtf_lines(genome: Genome, genes: list[Gene]) -> Iterator[str]:
    """Yield the annotation in GENCODE's dialect: gene, transcript, exon and CDS lines."""
    number = 0
    for gene in genes:
        chrom, offset = genome.locate(gene.start)
        for feature, start, end, frame, transcript in _features(gene):
            number += feature == "transcript"
            kind = "protein_coding" if gene.coding_start is not None else "lncRNA"
            attributes = f'gene_id "{gene.gene_id}"; gene_type "{kind}"; gene_name "{gene.name}";'
            if transcript is not None:
                attributes += f' transcript_id "SIMT{number:011d}"; transcript_type "{kind}";'
            span = f"{start - offset + 1}\t{end - offset}"
            yield (
                f"{chrom}\tringmark\t{feature}\t{span}\t.\t{gene.strand}\t{frame}\t{attributes}\n"
            )


def _features(gene: Gene) -> Iterator[tuple[str, int, int, str, int | None]]:
    """Yield feature, start, end, frame and transcript number of the lines of a gene."""
    yield "gene", gene.start, gene.end, ".", None
    for index, exons in enumerate(gene.transcripts):
        blocks = gene.blocks(exons)
        yield "transcript", int(blocks.starts[0]), int(blocks.ends[-1]), ".", index
        for start, end in zip(blocks.starts.tolist(), blocks.ends.tolist(), strict=True):
            yield "exon", start, end, ".", index
        for start, end, frame in _coding_parts(gene, index):
            yield "CDS", start, end, str(frame), index


def _coding_parts(gene: Gene, transcript: int) -> list[tuple[int, int, int]]:
    """Return start, end and frame of the CDS lines, which leave out the stop codon."""
    span = gene.cds(transcript)
    if span is None:
        return []
    parts = gene.blocks(gene.transcripts[transcript]).slice(span[0], span[1] - 3)
    bounds = list(zip(parts.starts.tolist(), parts.ends.tolist(), strict=True))
    ordered = bounds if gene.strand == "+" else bounds[::-1]
    found, before = [], 0
    for start, end in ordered:
        found.append((start, end, -before % 3))
        before += end - start
    return sorted(found)


def runs_of(library: Library, parameters: SimulationParameters) -> list[str]:
    """Return the names of a library's runs: its own, or two where it is split."""
    if library.number < parameters.split_libraries:
        return [f"{library.name}_run1", f"{library.name}_run2"]
    return [library.name]


def _write_reads(plan: Plan, folder: Path) -> dict[str, IntArray]:
    """Write the FASTQ files of all libraries and return the true counts.

    Returns
    -------
    dict
        The counts of `true_counts`, each of shape (genes or circles, libraries).
    """
    bias = local_bias(int(plan.pool.genome_positions.max()) + 1, plan.parameters)
    boundaries = linear_boundaries(plan.pool, plan.circles)
    counts: dict[str, list[IntArray]] = {}
    for library in plan.libraries:
        fragments = draw_fragments(plan.pool, plan.expression, library, bias, plan.parameters)
        found = true_counts(
            plan.pool, fragments, library, boundaries, len(plan.genes), plan.parameters
        )
        for name, column in found.items():
            counts.setdefault(name, []).append(column)
        _write_library(plan.pool, fragments, library, plan.parameters, folder)
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


def circle_rows(plan: Plan) -> list[dict[str, object]]:
    """Return the rows of the planted circles."""
    rows: list[dict[str, object]] = []
    for number, circle in enumerate(plan.circles):
        chrom, offset = plan.genome.locate(circle.start)
        host = plan.genes[circle.gene] if circle.gene >= 0 else None
        blocks = circle.paths[0]
        rows.append(
            {
                "circle": circle.name(plan.genome),
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
                "log2_fold_change": plan.expression.circle_changes[number],
                "baseline": plan.expression.circle_baseline[number],
                "cases": ",".join(circle.cases) or None,
            }
        )
    return rows


def _gene_rows(plan: Plan) -> list[dict[str, object]]:
    return [
        {
            "gene_id": gene.gene_id,
            "gene_name": gene.name,
            "log2_fold_change": plan.expression.gene_changes[gene.index],
            "baseline": plan.expression.gene_baseline[gene.index],
            "cases": ",".join(gene.cases) or None,
        }
        for gene in plan.genes
    ]


def site_frame(plan: Plan) -> pd.DataFrame:
    """Return the planted m6A sites, in order of place."""
    columns = ["chrom", "position", "strand", "gene_id", "molecule"]
    columns += [f"stoichiometry_{condition}" for condition in plan.parameters.conditions]
    names = plan.circle_names
    rows = []
    for site in sorted(plan.sites, key=lambda site: (site.position, site.strand, site.circle)):
        chrom, offset = plan.genome.locate(site.position)
        rows.append(
            [
                chrom,
                site.position - offset,
                site.strand,
                plan.genes[site.gene].gene_id if site.gene >= 0 else None,
                names[site.circle] if site.circle >= 0 else "linear",
                *site.stoichiometry,
            ]
        )
    return pd.DataFrame(rows, columns=columns)


def _library_rows(plan: Plan) -> list[dict[str, object]]:
    return [
        {
            "library": library.name,
            "sample": library.sample,
            "condition": library.condition,
            "assay": library.assay,
            "fragments": library.fragments,
            "background": library.background,
            "efficiency": library.efficiency,
            "strandedness": plan.parameters.strandedness,
            "layout": library.layout,
        }
        for library in plan.libraries
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

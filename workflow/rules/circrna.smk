"""Circular RNAs: one study-wide list of back-splice junctions, counted in every library.

Needs BAM files and the reference; makes results/circrna/: the list of circles with confidence, type
and host gene, back-splice and linear counts, BED12, sequences, the evidence for each circle, and a
log of what each filter removed.
"""

CIRCLE_FILES = [
    f"results/circrna/{name}"
    for name in (
        "circles.tsv",
        "bsj_counts.tsv",
        "linear_counts.tsv",
        "circles.bed",
        "circles.fa",
    )
]


rule find_back_splices:
    input:
        script=f"{SCRIPTS}/find_back_splices.py",
        bam="results/alignment/{library}.bam",
        genome="results/reference/genome.fa",
        fai="results/reference/genome.fa.fai",
        annotation="results/reference/transcripts.tsv",
        summary="results/alignment/{library}.tsv",
    output:
        junctions="results/circrna/junctions/{library}.tsv",
        filters="results/circrna/junctions/{library}.filters.tsv",
        doubted="results/circrna/junctions/{library}.doubted.bam",
    log:
        "results/logs/circrna/find_back_splices/{library}.log",
    benchmark:
        "results/benchmarks/circrna/find_back_splices/{library}.tsv"
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(3000),
        runtime=240,
    params:
        digest=digest_of(f"{SCRIPTS}/find_back_splices.py"),
        min_span=config["circrna"]["min_span"],
        max_span=config["circrna"]["max_span"],
    shell:
        r"""
        python {input.script:q} \
            --bam {input.bam:q} \
            --genome {input.genome:q} \
            --annotation {input.annotation:q} \
            --summary {input.summary:q} \
            --min-span {params.min_span} \
            --max-span {params.max_span} \
            --junctions {output.junctions:q} \
            --filters {output.filters:q} \
            --doubted {output.doubted:q} \
            2>{log:q}
        """


rule merge_back_splices:
    input:
        script=f"{SCRIPTS}/merge_back_splices.py",
        junctions=collect("results/circrna/junctions/{library}.tsv", library=LIBRARIES),
        genome="results/reference/genome.fa",
        fai="results/reference/genome.fa.fai",
        annotation="results/reference/transcripts.tsv",
    output:
        candidates="results/circrna/candidates.tsv",
    log:
        "results/logs/circrna/merge_back_splices.log",
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(2000),
        runtime=20,
    params:
        digest=digest_of(f"{SCRIPTS}/merge_back_splices.py"),
        min_span=config["circrna"]["min_span"],
        max_span=config["circrna"]["max_span"],
    shell:
        r"""
        python {input.script:q} \
            --junctions {input.junctions:q} \
            --genome {input.genome:q} \
            --annotation {input.annotation:q} \
            --min-span {params.min_span} \
            --max-span {params.max_span} \
            --output {output.candidates:q} \
            2>{log:q}
        """


rule count_circles:
    input:
        script=f"{SCRIPTS}/count_circles.py",
        bam="results/alignment/{library}.bam",
        doubted="results/circrna/junctions/{library}.doubted.bam",
        genome="results/reference/genome.fa",
        fai="results/reference/genome.fa.fai",
        annotation="results/reference/transcripts.tsv",
        summary="results/alignment/{library}.tsv",
        candidates="results/circrna/candidates.tsv",
    output:
        counts="results/circrna/libraries/{library}.tsv",
        filters="results/circrna/libraries/{library}.filters.tsv",
    log:
        "results/logs/circrna/count_circles/{library}.log",
    benchmark:
        "results/benchmarks/circrna/count_circles/{library}.tsv"
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(3000),
        runtime=240,
    params:
        digest=digest_of(f"{SCRIPTS}/count_circles.py"),
        min_anchor=config["circrna"]["min_anchor"],
    shell:
        r"""
        python {input.script:q} \
            --bam {input.bam:q} \
            --doubted {input.doubted:q} \
            --genome {input.genome:q} \
            --annotation {input.annotation:q} \
            --summary {input.summary:q} \
            --candidates {input.candidates:q} \
            --min-anchor {params.min_anchor} \
            --filters {output.filters:q} \
            --output {output.counts:q} \
            2>{log:q}
        """


rule catalogue_circles:
    input:
        script=f"{SCRIPTS}/catalogue_circles.py",
        candidates="results/circrna/candidates.tsv",
        counts=collect("results/circrna/libraries/{library}.tsv", library=LIBRARIES),
        filters=collect(
            "results/circrna/{step}/{library}.filters.tsv",
            step=("junctions", "libraries"),
            library=LIBRARIES,
        ),
        genome="results/reference/genome.fa",
        fai="results/reference/genome.fa.fai",
        annotation="results/reference/transcripts.tsv",
    output:
        circles="results/circrna/circles.tsv",
        bsj_counts="results/circrna/bsj_counts.tsv",
        linear_counts="results/circrna/linear_counts.tsv",
        bed="results/circrna/circles.bed",
        fasta="results/circrna/circles.fa",
        evidence="results/circrna/evidence.tsv",
        filters="results/circrna/filters.tsv",
    log:
        "results/logs/circrna/catalogue_circles.log",
    benchmark:
        "results/benchmarks/circrna/catalogue_circles.tsv"
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(6000),
        runtime=60,
    params:
        digest=digest_of(f"{SCRIPTS}/catalogue_circles.py"),
        min_reads=config["circrna"]["min_reads"],
    shell:
        r"""
        python {input.script:q} \
            --candidates {input.candidates:q} \
            --counts {input.counts:q} \
            --filters {input.filters:q} \
            --genome {input.genome:q} \
            --annotation {input.annotation:q} \
            --min-reads {params.min_reads} \
            --circles {output.circles:q} \
            --bsj-counts {output.bsj_counts:q} \
            --linear-counts {output.linear_counts:q} \
            --bed {output.bed:q} \
            --fasta {output.fasta:q} \
            --evidence {output.evidence:q} \
            --filter-log {output.filters:q} \
            2>{log:q}
        """

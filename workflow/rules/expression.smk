"""Expression: fragments of every gene in every library, union of exons, strand-aware.

Needs BAM files and the reference; makes results/expression/gene_counts.tsv. STAR counts while it
aligns; otherwise, and for BAM files made elsewhere, HTSeq counts by the same rule.
"""


rule count_genes:
    input:
        script=f"{SCRIPTS}/count_genes.py",
        bam="results/alignment/{library}.bam",
        annotation="results/reference/annotation.gtf",
        summary="results/alignment/{library}.tsv",
        star=branch(
            lambda wildcards: ALIGNER == "star" and wildcards.library in READS,
            then="results/alignment/{library}.ReadsPerGene.out.tab",
            otherwise=[],
        ),
    output:
        counts="results/expression/libraries/{library}.tsv",
    log:
        "results/logs/expression/count_genes/{library}.log",
    benchmark:
        "results/benchmarks/expression/count_genes/{library}.tsv"
    conda:
        "../../envs/htseq.yaml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=480,
    params:
        digest=digest_of(f"{SCRIPTS}/count_genes.py"),
        star=lambda wildcards, input: (
            ["--star-counts", input.star] if input.star else []
        ),
    shell:
        r"""
        python {input.script:q} \
            --bam {input.bam:q} \
            --gtf {input.annotation:q} \
            --summary {input.summary:q} \
            --library {wildcards.library:q} \
            {params.star:q} \
            --output {output.counts:q} \
            2>{log:q}
        """


rule merge_gene_counts:
    input:
        script=f"{SCRIPTS}/merge_gene_counts.py",
        counts=collect("results/expression/libraries/{library}.tsv", library=LIBRARIES),
        annotation="results/reference/transcripts.tsv",
    output:
        matrix="results/expression/gene_counts.tsv",
    log:
        "results/logs/expression/merge_gene_counts.log",
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(2000),
        runtime=20,
    params:
        digest=digest_of(f"{SCRIPTS}/merge_gene_counts.py"),
    shell:
        r"""
        python {input.script:q} \
            --counts {input.counts:q} \
            --annotation {input.annotation:q} \
            --output {output.matrix:q} \
            2>{log:q}
        """

"""Alignment: STAR or minimap2, to BAM files that keep one contract; strandedness; coverage tracks.

Needs trimmed reads, or BAM files made elsewhere, and the reference; makes results/alignment/{library}.bam, a one-row summary of
each library (reads, aligned share, strandedness by the reads) and results/tracks/. What follows
cannot tell which aligner ran; ringmark/alignments.py states the contract.
"""

TRACKS = [
    f"results/tracks/{library}.{strand}.bw"
    for library in LIBRARIES
    for strand in ("plus", "minus")
]

if ALIGNER == "star":

    rule index_star:
        input:
            script=f"{SCRIPTS}/index_star.py",
            genome="results/reference/genome.fa",
            annotation="results/reference/annotation.gtf",
        output:
            index=directory("results/reference/star"),
        log:
            "results/logs/alignment/index_star.log",
        benchmark:
            "results/benchmarks/alignment/index_star.tsv"
        conda:
            "../../envs/star.yaml"
        threads: 8
        resources:
            mem_mb=scaled(40000),
            runtime=180,
        params:
            digest=digest_of(f"{SCRIPTS}/index_star.py"),
            # STAR counts what it stores, not what it is
            memory=lambda wildcards, resources: resources.mem_mb * 9 // 10,
        shell:
            r"""
            python {input.script:q} \
                --fasta {input.genome:q} \
                --gtf {input.annotation:q} \
                --output {output.index:q} \
                --memory {params.memory} \
                --threads {threads} \
                2>{log:q}
            """

    rule align_star:
        input:
            script=f"{SCRIPTS}/align_star.py",
            index="results/reference/star",
            fastq_1="results/reads/{library}_1.fastq.gz",
            fastq_2="results/reads/{library}_2.fastq.gz",
        output:
            bam="results/alignment/{library}.bam",
            bai="results/alignment/{library}.bam.bai",
            gene_counts="results/alignment/{library}.ReadsPerGene.out.tab",
            summary="results/alignment/{library}.Log.final.out",
        log:
            "results/logs/alignment/align_star/{library}.log",
        benchmark:
            "results/benchmarks/alignment/align_star/{library}.tsv"
        wildcard_constraints:
            library=one_of(READS),
        conda:
            "../../envs/star.yaml"
        threads: 8
        resources:
            mem_mb=scaled(40000),
            runtime=480,
        params:
            digest=digest_of(f"{SCRIPTS}/align_star.py"),
            sample=lambda wildcards: LIBRARIES[wildcards.library].sample,
            max_intron=config["alignment"]["max_intron"],
        shell:
            r"""
            python {input.script:q} \
                --index {input.index:q} \
                --fastq-1 {input.fastq_1:q} \
                --fastq-2 {input.fastq_2:q} \
                --library {wildcards.library:q} \
                --sample {params.sample:q} \
                --maximum-intron {params.max_intron} \
                --threads {threads} \
                --output {output.bam:q} \
                --gene-counts {output.gene_counts:q} \
                --log {output.summary:q} \
                2>{log:q}
            """

else:

    rule index_minimap2:
        input:
            script=f"{SCRIPTS}/index_minimap2.py",
            genome="results/reference/genome.fa",
        output:
            index="results/reference/genome.mmi",
        log:
            "results/logs/alignment/index_minimap2.log",
        benchmark:
            "results/benchmarks/alignment/index_minimap2.tsv"
        conda:
            "../../envs/minimap2.yaml"
        threads: 4
        resources:
            mem_mb=scaled(16000),
            runtime=60,
        params:
            digest=digest_of(f"{SCRIPTS}/index_minimap2.py"),
        shell:
            r"""
            python {input.script:q} \
                --fasta {input.genome:q} \
                --output {output.index:q} \
                --threads {threads} \
                2>{log:q}
            """

    rule align_minimap2:
        input:
            script=f"{SCRIPTS}/align_minimap2.py",
            index="results/reference/genome.mmi",
            fastq_1="results/reads/{library}_1.fastq.gz",
            fastq_2="results/reads/{library}_2.fastq.gz",
        output:
            bam="results/alignment/{library}.bam",
            bai="results/alignment/{library}.bam.bai",
        log:
            "results/logs/alignment/align_minimap2/{library}.log",
        benchmark:
            "results/benchmarks/alignment/align_minimap2/{library}.tsv"
        wildcard_constraints:
            library=one_of(READS),
        conda:
            "../../envs/minimap2.yaml"
        threads: 4
        resources:
            mem_mb=scaled(16000),
            runtime=480,
        params:
            digest=digest_of(f"{SCRIPTS}/align_minimap2.py"),
            sample=lambda wildcards: LIBRARIES[wildcards.library].sample,
            preset=config["alignment"]["minimap2_preset"],
            max_intron=config["alignment"]["max_intron"],
        shell:
            r"""
            python {input.script:q} \
                --index {input.index:q} \
                --fastq-1 {input.fastq_1:q} \
                --fastq-2 {input.fastq_2:q} \
                --library {wildcards.library:q} \
                --sample {params.sample:q} \
                --preset {params.preset:q} \
                --maximum-intron {params.max_intron} \
                --threads {threads} \
                --output {output.bam:q} \
                2>{log:q}
            """


rule import_bam:
    input:
        **(GENOME_FILES if GENOME else {}),
        script=f"{SCRIPTS}/import_bam.py",
        bams=lambda wildcards: [
            str(run.bam) for run in LIBRARIES[wildcards.library].runs
        ],
        annotation="results/reference/transcripts.tsv",
    output:
        bam="results/alignment/{library}.bam",
        bai="results/alignment/{library}.bam.bai",
    log:
        "results/logs/alignment/import_bam/{library}.log",
    benchmark:
        "results/benchmarks/alignment/import_bam/{library}.tsv"
    wildcard_constraints:
        library=one_of(BAMS),
    conda:
        "../../envs/ringmark.yaml"
    threads: 2
    resources:
        mem_mb=scaled(3000),
        runtime=480,
    params:
        digest=digest_of(f"{SCRIPTS}/import_bam.py"),
        sample=lambda wildcards: LIBRARIES[wildcards.library].sample,
        genome=lambda wildcards, input: ["--genome", input.genome] if GENOME else [],
        max_intron=config["alignment"]["max_intron"],
    shell:
        r"""
        python {input.script:q} \
            --bam {input.bams:q} \
            --annotation {input.annotation:q} \
            {params.genome:q} \
            --library {wildcards.library:q} \
            --sample {params.sample:q} \
            --maximum-intron {params.max_intron} \
            --threads {threads} \
            --output {output.bam:q} \
            2>{log:q}
        """


rule summarise_alignment:
    input:
        script=f"{SCRIPTS}/summarise_alignment.py",
        bam="results/alignment/{library}.bam",
        annotation="results/reference/transcripts.tsv",
    output:
        summary="results/alignment/{library}.tsv",
    log:
        "results/logs/alignment/summarise_alignment/{library}.log",
    benchmark:
        "results/benchmarks/alignment/summarise_alignment/{library}.tsv"
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(3000),
        runtime=120,
    params:
        digest=digest_of(f"{SCRIPTS}/summarise_alignment.py"),
        strandedness=lambda wildcards: LIBRARIES[wildcards.library].strandedness,
    shell:
        r"""
        python {input.script:q} \
            --bam {input.bam:q} \
            --annotation {input.annotation:q} \
            --library {wildcards.library:q} \
            --strandedness {params.strandedness:q} \
            --output {output.summary:q} \
            2>{log:q}
        """


rule collect_libraries:
    input:
        script=f"{SCRIPTS}/collect_libraries.py",
        samples=config["samples"],
        summaries=collect("results/alignment/{library}.tsv", library=LIBRARIES),
    output:
        libraries="results/study/libraries.tsv",
    log:
        "results/logs/alignment/collect_libraries.log",
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(500),
        runtime=10,
    params:
        digest=digest_of(f"{SCRIPTS}/collect_libraries.py"),
        contrast=CONTRAST,
    shell:
        r"""
        python {input.script:q} \
            --samples {input.samples:q} \
            {params.contrast:q} \
            --summaries {input.summaries:q} \
            --output {output.libraries:q} \
            2>{log:q}
        """


rule write_tracks:
    input:
        script=f"{SCRIPTS}/write_tracks.py",
        bam="results/alignment/{library}.bam",
        summary="results/alignment/{library}.tsv",
    output:
        plus="results/tracks/{library}.plus.bw",
        minus="results/tracks/{library}.minus.bw",
    log:
        "results/logs/alignment/write_tracks/{library}.log",
    benchmark:
        "results/benchmarks/alignment/write_tracks/{library}.tsv"
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=120,
    params:
        digest=digest_of(f"{SCRIPTS}/write_tracks.py"),
    shell:
        r"""
        python {input.script:q} \
            --bam {input.bam:q} \
            --summary {input.summary:q} \
            --plus {output.plus:q} \
            --minus {output.minus:q} \
            2>{log:q}
        """

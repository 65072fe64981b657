"""Reads: runs are fetched where the sheet gives accessions, merged by library and trimmed.

Needs the samples sheet; makes two gzipped FASTQ files a library (the second is empty for single-end
reads) and cutadapt's JSON report. The trimmed reads are deleted once they are aligned.
"""


rule fetch_run:
    input:
        script=f"{SCRIPTS}/fetch_run.py",
    output:
        fastq_1=temp("results/reads/runs/{accession}_1.fastq.gz"),
        fastq_2=temp("results/reads/runs/{accession}_2.fastq.gz"),
    log:
        "results/logs/reads/fetch_run/{accession}.log",
    benchmark:
        "results/benchmarks/reads/fetch_run/{accession}.tsv"
    wildcard_constraints:
        accession="[SED]RR[0-9]+",
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(500),
        runtime=480,
    params:
        digest=digest_of(f"{SCRIPTS}/fetch_run.py"),
    shell:
        r"""
        python {input.script:q} \
            --accession {wildcards.accession:q} \
            --output-1 {output.fastq_1:q} \
            --output-2 {output.fastq_2:q} \
            2>{log:q}
        """


rule trim_reads:
    input:
        script=f"{SCRIPTS}/trim_reads.py",
        fastq_1=reads_of(1),
        fastq_2=reads_of(2),
    output:
        fastq_1=temp("results/reads/{library}_1.fastq.gz"),
        fastq_2=temp("results/reads/{library}_2.fastq.gz"),
        report="results/reads/{library}.cutadapt.json",
    log:
        "results/logs/reads/trim_reads/{library}.log",
    benchmark:
        "results/benchmarks/reads/trim_reads/{library}.tsv"
    conda:
        "../../envs/cutadapt.yaml"
    threads: 4
    resources:
        mem_mb=scaled(1000),
        runtime=240,
    params:
        digest=digest_of(f"{SCRIPTS}/trim_reads.py"),
        mates=lambda wildcards, input: (
            ["--fastq-2", *input.fastq_2] if input.fastq_2 else []
        ),
        adapter_1=config["reads"]["adapter_1"],
        adapter_2=config["reads"]["adapter_2"],
        quality_cutoff=config["reads"]["quality_cutoff"],
        minimum_length=config["reads"]["minimum_length"],
    shell:
        r"""
        python {input.script:q} \
            --fastq-1 {input.fastq_1:q} \
            {params.mates:q} \
            --adapter-1 {params.adapter_1:q} \
            --adapter-2 {params.adapter_2:q} \
            --quality-cutoff {params.quality_cutoff} \
            --minimum-length {params.minimum_length} \
            --threads {threads} \
            --output-1 {output.fastq_1:q} \
            --output-2 {output.fastq_2:q} \
            --report {output.report:q} \
            2>{log:q}
        """

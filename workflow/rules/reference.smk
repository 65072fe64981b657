"""Reference: genome and annotation, checked against each other, in one plain form.

Needs the FASTA and GTF of the configuration (paths or URLs); makes an indexed FASTA, a table of
transcripts for our programs and a GTF with exon and CDS lines for other people's. A study of BAM files
may have no FASTA.
"""

GENOME_FILES = {
    "genome": "results/reference/genome.fa",
    "fai": "results/reference/genome.fa.fai",
}


rule prepare_reference:
    input:
        script=f"{SCRIPTS}/prepare_reference.py",
        fasta=branch(
            not GENOME or check_study.is_url(config["reference"]["fasta"]),
            then=[],
            otherwise=config["reference"]["fasta"],
        ),
        gtf=branch(
            check_study.is_url(config["reference"]["gtf"]),
            then=[],
            otherwise=config["reference"]["gtf"],
        ),
    output:
        **(GENOME_FILES if GENOME else {}),
        transcripts="results/reference/transcripts.tsv",
        annotation="results/reference/annotation.gtf",
    log:
        "results/logs/reference/prepare_reference.log",
    benchmark:
        "results/benchmarks/reference/prepare_reference.tsv"
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(6000),
        runtime=60,
    params:
        digest=digest_of(f"{SCRIPTS}/prepare_reference.py"),
        genome=lambda wildcards, input, output: (
            [
                *("--fasta", input.fasta or config["reference"]["fasta"]),
                *("--genome", output.genome),
            ]
            if GENOME
            else []
        ),
        gtf=lambda wildcards, input: input.gtf or config["reference"]["gtf"],
        fasta_sha256=config["reference"]["sha256"]["fasta"] or "",
        gtf_sha256=config["reference"]["sha256"]["gtf"] or "",
    shell:
        r"""
        python {input.script:q} \
            {params.genome:q} \
            --gtf {params.gtf:q} \
            --fasta-sha256 '{params.fasta_sha256}' \
            --gtf-sha256 '{params.gtf_sha256}' \
            --transcripts {output.transcripts:q} \
            --annotation {output.annotation:q} \
            2>{log:q}
        """

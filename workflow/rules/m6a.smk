"""m6A peaks: immunoprecipitated over input, in transcript space, replicates as replicates.

Needs the BAM files of all IP/input pairs; makes results/m6a/: one study-wide list of peaks, their
fragments in every library, the background ratio of each pair, its quality with a verdict, how many
peaks less depth would show, and where summits lie and which letters surround them. With
`m6a.introns` the list also holds peaks in introns. A study without immunoprecipitated libraries
makes none of it.
"""

PEAK_FILES = [
    f"results/m6a/{name}"
    for name in (
        "peaks.tsv",
        "peaks.bed",
        "ip_counts.tsv",
        "input_counts.tsv",
        "quality.tsv",
        "saturation.tsv",
        "metagene.tsv",
        "motif.tsv",
    )
    if IPS
]

# the coverage of all libraries is in memory at once: about 1 GB each of a full human annotation
MEMORY_OF_PAIRS = 3000 + 1200 * len(IN_PAIRS)

INTRON_FILES = (
    {"introns": collect("results/m6a/introns/{library}.npz", library=IN_PAIRS)}
    if config["m6a"]["introns"]
    else {}
)
# the 1.3 Gb of introns of a human annotation take 5 GB; of those that hold enough fragments the
# counts of all libraries come on top
MEMORY_OF_INTRONS = 8000 + 500 * len(IN_PAIRS) if INTRON_FILES else 0


rule count_bins:
    input:
        script=f"{SCRIPTS}/count_bins.py",
        bam="results/alignment/{library}.bam",
        annotation="results/reference/transcripts.tsv",
        summary="results/alignment/{library}.tsv",
    output:
        bins="results/m6a/bins/{library}.npz",
    log:
        "results/logs/m6a/count_bins/{library}.log",
    benchmark:
        "results/benchmarks/m6a/count_bins/{library}.tsv"
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=240,
    params:
        digest=digest_of(f"{SCRIPTS}/count_bins.py"),
        introns=[],
    shell:
        r"""
        python {input.script:q} \
            {params.introns:q} \
            --bam {input.bam:q} \
            --annotation {input.annotation:q} \
            --summary {input.summary:q} \
            --output {output.bins:q} \
            2>{log:q}
        """


use rule count_bins as count_introns with:
    output:
        bins="results/m6a/introns/{library}.npz",
    log:
        "results/logs/m6a/count_introns/{library}.log",
    benchmark:
        "results/benchmarks/m6a/count_introns/{library}.tsv"
    resources:
        mem_mb=scaled(8000),
        runtime=240,
    params:
        digest=digest_of(f"{SCRIPTS}/count_bins.py"),
        introns="--introns",


rule call_peaks:
    input:
        **(GENOME_FILES if GENOME else {}),
        **INTRON_FILES,
        script=f"{SCRIPTS}/call_peaks.py",
        bins=collect("results/m6a/bins/{library}.npz", library=IN_PAIRS),
        annotation="results/reference/transcripts.tsv",
    output:
        peaks="results/m6a/peaks.tsv",
        bed="results/m6a/peaks.bed",
        ip_counts="results/m6a/ip_counts.tsv",
        input_counts="results/m6a/input_counts.tsv",
        background="results/m6a/background.tsv",
        gene_background="results/m6a/gene_background.tsv",
    log:
        "results/logs/m6a/call_peaks.log",
    benchmark:
        "results/benchmarks/m6a/call_peaks.tsv"
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(MEMORY_OF_PAIRS + MEMORY_OF_INTRONS),
        runtime=120,
    params:
        digest=digest_of(f"{SCRIPTS}/call_peaks.py"),
        pairs=PAIR_OPTIONS,
        genome=lambda wildcards, input: ["--genome", input.genome] if GENOME else [],
        introns=lambda wildcards, input: (
            ["--introns", *input.introns] if INTRON_FILES else []
        ),
        fdr=config["m6a"]["fdr"],
        min_log2_enrichment=config["m6a"]["min_log2_enrichment"],
    shell:
        r"""
        python {input.script:q} \
            {params.pairs:q} \
            --bins {input.bins:q} \
            --annotation {input.annotation:q} \
            {params.introns:q} \
            {params.genome:q} \
            --fdr {params.fdr} \
            --min-log2-enrichment {params.min_log2_enrichment} \
            --peaks {output.peaks:q} \
            --bed {output.bed:q} \
            --ip-counts {output.ip_counts:q} \
            --input-counts {output.input_counts:q} \
            --background {output.background:q} \
            --gene-background {output.gene_background:q} \
            2>{log:q}
        """


rule assess_ip:
    input:
        **(GENOME_FILES if GENOME else {}),
        script=f"{SCRIPTS}/assess_ip.py",
        bins=collect("results/m6a/bins/{library}.npz", library=IN_PAIRS),
        peaks="results/m6a/peaks.tsv",
        background="results/m6a/background.tsv",
        annotation="results/reference/transcripts.tsv",
    output:
        quality="results/m6a/quality.tsv",
        saturation="results/m6a/saturation.tsv",
    log:
        "results/logs/m6a/assess_ip.log",
    benchmark:
        "results/benchmarks/m6a/assess_ip.tsv"
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(MEMORY_OF_PAIRS),
        runtime=120,
    params:
        digest=digest_of(f"{SCRIPTS}/assess_ip.py"),
        pairs=PAIR_OPTIONS,
        genome=lambda wildcards, input: ["--genome", input.genome] if GENOME else [],
        fdr=config["m6a"]["fdr"],
        min_log2_enrichment=config["m6a"]["min_log2_enrichment"],
    shell:
        r"""
        python {input.script:q} \
            {params.pairs:q} \
            --bins {input.bins:q} \
            --peaks {input.peaks:q} \
            --background {input.background:q} \
            --annotation {input.annotation:q} \
            {params.genome:q} \
            --fdr {params.fdr} \
            --min-log2-enrichment {params.min_log2_enrichment} \
            --output {output.quality:q} \
            --saturation {output.saturation:q} \
            2>{log:q}
        """


rule profile_peaks:
    input:
        **(GENOME_FILES if GENOME else {}),
        script=f"{SCRIPTS}/profile_peaks.py",
        peaks="results/m6a/peaks.tsv",
        annotation="results/reference/transcripts.tsv",
    output:
        metagene="results/m6a/metagene.tsv",
        motif="results/m6a/motif.tsv",
    log:
        "results/logs/m6a/profile_peaks.log",
    benchmark:
        "results/benchmarks/m6a/profile_peaks.tsv"
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(3000),
        runtime=60,
    params:
        digest=digest_of(f"{SCRIPTS}/profile_peaks.py"),
        genome=lambda wildcards, input: ["--genome", input.genome] if GENOME else [],
    shell:
        r"""
        python {input.script:q} \
            --peaks {input.peaks:q} \
            --annotation {input.annotation:q} \
            {params.genome:q} \
            --metagene {output.metagene:q} \
            --motif {output.motif:q} \
            2>{log:q}
        """

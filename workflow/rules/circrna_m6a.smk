"""m6A on circles: back-splice fragments in the IP against those in the input.

Needs the list of circles, the peaks, the background ratio of each gene and how long fragments are;
makes results/circrna_m6a/: circles.tsv with the evidence of every circle in tiers, and
detection.tsv with what its counts could have shown.
"""

CIRCLE_M6A_FILES = [
    f"results/circrna_m6a/{name}.tsv"
    for name in ("circles", "detection")
    if IPS and GENOME
]


rule enrich_circles:
    input:
        script=f"{SCRIPTS}/enrich_circles.py",
        samples=config["samples"],
        catalogue="results/circrna/circles.tsv",
        bed="results/circrna/circles.bed",
        fasta="results/circrna/circles.fa",
        bsj_counts="results/circrna/bsj_counts.tsv",
        background="results/m6a/gene_background.tsv",
        bins=collect("results/m6a/bins/{library}.npz", library=IPS),
        peaks="results/m6a/peaks.tsv",
        annotation="results/reference/transcripts.tsv",
    output:
        circles="results/circrna_m6a/circles.tsv",
        detection="results/circrna_m6a/detection.tsv",
    log:
        "results/logs/circrna_m6a/enrich_circles.log",
    benchmark:
        "results/benchmarks/circrna_m6a/enrich_circles.tsv"
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=60,
    params:
        digest=digest_of(f"{SCRIPTS}/enrich_circles.py"),
        contrast=CONTRAST,
        fdr=config["m6a"]["fdr"],
    shell:
        r"""
        python {input.script:q} \
            --samples {input.samples:q} \
            {params.contrast:q} \
            --circles {input.catalogue:q} \
            --bed {input.bed:q} \
            --fasta {input.fasta:q} \
            --bsj-counts {input.bsj_counts:q} \
            --background {input.background:q} \
            --bins {input.bins:q} \
            --peaks {input.peaks:q} \
            --annotation {input.annotation:q} \
            --fdr {params.fdr} \
            --output {output.circles:q} \
            --detection {output.detection:q} \
            2>{log:q}
        """

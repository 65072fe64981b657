"""Differential tests: genes, circles, circular-to-linear ratio and methylation, test over reference.

Needs the count matrices of the earlier stages; makes one table a question in results/differential/,
and one that joins what changes of each circle.
Without replicates the tables hold fold changes and no p-values.
"""

# methylation can be compared where both levels of the contrast have immunoprecipitated libraries
IP_LEVELS = set(STUDY.design(STUDY.ips)[STUDY.contrast.factor])
DIFFERENTIAL_TABLES = {
    name: f"results/differential/{name}.tsv"
    for name in (
        "genes",
        "circles",
        "circle_ratio",
        "methylation",
        "circle_methylation",
    )
    if ("methylation" not in name or len(IP_LEVELS) == 2)
    and ("circle" not in name or GENOME)
}

CIRCLE_CHANGES = ["results/differential/circle_changes.tsv"] if GENOME else []
# what the joined table says of m6A, where there is any: option and table
M6A_OF_CIRCLES = {
    **(
        {"--methylation": "results/differential/circle_methylation.tsv"}
        if "circle_methylation" in DIFFERENTIAL_TABLES
        else {}
    ),
    **(
        {"--detection": "results/circrna_m6a/detection.tsv"} if CIRCLE_M6A_FILES else {}
    ),
}

# circles whose share of the RNA may change in place of the methylation of a peak
CIRCLE_OPTIONS = {
    "circles": "results/circrna/circles.bed",
    "bsj_counts": "results/circrna/bsj_counts.tsv",
}


rule compare_genes:
    input:
        script=f"{SCRIPTS}/compare_genes.py",
        samples=config["samples"],
        counts="results/expression/gene_counts.tsv",
        annotation="results/reference/transcripts.tsv",
    output:
        table="results/differential/genes.tsv",
        shrunken="results/differential/shrunken_genes.tsv",
    log:
        "results/logs/differential/compare_genes.log",
    benchmark:
        "results/benchmarks/differential/compare_genes.tsv"
    conda:
        "../../envs/pydeseq2.yaml"
    threads: 4
    resources:
        mem_mb=scaled(4000),
        runtime=60,
    params:
        digest=digest_of(f"{SCRIPTS}/compare_genes.py"),
        contrast=CONTRAST,
    shell:
        r"""
        python {input.script:q} \
            --samples {input.samples:q} \
            {params.contrast:q} \
            --counts {input.counts:q} \
            --annotation {input.annotation:q} \
            --threads {threads} \
            --output {output.table:q} \
            --shrunken {output.shrunken:q} \
            2>{log:q}
        """


rule compare_circles:
    input:
        script=f"{SCRIPTS}/compare_circles.py",
        samples=config["samples"],
        counts="results/circrna/bsj_counts.tsv",
        gene_counts="results/expression/gene_counts.tsv",
        circles="results/circrna/circles.tsv",
    output:
        table="results/differential/circles.tsv",
        shrunken="results/differential/shrunken_circles.tsv",
    log:
        "results/logs/differential/compare_circles.log",
    benchmark:
        "results/benchmarks/differential/compare_circles.tsv"
    conda:
        "../../envs/pydeseq2.yaml"
    threads: 4
    resources:
        mem_mb=scaled(4000),
        runtime=60,
    params:
        digest=digest_of(f"{SCRIPTS}/compare_circles.py"),
        contrast=CONTRAST,
    shell:
        r"""
        python {input.script:q} \
            --samples {input.samples:q} \
            {params.contrast:q} \
            --counts {input.counts:q} \
            --gene-counts {input.gene_counts:q} \
            --circles {input.circles:q} \
            --threads {threads} \
            --output {output.table:q} \
            --shrunken {output.shrunken:q} \
            2>{log:q}
        """


rule compare_ratio:
    input:
        script=f"{SCRIPTS}/compare_ratio.py",
        samples=config["samples"],
        counts="results/circrna/bsj_counts.tsv",
        linear_counts="results/circrna/linear_counts.tsv",
        gene_counts="results/expression/gene_counts.tsv",
        circles="results/circrna/circles.tsv",
    output:
        table="results/differential/circle_ratio.tsv",
    log:
        "results/logs/differential/compare_ratio.log",
    benchmark:
        "results/benchmarks/differential/compare_ratio.tsv"
    conda:
        "../../envs/pydeseq2.yaml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=60,
    params:
        digest=digest_of(f"{SCRIPTS}/compare_ratio.py"),
        contrast=CONTRAST,
    shell:
        r"""
        python {input.script:q} \
            --samples {input.samples:q} \
            {params.contrast:q} \
            --counts {input.counts:q} \
            --linear-counts {input.linear_counts:q} \
            --gene-counts {input.gene_counts:q} \
            --circles {input.circles:q} \
            --output {output.table:q} \
            2>{log:q}
        """


rule compare_methylation:
    input:
        **(CIRCLE_OPTIONS if GENOME else {}),
        script=f"{SCRIPTS}/compare_methylation.py",
        samples=config["samples"],
        ip_counts="results/m6a/ip_counts.tsv",
        input_counts="results/m6a/input_counts.tsv",
        background="results/m6a/background.tsv",
        gene_counts="results/expression/gene_counts.tsv",
        features="results/m6a/peaks.tsv",
        annotation="results/reference/transcripts.tsv",
        bins=collect("results/m6a/bins/{library}.npz", library=INPUTS_IN_PAIRS),
    output:
        table="results/differential/methylation.tsv",
    log:
        "results/logs/differential/compare_methylation.log",
    benchmark:
        "results/benchmarks/differential/compare_methylation.tsv"
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=60,
    params:
        digest=digest_of(f"{SCRIPTS}/compare_methylation.py"),
        contrast=CONTRAST,
        circles=lambda wildcards, input: (
            ["--circles", input.circles, "--bsj-counts", input.bsj_counts]
            if GENOME
            else []
        ),
    shell:
        r"""
        python {input.script:q} \
            --samples {input.samples:q} \
            {params.contrast:q} \
            --ip-counts {input.ip_counts:q} \
            --input-counts {input.input_counts:q} \
            --background {input.background:q} \
            --gene-counts {input.gene_counts:q} \
            --features {input.features:q} \
            --annotation {input.annotation:q} \
            --bins {input.bins:q} \
            {params.circles:q} \
            --output {output.table:q} \
            2>{log:q}
        """


rule compare_circle_methylation:
    input:
        script=f"{SCRIPTS}/compare_methylation.py",
        samples=config["samples"],
        ip_counts="results/circrna/bsj_counts.tsv",
        input_counts="results/circrna/bsj_counts.tsv",
        background="results/m6a/background.tsv",
        gene_counts="results/expression/gene_counts.tsv",
        peaks="results/m6a/peaks.tsv",
        peak_ip_counts="results/m6a/ip_counts.tsv",
        peak_input_counts="results/m6a/input_counts.tsv",
        features="results/circrna/circles.tsv",
    output:
        table="results/differential/circle_methylation.tsv",
    log:
        "results/logs/differential/compare_circle_methylation.log",
    benchmark:
        "results/benchmarks/differential/compare_circle_methylation.tsv"
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=60,
    params:
        digest=digest_of(f"{SCRIPTS}/compare_methylation.py"),
        contrast=CONTRAST,
    shell:
        r"""
        python {input.script:q} \
            --samples {input.samples:q} \
            {params.contrast:q} \
            --ip-counts {input.ip_counts:q} \
            --input-counts {input.input_counts:q} \
            --background {input.background:q} \
            --gene-counts {input.gene_counts:q} \
            --peaks {input.peaks:q} \
            --peak-ip-counts {input.peak_ip_counts:q} \
            --peak-input-counts {input.peak_input_counts:q} \
            --features {input.features:q} \
            --output {output.table:q} \
            2>{log:q}
        """


rule join_circle_changes:
    input:
        script=f"{SCRIPTS}/join_circle_changes.py",
        circles="results/circrna/circles.tsv",
        expression="results/differential/circles.tsv",
        ratio="results/differential/circle_ratio.tsv",
        genes="results/differential/genes.tsv",
        m6a=list(M6A_OF_CIRCLES.values()),
    output:
        table="results/differential/circle_changes.tsv",
    log:
        "results/logs/differential/join_circle_changes.log",
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(1000),
        runtime=30,
    params:
        digest=digest_of(f"{SCRIPTS}/join_circle_changes.py"),
        m6a=[word for item in M6A_OF_CIRCLES.items() for word in item],
        alpha=config["differential"]["fdr"],
    shell:
        r"""
        python {input.script:q} \
            --circles {input.circles:q} \
            --expression {input.expression:q} \
            --ratio {input.ratio:q} \
            --genes {input.genes:q} \
            {params.m6a:q} \
            --alpha {params.alpha} \
            --output {output.table:q} \
            2>{log:q}
        """

"""Report: one page that opens offline, MultiQC over all reads, and what the run was made of.

Needs the tables of all stages; makes results/report/index.html, results/report/multiqc.html and
results/provenance.json.
"""

import json

PAGE_FILES = sorted(
    path.name for path in Path(workflow.basedir, "workflow/report").iterdir()
)
# option of build_report.py to the table it shows
REPORT_TABLES = {
    "libraries": "results/study/libraries.tsv",
    "gene_counts": "results/expression/gene_counts.tsv",
    "shrunken_genes": "results/differential/shrunken_genes.tsv",
    **{
        {"circles": "circle_differential", "circle_ratio": "ratio"}.get(
            name, name
        ): path
        for name, path in DIFFERENTIAL_TABLES.items()
    },
    **REGULATOR_TABLES,
    "provenance": "results/provenance.json",
}
if GENOME:
    REPORT_TABLES |= {
        "circles": "results/circrna/circles.tsv",
        "bsj_counts": "results/circrna/bsj_counts.tsv",
        "linear_counts": "results/circrna/linear_counts.tsv",
        "filters": "results/circrna/filters.tsv",
        "circle_changes": CIRCLE_CHANGES[0],
        "shrunken_circles": "results/differential/shrunken_circles.tsv",
    }
if IPS:
    REPORT_TABLES |= {
        "peaks": "results/m6a/peaks.tsv",
        "quality": "results/m6a/quality.tsv",
        "saturation": "results/m6a/saturation.tsv",
        "metagene": "results/m6a/metagene.tsv",
        "motif": "results/m6a/motif.tsv",
        "ip_counts": "results/m6a/ip_counts.tsv",
        "input_counts": "results/m6a/input_counts.tsv",
    }
if IPS and GENOME:
    REPORT_TABLES |= {
        "circle_m6a": "results/circrna_m6a/circles.tsv",
        "circle_detection": "results/circrna_m6a/detection.tsv",
    }


rule summarise_bam:
    input:
        script=f"{SCRIPTS}/summarise_bam.py",
        bam="results/alignment/{library}.bam",
    output:
        stats="results/alignment/{library}.stats.txt",
    log:
        "results/logs/report/summarise_bam/{library}.log",
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(1000),
        runtime=120,
    params:
        digest=digest_of(f"{SCRIPTS}/summarise_bam.py"),
    shell:
        r"""
        python {input.script:q} \
            --bam {input.bam:q} \
            --output {output.stats:q} \
            2>{log:q}
        """


rule run_multiqc:
    input:
        collect("results/reads/{library}.cutadapt.json", library=READS),
        collect("results/alignment/{library}.stats.txt", library=LIBRARIES),
        branch(
            ALIGNER == "star",
            then=collect("results/alignment/{library}.Log.final.out", library=READS),
            otherwise=[],
        ),
    output:
        page="results/report/multiqc.html",
    log:
        "results/logs/report/run_multiqc.log",
    benchmark:
        "results/benchmarks/report/run_multiqc.tsv"
    conda:
        "../../envs/multiqc.yaml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=60,
    params:
        title=config["report"]["title"],
    shell:
        r"""
        multiqc \
            --force \
            --no-data-dir \
            --no-ansi \
            --no-version-check \
            --title {params.title:q} \
            --filename {output.page:q} \
            {input:q} \
            2>{log:q}
        """


rule write_provenance:
    input:
        script=f"{SCRIPTS}/write_provenance.py",
        files=INPUT_FILES,
        # their headers name the aligner and its version: one run's own is as good as another
        bams=collect("results/alignment/{library}.bam", library=READS[:1] + BAMS),
    output:
        provenance="results/provenance.json",
    log:
        "results/logs/report/write_provenance.log",
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(1000),
        runtime=120,
    params:
        digest=digest_of(f"{SCRIPTS}/write_provenance.py"),
        files=[part for place in INPUT_FILES for part in ("--input", place)],
        config=json.dumps(config, sort_keys=True),
        commit=COMMIT,
    shell:
        r"""
        python {input.script:q} \
            {params.files:q} \
            --config {params.config:q} \
            --bam {input.bams:q} \
            --commit {params.commit:q} \
            --output {output.provenance:q} \
            2>{log:q}
        """


rule build_report:
    input:
        script=f"{SCRIPTS}/build_report.py",
        page=collect(f"{workflow.basedir}/workflow/report/{{name}}", name=PAGE_FILES),
        tables=REPORT_TABLES.values(),
    output:
        page="results/report/index.html",
    log:
        "results/logs/report/build_report.log",
    benchmark:
        "results/benchmarks/report/build_report.tsv"
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=30,
    params:
        digest=digest_of(f"{SCRIPTS}/build_report.py"),
        title=config["report"]["title"],
        tables=options(REPORT_TABLES),
        contrast=CONTRAST,
        alpha=config["differential"]["fdr"],
    shell:
        r"""
        python {input.script:q} \
            --title {params.title:q} \
            {params.tables:q} \
            {params.contrast:q} \
            --alpha {params.alpha} \
            --multiqc multiqc.html \
            --output {output.page:q} \
            2>{log:q}
        """

"""Reviewed regulators: what the study says to each claim of the reviews.

Needs the differential tables and resources/reviewed_regulators/; makes results/regulators/: one row
a claim and comparison, sets of regulators, and chains of them.
"""

REGULATOR_TABLES = {
    name: f"results/regulators/{name}.tsv" for name in ("overlap", "enrichment", "axes")
}

REVIEWED = f"{workflow.basedir}/resources/reviewed_regulators"
# option of overlap_regulators.py to the table it reads
REGULATOR_EVIDENCE = {
    {"circle_ratio": "ratio"}.get(name, name): path
    for name, path in DIFFERENTIAL_TABLES.items()
}
if GENOME:
    REGULATOR_EVIDENCE["circles_catalogue"] = "results/circrna/circles.tsv"
if IPS:
    REGULATOR_EVIDENCE["peaks"] = "results/m6a/peaks.tsv"
if IPS and GENOME:
    REGULATOR_EVIDENCE["circle_m6a"] = "results/circrna_m6a/circles.tsv"


rule overlap_regulators:
    input:
        script=f"{SCRIPTS}/overlap_regulators.py",
        claims=f"{REVIEWED}/claims.tsv",
        axes=f"{REVIEWED}/axes.tsv",
        evidence=REGULATOR_EVIDENCE.values(),
    output:
        **REGULATOR_TABLES,
    log:
        "results/logs/regulators/overlap_regulators.log",
    benchmark:
        "results/benchmarks/regulators/overlap_regulators.tsv"
    conda:
        "../../envs/ringmark.yaml"
    threads: 1
    resources:
        mem_mb=scaled(2000),
        runtime=30,
    params:
        digest=digest_of(f"{SCRIPTS}/overlap_regulators.py"),
        evidence=options(REGULATOR_EVIDENCE),
        fdr=config["differential"]["fdr"],
        filters=[
            part
            for name in ("cancer", "therapy", "therapy_class")
            for value in config["regulators"][name]
            for part in (f"--{name.replace('_', '-')}", value)
        ],
    shell:
        r"""
        python {input.script:q} \
            --claims {input.claims:q} \
            --axes {input.axes:q} \
            {params.evidence:q} \
            --fdr {params.fdr} \
            {params.filters:q} \
            --output-overlap {output.overlap:q} \
            --output-enrichment {output.enrichment:q} \
            --output-axes {output.axes:q} \
            2>{log:q}
        """

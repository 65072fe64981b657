"""Ringmark: circular RNAs and m6A in therapy resistance, from public reads to an answer.

    snakemake --cores 8                          the study of config/config.yaml
    snakemake --configfile STUDY/config.yaml --directory STUDY --cores 8

Results land in results/ of the working folder; results/report/index.html is the place to start.
"""

from snakemake.utils import min_version

min_version("9.13")

# a configuration given on the command line replaces the default one, it does not extend it
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/reference.smk"
include: "workflow/rules/reads.smk"
include: "workflow/rules/alignment.smk"
include: "workflow/rules/expression.smk"
include: "workflow/rules/circrna.smk"
include: "workflow/rules/m6a.smk"
include: "workflow/rules/circrna_m6a.smk"
include: "workflow/rules/differential.smk"
include: "workflow/rules/regulators.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        branch(GENOME, then=CIRCLE_FILES, otherwise=[]),
        PEAK_FILES,
        CIRCLE_M6A_FILES,
        DIFFERENTIAL_TABLES.values(),
        CIRCLE_CHANGES,
        REGULATOR_TABLES.values(),
        TRACKS,
        "results/study/libraries.tsv",
        "results/expression/gene_counts.tsv",
        "results/report/index.html",
        "results/report/multiqc.html",
        "results/provenance.json",


rule circles:
    input:
        branch(GENOME, then=CIRCLE_FILES, otherwise=[]),


rule peaks:
    input:
        PEAK_FILES,


rule tracks:
    input:
        TRACKS,

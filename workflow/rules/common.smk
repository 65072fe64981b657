"""What all stages share: the checked study, the files it will have, and small helpers.

Needs the configuration; makes no file. A mistake of the user ends the run here, before any job.
"""

import sys
from pathlib import Path

SCRIPTS = f"{workflow.basedir}/workflow/scripts"
sys.path.insert(0, SCRIPTS)

import check_study
import folder_lock
from code_digest import digest_of
from ringmark.errors import InputError

check_study.put_own_programs_first()

try:
    # jobs that Snakemake starts on other nodes need not read the files again
    config, STUDY = check_study.load(
        config,
        ", ".join(map(str, workflow.overwrite_configfiles or workflow.configfiles)),
        read_files=workflow.is_main_process,
    )
except InputError as error:
    print(error, file=sys.stderr)
    sys.exit(1)

COMMIT = check_study.commit_of(workflow.basedir)
LIBRARIES = {library.name: library for library in STUDY.libraries}
IPS = [library.name for library in STUDY.ips]
IN_PAIRS = list(
    dict.fromkeys(lib.name for pair in STUDY.pairs for lib in (pair.ip, pair.input))
)
ALIGNER = config["alignment"]["aligner"]

INPUT_FILES = list(
    dict.fromkeys(
        str(place)
        for place in (
            config["samples"],
            config["reference"]["fasta"],
            config["reference"]["gtf"],
            *(
                file
                for lib in STUDY.libraries
                for run in lib.runs
                for file in run.files
            ),
        )
        if not check_study.is_url(str(place))
    )
)

CONTRAST = [
    *("--factor", STUDY.contrast.factor),
    *("--test", STUDY.contrast.test),
    *("--reference", STUDY.contrast.reference),
    *(
        ["--covariates", *STUDY.contrast.covariates]
        if STUDY.contrast.covariates
        else []
    ),
]
PAIR_OPTIONS = [
    part
    for pair in STUDY.pairs
    for part in ("--pair", pair.ip.name, pair.input.name, pair.sample, pair.condition)
]

CIRCLE_FILES = [
    f"results/circrna/{name}"
    for name in (
        "circles.tsv",
        "bsj_counts.tsv",
        "linear_counts.tsv",
        "circles.bed",
        "circles.fa",
    )
]
TRACKS = [
    f"results/tracks/{library}.{strand}.bw"
    for library in LIBRARIES
    for strand in ("plus", "minus")
]
# a study without immunoprecipitated libraries has no peaks, and no change of methylation either;
# neither has one whose IPs are all of one level of the contrast
PEAK_FILES = [
    f"results/m6a/{name}"
    for name in (
        "peaks.tsv",
        "peaks.bed",
        "ip_counts.tsv",
        "input_counts.tsv",
        "quality.tsv",
    )
    if IPS
]
CIRCLE_M6A_FILES = ["results/circrna_m6a/circles.tsv"] if IPS else []
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
    if "methylation" not in name or len(IP_LEVELS) == 2
}
REGULATOR_TABLES = {
    name: f"results/regulators/{name}.tsv" for name in ("overlap", "enrichment", "axes")
}


if workflow.is_main_process:
    folder_lock.remove_stale_locks()


onstart:
    folder_lock.hold_folder()


wildcard_constraints:
    library="|".join(map(re.escape, LIBRARIES)),


def scaled(megabytes):
    """Memory that grows with every attempt."""
    return lambda wildcards, attempt: megabytes * attempt


def reads_of(mate):
    """Input function: the FASTQ files of one mate of all runs of a library."""

    def files(wildcards):
        runs = LIBRARIES[wildcards.library].runs
        paired = any(run.fastq_2 or run.accession for run in runs)
        return [
            (
                f"results/reads/runs/{run.accession}_{mate}.fastq.gz"
                if run.accession
                else str(getattr(run, f"fastq_{mate}"))
            )
            for run in runs
            if mate == 1 or paired
        ]

    return files


def options(tables):
    """Params function: ``--name file`` for every named table of a study."""
    return [
        part
        for name, path in tables.items()
        for part in (f"--{name.replace('_', '-')}", path)
    ]

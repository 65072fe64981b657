"""What all stages share: the checked study, the files it will have, and small helpers.

Needs the configuration; makes no file. A mistake of the user ends the run here, before any job.
"""

import re
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
# without immunoprecipitated libraries the m6A stages have nothing to do
IPS = [library.name for library in STUDY.ips]
IN_PAIRS = list(
    dict.fromkeys(lib.name for pair in STUDY.pairs for lib in (pair.ip, pair.input))
)
INPUTS_IN_PAIRS = list(dict.fromkeys(pair.input.name for pair in STUDY.pairs))
ALIGNER = config["alignment"]["aligner"]
# libraries given as reads, and those given as BAM files
READS = [library.name for library in STUDY.libraries if not library.is_aligned]
BAMS = [library.name for library in STUDY.libraries if library.is_aligned]
# without a genome, which BAM files alone can do, there are neither circles nor motifs
GENOME = bool(config["reference"]["fasta"])

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
        if place and not check_study.is_url(str(place))
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


def one_of(names):
    """Constraint of a wildcard: one of these names, which may be none at all."""
    return "|".join(map(re.escape, names)) or "(?!)"


if workflow.is_main_process:
    folder_lock.remove_stale_locks()


onstart:
    folder_lock.hold_folder()


wildcard_constraints:
    library=one_of(LIBRARIES),


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

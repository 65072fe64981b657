"""What a run cost: CPU seconds and memory of its programs.

Made once for a genome and not for a study, the reference
and the aligner's index are left out of the whole that shares are taken of: with them the share of
everything else would look smaller than it is for a study of usual size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from benchmarks.figures import Figure

#: From BAM files to counts, and what makes the list of circles of them.
COUNTING = ("find_back_splices", "merge_back_splices", "count_circles")
DETECTION = (*COUNTING, "catalogue_circles")

#: Run once for a genome.
REFERENCE = ("prepare_reference", "index_star", "index_minimap2")

#: Run once for every library.
BY_LIBRARY = ("find_back_splices", "count_circles")


def cost(usage: pd.DataFrame, libraries: int, read_pairs: int) -> Iterator[Figure]:
    """Yield the cost of detection, and of every program.

    Parameters
    ----------
    usage
        Of `benchmarks.usage.read_usage`, for a run from reads to circles.
    libraries
        Libraries of the study: without a job of each nothing can be said (all NaN).
    read_pairs
        Sequenced fragments of all libraries.
    """
    usage = usage[~usage["program"].isin(REFERENCE)]
    jobs = usage.groupby("program").size()
    seconds = usage.groupby("program")["cpu_seconds"].sum()
    peaks = usage.groupby("program")["peak_memory_mb"].max()
    complete = all(jobs.get(name, 0) == libraries for name in BY_LIBRARY)
    complete &= all(name in jobs for name in DETECTION)
    whole = seconds.sum() if complete else math.nan
    counting = seconds.reindex(COUNTING).sum() if complete else math.nan
    detection = seconds.reindex(DETECTION).sum() if complete else math.nan
    peak = peaks.reindex(DETECTION).max() if complete else math.nan
    count = int(jobs.sum())
    yield Figure("pairs_per_cpu_second", read_pairs / counting, read_pairs)
    yield Figure("peak_memory_mb", peak, count)
    yield Figure("share_of_pipeline_cpu", detection / whole, count)
    yield Figure("cpu_seconds_detection", detection, count)
    yield Figure("cpu_seconds_pipeline", whole, count)
    for program in sorted(jobs.index):
        size, subset = int(jobs[program]), f"program {program}"
        yield Figure("cpu_seconds", float(seconds[program]), size, subset)
        yield Figure("share_of_pipeline_cpu", float(seconds[program]) / whole, size, subset)
        yield Figure("peak_memory_mb", float(peaks[program]), size, subset)


def cost_of_whole(usage: pd.DataFrame, rest: pd.DataFrame) -> Iterator[Figure]:
    """Yield the share of detection in a run of the whole workflow, to its report.

    Parameters
    ----------
    usage
        Of the run from reads to circles.
    rest
        Of everything that was run after it.
    """
    programs = pd.concat([usage, rest], ignore_index=True)
    programs = programs[~programs["program"].isin(REFERENCE)]
    detection = programs.loc[programs["program"].isin(DETECTION), "cpu_seconds"].sum()
    whole = programs["cpu_seconds"].sum()
    yield Figure("share_of_whole_workflow_cpu", detection / whole, len(programs))
    yield Figure("cpu_seconds_whole_workflow", whole, len(programs))

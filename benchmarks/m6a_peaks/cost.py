"""What calling peaks costs: CPU seconds and memory from BAM files to peaks."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from benchmarks.figures import Figure

#: What makes peaks of BAM files, and what comes after.
PROGRAMS = ("count_bins", "call_peaks", "assess_ip", "compare_methylation")


def counted_library(arguments: str) -> str:
    """Return the library that a job of count_bins counted, from its arguments as JSON."""
    words = json.loads(arguments)
    return Path(words[words.index("--output") + 1]).stem


def cost(
    usage: pd.DataFrame, alone: pd.DataFrame, libraries: Iterable[str], read_pairs: int
) -> Iterator[Figure]:
    """Yield what one condition costs, and every program in the whole study.

    Parameters
    ----------
    usage
        Of `benchmarks.usage.read_usage`, for a run of the workflow.
    alone
        The same of a run of call_peaks on the pairs of one condition.
    libraries
        The libraries of that condition: without a job of each nothing can be said (NaN).
    read_pairs
        Sequenced fragments of these libraries.
    """
    counting = usage[usage["program"] == "count_bins"]
    seconds = dict(
        zip(map(counted_library, counting["arguments"]), counting["cpu_seconds"], strict=True)
    )
    names = list(libraries)
    calling = alone[alone["program"] == "call_peaks"]
    whole = math.nan
    if len(calling) == 1 and set(names) <= set(seconds):
        whole = sum(seconds[name] for name in names) + float(calling["cpu_seconds"].iloc[0])
    peak = math.nan
    if not math.isnan(whole):
        peak = float(max(counting["peak_memory_mb"].max(), calling["peak_memory_mb"].max()))
    yield Figure("cpu_seconds_one_condition", whole, read_pairs)
    yield Figure("peak_memory_mb", peak, read_pairs)
    for program in PROGRAMS:
        jobs = usage[usage["program"] == program]
        size = len(jobs)
        total = float(jobs["cpu_seconds"].sum()) if size else math.nan
        yield Figure(f"cpu_seconds_{program}", total, size)
        yield Figure(f"cpu_seconds_{program}", total / max(size, 1), size, "a job")
        memory = float(jobs["peak_memory_mb"].max()) if size else math.nan
        yield Figure(f"peak_memory_mb_{program}", memory, size)

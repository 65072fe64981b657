"""What the programs of a run used, from the file that ``benchmarks/meter`` makes them write."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

_COLUMNS = ["program", "cpu_seconds", "peak_memory_mb", "arguments"]


def read_usage(path: Path) -> pd.DataFrame:
    """Read what programs used; of a program that was run again the last time counts.

    Returns
    -------
    pandas.DataFrame
        A row a job: program, cpu_seconds, peak_memory_mb, arguments. Empty if there is no file.
    """
    if not path.exists():
        return pd.DataFrame(columns=_COLUMNS)
    usage = pd.read_csv(path, sep="\t", names=_COLUMNS, quoting=3)
    return usage.drop_duplicates("arguments", keep="last", ignore_index=True)

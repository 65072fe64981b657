"""Write down what every program of a run used: CPU seconds and peak memory.

Python runs a file of this name first if its folder is on ``PYTHONPATH``. Where the environment
names a file in ``RINGMARK_USAGE``, the program appends a line to it when it ends: its name, CPU
seconds (user and system, of itself and of all processes it waited for), the highest memory of
itself or any of these in MiB, and its arguments as JSON.

Snakemake's own benchmark files do not serve here: they sample, twice a second for the first 15
seconds and every 30 seconds from then on, and what a job uses after the last sample is lost. The
operating system's account, read at the end, is exact.

Snakemake itself is not measured, and programs that a measured one starts are part of it.
"""

import atexit
import json
import os
import resource
import sys
from pathlib import Path

USAGE = "RINGMARK_USAGE"


def peak_of_self() -> int:
    """Return the highest resident memory of this process, in KiB.

    The operating system's account of resources is not used for it: it can hold the memory of the
    process that started this one.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


def write_usage(path: str, arguments: list[str]) -> None:
    """Append the line of this process; one write, so that lines of parallel jobs do not mix."""
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(part.ru_utime + part.ru_stime for part in parts)
    peak = max(peak_of_self(), parts[1].ru_maxrss) / 1024
    name = Path(arguments[0]).stem
    line = f"{name}\t{seconds:.3f}\t{peak:.1f}\t{json.dumps(arguments)}\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


if USAGE in os.environ and len(sys.orig_argv) > 1 and not sys.orig_argv[1].startswith("-"):
    # taken out of the environment, so that what this program starts does not write a line too
    atexit.register(write_usage, os.environ.pop(USAGE), sys.orig_argv[1:])

"""Keep runs of one folder apart, and let a run follow one that was killed.

Snakemake leaves its lock files behind when it is killed, and then refuses to run until somebody
unlocks the folder by hand. A run therefore also holds a lock of the operating system, which ends
with its process whatever ends it: where nobody holds that one, lock files of Snakemake are left
over and are removed. Where a run is alive they stay, and Snakemake refuses the second run.

On file systems without locks nothing is removed and nothing is held.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

#: Snakemake's folder for its own state, in the working folder.
STATE = Path(".snakemake")

_held: list[IO[str]] = []


def _try_lock(state: Path) -> IO[str] | None:
    """Return the locked file, or ``None`` if another process holds it."""
    state.mkdir(parents=True, exist_ok=True)
    handle = (state / "run.lock").open("w", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        return None
    return handle


def remove_stale_locks(state: Path = STATE) -> list[Path]:
    """Remove the lock files of a run that is no more.

    Parameters
    ----------
    state
        Snakemake's folder for its own state.

    Returns
    -------
    list of pathlib.Path
        What was removed.
    """
    left = sorted((state / "locks").glob("*.lock"))
    if not left:
        return []
    handle = _try_lock(state)
    if handle is None:
        return []
    with handle:
        for path in left:
            path.unlink(missing_ok=True)
    return left


def hold_folder(state: Path = STATE) -> bool:
    """Hold the folder until this process ends; return whether that succeeded."""
    handle = _try_lock(state)
    if handle is not None:
        _held.append(handle)
    return handle is not None

"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside a file, and put it in the file's place if all went well.

    Folders are made as needed. After an error nothing is left and a former file is as it was.

    Parameters
    ----------
    path
        The file to write.

    Yields
    ------
    pathlib.Path
        What to write instead.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(text: str | Iterable[str], path: str | Path) -> None:
    """Write text, whole or given in pieces, as UTF-8 with plain line ends."""
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as out:
        out.writelines([text] if isinstance(text, str) else text)

"""A digest of a program's code, its own modules included.

Snakemake reruns a job when the program it names as input is newer, but does not see the modules
that the program imports. Their digest is therefore a parameter of every rule: an edit to a module
reruns what uses it, and no more.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path


def digest_of(program: str | Path) -> str:
    """Return the sha256 of a program and of all modules beside it that it imports, however deep.

    Parameters
    ----------
    program
        A program of ``workflow/scripts``; packages are looked for in its folder.
    """
    program = Path(program).resolve()
    seen: set[Path] = set()
    waiting = [program]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting.extend(own_imports(path, program.parent))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(seen))).hexdigest()


@cache
def own_imports(path: Path, folder: Path) -> tuple[Path, ...]:
    """Return the files of a folder that a Python file imports, wherever in the file it does."""
    names = dict.fromkeys(_imported(ast.parse(path.read_text(encoding="utf-8"))))
    candidates = (folder.joinpath(*name.split(".")).with_suffix(".py") for name in names)
    return tuple(candidate for candidate in candidates if candidate.is_file())


def _imported(tree: ast.Module) -> Iterator[str]:
    """Yield the names of modules, and of what is imported from them, since it may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)

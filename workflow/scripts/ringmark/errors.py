"""Errors that a user can act on, and the one place where they become text on a screen."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence

_OPEN_HINT = "mend the path, or the permissions of the file and its folder"


class InputError(Exception):
    """One or more mistakes in what the user gave, each with its remedy.

    Parameters
    ----------
    problems
        One line a mistake, naming file, row and value.
    hint
        The remedy; printed last.
    """

    def __init__(self, problems: str | Sequence[str], hint: str) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        self.hint = hint
        super().__init__(str(self))

    def __reduce__(self) -> tuple[type[InputError], tuple[list[str], str]]:
        """Let the error cross from one process to another."""
        return type(self), (self.problems, self.hint)

    @classmethod
    def together(cls, errors: Sequence[InputError]) -> InputError:
        """Return one error with the problems of all, and each of their remedies once."""
        problems = [problem for error in errors for problem in error.problems]
        return cls(problems, "; ".join(dict.fromkeys(error.hint for error in errors)))

    def __str__(self) -> str:
        lines = [f"Error: {problem}" for problem in self.problems]
        return "\n".join([*lines, f"Hint: {self.hint}"])


def program(main: Callable[[Sequence[str] | None], None]) -> Callable[..., int]:
    """Make a ``main(argv)`` print an `InputError` as text and return an exit code.

    A mistake of the user never shows a traceback, neither does a file that cannot be opened; a
    mistake of ours always does.
    """

    @functools.wraps(main)
    def guarded(argv: Sequence[str] | None = None) -> int:
        try:
            main(argv)
        except InputError as error:
            print(error, file=sys.stderr)
            return 1
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
            place = f"{error.filename}: " if error.filename else ""
            print(InputError(f"{place}{error.strerror or error}", _OPEN_HINT), file=sys.stderr)
            return 1
        return 0

    return guarded

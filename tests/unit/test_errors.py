"""Errors a user can act on, and how a program says them."""

from __future__ import annotations

import pickle

import pytest

from ringmark.errors import InputError, program


def test_one_problem_and_its_remedy():
    error = InputError("a.tsv, row 2: no", "mend it")
    assert error.problems == ["a.tsv, row 2: no"]
    assert str(error) == "Error: a.tsv, row 2: no\nHint: mend it"


def test_every_problem_has_a_line_and_the_hint_is_last():
    error = InputError(["one", "two"], "mend both")
    assert str(error).splitlines() == ["Error: one", "Error: two", "Hint: mend both"]


def test_errors_together_keep_all_problems_and_each_hint_once():
    parts = [InputError("a", "x"), InputError(["b", "c"], "y"), InputError("d", "x")]
    together = InputError.together(parts)
    assert together.problems == ["a", "b", "c", "d"]
    assert together.hint == "x; y"


def test_program_returns_0_and_passes_its_arguments(capsys):
    seen = []
    main = program(lambda argv=None: seen.append(argv))
    assert main() == 0
    assert main(["--x"]) == 0
    assert seen == [None, ["--x"]]
    assert capsys.readouterr().err == ""


def test_program_prints_a_mistake_of_the_user_without_a_traceback(capsys):
    @program
    def main(argv=None):
        raise InputError("a.tsv: no", "mend it")

    assert main([]) == 1
    captured = capsys.readouterr()
    assert captured.err == "Error: a.tsv: no\nHint: mend it\n"
    assert captured.out == ""


def test_program_says_which_file_cannot_be_opened(capsys, tmp_path):
    @program
    def main(argv=None):
        open(argv[0]).close()  # noqa: PTH123

    for path, reason in ((tmp_path / "gone", "No such file"), (tmp_path, "Is a directory")):
        assert main([str(path)]) == 1
        lines = capsys.readouterr().err.splitlines()
        assert lines[0].startswith(f"Error: {path}: {reason}")
        assert lines[1].startswith("Hint: ")


def test_a_missing_file_without_a_name_is_told_in_its_own_words(capsys):
    @program
    def main(argv=None):
        raise FileNotFoundError("could not open alignment file `x.bam`")

    assert main([]) == 1
    assert "Error: could not open alignment file `x.bam`" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError, KeyError, OSError])
def test_our_own_mistakes_are_not_hidden(error):
    @program
    def main(argv=None):
        raise error("ours")

    with pytest.raises(error):
        main([])


def test_program_keeps_name_and_documentation():
    @program
    def main(argv=None):
        """Do it."""

    assert (main.__name__, main.__doc__) == ("main", "Do it.")


def test_an_error_crosses_processes():
    error = InputError(["a: wrong", "b: wrong"], "mend both")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)

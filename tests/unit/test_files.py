import pytest

from ringmark.files import whole_file, write_text


def test_a_file_appears_when_it_is_whole(tmp_path):
    target = tmp_path / "new" / "file.txt"
    with whole_file(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
        temporary.write_text("whole")
    assert target.read_text() == "whole"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def test_an_error_leaves_the_former_file_and_nothing_else(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("former")
    with pytest.raises(ZeroDivisionError), whole_file(target) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "former"
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_nothing_written_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "file.txt"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "one\ntwo\n", ["one\n", "two\n"]])
def test_text_is_written_as_given(tmp_path, text):
    write_text(text, tmp_path / "file.txt")
    assert (tmp_path / "file.txt").read_bytes() == "".join(text).encode()

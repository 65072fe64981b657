import pytest

from code_digest import digest_of, own_imports


@pytest.fixture(autouse=True)
def fresh():
    own_imports.cache_clear()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "library").mkdir()
    (tmp_path / "library/deep.py").write_text("x = 1\n")
    (tmp_path / "library/used.py").write_text("import json\nfrom library.deep import x\n")
    (tmp_path / "library/unused.py").write_text("y = 1\n")
    (tmp_path / "helper.py").write_text("z = 1\n")
    (tmp_path / "program.py").write_text(
        "import sys\nfrom library import used\n\ndef main():\n    import helper\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("edited", "changes"),
    [
        ("program.py", True),
        ("library/used.py", True),
        ("library/deep.py", True),
        ("helper.py", True),
        ("library/unused.py", False),
    ],
)
def test_the_digest_follows_what_the_program_imports(folder, edited, changes):
    before = digest_of(folder / "program.py")
    assert digest_of(folder / "program.py") == before
    path = folder / edited
    path.write_text(path.read_text() + "# edited\n")
    own_imports.cache_clear()
    assert (digest_of(folder / "program.py") != before) is changes


def test_modules_that_import_each_other_end(tmp_path):
    (tmp_path / "a.py").write_text("import b\n")
    (tmp_path / "b.py").write_text("import a\n")
    assert digest_of(tmp_path / "a.py") == digest_of(tmp_path / "b.py")


def test_an_empty_program_has_a_digest(tmp_path):
    (tmp_path / "empty.py").write_text("")
    assert len(digest_of(tmp_path / "empty.py")) == 64

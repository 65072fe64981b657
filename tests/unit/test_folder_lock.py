import subprocess
import sys

import pytest

import folder_lock


@pytest.fixture
def state(tmp_path):
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.input.lock").write_text("a\n")
    (locks / "0.output.lock").write_text("b\n")
    return tmp_path / ".snakemake"


def test_locks_of_a_dead_run_are_removed(state):
    removed = folder_lock.remove_stale_locks(state)
    assert [path.name for path in removed] == ["0.input.lock", "0.output.lock"]
    assert not list((state / "locks").iterdir())


def test_no_lock_is_no_work(tmp_path):
    assert folder_lock.remove_stale_locks(tmp_path / "absent") == []
    assert not (tmp_path / "absent").exists()


def test_locks_of_a_live_run_stay_until_it_is_killed(state):
    code = (
        "import sys, pathlib, folder_lock\n"
        "print(folder_lock.hold_folder(pathlib.Path(sys.argv[1])), flush=True)\n"
        "sys.stdin.read()\n"
    )
    scripts = str(folder_lock.__file__).rpartition("/")[0]
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": scripts},
    )
    assert other.stdout.readline().strip() == "True"
    assert folder_lock.remove_stale_locks(state) == []
    assert folder_lock.hold_folder(state) is False
    assert len(list((state / "locks").iterdir())) == 2
    other.kill()
    other.communicate()
    assert len(folder_lock.remove_stale_locks(state)) == 2


def test_a_folder_is_held_once(tmp_path):
    assert folder_lock.hold_folder(tmp_path / "state") is True
    assert folder_lock.hold_folder(tmp_path / "state") is False

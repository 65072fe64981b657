"""A run that is killed in the middle is completed by the next call, with the same tables."""

import os
import signal
import subprocess
import time

import pytest
import workflow_runs as runs

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("interrupted")]

LIBRARIES = [
    f"{condition}_{replicate}_{assay}"
    for condition in ("resistant", "sensitive")
    for replicate in (1, 2)
    for assay in ("input", "ip")
]


def finished_jobs(folder):
    return len(list((folder / "results").glob("alignment/*.bam.bai")))


def test_a_killed_run_is_completed_with_the_same_tables(tmp_path):
    whole = runs.tiny_study(tmp_path / "whole", LIBRARIES)
    runs.run_to_end(whole)

    killed = runs.tiny_study(tmp_path / "killed", LIBRARIES)
    process = subprocess.Popen(
        runs.command(killed, "--cores", "2"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    while process.poll() is None and finished_jobs(killed) < 4:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "results/report/index.html").exists()

    runs.run_to_end(killed)
    assert runs.result_tables(killed) == runs.result_tables(whole)
    assert len(runs.result_tables(whole)) > 30

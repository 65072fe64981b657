"""An edit to a module reruns the jobs whose programs import it, and no others."""

import os
import shutil

import pytest
import workflow_runs as runs

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("edits")]

TARGET = "results/reference/genome.fa"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project with its times, in which a test may edit."""
    folder = tmp_path_factory.mktemp("edited") / "project"
    for name in ("workflow", "profiles", "resources", "envs"):
        shutil.copytree(runs.ROOT / name, folder / name)
    shutil.copy2(runs.ROOT / "Snakefile", folder)
    return folder


@pytest.fixture(scope="module")
def study(project, tmp_path_factory):
    """A study of which the project has prepared the reference."""
    folder = runs.tiny_study(tmp_path_factory.mktemp("study") / "study")
    runs.run_to_end(folder, "--snakefile", str(project / "Snakefile"), TARGET)
    return folder


@pytest.mark.parametrize(("module", "jobs"), [("annotation", 1), ("peaks", 0)])
def test_an_edited_module_reruns_what_imports_it(project, study, module, jobs):
    path = project / "workflow/scripts/ringmark" / f"{module}.py"
    before, times = path.read_bytes(), path.stat()
    path.write_bytes(before + b"# edited\n")
    try:
        plan = runs.run_to_end(study, "--snakefile", str(project / "Snakefile"), "-n", TARGET)
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert runs.jobs_of(plan.stdout + plan.stderr).get("prepare_reference", 0) == jobs

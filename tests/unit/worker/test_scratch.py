"""A worker's folder for a while is gone with it, or with the next one."""

import subprocess
import sys
from pathlib import Path

import pytest

from dev.stack import ROOT
from worker.scratch import Scratch, sweep_scratch

KILLED = """
import os, signal
from worker.scratch import Scratch
scratch = Scratch()
(scratch.folder / "input").write_text("x")
print(scratch.folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_the_folder_of_a_process_that_was_killed_is_swept_and_that_of_a_live_one_is_not():
    killed = subprocess.run(
        [sys.executable, "-c", KILLED], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    dead, live = Path(killed.stdout.strip()), Scratch()
    assert (dead / "input").exists()
    assert sweep_scratch() == 1
    assert not dead.exists()
    assert live.folder.exists()
    live.close()
    assert not live.folder.exists()


def test_a_folder_that_is_just_being_made_is_left_alone(tmp_path: Path):
    (tmp_path / "job-server-worker-x").mkdir()
    assert sweep_scratch() == 0
    assert (tmp_path / "job-server-worker-x").exists()

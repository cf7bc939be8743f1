"""`python -m dev`, with a stand-in for honcho: no port is taken, no Redis started."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from dev.model_libraries import missing
from dev.stack import ROOT, wait_until

HONCHO = """
import pathlib, signal, sys, time
folder = pathlib.Path(__file__).parent
def end(*_):
    (folder / "ended").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, end)
(folder / "arguments").write_text(" ".join(sys.argv[1:]))
while True:
    time.sleep(0.01)
"""


def test_sigterm_ends_honcho_too(tmp_path: Path):
    folder = tmp_path / "honcho"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "environ.py").write_text("def parse(text):\n    return {}\n")
    (folder / "__main__.py").write_text(HONCHO)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "REDIS_URL": "", "REDIS_URL_FILE": ""}
    process = subprocess.Popen(
        [sys.executable, "-m", "dev"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        arguments = folder / "arguments"
        wait_until(lambda: arguments.exists() and arguments.read_text(), "honcho runs")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    models = int(not missing())
    assert arguments.read_text() == f"start --concurrency redis=1,api=1,worker=2,models={models}"
    assert process.returncode == 0
    assert (folder / "ended").exists()
    assert "http://localhost:8000/docs" in output

"""The job types that compute, in real processes: what goes there and back, and what a cancellation leaves."""

import asyncio
from pathlib import Path

import pytest

from benchmarks.csv_file import write_csv
from benchmarks.csv_reference import profile_columns
from job_types.csv_profile.handler import csv_profile
from job_types.mandelbrot.handler import mandelbrot
from job_types.thumbnail.handler import thumbnail
from shared.errors import FinalError
from tests.unit.worker.pools import until
from worker.scratch import PREFIX
from worker.testing import open_harness


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


async def test_each_type_works_in_a_process(tmp_path: Path, scratch: Path):
    path = tmp_path / "file.csv"
    write_csv(path, 10_000)
    async with open_harness(tmp_path) as harness:
        assert (await harness.run(mandelbrot, size=64))["size"] == 64
        picture = await harness.upload(harness.artifact("mandelbrot.png"))
        assert (await harness.run(thumbnail, file=picture, width=32))["source"]["format"] == "png"
        result = await harness.run(csv_profile, file=await harness.upload(path))
        assert result["columns"] == list(profile_columns(path))
        assert harness.messages == ["dialect found"]
        with pytest.raises(FinalError, match="unknown format"):
            await harness.run(thumbnail, file=await harness.upload(b"no picture"))


async def test_of_a_profile_that_is_cancelled_nothing_is_left(tmp_path: Path, scratch: Path):
    path = tmp_path / "file.csv"
    write_csv(path, 5_000_000)
    async with open_harness(tmp_path) as harness:
        file = await harness.upload(path)
        running = asyncio.create_task(harness.run(csv_profile, file=file))
        await until(lambda: list(scratch.glob(f"{PREFIX}*/profile.duckdb")), seconds=60)
        harness.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await until(lambda: not list(scratch.iterdir()))

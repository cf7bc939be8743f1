"""Workers with models for tests: files steer the models, jobs are submitted together."""

from pathlib import Path
from typing import Any

from dev.service import Service, WorkerProcess
from dev.stack import wait_until

TYPES = {"JOB_TYPES": "job_types,tests.model_types"}
ALL_QUEUES = "doubled,shouted,default"
SIZE = 64


class Models:
    """The files by which a test steers models, and sees their work."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def order(self, word: str, text: str = "", *, of: str = "doubled") -> Path:
        """Write a file that models obey until it is removed."""
        path = self._folder / f"{word}-{of}"
        path.write_text(text)
        return path

    def setups(self, of: str = "doubled") -> list[list[str]]:
        """Process, device, threads, visible GPUs and priority of each setup."""
        return self._lines("setups", of)

    def batches(self, of: str = "doubled") -> list[tuple[int, int]]:
        """Process and size of each batch."""
        return [(int(pid), int(size)) for pid, size in self._lines("batches", of)]

    def forget_batches(self) -> None:
        for file in self._folder.glob("batches-*"):
            file.unlink()

    def _lines(self, word: str, of: str) -> list[list[str]]:
        path = self._folder / f"{word}-{of}"
        return [line.split(" ") for line in path.read_text().splitlines()] if path.exists() else []


def start(service: Service, models: int = 1, **environment: str) -> WorkerProcess:
    """A worker that serves the queue `doubled` unless told otherwise, once that many models are loaded."""
    worker = service.start_worker(**{"WORKER_QUEUES": "doubled", **environment})
    wait_until(lambda: len(worker.log("model loaded")) == models, "the models are loaded")
    return worker


def submit(service: Service, count: int, job_type: str = "doubled", **acts: str) -> list[str]:
    """Submit jobs; `act_7="raise"` is the act of the seventh."""
    jobs = [
        {"type": job_type, "params": {"number": n, "act": acts.get(f"act_{n}", "none")}} for n in range(count)
    ]
    return [job["job_id"] for job in service.call("POST", "/jobs/batch", json={"jobs": jobs}).json()["items"]]


def ended(service: Service, ids: list[str]) -> list[dict[str, Any]]:
    """The records of the jobs once all are done."""
    jobs = []
    for job_id in ids:
        jobs.append(service.call("GET", f"/jobs/{job_id}", params={"wait": 60}).json())
        assert jobs[-1]["done"]
    return jobs


def completed(jobs: list[dict[str, Any]]) -> int:
    """The number of jobs that completed with the right result, at their first attempt."""
    right = [job["attempt"] == 1 and job["result"] == 2 * job["params"]["number"] for job in jobs]
    return sum(right)


def states(service: Service) -> dict[str, str]:
    """The state of the models of the only worker by their type; empty before its first heartbeat."""
    workers = service.info()["workers"]
    return {model["type"]: model["state"] for worker in workers for model in worker["models"]}

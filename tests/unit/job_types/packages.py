"""Packages of job types that a test writes into a folder of its own."""

import sys
from pathlib import Path
from uuid import uuid4

import pytest

CONTRACT = """
from shared.job_type import JobType, Params


class TextParams(Params):
    text: str


TYPE = JobType(
    name="{name}", summary="A type of a test.", params=TextParams, result=str, example={{"text": "a"}}
)
"""
HANDLER = """
from {package}.{folder}.contract import TYPE, TextParams
from worker.context import JobContext
from worker.registry import handles


@handles(TYPE)
async def perform(params: TextParams, job: JobContext) -> str:
    return params.text[::-1]
"""


class Packages:
    """Packages in a folder that is on the path of this process and of those that a test starts.

    Attributes:
        folder: the folder that holds them.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("PYTHONPATH", str(folder))

    def name(self) -> str:
        """A new name: neither Python nor the loader imports a package twice."""
        return f"types_{uuid4().hex}"

    def write(self, package: str, path: str, text: str) -> Path:
        """Write a file of a package."""
        file = self.folder / package / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def write_contract(self, package: str, folder: str, *, name: str | None = None) -> Path:
        return self.write(package, f"{folder}/contract.py", CONTRACT.format(name=name or folder))

    def write_handler(self, package: str, folder: str, *, of: str | None = None) -> Path:
        text = HANDLER.format(package=package, folder=of or folder)
        return self.write(package, f"{folder}/handler.py", text)

    def write_type(self, *, package: str | None = None, name: str = "turn") -> str:
        """Write a job type that works; returns its package."""
        package = package or self.name()
        self.write_contract(package, name)
        self.write_handler(package, name)
        return package

    def imported(self, package: str) -> set[str]:
        """The last names of the modules of a package that this process has imported."""
        return {name.rpartition(".")[2] for name in sys.modules if name.startswith(f"{package}.")}

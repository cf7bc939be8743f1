"""`python -m dev new-job-type NAME`: writes contract, handler and test of a new job type."""

import builtins
import keyword
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from dev.stack import ROOT

NAME = re.compile(r"[a-z][a-z0-9_]*")
TAKEN = {*keyword.kwlist, *dir(builtins), "handles", "harness", "result", "tmp_path"}
"""Names that a handler, a function of its type's name, would take from the code around it."""

MODULES = {*sys.stdlib_module_names, "api", "client", "dev", "shared", "tests", "worker"}
"""Names that no package of job types can have, because Python would import another module."""
MAX_NAME_LENGTH = 40

CONTRACT = '''\
"""The job type `{name}`: reverse a text. Replace params, result and summary with your own."""

from typing import Annotated

from pydantic import BaseModel, Field

from shared.job_type import JobType, Params


class {camel}Params(Params):
    text: Annotated[str, Field(max_length=100_000, description="The text to reverse.")]


class {camel}Result(BaseModel):
    text: str


{constant} = JobType(
    name="{name}",
    summary="Reverse a text.",
    params={camel}Params,
    result={camel}Result,
    example={{"text": "stressed"}},
    timeout=60,
    max_attempts=3,
)
'''
HANDLER = '''\
"""Handler of the job type `{name}`."""

from {package}.{name}.contract import (
    {constant},
    {camel}Params,
    {camel}Result,
)
from worker.context import JobContext
from worker.registry import handles


@handles({constant})
async def {name}(params: {camel}Params, job: JobContext) -> {camel}Result:
    job.log("text received", characters=len(params.text))
    text = params.text[::-1]
    job.progress(1, "reversed")
    return {camel}Result(text=text)
'''
TEST = '''\
"""Test of the job type `{name}`: the handler alone, without server and Redis."""

from pathlib import Path

from {package}.{name}.handler import {name}
from worker.testing import open_harness


async def test_{name}(tmp_path: Path) -> None:
    async with open_harness(tmp_path) as harness:
        result = await harness.run({name}, text="stressed")
        assert result == {{"text": "desserts"}}
        assert harness.fractions == [1]
        assert harness.messages == ["text received"]
'''


class UnusableName(ValueError):
    """A name that no new job type can have; the text says what to do."""


def write_job_type(name: str, package: Path) -> str:
    """Write the files of a new job type; returns the lines that say how to go on.

    Args:
        name: the name of the type.
        package: the folder of the package, which is made if it is missing.

    Raises:
        UnusableName: the name of the type or of the package is not usable, or the type exists.
    """
    package = package.resolve()
    check_name(name, "job type")
    check_name(package.name, "package")
    if (package / name).exists():
        raise UnusableName(f"{shown(package / name)} exists; choose another name, or remove that folder")
    written = []
    for path, text in files_of(name, package).items():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            written.append(path)
    return next_steps(name, package, written)


def check_name(name: str, kind: str) -> None:
    """Refuse a name that is no name of a Python module, or taken. Raises UnusableName."""
    if not NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
        raise UnusableName(
            f"The {kind} {name!r} needs another name: up to {MAX_NAME_LENGTH} lower-case letters, "
            "digits and _, a letter first"
        )
    if name in TAKEN:
        raise UnusableName(
            f"{name!r} has another meaning in the new files: choose another name, such as {name}_text"
        )
    if kind == "package" and name in MODULES:
        raise UnusableName(
            f"{name!r} is a module of Python or of this tree: choose another name, such as my_{name}"
        )


def files_of(name: str, package: Path) -> Mapping[Path, str]:
    """The texts of the files of a new job type, by their paths."""
    camel = "".join(part.capitalize() for part in name.split("_"))
    words = {"name": name, "package": package.name, "camel": camel, "constant": name.upper()}
    folder = package / name
    own = package != ROOT / "job_types"
    tests = folder if own else ROOT / "tests/unit/job_types"
    return {
        package / "__init__.py": '"""Job types: one folder each."""\n',
        folder / "__init__.py": f'"""The job type `{name}`."""\n',
        folder / "contract.py": CONTRACT.format(**words),
        folder / "handler.py": HANDLER.format(**words),
        tests / f"test_{name}.py": TEST.format(**words),
    }


def next_steps(name: str, package: Path, written: list[Path]) -> str:
    """The lines that say which files there are, and how to test and run the type."""
    before = "" if package == ROOT / "job_types" else f"JOB_TYPES=job_types,{package.name} "
    path = "" if package.parent == ROOT else f"PYTHONPATH={os.path.relpath(package.parent, ROOT)} "
    test = f"{path}.venv/bin/python -m pytest -c pyproject.toml {shown([*files_of(name, package)][-1])}"
    submit = f"""curl localhost:8000/jobs -d '{{"type": "{name}", "params": {{"text": "stressed"}}}}'"""
    return "\n".join(
        (
            *(f"  written    {shown(path)}" for path in written),
            f"  test it    {test}",
            f"  start it   {path}{before}make dev",
            f"  submit it  {submit} -H 'content-type: application/json'",
        )
    )


def shown(path: Path) -> str:
    """A path as seen from the root of the tree."""
    return os.path.relpath(path, ROOT)

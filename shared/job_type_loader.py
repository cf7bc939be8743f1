"""Loader of job types: each folder of the package `job_types` is one, and its `contract.py` describes it."""

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from shared.job_type import JobType

JobTypesByName = MappingProxyType[str, JobType[Any, Any]]


def modules_named(name: str, package: str = "job_types") -> Iterator[ModuleType]:
    """Import the module of this name from each folder of a package that has one, in alphabetical order."""
    for folder in import_module(package).__path__:
        for file in sorted(Path(folder).glob(f"*/{name}.py")):
            yield import_module(f"{package}.{file.parent.name}.{name}")


@cache
def load_job_types() -> JobTypesByName:
    """Every job type by its name.

    Raises:
        ValueError: two job types share a name, or the example of one does not reach its handler.
    """
    found = [
        value
        for module in modules_named("contract")
        for value in vars(module).values()
        if isinstance(value, JobType)
    ]
    return by_name(found)


def by_name(job_types: list[JobType[Any, Any]]) -> JobTypesByName:
    """Index job types by name.

    Raises:
        ValueError: two job types share a name, or the example of one does not reach its handler.
    """
    index: dict[str, JobType[Any, Any]] = {}
    for job_type in job_types:
        if index.setdefault(job_type.name, job_type) is not job_type:
            raise ValueError(f"Two contracts in job_types/ are named {job_type.name!r}; rename one.")
        job_type.check_example()
    return MappingProxyType(dict(sorted(index.items())))

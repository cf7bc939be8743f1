"""Loader of job types from the packages that JOB_TYPES names.

A package is a folder that Python can import, with or without `__init__.py`. Each folder in it with a
`contract.py` holds a job type, or several. The worker also imports the `handler.py` beside each contract.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from sysconfig import get_path
from traceback import extract_tb
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

from shared.job_type import JobType, UnusableJobType

JobTypesByName = MappingProxyType[str, JobType[Any, Any]]

OWN_PACKAGES = ("job_types",)
STANDARD_LIBRARY = get_path("stdlib")


class Contract(NamedTuple):
    """A job type, and the module that defines it.

    Attributes:
        module: the name of the module.
        job_type: the job type.
    """

    module: str
    job_type: JobType[Any, Any]


@cache
def load_job_types(packages: tuple[str, ...] = OWN_PACKAGES) -> JobTypesByName:
    """The job types of these packages by name, in the order of their names.

    Raises:
        UnusableJobType: a package or a contract can't be imported or has no job type, two job types share a
            name, or the example of one does not reach its handler.
    """
    return index_by_name(contract for package in packages for contract in contracts_of(package))


def names_by_package(packages: Iterable[str]) -> dict[str, list[str]]:
    """The names of the job types of each package."""
    return {
        package: sorted({contract.job_type.name for contract in contracts_of(package)})
        for package in packages
    }


@cache
def contracts_of(package: str) -> Sequence[Contract]:
    """The contracts of a package, in the order of their folders.

    Raises:
        UnusableJobType: the package or a contract can't be imported, or has no job type.
    """
    contracts = [contract for module in import_modules(package, "contract") for contract in _defined(module)]
    if not contracts:
        raise UnusableJobType(
            f"JOB_TYPES: the package {package!r} has no job type; add "
            f"{package.replace('.', '/')}/<name>/contract.py, or remove the package from the list"
        )
    return contracts


def index_by_name(contracts: Iterable[Contract]) -> JobTypesByName:
    """Index job types by name, and check their results and examples.

    Raises:
        UnusableJobType: two job types share a name, the result of one can't be serialized, or its example
            does not reach its handler.
    """
    index: dict[str, Contract] = {}
    for contract in contracts:
        name = contract.job_type.name
        other = index.setdefault(name, contract)
        if other.job_type is not contract.job_type:
            raise UnusableJobType(
                f"JOB_TYPES: {other.module} and {contract.module} both define the job type {name!r}; rename "
                "one of the two, or remove its package from the list"
            )
        contract.job_type.check_result()
        contract.job_type.check_example()
    return MappingProxyType({name: index[name].job_type for name in sorted(index)})


def import_modules(package: str, name: str) -> Iterator[ModuleType]:
    """Import the module of this name from each folder of a package that has one, in alphabetical order.

    Raises:
        UnusableJobType: the package or a module can't be imported.
    """
    for folder in _import_package(package).__path__:
        for file in sorted(Path(folder).glob(f"*/{name}.py")):
            yield _import(f"{package}.{file.parent.name}.{name}")


def _defined(module: ModuleType) -> list[Contract]:
    found = [value for value in vars(module).values() if isinstance(value, JobType)]
    if not found:
        raise UnusableJobType(
            f"JOB_TYPES: {module.__name__} defines no job type; assign a JobType(…) to a name in it"
        )
    return [Contract(module.__name__, job_type) for job_type in found]


def _import_package(package: str) -> ModuleType:
    module = _import(package)
    if not hasattr(module, "__path__"):
        raise UnusableJobType(
            f"JOB_TYPES: {package!r} is a module; name the package, whose folders are job types"
        )
    return module


def _import(name: str) -> ModuleType:
    try:
        return import_module(name)
    except UnusableJobType:
        raise
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise UnusableJobType(
                f"JOB_TYPES: Python finds no package {name!r}; put the folder that holds it on PYTHONPATH, "
                "or start the process there"
            ) from error
        raise UnusableJobType(
            f"JOB_TYPES: {name} can't be imported: {_describe(error)}; correct it, or install what it needs"
        ) from error


def _describe(error: Exception) -> str:
    """The error and its place, on one line: the place in the last file that is not an installed library's."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} ({error.filename}, line {error.lineno})"
    text = " ".join(f"{type(error).__name__}: {error}".split())
    frames = [frame for frame in extract_tb(error.__traceback__) if not _is_installed(frame.filename)]
    return f"{text} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else text


def _is_installed(filename: str) -> bool:
    return filename.startswith(("<", STANDARD_LIBRARY)) or "site-packages" in Path(filename).parts

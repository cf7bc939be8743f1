"""The job types: one file each, found by being here.

A new file with a `Contract` in it is a new job type; `worker/handlers/` holds the code that performs it.
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any

from shared.contract import Contract

Contracts = MappingProxyType[str, Contract[Any, Any]]


@cache
def load_contracts() -> Contracts:
    """Every job type of this folder by its name.

    Raises:
        ValueError: two contracts share a name, or the example of one does not reach its handler.
    """
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Contract)]
    return by_name(found)


def by_name(contracts: list[Contract[Any, Any]]) -> Contracts:
    """Index contracts by name.

    Raises:
        ValueError: two contracts share a name, or the example of one does not reach its handler.
    """
    index: dict[str, Contract[Any, Any]] = {}
    for contract in contracts:
        if index.setdefault(contract.name, contract) is not contract:
            raise ValueError(f"Two contracts in shared/contracts/ are named {contract.name!r}; rename one.")
        contract.check_example()
    return MappingProxyType(dict(sorted(index.items())))

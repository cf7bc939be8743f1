"""Pickles of plain data: the worker loads no other answer of a child process.

A pickle may name any function, and have it called where it is loaded. These may only name classes of
plain data, of the packages of job types, and of the package of the function that was called.
"""

import builtins
import pickle
import sys
from collections.abc import Callable
from io import BytesIO
from typing import Any

PLAIN = {
    "builtins": {
        *("complex", "set", "frozenset", "bytearray", "range", "slice"),
        *("bool", "int", "float", "str", "bytes", "list", "tuple", "dict"),
    },
    "collections": {"Counter", "OrderedDict", "defaultdict", "deque"},
    "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "fractions": {"Fraction"},
    "ipaddress": {"IPv4Address", "IPv4Network", "IPv6Address", "IPv6Network"},
    "json.decoder": {"JSONDecodeError"},
    "pathlib": {"PosixPath", "PurePosixPath", "PureWindowsPath"},
    "subprocess": {"CalledProcessError", "CompletedProcess", "TimeoutExpired"},
    "uuid": {"SafeUUID", "UUID"},
    "numpy": {"dtype", "ndarray"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
}
"""Names by module: to make a value of each does nothing else."""

ENGINE = {"api", "client", "shared", "worker"}
JOB_FAILURES = "shared.errors"

Packages = tuple[str, ...]


def packages_of(function: Callable[..., object], job_types: Packages) -> Packages:
    """The packages whose classes the function's result, or its error, may be of.

    Args:
        function: the function that is called.
        job_types: the packages of job types.
    """
    function = getattr(function, "func", function)  # of a functools.partial
    module = str(getattr(function, "__module__", None) or type(function).__module__)
    top = module.partition(".")[0]
    own = () if top in ENGINE or top in sys.stdlib_module_names else (top,)
    return (*job_types, JOB_FAILURES, *own)


def load_plain(body: bytes, packages: Packages) -> Any:
    """The value of a pickle.

    Raises:
        pickle.UnpicklingError: it names something else, or is no pickle.
        Exception: whatever a class of these packages raises.
    """
    return _Loader(body, packages).load()


class _Loader(pickle.Unpickler):
    def __init__(self, body: bytes, packages: Packages) -> None:
        super().__init__(BytesIO(body))
        self._packages = packages

    def find_class(self, module: str, name: str) -> Any:
        if name in PLAIN.get(module, ()) or (module == "builtins" and _is_error(name)):
            return super().find_class(module, name)
        if any(module == package or module.startswith(f"{package}.") for package in self._packages):
            found = super().find_class(module, name)
            if isinstance(found, type) and (found.__module__, found.__qualname__) == (module, name):
                return found  # no function, and nothing that is imported there from elsewhere
        raise pickle.UnpicklingError(f"{module}.{name} is no plain data")


def _is_error(name: str) -> bool:
    found = getattr(builtins, name, None)
    return isinstance(found, type) and issubclass(found, Exception)

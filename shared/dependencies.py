"""Commands without their dependencies: one line that says what to do, in place of a traceback.

This module runs on every Python 3, and imports nothing that must be installed.
"""

import sys
from importlib.util import find_spec
from typing import NoReturn

OLDEST_PYTHON = (3, 11)
SET_UP = "use .venv/bin/python, which `make test` sets up, or install requirements-dev.txt."


def require(*modules: str) -> None:
    """End a command that lacks one of the modules, or runs on too old a Python, with exit code 2.

    A package calls it from its `__init__`, before its commands import anything. A program that imports the
    package, and is no `python -m` command, gets the ImportError.

    Args:
        modules: names to import, without dots.
    """
    if sys.argv[:1] != ["-m"]:  # Python sets this while it locates the module of `python -m`
        return
    if sys.version_info < OLDEST_PYTHON:
        _end("Python 3.11 or newer is needed: " + SET_UP)
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        _end(f"{sys.executable} has no {', '.join(missing)}: " + SET_UP)


def _end(complaint: str) -> NoReturn:
    print(complaint, file=sys.stderr)
    sys.exit(2)

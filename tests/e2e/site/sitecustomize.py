"""Packages of development that the images lack, hidden from the processes of the end-to-end tests.

Libraries import them wherever they are, which takes a seventh of the start of a process.
"""

import sys

for name in ("cryptography", "rich"):
    sys.modules[name] = None  # type: ignore[assignment] # an import then fails as if there were no such package

"""The commands of the client that documents name: each is one that the client takes."""

import re
import shlex

import pytest

from client.command_line.arguments import parse
from dev.stack import ROOT

COMMAND = re.compile(r"python -m client ([^`\n)]*)")
PLACES = {"TIME": "2026-01-01T12:00:00Z", "ID…": "ID"}
DOCUMENTS = ("README.md", "docs/client.md", "docs/operations.md")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_is_one_that_the_client_takes(document: str):
    found = COMMAND.findall((ROOT / document).read_text())
    assert found
    for command in found:
        words = [PLACES.get(word, word) for word in shlex.split(command, comments=True)]
        try:
            parse(words)
        except SystemExit:
            pytest.fail(f"{document}: the client does not take {command!r}")

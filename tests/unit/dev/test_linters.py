"""The linters of the OpenAPI document: what each finds, and what happens where npx is missing or fails."""

from pathlib import Path

import pytest

from dev import linters


@pytest.fixture
def npx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script in place of npx, in a folder that is the whole PATH; the other linter finds nothing."""
    monkeypatch.setattr(linters, "validate", lambda document: iter(()))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "npx"


def write_script(file: Path, text: str) -> None:
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def test_the_document_has_no_errors_without_and_with_keys():
    assert list(linters.validate(linters.describe())) == []
    assert list(linters.validate(linters.describe(api_keys=linters.KEY))) == []


def test_an_error_of_the_document_is_found():
    document = linters.describe()
    document["paths"]["/v1/jobs"]["post"]["responses"] = 7
    assert any("paths//v1/jobs/post/responses" in fault for fault in linters.validate(document))


@pytest.mark.usefixtures("npx")
def test_without_npx_its_linters_are_skipped(capsys: pytest.CaptureFixture[str]):
    assert linters.main() == 0
    assert capsys.readouterr().out.count("skipped, npx is missing; install Node.js for it.") == 2


def test_a_linter_that_can_not_be_fetched_is_skipped(npx: Path, capsys: pytest.CaptureFixture[str]):
    write_script(npx, "exit 1")
    assert linters.main() == 0
    assert capsys.readouterr().out.count("skipped, npx can't fetch or run it") == 2


def test_errors_of_a_linter_are_shown_and_fail_the_run(npx: Path, capsys: pytest.CaptureFixture[str]):
    write_script(npx, 'if [ "$3" = --version ]; then exit 0; fi; echo "found in $*"; exit 1')
    assert linters.main() == 1
    shown = capsys.readouterr().out
    assert "@stoplight/spectral-cli" in shown
    assert "@redocly/cli" in shown
    assert shown.count("with-keys.json") == 2

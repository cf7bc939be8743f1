"""`make audit`, `make sbom`, and the workflow that runs the checks."""

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dev import audit, locks, sbom
from dev.stack import ROOT, free_port

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
COPIED = re.compile(r"requirements[a-z-]*\.txt(?= )")
USES = re.compile(r"uses: *(\S+)@(\S+)(.*)")
KNOWN = {
    "id": "GHSA-0000-0000-0000",
    "aliases": ["CVE-2026-0001"],
    "summary": "",
    "modified": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "orjson"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}],
        }
    ],
}


@pytest.fixture
def tools() -> None:
    if not audit.PIP_AUDIT.exists():
        pytest.skip("the tools of checks are missing; `make check` installs them")


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A database of vulnerabilities: its URL, the packages it was asked for, and the vulnerable ones."""
    database: dict[str, Any] = {"vulnerable": set(), "asked": set()}

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            name = asked["package"]["name"]
            database["asked"].add(name)
            body = json.dumps({"vulns": [KNOWN]} if name in database["vulnerable"] else {}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    monkeypatch.setattr(locks, "EXTRAS", {"requirements.txt": ()})
    monkeypatch.setattr(locks, "INPUTS", {})
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        database["url"] = f"http://127.0.0.1:{server.server_port}/v1/query"
        yield database
        server.shutdown()


@pytest.mark.usefixtures("tools")
def test_an_audit_without_findings_says_how_much_it_looked_at(
    database: dict[str, Any], capsys: pytest.CaptureFixture[str]
):
    assert audit.main(["--osv-url", database["url"]]) == 0
    asked = database["asked"]
    assert {"fastapi", "orjson", "redis", "uvicorn"} <= asked <= pins("requirements.txt").keys()
    assert capsys.readouterr().out == f"No known vulnerability in {len(asked)} packages of 1 locks.\n"


@pytest.mark.usefixtures("tools")
def test_an_audit_names_a_vulnerable_package_and_its_correction(
    database: dict[str, Any], capsys: pytest.CaptureFixture[str]
):
    database["vulnerable"].add("orjson")
    assert audit.main(["--osv-url", database["url"]]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"orjson {pins('requirements.txt')['orjson']}: ")
    assert line.endswith("CVE-2026-0001, GHSA-0000-0000-0000; corrected in 99.1: run `make lock`.")


@pytest.mark.usefixtures("tools", "database")
def test_an_audit_without_a_network_says_so_in_one_line(capsys: pytest.CaptureFixture[str]):
    assert audit.main(["--osv-url", f"http://127.0.0.1:{free_port()}/v1/query"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(audit.UNREACHABLE)


def test_a_package_that_was_not_looked_up_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    report = json.dumps({"dependencies": [{"name": "orjson", "skip_reason": "not found"}]})
    monkeypatch.setattr(
        audit.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, report, "")
    )
    assert audit.main([]) == 2
    assert capsys.readouterr().err == "Not audited: orjson.\n"


@pytest.mark.usefixtures("tools")
def test_the_bill_of_an_image_has_the_packages_of_its_lock(tmp_path: Path):
    bill = json.loads(sbom.write_bill("api", tmp_path).read_text())
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "job-server")
    packages = {part["name"]: part["version"] for part in bill["components"]}
    assert packages == pins("requirements.txt")


def test_every_image_has_a_bill():
    built = {lock for file in ROOT.glob("Dockerfile.*") for lock in COPIED.findall(file.read_text())}
    assert set(sbom.LOCKS.values()) == built


def pins(lock: str) -> dict[str, str]:
    return dict(locks.PINNED.findall((ROOT / lock).read_text()))


# -- the workflow


def test_every_action_is_pinned_by_its_commit_and_says_its_version():
    used = [use for file in WORKFLOWS for use in USES.findall(file.read_text())]
    assert used
    for action, version, comment in used:
        assert re.fullmatch(r"[0-9a-f]{40}", version), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


def test_workflows_may_only_read():
    for file in WORKFLOWS:
        text = file.read_text()
        assert re.search(r"^permissions: \{\}$", text, re.MULTILINE)
        assert set(re.findall(r"^ {6}([a-z-]+: (?:read|write))$", text, re.MULTILINE)) == {"contents: read"}


def test_a_workflow_runs_all_checks():
    text = (ROOT / ".github" / "workflows" / "check.yml").read_text()
    assert "run: .ci/run" in text
    assert "run: make audit" in text

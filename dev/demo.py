"""`make demo`: the whole service for some seconds, with every change of state of eight jobs.

A ninth job, with a model, runs where `make models` has installed its libraries.
"""

import hashlib
import json
import os
import signal
import sys
import time
import urllib.request
from typing import Any

from dev import model_libraries
from dev.json_request import json_request
from dev.stack import ROOT, Stack, running, wait_until

PAUSE = 0.02  # seconds between two reads of a record
PROGRESS_STEP = 0.25  # progress is shown in quarters
CSV = b"city,inhabitants\nUlm,129942\nBern,137995\nGraz,305314\nBern,137995\n"
MAX_SECONDS = 60.0
WIDTH = 110
Record = dict[str, Any]


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    models = not model_libraries.missing()
    print(f"Starting Redis, the API and 2 workers{', and one for models' if models else ''} …\n")
    with running(workers=2, JOB_TYPES=packages(os.environ.get("JOB_TYPES", ""))) as stack:
        if models:
            stack.start_worker(WORKER_QUEUES=",".join(model_libraries.QUEUES), WORKER_CONCURRENCY="128")
        server_info, workers = stack.api_url + "/server/info", len(stack.workers)
        wait_until(
            lambda: len(json_request("GET", server_info)["workers"]) == workers, "all workers are alive"
        )
        print(f"  API    {stack.api_url} (reference: {stack.api_url}/docs)\n  Redis  {stack.admin_url}\n")
        print_results(stack, watch(stack, submit_all(stack, models=models)))
    print("\nAll processes have ended. Next: make dev, then the curl lines of the README.")
    return 0


def packages(job_types: str) -> str:
    """The packages of a setting JOB_TYPES, and the package of the types that the demo shows."""
    named = [name.strip() for name in job_types.split(",") if name.strip()]
    return ",".join(dict.fromkeys(("job_types", *named)))


def submit_all(stack: Stack, *, models: bool) -> dict[str, Record]:
    """Submit the jobs; returns their records by the name to show. One job is cancelled while it runs."""
    readme = (ROOT / "README.md").read_text()
    jobs = {
        "word_count: the README": ("word_count", {"text": readme, "top": 3}),
        "echo": ("echo", {"message": "hello"}),
        "sleep: 2 s": ("sleep", {"seconds": 2}),
        "mandelbrot": ("mandelbrot", {"size": 768}),
        "csv_profile: an upload": ("csv_profile", {"file": upload(stack, CSV), "top": 1}),
        "flaky: fails twice": ("flaky", {"failures": 2}),
        "flaky: fails for good": ("flaky", {"final": True}),
        "sleep: cancelled": ("sleep", {"seconds": 600}),
        **({"embed: a model": ("embed", {"texts": ["A cat sits on the mat."]})} if models else {}),
    }
    records = {
        name: json_request("POST", stack.api_url + "/jobs", {"type": job_type, "params": params})
        for name, (job_type, params) in jobs.items()
    }
    cancelled = job_url(stack, records["sleep: cancelled"])
    wait_until(lambda: json_request("GET", cancelled)["state"] == "running", "the job runs")
    json_request("DELETE", cancelled)
    return records


def watch(stack: Stack, records: dict[str, Record]) -> dict[str, Record]:
    """Print each change of the records until all are done; returns the last records."""
    print(f"  {'time':8}  {'job':22}  {'state':9}  attempt")
    shown = {name: show(name, record) for name, record in records.items()}
    end = time.monotonic() + MAX_SECONDS
    while not all(record["done"] for record in records.values()):
        if time.monotonic() > end:
            raise TimeoutError("The jobs did not end; look at the workers' output.")
        time.sleep(PAUSE)
        for name, record in records.items():
            if record["done"]:
                continue
            records[name] = record = json_request("GET", job_url(stack, record))
            if record["done"] and record["started_at"] and shown[name].startswith("pending"):
                show(name, {**record, "state": "running", "errors": []})  # a state too short to be read
            if describe(record) != shown[name]:
                shown[name] = show(name, record)
    return records


def job_url(stack: Stack, record: Record) -> str:
    return f"{stack.api_url}/jobs/{record['job_id']}"


def show(name: str, record: Record) -> str:
    description = describe(record)
    print(f"  {time.strftime('%H:%M:%S')}  {name:22}  {description}", flush=True)
    return description


def describe(record: Record) -> str:
    """The state, the attempt, and the progress or the last error of a record, on one line."""
    text = f"{record['state']:9}  {record['attempt']} of {record['max_attempts']}"
    if record["state"] == "running" and record["progress"]:
        quarters = record["progress"]["fraction"] // PROGRESS_STEP
        text += f"   {quarters * PROGRESS_STEP:.0%}" if quarters else ""
    elif record["errors"] and record["state"] != "completed":
        text += f"   {record['errors'][-1]['message']}"
    return text


def print_results(stack: Stack, records: dict[str, Record]) -> None:
    """Print the result or the error of each job, and check its artifacts."""
    print("\nResults\n")
    for name, record in records.items():
        print(f"  {name:22}  {describe_end(record)}")
        for artifact in record["artifacts"]:
            print(f"  {'':22}  {describe_artifact(stack, artifact)}")


def describe_end(record: Record) -> str:
    if record["state"] != "completed":
        return ", ".join((record["state"], *(error["code"] for error in record["errors"])))
    text = json.dumps(record["result"])
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def describe_artifact(stack: Stack, artifact: Record) -> str:
    """Fetch an artifact, and compare it with its SHA-256."""
    with urllib.request.urlopen(stack.api_url + artifact["url"], timeout=10) as answer:
        data = answer.read()
    verdict = "SHA-256 ok" if hashlib.sha256(data).hexdigest() == artifact["sha256"] else "WRONG SHA-256"
    return f"{artifact['name']}: {artifact['content_type']}, {len(data):,} bytes, {verdict}"


def upload(stack: Stack, data: bytes) -> str:
    """Upload a CSV file; returns its id, the reference for params."""
    headers = {"Content-Type": "text/csv"}
    request = urllib.request.Request(f"{stack.api_url}/files", data=data, headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        file_id: str = json.load(answer)["file_id"]
        return file_id


if __name__ == "__main__":
    raise SystemExit(main())

"""`make demo`: the whole service for a minute, with every change of state as it comes."""

import hashlib
import json
import os
import signal
import sys
import time
import urllib.request
from typing import Any

from dev.stack import ROOT, Stack, running, wait_until

LOOK_SECONDS = 0.02
CSV = b"city,inhabitants\nUlm,129942\nBern,137995\nGraz,305314\nBern,137995\n"
LONGEST_SECONDS = 60.0
Record = dict[str, Any]


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print("Starting Redis, the API and 2 workers …")
    with running(workers=2, JOB_TYPES=packages(os.environ.get("JOB_TYPES", ""))) as stack:
        wait_until(lambda: len(call(stack, "GET", "/server/info")["workers"]) == 2, "both workers are alive")
        print(f"API at {stack.api_url} (its reference: /docs), Redis at {stack.admin_url}\n")
        ended = watch(stack, submit_all(stack))
        print("\nResults")
        for name, record in ended.items():
            print(f"  {name}: {json.dumps(record['result'] or record['errors'])}")
            for artifact in record["artifacts"]:
                print(f"    {artifact['url']}: {describe_file(stack, artifact)}")
    print("\nEverything is stopped. Next: make dev, then the curl lines of the README.")
    return 0


def packages(job_types: str) -> str:
    """The packages of a setting JOB_TYPES, and the package of the types that the demo shows."""
    named = [name.strip() for name in job_types.split(",") if name.strip()]
    return ",".join(dict.fromkeys(("job_types", *named)))


def submit_all(stack: Stack) -> dict[str, Record]:
    """One job of each kind, by the name to show; the last one is cancelled while it runs."""
    readme = (ROOT / "README.md").read_text()
    jobs = {
        "word_count (this README)": ("word_count", {"text": readme, "top": 5}),
        "echo": ("echo", {"message": "hello"}),
        "sleep": ("sleep", {"seconds": 2}),
        "mandelbrot": ("mandelbrot", {"size": 768}),
        "csv_profile (an upload)": ("csv_profile", {"file": upload(stack, CSV), "top": 1}),
        "flaky (two failures)": ("flaky", {"failures": 2}),
        "flaky (for good)": ("flaky", {"final": True}),
        "sleep (cancelled)": ("sleep", {"seconds": 600}),
    }
    records = {
        name: call(stack, "POST", "/jobs", {"type": job_type, "params": params})
        for name, (job_type, params) in jobs.items()
    }
    cancelled = records["sleep (cancelled)"]["job_id"]
    wait_until(lambda: call(stack, "GET", f"/jobs/{cancelled}")["state"] == "running", "the job runs")
    call(stack, "DELETE", f"/jobs/{cancelled}")
    return records


def watch(stack: Stack, records: dict[str, Record]) -> dict[str, Record]:
    """Print each change of the records until all are done; returns them as they ended."""
    shown = {name: show(name, record) for name, record in records.items()}
    end = time.monotonic() + LONGEST_SECONDS
    while not all(record["done"] for record in records.values()):
        if time.monotonic() > end:
            raise TimeoutError("The jobs did not end; the workers' output says why.")
        time.sleep(LOOK_SECONDS)
        for name, record in records.items():
            if record["done"]:
                continue
            records[name] = record = call(stack, "GET", f"/jobs/{record['job_id']}")
            if record["done"] and record["started_at"] and shown[name].startswith("pending"):
                show(name, {**record, "state": "running", "errors": []})  # it was too short to be seen
            if describe(record) != shown[name]:
                shown[name] = show(name, record)
    return records


def show(name: str, record: Record) -> str:
    description = describe(record)
    print(f"  {time.strftime('%H:%M:%S')}  {name:26} {description}", flush=True)
    return description


def describe(record: Record) -> str:
    text = f"{record['state']:10} attempt {record['attempt']}/{record['max_attempts']}"
    if record["progress"] and not record["done"]:
        text += f"  {record['progress']['fraction']:4.0%}"
    if record["errors"]:
        text += f"  {record['errors'][-1]['code']}: {record['errors'][-1]['message']}"
    return text


def upload(stack: Stack, data: bytes) -> str:
    """Upload a file; returns the reference for params."""
    request = urllib.request.Request(
        f"{stack.api_url}/files", data=data, headers={"Content-Type": "text/csv"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        file_id: str = json.load(answer)["file_id"]
        return file_id


def describe_file(stack: Stack, artifact: Record) -> str:
    """What a job made, fetched and checked."""
    with urllib.request.urlopen(stack.api_url + artifact["url"], timeout=10) as answer:
        data = answer.read()
    genuine = hashlib.sha256(data).hexdigest() == artifact["sha256"]
    return f"{artifact['content_type']}, {len(data):,} bytes, {'as' if genuine else 'NOT as'} its sha256 says"


def call(stack: Stack, method: str, path: str, body: Record | None = None) -> Record:
    request = urllib.request.Request(
        stack.api_url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        record: Record = json.load(answer)
        return record


if __name__ == "__main__":
    raise SystemExit(main())

"""The transcript of the README: the request is accepted, and the record has the fields that are shown."""

import json
import re

from dev.service import Service
from dev.stack import ROOT

TRANSCRIPT = re.compile(r"```console\n(.*?)```", re.DOTALL)
BODY = re.compile(r"-d '(.*)'\n")
CHANGING = {"job_id", "created_at", "finished_at"}


def test_the_transcript_of_the_readme_is_true(service: Service) -> None:
    match = TRANSCRIPT.search((ROOT / "README.md").read_text())
    assert match
    submission, read = match[1].split("\n\n")
    body = BODY.search(submission)
    assert body

    answer = service.call("POST", "/jobs", content=body[1], headers={"content-type": "application/json"})

    accepted, shown = answer.json(), shown_record(submission)
    assert {**accepted, "job_id": shown["job_id"]}.items() >= shown.items()
    record, shown = service.wait_for(accepted["job_id"], "completed"), shown_record(read)
    assert CHANGING <= shown.keys() <= record.keys()
    assert {name: record[name] for name in shown if name not in CHANGING} == {
        name: value for name, value in shown.items() if name not in CHANGING
    }


def shown_record(part: str) -> dict[str, object]:
    """The fields of a record that the README shows, without the `…` that stands for the others."""
    record: dict[str, object] = json.loads(part[part.index("\n{") :].replace(", …}", "}"))
    return record

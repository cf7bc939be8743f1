"""A job type that reads files, for tests of uploads."""

from typing import Annotated, Any

from pydantic import Field

from shared.job_type import FileReference, JobType, Params


class ReadParams(Params):
    first: FileReference
    more: tuple[FileReference, ...] = ()
    named: dict[str, FileReference | int] | None = None
    text: Annotated[str, Field(max_length=100)] = ""


READ = JobType(name="read", summary="Read files.", params=ReadParams, result=int, example={})


async def upload(client, data: bytes = b"some bytes") -> str:
    return (await client.post("/files", content=data)).json()["file_id"]


async def submit(client, *, path: str = "/jobs", **params: Any):
    return await client.post(path, json={"type": "read", "params": params})


def refused(answer, status: int, code: str) -> dict:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json()

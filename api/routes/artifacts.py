"""Artifacts: the files that jobs made."""

import re
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from api.conditions import entity_tags, etag_matches
from api.errors import ArtifactNotFound, PreconditionFailed, RangeNotSatisfiable, error_response
from api.ownership import owner_read
from api.request import head_alone, header
from api.state import state_of
from shared.files import FileStore, artifact_key, older_artifact_key
from shared.stored_record import StoredRecord

RANGE = re.compile(r"bytes=[, \t]*(\d{0,1000})-(\d{0,1000})[, \t]*", re.ASCII | re.IGNORECASE)
SAFETY = {  # a browser must not run a job's file as a page of this server
    "Content-Security-Policy": "sandbox",
    "Cache-Control": "private, no-cache",  # the browser alone caches it, and checks its ETag before each use
}

router = APIRouter(tags=["jobs"])


@router.get("/jobs/{job_id}/artifacts/{name}", response_class=Response)
async def read_artifact(request: Request, job_id: str, name: str) -> Response:
    """The bytes of a file that a completed job made; they never change. The `ETag` is their SHA-256."""
    state = state_of(request)
    record = await state.queue.get(job_id, owner=owner_read(request))
    artifact = next((found for found in record.artifacts if found["name"] == name), None)
    if artifact is None:
        raise ArtifactNotFound(f"The job has no artifact {name[:128]!r}.")
    digest, size = artifact["sha256"], artifact["size"]
    tag = f'"{digest}"'
    wanted, known = entity_tags(request, b"if-match", strong=True), entity_tags(request, b"if-none-match")
    if wanted is not None and not etag_matches(wanted, digest):
        raise PreconditionFailed(f"The artifact has the ETag {tag}.")
    if known and etag_matches(known, digest):
        return Response(status_code=304, headers={"ETag": tag})
    try:
        part = _part(request, tag, size)
    except RangeNotSatisfiable as error:
        return error_response(error, {"Content-Range": f"bytes */{size}"})
    start, end = part or (0, size)
    headers = _headers(artifact, start, end)
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    if head_alone(request.scope):
        end = start
    pieces = await _open(state.files, record, name, start, end)
    return StreamingResponse(pieces, 206 if part else 200, headers) if pieces else Response(headers=headers)


def _headers(artifact: dict[str, Any], start: int, end: int) -> dict[str, str]:
    return {
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="{artifact["name"]}"',
        "Content-Length": str(end - start),
        "Content-Type": artifact["content_type"],
        "ETag": f'"{artifact["sha256"]}"',
        **SAFETY,
    }


async def _open(
    files: FileStore, record: StoredRecord, name: str, start: int, end: int
) -> AsyncIterator[bytes] | None:
    """The bytes of an artifact; None if no byte of it is wanted.

    The first bytes are read here: once the answer has begun, it can't become an error any more.

    Raises:
        ArtifactNotFound: the store does not have it any more.
    """
    job_id, token = record.job_id, record.fencing_token
    for key in (
        artifact_key(job_id, token, record.worker or "", name),
        older_artifact_key(job_id, token, name),
    ):
        try:
            if start == end:
                await files.size(key)
                return None
            pieces = files.read(key, start, end)
            return _stream(await anext(pieces), pieces)
        except FileNotFoundError:
            continue
    raise ArtifactNotFound(f"The artifact {name!r} is kept no longer.")


async def _stream(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


def _part(request: Request, tag: str, size: int) -> tuple[int, int] | None:
    """The requested part: its first byte and the byte after its last; None for the whole file.

    A Range with several parts, or a malformed one, also gets the whole file.

    Raises:
        RangeNotSatisfiable: the artifact has no such part.
    """
    asked = RANGE.fullmatch(header(request, b"range") or "")
    if head_alone(request.scope) or not asked or header(request, b"if-range") not in (None, tag):
        return None
    first, last = asked.groups()
    if not (first or last) or (first and last and int(last) < int(first)):
        return None
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
    else:
        start, end = max(size - int(last), 0), size
    if start >= end:
        raise RangeNotSatisfiable(f"The artifact has {size} bytes.")
    return start, end

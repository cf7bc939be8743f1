"""Uploaded files, which jobs work on: upload, read, delete."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.ownership import owner_changed, owner_read
from api.request import header, prefix
from api.state import state_of
from api.upload import FORM, Upload
from shared.errors import (
    QuotaReached,
    StorageUnavailable,
)
from shared.files import upload_key
from shared.ids import new_file_id
from shared.job_type import FILE_ID
from shared.store.file_records import FileRecord

router = APIRouter(tags=["files"])


class UploadedFile(BaseModel):
    """An uploaded file."""

    file_id: Annotated[str, Field(pattern=FILE_ID, description="Id for the params of jobs.")]
    name: Annotated[str | None, Field(description="The file's name at the client, if it was sent.")]
    content_type: str
    size: Annotated[int, Field(description="In bytes.")]
    sha256: str
    created_at: datetime
    expires_at: Annotated[
        datetime,
        Field(description="End of its retention; a file that the record of a job names is kept longer."),
    ]
    caller: Annotated[str | None, Field(description="The name of the API key that uploaded it.")]


@router.post("/files", status_code=201, response_model=UploadedFile)
async def upload_file(request: Request) -> Response:
    """The body is the file, of the type that `Content-Type` says; or a form with it as the only part."""
    with state_of(request).quotas.one_of("uploads", request.scope):
        record = await _store(request, Upload(request))
    headers = {"Location": f"{prefix(request)}/files/{record.file_id}"}
    return Response(_render(record), 201, headers, "application/json")


@router.get("/files/{file_id}", response_model=UploadedFile)
async def get_file(request: Request, file_id: str) -> Response:
    """The record of an uploaded file: its name, type, size and SHA-256."""
    record = await state_of(request).file_records.get(file_id, owner=owner_read(request))
    return Response(_render(record), media_type="application/json")


@router.delete("/files/{file_id}", status_code=204)
async def delete_file(request: Request, file_id: str) -> Response:
    """A file that an unfinished job names is in use, and can't be deleted."""
    state = state_of(request)
    await state.file_records.drop(file_id, owner=owner_changed(request))
    with suppress(StorageUnavailable):  # no record leads to the file any more: a worker's cleaner removes it
        await state.files.delete(upload_key(file_id))
    return Response(status_code=204)


async def _store(request: Request, upload: Upload) -> FileRecord:
    state = state_of(request)
    quota = state.quotas.of_files(request.scope)
    # Refuse before the body is read: Redis may be away, or the quota used up.
    await state.queue.ping()
    if quota:
        await state.file_records.require_room(quota, _announced(request))
    file_id = new_file_id()
    stored = await state.files.put(upload_key(file_id), upload.chunks())
    try:
        return await state.file_records.add(
            file_id,
            upload.name,
            upload.content_type,
            stored,
            retention=state.settings.retain_files,
            caller=request.scope.get("caller"),
            quota=quota,
        )
    except QuotaReached:  # another upload took the room meanwhile
        with suppress(StorageUnavailable):  # no record leads to the file: a worker's cleaner removes it
            await state.files.delete(upload_key(file_id))
        raise


def _announced(request: Request) -> int:
    """The size of a file that is the body itself; 0 for a form, whose length is not the file's."""
    length, kind = header(request, b"content-length") or "", header(request, b"content-type") or ""
    return int(length) if length.isascii() and length.isdigit() and not kind.lower().startswith(FORM) else 0


def _render(record: FileRecord) -> bytes:
    fields: dict[str, Any] = record._asdict()
    for name in ("created_at", "expires_at"):
        fields[name] = datetime.fromtimestamp(fields[name] / 1000, UTC)
    return orjson.dumps(fields, option=orjson.OPT_UTC_Z)

"""Files that go in, and artifacts that come out."""

import io
import os
from contextlib import aclosing
from pathlib import Path
from urllib.parse import quote

import httpx

from client.answers import read, read_job
from client.downloads import Received, place, replacing
from client.errors import NotFound, ServerUnreachable
from client.job import Artifact, Job
from client.records import File
from client.sending import Sender, job_path
from client.sources import Source, headers, opened

STORING = 60.0  # seconds that the server may take after the last byte of an upload


class FileCalls(Sender):
    """The calls that carry files."""

    async def upload(self, source: Source, name: str | None = None, content_type: str | None = None) -> File:
        """Upload a file for jobs to work on; what comes back may stand in their params.

        An upload that breaks is sent again from its start, unless the source can't be wound back. Should only
        the answer be lost, the server has a copy that nobody knows; it is dropped in time.

        Args:
            source: a path, a file that is open for reading bytes, or bytes.
            name: what to call it; unless given, as it is called on disk.
            content_type: its media type; unless given, what its name tells.

        Raises:
            OSError: the source can't be read.
        """
        with opened(source) as file:
            request = self._wire.request(
                "POST",
                "/files",
                headers=headers(source, file, name, content_type),
                content=self._wire.body(file),
                hold=STORING,
            )
            answer = await self._send(request, again=file.seekable())
        return read(answer.content, File.from_record)

    async def file(self, file: File | str) -> File:
        """The file's record as it is now.

        Raises:
            NotFound: there is no such file, or no more.
        """
        return read(await self._get(_file_path(file)), File.from_record)

    async def delete_file(self, file: File | str) -> None:
        """Delete a file.

        Raises:
            NotFound: there is no such file, or no more.
            JobServerError: `file_in_use`, a job needs it that is not done.
        """
        await self._delete(_file_path(file))

    async def download(self, job: Job | str, name: str, to: str | os.PathLike[str] = ".") -> Path:
        """Save a file that the job made; it is in its place only once it is whole and right.

        A connection that breaks is made anew, and brings the rest.

        Args:
            job: the job, or its id.
            name: of the artifact.
            to: a path, or a folder that is there, for a file with the artifact's name.

        Raises:
            NotFound: the job has no such artifact.
            DamagedDownload: what came is not what the job made.
            OSError: the file can't be written.
        """
        artifact = await self._artifact(job, name)
        path = place(to, artifact.name)
        with replacing(path) as file:
            await self._receive(job, Received(artifact, file))
        return path

    async def read_artifact(self, job: Job | str, name: str) -> bytes:
        """A file that the job made, as a whole.

        Raises:
            NotFound: the job has no such artifact.
            DamagedDownload: what came is not what the job made.
        """
        file = io.BytesIO()
        await self._receive(job, Received(await self._artifact(job, name), file))
        return file.getvalue()

    async def _artifact(self, job: Job | str, name: str) -> Artifact:
        if isinstance(job, str) or not job.done:
            job = read_job(await self._get(job_path(job)))
        for artifact in job.artifacts:
            if artifact.name == name:
                return artifact
        there = ", ".join(artifact.name for artifact in job.artifacts) or "none"
        hint = f"It has {there}." if job.done else f"It is {job.state}; wait until it is completed."
        raise NotFound("artifact_not_found", f"The job {job.job_id} has no artifact {name!r}.", hint)

    async def _receive(self, job: Job | str, received: Received) -> None:
        """Ask for the rest until all has come; whatever comes, the count of retries begins anew."""
        start, repetition = self._wire.now(), 0
        while not received.whole:
            answer = await self._send(self._ask_for(job, received), stream=True)
            before = received.size
            try:
                await self._take(answer, received)
            except ServerUnreachable as error:
                if received.size > before:
                    start, repetition = self._wire.now(), 0
                pause = self._retries.pause(error, repetition, self._wire.now() - start)
                if pause is None:
                    raise
                await self._wire.sleep(pause)
                repetition += 1
        received.check()

    def _ask_for(self, job: Job | str, received: Received) -> httpx.Request:
        path = f"{job_path(job)}/artifacts/{quote(received.artifact.name, safe='')}"
        return self._wire.request("GET", path, headers=received.headers())

    async def _take(self, answer: httpx.Response, received: Received) -> None:
        received.begin(answer)
        async with aclosing(self._wire.chunks(answer)) as chunks:
            async for chunk in chunks:
                await self._wire.use_disk(received.add, chunk)
        if not received.whole:
            raise ServerUnreachable("The connection ended before the artifact did.")


def _file_path(file: File | str) -> str:
    return f"/files/{quote(file if isinstance(file, str) else file.file_id, safe='')}"

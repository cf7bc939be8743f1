"""Decoding of bodies, within their limit; other codings are refused."""

import gzip
import os
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest

from api.middleware.decoding import PIECE

ECHO = {"type": "echo", "params": {"message": "hi"}}
JSON = orjson.dumps(ECHO)
ZIPPED = gzip.compress(JSON, mtime=0)
LIMIT = 1 << 20


def raw_deflate(data: bytes) -> bytes:
    encoder = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return encoder.compress(data) + encoder.flush()


ENCODERS = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
async def client(serve, fake_redis, folder):
    return await serve(
        fake_redis, artifacts_url=folder.as_uri(), api_max_body_bytes=LIMIT, api_max_file_bytes=4 * LIMIT
    )


async def in_pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def submit(client, content: bytes | AsyncIterator[bytes], *codings: str):
    lines = [("Content-Encoding", coding) for coding in codings]
    return await client.post("/jobs", content=content, headers=[("Content-Type", "application/json"), *lines])


@pytest.mark.parametrize(("coding", "encode"), ENCODERS)
@pytest.mark.parametrize("size", [1, 1 << 16])
async def test_json_is_decoded(client, coding, encode, size):
    answer = await submit(client, in_pieces(encode(JSON), size), coding)
    assert (answer.status_code, answer.json()["params"]) == (202, {"message": "hi"})


@pytest.mark.parametrize("codings", [["GZip"], [" gzip "], ["identity, gzip"], ["identity", "gzip", ""]])
async def test_a_coding_is_named_in_many_ways(client, codings):
    assert (await submit(client, gzip.compress(JSON), *codings)).status_code == 202


@pytest.mark.parametrize("codings", [["identity"], [""], ["Identity", ","]])
async def test_no_coding_is_named_in_many_ways(client, codings):
    assert (await submit(client, JSON, *codings)).status_code == 202


@pytest.mark.parametrize(("coding", "encode"), ENCODERS)
@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
async def test_a_file_is_decoded(client, folder, coding, encode, size):
    for data in (bytes(size), os.urandom(size)):
        answer = await client.post(
            "/files", content=in_pieces(encode(data), 65_536), headers={"Content-Encoding": coding}
        )
        assert (answer.status_code, answer.json()["size"]) == (201, size)
        assert (folder / "files" / answer.json()["file_id"]).read_bytes() == data


async def test_a_file_of_several_members_is_decoded(client):
    members = gzip.compress(b"1") + 3000 * gzip.compress(b"") + gzip.compress(b"2")
    answer = await client.post(
        "/files", content=in_pieces(members, 65_536), headers={"Content-Encoding": "gzip"}
    )
    assert (answer.status_code, answer.json()["size"]) == (201, 2)


async def test_a_form_is_decoded(client):
    form = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n12\r\n--b--'
    headers = {"Content-Encoding": "gzip", "Content-Type": "multipart/form-data; boundary=b"}
    answer = await client.post("/files", content=gzip.compress(form), headers=headers)
    assert (answer.status_code, answer.json()["size"]) == (201, 2)


@pytest.mark.parametrize(
    "body",
    [
        JSON, ZIPPED[:-1], ZIPPED[:8], ZIPPED + b"x",
        ZIPPED[:-5] + b"12345", zlib.compress(JSON), b"\x1f",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/jobs", "/files"])
async def test_a_broken_body_is_refused(client, folder, fake_redis, path, body):
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await client.post(path, content=body, headers=headers)
    assert (answer.status_code, answer.json()["details"][0]["kind"]) == (422, "invalid_coding")
    assert "gzip" in answer.json()["message"]
    assert [found for found in folder.rglob("*") if found.is_file()] == []
    assert await fake_redis.keys("jobs:record:*") == []


async def test_deflate_ends_once(client):
    answer = await submit(client, zlib.compress(JSON) * 2, "deflate")
    assert (answer.status_code, answer.json()["details"][0]["kind"]) == (422, "invalid_coding")


async def test_an_empty_body_is_empty_in_any_coding(client):
    assert (await submit(client, b"", "gzip")).json()["code"] == "malformed_json"
    answer = await client.post("/files", content=b"", headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["size"]) == (201, 0)


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "aes128gcm", "gzip, gzip", "gzip;q=1"])
@pytest.mark.parametrize("path", ["/jobs", "/v1/files"])
async def test_another_coding_is_refused_with_the_accepted_ones(client, path, coding):
    answer = await client.post(path, content=JSON, headers={"Content-Encoding": coding})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    assert "Content-Encoding" in answer.json()["hint"]


async def test_a_request_without_a_body_has_no_coding(client):
    for method in ("GET", "HEAD"):
        answer = await client.request(method, "/healthz", headers={"Content-Encoding": "br"})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("transfer", "status"), [("gzip, chunked", 202), ("Chunked", 400), ("br, chunked", 415)]
)
async def test_a_coding_of_the_transfer_is_undone_as_well(client, transfer, status):
    headers = {"Content-Type": "application/json", "Transfer-Encoding": transfer}
    answer = await client.post("/jobs", content=in_pieces(gzip.compress(JSON), 100), headers=headers)
    assert answer.status_code == status


class CountingDecoder:
    """A decoder of zlib that notes the size of each piece.

    Memory itself is not measured: tracemalloc crashes where other threads, as those of the file store,
    allocate while it stops.
    """

    def __init__(self, sizes: list[int], window: int) -> None:
        self._decoder = zlib.decompressobj(window)
        self._sizes = sizes

    def __getattr__(self, name: str):
        return getattr(self._decoder, name)

    def decompress(self, *arguments) -> bytes:
        piece = self._decoder.decompress(*arguments)
        self._sizes.append(len(piece))
        return piece


@pytest.mark.parametrize("path", ["/jobs", "/files"])
async def test_a_bomb_is_refused_without_room_for_it(client, folder, path, monkeypatch):
    bomb = zlib.compressobj(9, wbits=31)
    body = b"".join(bomb.compress(bytes(LIMIT)) for _ in range(60)) + bomb.flush()
    assert len(body) < LIMIT
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    sizes: list[int] = []
    counting = SimpleNamespace(
        **{**vars(zlib), "decompressobj": lambda window: CountingDecoder(sizes, window)}
    )
    monkeypatch.setattr("api.middleware.decoding.zlib", counting)
    answer = await client.post(path, content=in_pieces(body, 65_536), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert 0 < sum(sizes) < 16 * LIMIT
    assert [found for found in folder.rglob("*") if found.is_file()] == []


@pytest.mark.parametrize(("size", "status"), [(LIMIT, 202), (LIMIT + 1, 413)])
async def test_the_limit_is_that_of_the_decoded_body(client, size, status):
    assert (await submit(client, gzip.compress(JSON.ljust(size)), "gzip")).status_code == status

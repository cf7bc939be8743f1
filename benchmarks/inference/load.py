"""The clients of a model server: texts, requests, and connections that are always busy."""

import json
import random
import time
from collections.abc import Callable, Sequence

import uvloop

from benchmarks.http_load import keep_busy, latencies

Encode = Callable[[str], bytes]
"""Makes a request of an item."""

WORDS = """
the a of and to in is that for it as was with be by on not he his but at are this have from or had an they
which one you were her all she there would their we him been has when who will more no if out so time people
water light house music paper river garden winter morning letter question answer machine school market teacher
language history science number picture village mountain reason
"""
SHORT = (4, 12)  # words of a text
LENGTHS = ((0.7, SHORT), (0.2, (30, 60)), (0.1, (120, 180)))  # shares of the mixed texts, and their words
TEXTS = 240
SEED = 7


def short_texts() -> list[str]:
    """Texts of a sentence, always the same."""
    source = random.Random(SEED)
    return [_text(source, SHORT) for _ in range(TEXTS)]


def mixed_texts() -> list[str]:
    """Texts from a sentence to a page, always the same."""
    source = random.Random(SEED)
    texts = [_text(source, words) for share, words in LENGTHS for _ in range(round(share * TEXTS))]
    source.shuffle(texts)
    return texts


def post(path: str, body: object) -> bytes:
    """A request over HTTP."""
    encoded = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(encoded)}\r\n\r\n".encode() + encoded


def measure(
    port: int, requests: Sequence[bytes], clients: int, seconds: float, expected: bytes
) -> dict[str, float]:
    """The answers per second, and their p50 and p99 in milliseconds."""
    begin = time.perf_counter()
    connections = uvloop.run(keep_busy(port, list(requests), clients, seconds, expected=expected))
    count = sum(len(connection.seconds) for connection in connections)
    return {"rate": count / (time.perf_counter() - begin), **latencies(connections)}


def _text(source: random.Random, words: tuple[int, int]) -> str:
    return " ".join(source.choices(WORDS.split(), k=source.randint(*words)))

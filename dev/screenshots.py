"""`make screenshots`: pictures of the dashboard's views, of a service with sample jobs, in docs/images."""

import itertools
import math
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from playwright.sync_api import Browser, Page
from redis import Redis

from dev.browser import CHROMIUM, MISSING, browsing, opening
from dev.json_request import json_request
from dev.stack import ROOT, Stack, running, wait_until
from shared.store import redis_keys

FOLDER = ROOT / "docs" / "images"
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
COLORS = 256  # of a picture: a third of the bytes, and no difference that one can see
TEXT = "to be or not to be, that is the question"
Record = dict[str, Any]


class Shot(NamedTuple):
    """A picture.

    Attributes:
        name: of the file, without its ending.
        path: of the view.
        viewport: the size of the window.
        scheme: `light` or `dark`.
        awaited: an element that comes last.
    """

    name: str
    path: str
    viewport: dict[str, int] = WIDE
    scheme: str = "light"
    awaited: str = "h1"


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if CHROMIUM is None:
        print(f"make screenshots {MISSING}.", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    with running(workers=2, WORKER_CONCURRENCY="4", WORKER_PROCESSES="1") as stack, browsing() as browser:
        api = f"{stack.api_url}/v1"
        wait_until(lambda: len(json_request("GET", f"{api}/workers")["items"]) == 2, "the workers are alive")
        picture = submit_samples(api)
        add_history(stack.admin_url)
        for shot in shots(picture):
            print(f"docs/images/{shot.name}.png: {take(browser, stack, shot)} bytes")
    return 0


def shots(picture: str) -> list[Shot]:
    """The pictures; `picture` is the id of a job that has drawn one."""
    return [
        Shot("overview", "/"),
        Shot("overview-dark", "/", scheme="dark"),
        Shot("jobs", "/jobs"),
        Shot("jobs-narrow", "/jobs", viewport=NARROW),
        Shot("job", f"/jobs/{picture}", awaited="img[src^=blob]"),
        Shot("submit", "/submit/mandelbrot"),
        Shot("workers", "/workers"),
        Shot("job-types", "/job-types"),
    ]


def submit_samples(api: str) -> str:
    """Fill the service with jobs of each state; returns the id of one that has drawn a picture."""
    submissions = itertools.chain(quick_jobs(), lasting_jobs())
    ids = [json_request("POST", f"{api}/jobs", job)["job_id"] for job in submissions]
    picture = json_request("POST", f"{api}/jobs", {"type": "mandelbrot", "params": {"size": 512}})["job_id"]
    wait_until(
        lambda: json_request("GET", f"{api}/jobs/{picture}")["done"], "the picture is drawn", seconds=120
    )
    json_request("DELETE", f"{api}/jobs/{ids[-1]}")
    json_request("POST", f"{api}/queues/embed/pause", {"reason": "The model is being replaced"})
    return str(picture)


def quick_jobs() -> Iterator[Record]:
    for number in range(40):
        labels = {"team": ("search", "vision")[number % 2], "run": f"nightly-{number // 10}"}
        yield {"type": "word_count", "params": {"text": TEXT, "top": 3}, "labels": labels}
        if number % 8 == 0:
            yield {"type": "flaky", "params": {"failures": 1, "final": True}, "labels": labels}


def lasting_jobs() -> Iterator[Record]:
    for number in range(6):
        yield {
            "type": "sleep",
            "params": {"seconds": 3600},
            "labels": {"team": "vision", "part": str(number)},
        }
    for number in range(4):
        yield {
            "type": "embed",
            "params": {"texts": [TEXT]},
            "labels": {"team": "search", "part": str(number)},
        }
    for seconds in (900, 3600, 7200):
        yield {"type": "echo", "params": {"message": "later"}, "delay_seconds": seconds}


def add_history(redis_url: str) -> None:
    """Add counts of the last quarter of an hour, as of a busy server: no picture waits for so long."""
    newest = int(time.time() // 10)
    with Redis.from_url(redis_url) as redis:
        for age in range(1, 90):
            submitted = round(130 + 40 * math.sin(age / 9) + 12 * math.sin(age * 1.7))
            failed = 4 + age % 3 * 3 if age % 11 < 2 else 0
            counts = {"submitted": submitted, "completed": submitted - failed - age % 4, "failed": failed}
            fields = {f"default {outcome}": number for outcome, number in counts.items()}
            redis.hset(f"{redis_keys.COUNTS}{newest - age}", mapping=fields)


def take(browser: Browser, stack: Stack, shot: Shot) -> int:
    """Save a picture; returns its size."""
    options = {"viewport": shot.viewport, "color_scheme": shot.scheme, "reduced_motion": "reduce"}
    with opening(browser, **options) as page:
        page.goto(f"{stack.api_url}/ui/#{shot.path}")
        wait_until_drawn(page, shot.awaited)
        path = FOLDER / f"{shot.name}.png"
        page.screenshot(path=path)
    return reduce_colors(path)


def wait_until_drawn(page: Page, awaited: str) -> None:
    """Wait for the view, for its stream, and for its pictures."""
    page.locator("main:not([aria-busy])").wait_for()
    page.locator("#status[data-state=live]").wait_for()
    page.locator(awaited).wait_for()
    loaded = "() => [...document.images].every(image => image.complete && image.naturalWidth)"
    wait_until(lambda: page.evaluate(loaded), "all pictures are loaded")


def reduce_colors(path: Path) -> int:
    """Store a picture in few colours; returns its size."""
    with Image.open(path) as picture:
        reduced = picture.convert("RGB").quantize(COLORS, method=Image.Quantize.MAXCOVERAGE, kmeans=2)
    reduced.save(path, optimize=True)
    return path.stat().st_size


if __name__ == "__main__":
    raise SystemExit(main())

"""A CSV file like those of users, the same for the same seed: keys, names, prices, times, remarks."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

HEAD = "id,city,price,reading,ordered_at,paid_on,paid,remark,total,arrived_at\n"
CITIES = ["Berlin", "São Paulo", "東京", "Oslo", '"Washington, D.C."', '"the ""Big Apple"""', ""]
REMARKS = ['"first line\nsecond line"', "007", " ", '"' + "very " * 60 + 'long"', ""]
START = datetime(2024, 1, 1, tzinfo=UTC)
BLOCK = 10_000  # rows


def write_csv(path: Path, size: int, seed: int = 1) -> int:
    """Write rows until the file has `size` bytes; returns the number of rows."""
    draw, rows = random.Random(seed), 0
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(HEAD)
        while file.tell() < size:
            count = min(BLOCK, 1 + size // 100)
            file.write("".join(make_rows(draw, rows, count)))
            rows += count
    return rows


def make_rows(draw: random.Random, first: int, count: int) -> Iterator[str]:
    for place in range(first, first + count):
        ordered = START + timedelta(seconds=draw.randrange(30_000_000))
        zone = timezone(timedelta(hours=draw.randrange(-8, 9)))
        remark = REMARKS[draw.randrange(5)] if draw.random() < 0.02 else f"note {draw.getrandbits(48):x}"
        yield (
            f"{place * 7919 % 1_000_003 * 1000 + place},{CITIES[draw.randrange(7)]},"
            f"{draw.lognormvariate(3, 1):.2f},{draw.gauss(0, 1e-3)!r},{ordered:%Y-%m-%d %H:%M:%S},"
            f"{ordered.date() if draw.random() < 0.9 else ''},{'true' if draw.random() < 0.3 else 'False'},"
            f"{remark},{draw.randrange(-500, 500)},{ordered.astimezone(zone).isoformat()}\n"
        )

"""Profiles of CSV files, by the handler of `csv_profile` in this process."""

from pathlib import Path
from typing import Any

from job_types.csv_profile.handler import csv_profile
from tests.unit.job_types.inline_harness import InlineHarness


class Profiles(InlineHarness):
    """Harness with one CSV file.

    Attributes:
        path: the file.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path = folder / "file.csv"

    async def of(self, content: str | bytes, **params: Any) -> dict[str, Any]:
        """The profile of a file with this content."""
        self.path.write_bytes(content.encode() if isinstance(content, str) else content)
        return await self.again(**params)

    async def again(self, **params: Any) -> dict[str, Any]:
        """The profile of the file, as it is."""
        result: dict[str, Any] = await self.run(csv_profile, file=await self.upload(self.path), **params)
        return result

    async def column(self, content: str, **params: Any) -> dict[str, Any]:
        """The first column of a file with a header."""
        column: dict[str, Any] = (await self.of(content, header=True, **params))["columns"][0]
        return column

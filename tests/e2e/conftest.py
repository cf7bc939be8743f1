"""A service per test file: real processes on a real Redis, ended when the file is done."""

from collections.abc import Iterator

import pytest

from tests.e2e.service import Service, serving


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """An API, two workers and Redis, shared by the tests of a file."""
    with serving(workers=2) as service:
        yield service

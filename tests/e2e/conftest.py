"""Fixtures of the end-to-end tests: services with real processes on a real Redis."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from dev.service import Service, serving
from dev.stack import Stack, wait_until
from tests.e2e.browser import browsing
from tests.e2e.dashboard_page import Dashboard, watching
from tests.e2e.model_worker import TYPES, Models

HIDING = Path(__file__).parent / "site"


@pytest.fixture(scope="session", autouse=True)
def _light_processes() -> Iterator[None]:
    """Let processes of a service start without what few tests need: most of all time goes to starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stack, "defaults", {"PYTHONPATH": str(HIDING), "WORKER_PROCESSES": "1"})
        yield


@pytest.fixture(scope="session")
def _shared_service() -> Iterator[Service]:
    with serving(workers=2) as service:
        yield service


@pytest.fixture(scope="module")
def service(_shared_service: Service) -> Iterator[Service]:
    """An API, two workers and Redis, shared by the files that `tests.schedule` names."""
    yield _shared_service
    _shared_service.call("POST", "/jobs/cancel", json={"filter": {}}).raise_for_status()
    wait_until(lambda: not _shared_service.info()["jobs"]["running"], "no job runs")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser, shared by the tests of a file."""
    with browsing() as browser:
        yield browser


@pytest.fixture
def dashboard(service: Service, browser: Browser) -> Iterator[Dashboard]:
    """The dashboard of the service, in a profile of its own."""
    with watching(browser, service) as dashboard:
        yield dashboard


@pytest.fixture
def other(service: Service, tmp_path: Path) -> Iterator[Service]:
    """Another API process on the Redis of the service; a test may end it."""
    stack = Stack(tmp_path, REDIS_URL=service.stack.redis_url)
    stack.admin_url = service.stack.admin_url
    other = Service(stack)
    try:
        stack.start_api()
        yield other
    finally:
        other.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for the clients of a test that act at the same time."""
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture
def sigint_at_default() -> Iterator[None]:
    """SIGINT ends the children of a test; background jobs of a shell inherit that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path)


@pytest.fixture(scope="module")
def server_without_workers() -> Iterator[Service]:
    """An API and Redis whose workers have models, shared by the tests of a file."""
    settings = {"WORKER_CONCURRENCY": "128", "WORKER_LEASE_SECONDS": "5", **TYPES}
    with serving(WORKER_CHILD_ENVIRONMENT="MODEL_FOLDER", **settings) as service:
        yield service


@pytest.fixture
def server(server_without_workers: Service, tmp_path: Path) -> Iterator[Service]:
    """The same for one test, which starts the workers; they do as the files in its folder say."""
    server_without_workers.stack.environment["MODEL_FOLDER"] = str(tmp_path)
    yield server_without_workers
    server_without_workers.reset()

"""Defaults of the settings, and the documents that list them: docs/settings.md and .env.example."""

import os
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from api.settings import ApiSettings
from shared.settings import SharedSettings, read_settings
from worker.settings import WorkerSettings

ROOT = Path(__file__).resolve().parents[3]
ASSIGNMENT = re.compile(r"^(?:# ?)?([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)
TABLE_ROW = re.compile(r"^\| `([A-Z][A-Z0-9_]*)` \| (?:`([^`]*)` )?\| \S.* \|$", re.MULTILINE)

pytestmark = pytest.mark.usefixtures("without_settings")


def defaults() -> dict[str, str]:
    """Default of every setting, as text for an environment."""
    return {
        name.upper(): as_written("" if field.default_factory else field.default)
        for name, field in {**ApiSettings.model_fields, **WorkerSettings.model_fields}.items()
    }


def as_written(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def test_without_an_environment_all_is_as_the_defaults_say():
    api, worker = read_settings(ApiSettings), read_settings(WorkerSettings)
    assert api.redis_url.get_secret_value() == "redis://localhost:6379/0"
    assert (api.retain_completed, api.retain_failed, api.retain_cancelled) == (86400, 604800, 86400)
    assert api.artifacts_url == worker.artifacts_url == (Path.cwd() / "data" / "artifacts").as_uri()
    assert (api.retain_files, api.api_max_file_bytes) == (86400, 1 << 30)
    assert worker.worker_sweep_seconds == 60
    assert (api.log_level, api.log_format) == ("INFO", "json")
    assert (api.queue_max_waiting, api.api_max_body_bytes) == (100_000, 1_048_576)
    assert api.api_trusted_proxies == ("127.0.0.1",)
    assert (worker.worker_queues, worker.worker_concurrency) == (("default",), 10)
    assert (worker.worker_lease_seconds, worker.worker_grace_seconds) == (15, 25)
    assert worker.worker_max_result_bytes == 4_194_304
    assert 1 <= worker.worker_processes <= (os.cpu_count() or 1)
    assert (worker.worker_process_max_calls, worker.worker_process_max_rss_bytes) == (1000, 2**30)


def test_settings_page_and_env_example_name_every_setting_with_its_default():
    """Both lists have one order, so that a reader of one finds the same place in the other."""
    page, page_compose = split_at_compose((ROOT / "docs/settings.md").read_text(), TABLE_ROW)
    example, example_compose = split_at_compose((ROOT / ".env.example").read_text(), ASSIGNMENT)
    assert page == defaults()
    assert example == defaults()
    assert list(example) == list(page)
    assert list(example_compose.items()) == list(page_compose.items())
    assert example_compose
    assert not example_compose.keys() & defaults().keys()


def split_at_compose(text: str, row: re.Pattern[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The settings of the processes, and those below the heading "Compose only"."""
    heading = re.search(r"^#.*\bcompose only\b.*$", text, re.MULTILINE | re.IGNORECASE)
    assert heading
    processes, compose = text[: heading.start()], text[heading.end() :]
    return dict(row.findall(processes)), dict(row.findall(compose))


@pytest.mark.parametrize("kind", [ApiSettings, WorkerSettings])
def test_every_setting_says_what_it_is(kind: type[SharedSettings]):
    assert all(field.description for field in kind.model_fields.values())


def test_the_defaults_are_valid_when_they_are_written_out(monkeypatch: pytest.MonkeyPatch):
    before = (read_settings(ApiSettings), read_settings(WorkerSettings))
    for name, value in defaults().items():
        monkeypatch.setenv(name, value)
    assert (read_settings(ApiSettings), read_settings(WorkerSettings)) == before


def test_settings_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        read_settings(WorkerSettings).worker_concurrency = 5  # type: ignore[misc]

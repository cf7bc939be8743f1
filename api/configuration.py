"""Configuration: the settings and the objects that they name; a wrong value ends the process."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import APIRouter

from api.keys.key_set import KeySet
from api.metrics.api_metrics import ApiMetrics
from api.settings import ApiSettings
from api.submission import Submissions
from shared.files import FileStore
from shared.job_type import UnusableJobType
from shared.job_type_loader import JobTypesByName, load_job_types
from shared.settings import refuse
from shared.traces.start import open_tracer

if TYPE_CHECKING:
    from shared.traces.tracer import Tracer

SERVICE = "job-server-api"  # the name of this process in its spans


@dataclass(frozen=True, slots=True)
class Configuration:
    """Objects that live as long as the application, and need neither Redis nor an event loop.

    Attributes:
        settings: the settings.
        job_types: the job types, by name.
        submissions: the validation of submissions.
        files: the file store.
        key_set: the keys of callers; None without any setting that lists keys.
        tracer: begins the spans; None while TRACES is off.
        metrics: the metrics; None if API_METRICS is off.
    """

    settings: ApiSettings
    job_types: JobTypesByName
    submissions: Submissions
    files: FileStore
    key_set: KeySet | None
    tracer: "Tracer | None"
    metrics: ApiMetrics | None


def configure(settings: ApiSettings, routers: Iterable[APIRouter]) -> Configuration:
    """The configuration of an application; a wrong value ends the process with exit code 2."""
    job_types = _job_types(settings)
    submissions = Submissions(
        job_types,
        webhooks=bool(settings.webhook_secrets),
        allowed=settings.webhook_allowed_networks,
        ports=settings.webhook_allowed_ports,
    )
    return Configuration(
        settings,
        job_types,
        submissions,
        _file_store(settings),
        _key_set(settings),
        open_tracer(settings.traces, SERVICE),
        ApiMetrics(job_types, routers) if settings.api_metrics == "on" else None,
    )


def _job_types(settings: ApiSettings) -> JobTypesByName:
    try:
        return load_job_types(settings.job_types)
    except UnusableJobType as error:
        refuse(str(error))


def _file_store(settings: ApiSettings) -> FileStore:
    try:
        return FileStore.open(settings.artifacts_url)
    except ValueError as error:
        refuse(f"ARTIFACTS_URL: {error}")


def _key_set(settings: ApiSettings) -> KeySet | None:
    try:
        return KeySet(settings.api_keys, settings.api_keys_file) if settings.closed else None
    except ValueError as error:
        refuse(f"API_KEYS_FILE: {error}")

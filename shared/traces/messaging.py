"""Names and attributes of spans that send and process jobs, by OpenTelemetry's messaging conventions."""

SEND, PROCESS = "send", "process"
MESSAGE_ID = "messaging.message.id"
BATCH_COUNT = "messaging.batch.message_count"
JOB_TYPE, ATTEMPT, OUTCOME = "job_server.job.type", "job_server.job.attempt", "job_server.job.outcome"
SYSTEM = "job_server"


def span_name(operation: str, queue: str) -> str:
    return f"{operation} {queue}"


def span_attributes(operation: str, queue: str) -> dict[str, str | int]:
    """The attributes that every span of an operation has."""
    return {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": queue,
    }

"""Links of answers to further operations on the job or the file that they name."""

from collections.abc import Mapping
from typing import Any

OF_JOBS = {
    "GetJob": ("get_job", "Read the job."),
    "FollowJob": ("follow_job", "Follow the job to its end."),
    "ReadLog": ("read_log", "Read the lines that the job's handler wrote."),
    "ReadOutput": ("read_output", "Read the output that the job's handler streams."),
    "CancelJob": ("cancel_job", "Cancel the job, unless it is done."),
    "RetryJob": ("retry_job", "Submit the job again, once it is done."),
}
OF_FILES = {
    "GetFile": ("get_file", "Read the file's record."),
    "DeleteFile": ("delete_file", "Delete the file, unless a job needs it."),
}


def _links(operations: Mapping[str, tuple[str, str]], parameter: str, place: str) -> dict[str, Any]:
    """Links to operations whose parameter is at this place of the answer."""
    return {
        name: {
            "operationId": operation,
            "parameters": {parameter: f"$response.body#{place}"},
            "description": description,
        }
        for name, (operation, description) in operations.items()
    }


JOB_LINKS = _links(OF_JOBS, "job_id", "/job_id")
JOB_LINKS_OF_FIRST = _links(OF_JOBS, "job_id", "/items/0/job_id")
FILE_LINKS = _links(OF_FILES, "file_id", "/file_id")
NEXT_PAGE = {
    "operationId": "list_jobs",
    "parameters": {"cursor": "$response.body#/next_cursor"},
    "description": "Read the next page, with the same filters, unless `next_cursor` is null.",
}

"""Schedule of the tests' processes: a file stays in one process, and so do the files that share a service."""

from pathlib import PurePosixPath

from xdist.scheduler import LoadFileScheduling

SHARE_A_SERVICE = {
    "test_client.py",
    "test_client_operators.py",
    "test_generated_client.py",
    "test_jobs.py",
    "test_readme.py",
    "test_story.py",
    "test_streaming.py",
    "test_waiting.py",
}
"""Files in tests/e2e that use the fixture `service` of their folder: a start takes 3 s of processor time."""


class Schedule(LoadFileScheduling):
    """Distribution of the tests among the processes of one run."""

    def _split_scope(self, nodeid: str) -> str:
        file = PurePosixPath(nodeid.partition("::")[0])
        shares = file.parent.name == "e2e" and file.name in SHARE_A_SERVICE
        return "the shared service" if shares else str(file)

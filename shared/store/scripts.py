"""The Lua scripts: read from their files, loaded into a Redis that does not know them."""

from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Any

from redis.exceptions import NoScriptError

from shared.store.client import Argument, Runner
from shared.store.redis_keys import FOR_SCRIPTS, NO_KEYS
from shared.store.rows import numbered

FOLDER = Path(__file__).parent / "scripts"
NAMES = "local TAG, PUBLISH = '', 'PUBLISH'\n" + "".join(
    f"local {name} = '{prefix}'\n" for name, prefix in FOR_SCRIPTS.items()
)
TAGGED_NAMES = "local TAG, PUBLISH = KEYS[1], 'SPUBLISH'\n" + "".join(
    f"local {name} = {'' if name in NO_KEYS else 'TAG .. '}'{prefix}'\n"
    for name, prefix in FOR_SCRIPTS.items()
)
TRANSITIONS = ("message", "quotas", "counts", "transitions")
SUBMISSIONS = ("message", "quotas", "whole_record", "new_job", "submissions")
RESCUE = (*TRANSITIONS, "rescue")


@cache  # each process reads all scripts at its start
def _code(file: str) -> str:
    return numbered((FOLDER / f"{file}.lua").read_text())


def tagged(source: str) -> str:
    """The form of a script's source for a shard: its one declared key, the tag, begins each of its keys."""
    return source.replace(NAMES, TAGGED_NAMES, 1)


def sha_of(source: str) -> str:
    return sha1(source.encode(), usedforsecurity=False).hexdigest()


class Script:
    """A script, with the parts that it needs before it. Redis runs all of that code at every call."""

    def __init__(self, name: str, *parts: str) -> None:
        files = [f"parts/{part}" for part in ("prelude", *parts)]
        self.source = NAMES + "".join(map(_code, (*files, name)))
        self.sha = sha_of(self.source)

    async def run(self, runner: Runner, *arguments: Argument) -> Any:
        """The script's reply. A Redis that has restarted gets the script again."""
        try:
            return await runner.execute_command("EVALSHA", self.sha, 0, *arguments)
        except NoScriptError:
            return await runner.execute_command("EVAL", self.source, 0, *arguments)


SUBMIT = Script("submit", *SUBMISSIONS, "counts")
PREPARE = Script("prepare", *SUBMISSIONS, "prepared")
COMMIT = Script("commit", "quotas", "counts", "new_job", "prepared")
STEP = Script("step", *RESCUE, "log", "output")
BEAT = Script("beat", *RESCUE)
REPORT = Script("report", *TRANSITIONS, "log", "output")
CANCEL = Script("cancel", *RESCUE, "cancellation", "expired_lately", "whole_record")
CANCEL_ALL = Script("cancel_all", *RESCUE, "cancellation", "expired_lately")
FORGET = Script("forget", "quotas", "expired_lately")
READ = Script("read", "expired_lately", "whole_record")
RESCUE_AND_READ = Script("rescue_and_read", *RESCUE, "expired_lately", "whole_record")
LIST = Script("list", "whole_record", "excerpt")
RECORDS = Script("records", "whole_record", "excerpt")
LOGS = Script("logs", "expired_lately")
OUTPUT = Script("output", "expired_lately")
REDELIVER = Script("redeliver", *TRANSITIONS, "expired_lately")
LEAVE = Script("leave")
PAUSE = Script("pause")
RESUME = Script("resume")
QUEUES = Script("queues", "counts")
HISTORY = Script("history", "counts")
ENDED = Script("ended")
ACTIVITY = Script("activity")
WORKERS = Script("workers")
RUNNING = Script("running")
UPKEEP = Script("upkeep", *RESCUE)
PROBE = Script("probe")
FILE_ADD = Script("file_add", "quotas")
FILE_DROP = Script("file_drop", "quotas")
FILE_PRUNE = Script("file_prune", "quotas")
RATE = Script("rate")

EVERY_SCRIPT = [value for value in list(globals().values()) if isinstance(value, Script)]

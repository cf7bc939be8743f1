"""The Lua scripts: found by their files, loaded into Redis when it does not know them."""

from hashlib import sha1
from pathlib import Path
from typing import Any

from redis.exceptions import NoScriptError

from shared.store.client import Argument, Runner
from shared.store.keys import FOR_SCRIPTS

FOLDER = Path(__file__).parent / "scripts"
PRELUDE = (
    "".join(f"local {name} = '{prefix}'\n" for name, prefix in FOR_SCRIPTS.items())
    + (FOLDER / "transitions.lua").read_text()
)


class Script:
    """One script, with the shared transitions before it."""

    def __init__(self, name: str) -> None:
        self.source = PRELUDE + (FOLDER / f"{name}.lua").read_text()
        self.sha = sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    async def run(self, runner: Runner, *arguments: Argument) -> Any:
        """The script's reply. A Redis that has restarted gets the script again."""
        try:
            return await runner.execute_command("EVALSHA", self.sha, 0, *arguments)
        except NoScriptError:
            return await runner.execute_command("EVAL", self.source, 0, *arguments)


SUBMIT = Script("submit")
STEP = Script("step")
BEAT = Script("beat")
REPORT = Script("report")
CANCEL = Script("cancel")
READ = Script("read")
LIST = Script("list")
LOGS = Script("logs")
REDELIVER = Script("redeliver")
LEAVE = Script("leave")
UPKEEP = Script("upkeep")
PROBE = Script("probe")
FILE_ADD = Script("file_add")
FILE_DROP = Script("file_drop")
FILE_RETIRE = Script("file_retire")
RATE = Script("rate")

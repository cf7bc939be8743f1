"""Sources of the store's scripts in which one command fails with an error of Redis."""

from shared.store.scripts import Script

FAILED = "jobs:failed"  # set by the failing command; the store's Redis user may write to this key
REASONS = (
    "WRONGTYPE Operation against a key",
    "NOPERM this user has no permissions",
    "OOM command not allowed",
)
PRELUDE = """
local real, calls = redis, 0
local redis = {error_reply = real.error_reply}
local function fails()
  calls = calls + 1
  if calls == %d then
    real.call('SET', (KEYS[1] or '') .. '%s', calls)
    return {err = '%s'}
  end
end
function redis.call(...)
  local failure = fails()
  if failure then
    error(failure)
  end
  return real.call(...)
end
function redis.pcall(...)
  return fails() or real.pcall(...)
end
"""


def with_failing_command(script: Script, number: int) -> str:
    """The source of a script, with `redis.call` replaced so that its `number`-th call fails."""
    return PRELUDE % (number, FAILED, REASONS[number % len(REASONS)]) + script.source

"""Scripts of the store whose n-th command fails, as Redis would let it fail."""

from shared.store.scripts import Script

FAILED = "jobs:failed"  # the key that says that it did: one that this user may write to
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
    real.call('SET', '%s', calls)
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


def failing(script: Script, number: int) -> str:
    """The source of the script, with a `redis.call` of its own whose `number`-th call fails."""
    return PRELUDE % (number, FAILED, REASONS[number % len(REASONS)]) + script.source

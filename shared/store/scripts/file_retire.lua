-- Forgets uploaded files whose time is over and that no record names any more.
-- ARGV: how many files to look at, pause (ms) until the next look at one that a job still needs
-- Returns {how many were looked at, {ids of those that were forgotten}}. After a repeat the answer lacks those
-- that the first call forgot.

local due = redis.call('ZRANGEBYSCORE', FILES, '-inf', now, 'LIMIT', 0, ARGV[1])

-- When to look again: as soon as a record that names the file may be gone; nil if none is left. It looks at a
-- bounded number of jobs, since Redis does nothing else meanwhile.
local function next_look(jobs)
  for _ = 1, 1000 do
    local id = redis.call('SRANDMEMBER', jobs)
    if not id then
      return
    end
    local job = redis.call('HMGET', RECORD .. id, 'state', 'expires_at')
    if job[1] then
      return math.max(tonumber(job[2] or 0), now + ARGV[2])
    end
    redis.call('SREM', jobs, id)
  end
  return now + 1
end

local forgotten = {}
for _, id in ipairs(due) do
  local file = FILE .. id
  local look = next_look(file .. ':jobs')
  if look then
    redis.call('ZADD', FILES, look, id)
  else
    local caller = redis.call('HGET', file, 'counted')
    if caller then
      quotas().discharge(UPLOADS .. caller, id)
    end
    redis.call('DEL', file)
    redis.call('ZREM', FILES, id)
    forgotten[#forgotten + 1] = id
  end
end
return {#due, forgotten}

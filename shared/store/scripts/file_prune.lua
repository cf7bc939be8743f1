-- Removes the records of expired files that no job's record names any more.
-- ARGV: number of files to look at, pause (ms) before the next look at a file that a job still needs
-- Returns {number of files that were looked at, {ids of those removed}}. The reply to a repeat lacks the ids that the
-- first call removed.

local due = redis.call('ZRANGEBYSCORE', FILES, '-inf', now, 'LIMIT', 0, ARGV[1])

local looks = 1000  -- at jobs; Redis does nothing else meanwhile, for about 4 ms

-- The time of the next look: as soon as a record that names the file may be gone; nil if no such record is left.
local function next_look(jobs)
  while looks > 0 do
    looks = looks - 1
    local id = redis.call('SRANDMEMBER', jobs)
    if not id then
      return
    end
    local state, expires_at, batch = unpack(redis.call('HMGET', RECORD .. id, 'state', 'expires_at', 'batch'))
    if state or batch then  -- without a state it is prepared
      return math.max(tonumber(expires_at or 0), now + ARGV[2])
    end
    redis.call('SREM', jobs, id)
  end
  return now + 1
end

local removed = {}
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
    removed[#removed + 1] = id
  end
end
return {#due, removed}

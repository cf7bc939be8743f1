-- Upkeep, by every process now and then: rescues jobs whose leases ran out, fails jobs that were not started in time,
-- prunes the indexes, repairs lost jobs, removes prepared batches that have ended.
-- ARGV: retention of completed, failed, cancelled jobs (s), lease (ms; 0 for that of the last worker), then queues
-- Returns {lease (ms), {ids whose lease ran out}, {two values per repaired job: id, its fault}}.

local retain = {completed = tonumber(ARGV[1]), failed = tonumber(ARGV[2]), cancelled = tonumber(ARGV[3])}
local given = tonumber(ARGV[4])
local PAUSE, LIMIT = 5000, 500  -- ms between two looks for lost jobs, jobs of each index at a look

-- Whether a job of an index is in the state, queue or lease, and count of its record.
local function is_in_place(id, index)
  local state, queue, fencing_token, counted = unpack(
    redis.call('HMGET', RECORD .. id, 'state', 'queue', 'claims', 'counted'))
  if state ~= index then
    return false
  end
  local waits = index == 'pending'
  if counted and waits ~= (redis.call('ZSCORE', BACKLOG .. counted, id) and true or false) then
    return false
  elseif waits then
    return redis.call('ZSCORE', QUEUE .. queue, id)
  end
  return redis.call('ZSCORE', LEASES .. queue, fencing_token .. ':' .. id)
end

-- Looks at the next jobs of an index, the oldest first; returns the rank of the next look.
local function look_through(index, from, repaired)
  local ids = redis.call('ZRANGE', INDEX_OF .. index, from, from + LIMIT - 1)
  for _, id in ipairs(ids) do
    local wrong = not is_in_place(id, index) and repair(id, retain)
    if wrong then
      repaired[#repaired + 1] = id
      repaired[#repaired + 1] = wrong
    end
  end
  return #ids < LIMIT and 0 or from + LIMIT
end

-- Repairs jobs that are in no queue and under no lease; all processes together look once in a PAUSE.
local function repair_lost()
  local repaired_at, pending, running = unpack(redis.call('HMGET', UPKEEP, 'repaired_at', 'pending', 'running'))
  local elapsed, repaired = now - (repaired_at or 0), {}
  if elapsed < 0 or elapsed >= PAUSE then
    pending = look_through('pending', tonumber(pending or 0), repaired)
    running = look_through('running', tonumber(running or 0), repaired)
    redis.call('HSET', UPKEEP, 'repaired_at', now, 'pending', pending, 'running', running)
  end
  return repaired
end

-- Removes a prepared job, unless another batch has prepared it again, as after a fail-over.
local function drop(id, key, batch)
  local record = RECORD .. id
  local state, of_batch, counted, files = unpack(redis.call('HMGET', record, 'state', 'batch', 'counted', 'files'))
  if state or (of_batch and of_batch ~= batch) then
    return
  end
  for file in string.gmatch(files or '', '%S+') do
    redis.call('SREM', FILE .. file .. ':jobs', id)
  end
  if key ~= '' and string.match(redis.call('GET', key) or '', '^%x+:(.*)$') == id then
    redis.call('DEL', key)
  end
  if counted then
    quotas().discharge(KEPT .. counted, id)
  end
  redis.call('ZREM', INDEX, id)
  redis.call('DEL', MESSAGE .. id, record)
end

-- Removes the next jobs of a prepared batch that has ended.
local function drop_prepared(limit)
  local batch = redis.call('ZRANGEBYSCORE', PREPARED_ENDS, '-inf', now, 'LIMIT', 0, 1)[1]
  if not batch then
    return
  end
  local entries = PREPARED .. batch
  for _, entry in ipairs(redis.call('LRANGE', entries, 0, limit - 1)) do
    local id, key = string.match(entry, '^(%S+) (.*)$')
    drop(id, key, batch)
  end
  redis.call('LTRIM', entries, limit, -1)
  if redis.call('LLEN', entries) == 0 then
    redis.call('ZREM', PREPARED_ENDS, batch)
  end
end

local rescued = {}
local _, lease = rescue_from(given > 0 and given or nil, true)
for i = 5, #ARGV do
  rescue_all(ARGV[i], lease, rescued, retain)
end
fail_late(retain.failed, 1000)
prune(1000, retain)
local repaired = repair_lost()
drop_prepared(100)
wake_workers()
return {lease, rescued, repaired}

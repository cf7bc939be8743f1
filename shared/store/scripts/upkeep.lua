-- Upkeep, by every process now and then: rescues jobs whose leases ran out, fails jobs that were not started in time,
-- prunes the indexes, repairs lost jobs, removes prepared batches that have ended. Redis does nothing else meanwhile, so a
-- call has bounds, which keep it below 5 ms, and says whether more is to be done.
-- ARGV: retention of completed, failed, cancelled jobs (s), lease (ms; 0 for that of the last worker), then queues
-- Returns {lease (ms), {ids whose lease ran out}, {two values per repaired job: id, its fault},
--         1 if more is to be done, else 0, {moves}}.

local retain = {completed = tonumber(ARGV[1]), failed = tonumber(ARGV[2]), cancelled = tonumber(ARGV[3])}
local given = tonumber(ARGV[4])
local MOVES = 100  -- jobs that a call moves, 35 µs each
local PRUNED = 200  -- ids that a call removes from each index
local PAUSE, LIMIT = 500, 500  -- ms between two looks for lost jobs, jobs at a look, 6 µs each

-- Whether an ended job is in the index of its state; for a record that is gone, whether any index still knows its id.
local function is_indexed(id, state)
  for ended in pairs(retain) do
    if (not state or state == ended) and redis.call('ZSCORE', INDEX_OF .. ended, id) then
      return true
    end
  end
end

-- Whether a job is in the queue, lease or index, and in the count, that its record says.
local function is_in_place(id)
  local state, queue, fencing_token, counted, batch = unpack(
    redis.call('HMGET', RECORD .. id, 'state', 'queue', 'claims', 'counted', 'batch'))
  if batch and not state then
    return true  -- it is prepared
  elseif counted and (state == 'pending') ~= (redis.call('ZSCORE', BACKLOG .. counted, id) and true or false) then
    return false
  elseif state == 'pending' then
    return redis.call('ZSCORE', QUEUE .. queue, id)
  elseif state == 'running' then
    return redis.call('ZSCORE', LEASES .. queue, fencing_token .. ':' .. id)
  end
  return is_indexed(id, state)
end

-- Repairs jobs that a move has lost: looks at the next jobs of the index, the oldest first. All processes together look
-- once in a PAUSE.
local function repair_lost()
  local repaired_at, from = unpack(redis.call('HMGET', UPKEEP, 'repaired_at', 'repaired_to'))
  local elapsed, repaired = now - (repaired_at or 0), {}
  if elapsed >= 0 and elapsed < PAUSE then
    return repaired
  end
  from = tonumber(from or 0)
  local ids = redis.call('ZRANGE', INDEX, from, from + LIMIT - 1)
  for _, id in ipairs(ids) do
    local wrong = not is_in_place(id) and repair(id, retain)
    if wrong then
      repaired[#repaired + 1] = id
      repaired[#repaired + 1] = wrong
    end
  end
  redis.call('HSET', UPKEEP, 'repaired_at', now, 'repaired_to', #ids < LIMIT and 0 or from + LIMIT)
  return repaired
end

-- Keeps the names of the queues that hold jobs; a release before this one wrote none.
local function keep_queues()
  for i = 5, #ARGV do
    if ARGV[i] ~= WEBHOOKS and redis.call('EXISTS', QUEUE .. ARGV[i], LEASES .. ARGV[i]) > 0 then
      redis.call('SADD', QUEUES, ARGV[i])
    end
  end
  for _, queue in ipairs(redis.call('SMEMBERS', QUEUES)) do
    if redis.call('EXISTS', QUEUE .. queue, LEASES .. queue) == 0 then
      redis.call('SREM', QUEUES, queue)
    end
  end
end

-- Removes the indexes of states that are not terminal, which older releases have written.
local function prune_old_indexes()
  for _, state in ipairs({'pending', 'running'}) do
    redis.call('ZREMRANGEBYRANK', INDEX_OF .. state, 0, LIMIT - 1)
  end
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
  if key ~= '' and string.match(redis.call('GET', TAG .. key) or '', '^%x+:(.*)$') == id then
    redis.call('DEL', TAG .. key)
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

local rescued, repaired = {}, {}
local _, lease = rescue_from(given > 0 and given or nil, true)
for i = 5, #ARGV do
  rescue_all(ARGV[i], lease, rescued, retain, MOVES - #rescued)
end
local left = MOVES - #rescued
left = left - fail_late(retain, left)
local more = left <= MOVES / 2
if not more then  -- else the other duties can wait
  more = prune(PRUNED, retain)
  keep_queues()
  prune_old_indexes()
  repaired = repair_lost()
  drop_prepared(MOVES / 2)
  more = more or redis.call('ZCOUNT', PREPARED_ENDS, '-inf', now) > 0
end
wake_workers()
return {lease, rescued, repaired, more and 1 or 0, moves}

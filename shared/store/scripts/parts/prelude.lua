-- Part of every script: the clock, wake-ups.
-- The key prefixes (RECORD, OWNER, LOGS, MESSAGE, QUEUE, LEASES, WAKE, INDEX, INDEX_OF, QUEUES, PAUSED, COUNTS, START_BY,
-- WORKERS, WORKER, UPKEEP, IDEMPOTENCY, PREPARED, PREPARED_ENDS, FILE, FILES, RATE, BACKLOG, KEPT, KEPT_ENDS,
-- UPLOADS, CHANGES, CANCEL) and the internal names (WEBHOOKS, DELIVERY_ID) are locals that come from redis_keys.py.
-- Names such as CLAIM.job_id and #CLAIM, of rows of words, are numbers that come from rows.py.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local pauses, waking = {}, {}

local function is_paused(queue)
  if pauses[queue] == nil then
    pauses[queue] = redis.call('HEXISTS', PAUSED, queue) == 1
  end
  return pauses[queue]
end

-- Wakes one idle worker of a queue.
local function wake(queue)
  waking[queue] = true
end

-- Writes the wake-ups, at the end of every script that may wake a worker. A worker that misses its wake-up notices the
-- job by itself. A paused queue wakes none.
local function wake_workers()
  for queue in pairs(waking) do
    if redis.pcall('LLEN', WAKE .. queue) == 0 and not is_paused(queue) then  -- one wake-up at most
      redis.pcall('RPUSH', WAKE .. queue, '1')
    end
  end
end

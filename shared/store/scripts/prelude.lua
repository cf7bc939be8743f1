-- Put before every script: the clock, and announcements.
-- The key prefixes (RECORD, LOGS, MESSAGE, QUEUE, LEASES, WAKE, INDEX, INDEX_OF, DEADLINES, WORKERS, WORKER,
-- UPKEEP, IDEMPOTENCY, FILE, FILES, RATE, CHANGES, CANCEL) and the internal names (WEBHOOKS, DELIVERY) are locals
-- that come from keys.py.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local published, waking = {}, {}

local function publish(channel, message)
  local n = #published
  published[n + 1], published[n + 2] = channel, message
end

-- Wakes one idle worker of a queue.
local function wake(queue)
  waking[queue] = true
end

-- Ends every script that has something to announce. A subscriber that misses a message, and a worker that misses
-- its wake-up, find out by themselves.
local function announce()
  for i = 1, #published, 2 do
    redis.pcall('PUBLISH', published[i], published[i + 1])
  end
  for queue in pairs(waking) do
    if redis.pcall('LLEN', WAKE .. queue) == 0 then  -- one wake-up token at most
      redis.pcall('RPUSH', WAKE .. queue, '1')
    end
  end
end

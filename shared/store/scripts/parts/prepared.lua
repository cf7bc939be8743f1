-- Ends a prepared batch: it can't be committed any more, its idempotency keys are free, and upkeep removes its jobs.
-- If this fails, the batch ends at its time.
local function end_batch(batch)
  redis.pcall('HDEL', UPKEEP, '')  -- a removal first: then a Redis without free memory does not refuse the next
  redis.pcall('ZADD', PREPARED_ENDS, 'XX', 0, batch)
end

-- Splits ARGV[at] into the caller that has a quota, its jobs that may wait, and its bytes that may be kept.
local function quota_in(at)
  local counted, most_waiting, most_kept = string.match(ARGV[at], '^(%S+) (%d+) (%d+)$')
  return counted, tonumber(most_waiting), tonumber(most_kept)
end

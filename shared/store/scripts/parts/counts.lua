-- Counts of jobs by time: in each ten seconds of the last quarter of an hour, those submitted to each queue, and those
-- of it that ended, by outcome. A count that fails changes nothing else.

local BUCKET, KEPT_BUCKETS = 10000, 960000  -- ms

local function add_to_count(queue, outcome, number)
  local bucket = COUNTS .. math.floor(now / BUCKET)
  if redis.pcall('HINCRBY', bucket, queue .. ' ' .. outcome, number) == number then
    redis.pcall('PEXPIRE', bucket, KEPT_BUCKETS)
  end
end

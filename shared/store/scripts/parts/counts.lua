-- Counts of jobs by queue and time: those submitted and those ended, by outcome, in each ten seconds of the last
-- quarter of an hour. A count that fails changes nothing else.

local BUCKET, KEPT_BUCKETS = 10000, 960000  -- ms

local function add_to_count(queue, outcome, number)
  local bucket = COUNTS .. queue .. ':' .. math.floor(now / BUCKET)
  if redis.pcall('HINCRBY', bucket, outcome, number) == number then
    redis.pcall('PEXPIRE', bucket, KEPT_BUCKETS)
  end
end

-- Counts of jobs by time: the buckets since a time, oldest first, those without a job left out.
-- ARGV: time (ms)
-- Returns per bucket {its begin (ms), then fields `queue outcome` and their counts}

local found = {}
for bucket = math.floor(math.max(ARGV[1], now - KEPT_BUCKETS) / BUCKET), math.floor(now / BUCKET) do
  local counts = redis.call('HGETALL', COUNTS .. bucket)
  if counts[1] then
    found[#found + 1] = {string.format('%.0f', bucket * BUCKET), unpack(counts)}
  end
end
return found

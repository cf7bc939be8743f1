-- Counts requests of a caller against its limit, by GCRA: `limit` requests at once at most, and one more each time a
-- `limit`-th of the window passes. Several are counted together or not at all; a refused request is not counted.
-- ARGV: caller, limit, window (ms), number of requests
-- Returns {1 if they are within the limit, else 0; requests left; ms until one more is within the limit, or, if they
-- are refused, until they would be}.
-- A repeat, because a reply was lost, counts the requests twice, and does no other harm.

local key, limit, cost = RATE .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
local moment = time[1] * 1000000 + time[2]
local interval = math.floor(ARGV[3] * 1000 / limit)  -- whole microseconds, so that nothing is lost in sums
local span = interval * limit

-- Quota in use, in microseconds; the key holds GCRA's theoretical arrival time.
local used = math.max(tonumber(redis.call('GET', key) or 0) - moment, 0)
local granted = used + cost * interval <= span
if granted then
  used = used + cost * interval
  redis.call('SET', key, string.format('%.0f', moment + used), 'PX', math.ceil(used / 1000))
end
local left = math.max(math.floor((span - used) / interval), 0)
local wanted = granted and left + 1 or math.max(left + 1, cost)
return {granted and 1 or 0, left, math.ceil((used - span + wanted * interval) / 1000)}

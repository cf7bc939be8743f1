-- Counts one request of a caller against its limit, by GCRA: `quota` requests at once at most, and one
-- more whenever a `quota`-th of the window has passed. A refused request is not counted.
-- ARGV: caller, quota, window (ms)
-- Returns {1 if the request is within the limit, else 0; requests left; ms until there is one more}.
-- A repeat, because a reply was lost, costs the caller one request more, and no other harm is done.

local key, quota = RATE .. ARGV[1], tonumber(ARGV[2])
local moment = time[1] * 1000000 + time[2]
local interval = math.floor(ARGV[3] * 1000 / quota)  -- whole microseconds, so that nothing is lost in sums
local span = interval * quota

-- What is not yet forgotten, in microseconds; the key holds the moment at which all of it is.
local used = math.max(tonumber(redis.call('GET', key) or 0) - moment, 0)
local granted = used + interval <= span
if granted then
  used = used + interval
  redis.call('SET', key, string.format('%.0f', moment + used), 'PX', math.ceil(used / 1000))
end
local left = math.max(math.floor((span - used) / interval), 0)
return {granted and 1 or 0, left, math.ceil((used - span + (left + 1) * interval) / 1000)}

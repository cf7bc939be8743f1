-- Forgets an ended job: its record, log, output and webhook deliveries. Its id is known as that of an expired job for as
-- long as one that expires now.
-- ARGV: id, caller whose jobs alone count, or ''
-- Returns 'missing', 'expired', 'alive' for a job that still waits or runs, or 'forgotten'

local id = ARGV[1]
local record = RECORD .. id
local state, caller, counted, deliveries = unpack(
  redis.call('HMGET', record, 'state', 'caller', 'counted', 'deliveries'))
if not state then
  return expired_lately(id, ARGV[2]) and 'expired' or 'missing'
elseif ARGV[2] ~= '' and caller ~= ARGV[2] then
  return 'missing'
elseif state == 'pending' or state == 'running' then
  return 'alive'
end

redis.call('DEL', LOGS .. id, OUTPUT .. id, MESSAGE .. id)  -- first: a full Redis allows other writes after a removal
-- A delivery under way ends by itself: its record is kept for its worker.
for number = 1, tonumber(deliveries or 0) do
  local delivery = DELIVERY_ID .. number .. '-' .. id
  if redis.call('HGET', RECORD .. delivery, 'state') ~= 'running' then
    redis.call('ZREM', QUEUE .. WEBHOOKS, delivery)
    redis.call('DEL', RECORD .. delivery, MESSAGE .. delivery, LOGS .. delivery)
  end
end
if counted then
  quotas().discharge(KEPT .. counted, id)
  redis.call('ZREM', KEPT_ENDS, counted .. ' ' .. id)
end
redis.call('ZADD', INDEX_OF .. state, now, id)  -- from here on no list shows it, and upkeep prunes it in time
redis.call('DEL', record)
return 'forgotten'

-- Sends the webhook of a finished job again: at once if its last delivery waits for an attempt, else by a new delivery.
-- ARGV: id, caller whose jobs alone count, or ''
-- Returns the number of the delivery; 0 if the job has no webhook, -1 if it has not finished, -2 if it has expired
-- lately, -3 without such a job

local job = redis.call('HMGET', RECORD .. ARGV[1], 'state', 'webhook', 'deliveries', 'caller')
local state, url, number, caller = unpack(job)
if not state then
  return expired_lately(ARGV[1], ARGV[2]) and -2 or -3
elseif ARGV[2] ~= '' and caller ~= ARGV[2] then
  return -3
elseif not url then
  return 0
elseif state == 'pending' or state == 'running' then
  return -1
end
local delivery = DELIVERY_ID .. (number or 0) .. '-' .. ARGV[1]
local last = redis.call('HGET', RECORD .. delivery, 'state')
if last == 'pending' then
  redis.call('HDEL', RECORD .. delivery, 'run_at')
  redis.call('ZADD', QUEUE .. WEBHOOKS, now, delivery)
  wake(WEBHOOKS)
elseif last ~= 'running' then
  add_delivery(ARGV[1])
  number = (number or 0) + 1
end
wake_workers()
return tonumber(number)

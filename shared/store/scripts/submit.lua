-- Accepts a job: its record, its message, its place in the queue and in the indexes, all or none.
-- ARGV: id, queue, due (ms since the epoch; 0 for now), max_waiting, message, then the record's fields
--       and values as pairs
-- Returns {'accepted', created_at} or {'full', jobs waiting}. A repeat of an accepted id answers
-- 'accepted' again and changes nothing.

local id, queue, due, message = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[5]
local record = RECORD .. id

local created_at = redis.call('HGET', record, 'created_at')
if created_at then
  return {'accepted', created_at}
end
local waiting = redis.call('ZCARD', QUEUE .. queue)
if waiting >= tonumber(ARGV[4]) then
  return {'full', waiting}
end

redis.call('HSET', record, 'state', 'pending', 'queue', queue, 'version', 1, 'created_at', now, unpack(ARGV, 6))
redis.call('SET', MESSAGE .. id, message)
redis.call('ZADD', INDEX, now, id)
redis.call('ZADD', INDEX_OF .. 'pending', now, id)
redis.call('ZADD', QUEUE .. queue, due > 0 and due or now, id)
redis.call('PUBLISH', CHANGES .. id, 1)
wake(queue)
return {'accepted', now}

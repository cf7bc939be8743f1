-- Pauses a queue: no job of it is claimed from now on. A queue that is paused already gets the new reason.
-- ARGV: queue, caller or '', reason

redis.call('HDEL', PAUSED, ARGV[1])  -- a script that begins with a removal is not refused for lack of memory
redis.call('HSET', PAUSED, ARGV[1], cjson.encode({by = ARGV[2], reason = ARGV[3], at = now}))
return 1

-- Notes an uploaded file, which lies in the file store already.
-- ARGV: id, retention (s), then pairs: the fields and values that describe it
-- Returns {created_at, expires_at}, in ms. A repeat keeps it for as long again, and changes nothing else.

local file, expires = FILE .. ARGV[1], now + ARGV[2] * 1000
redis.call('ZADD', FILES, expires, ARGV[1])  -- first: a file that is half noted is retired
redis.call('HSET', file, 'created_at', now, 'expires_at', expires, unpack(ARGV, 3))
return {now, expires}

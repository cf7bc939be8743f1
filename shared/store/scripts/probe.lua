-- Tries a write, and every command under every kind of key that the scripts and processes use, with this user's rights.
-- The keys are the probe's own; none is left.
-- ARGV: a name for its keys
-- Returns {missing rights, in Redis' words}; an error if Redis refuses to write for another reason.

local name, refused = ARGV[1], {}

local function try(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then
    if not string.find(reply.err, 'ACL failure') and not string.find(reply.err, '^NOPERM') then
      error(reply)
    end
    refused[#refused + 1] = table.concat({...}, ' ', 1, 2) .. ': ' .. reply.err
  end
end

-- Every kind of key, by a write and a read.
local kinds = {RECORD, OWNER, LOGS, OUTPUT, MESSAGE, QUEUE, LEASES, WAKE, INDEX_OF, WORKER, IDEMPOTENCY, FILE, RATE,
  PREPARED, BACKLOG, KEPT, UPLOADS, COUNTS}
for _, prefix in ipairs(kinds) do
  try('SET', prefix .. name, 1, 'PX', 1000)
  try('GET', prefix .. name)
  try('DEL', prefix .. name)
end
for _, index in ipairs({INDEX, START_BY, WORKERS, FILES, KEPT_ENDS, PREPARED_ENDS}) do
  try('ZREM', index, name)
end
try('HDEL', UPKEEP, name)
try('HDEL', PAUSED, name)
try('EXISTS', SWEEP)
try('EXISTS', STREAM_SECRET)

-- Every command, on a key of each type.
local hash, zset, list, set, text = RECORD .. name, QUEUE .. name, WAKE .. name, FILE .. name, MESSAGE .. name
try('HSET', hash, 'a', 1)
try('HINCRBY', hash, 'a', 1)
try('HGET', hash, 'a')
try('HMGET', hash, 'a')
try('HGETALL', hash)
try('HKEYS', hash)
try('HSTRLEN', hash, 'a')
try('HEXISTS', hash, 'a')
try('PEXPIREAT', hash, now + 1000)
try('PTTL', hash)
try('PERSIST', hash)
try('ZADD', zset, 1, 'a')
try('ZCARD', zset)
try('ZCOUNT', zset, 1, 2)
try('ZSCORE', zset, 'a')
try('ZRANK', zset, 'a')
try('ZRANGE', zset, 0, -1)
try('ZRANGEBYSCORE', zset, 1, 2)
try('ZREMRANGEBYSCORE', zset, 3, 4)
try('ZREMRANGEBYRANK', zset, 0, -1)
try('RPUSH', list, 'a')
try('LLEN', list)
try('LRANGE', list, 0, -1)
try('LTRIM', list, 1, 0)
try('SADD', set, 'a')
try('SMEMBERS', set)
try('SRANDMEMBER', set)
try('SREM', set, 'a')
try('MGET', text)
for _, key in ipairs({hash, zset, list, set}) do
  try('PEXPIRE', key, 1000)  -- should it not be allowed to remove them
  try('DEL', key)
end
try(PUBLISH, CHANGES .. name, 1)
try(PUBLISH, CANCEL, name)
return refused

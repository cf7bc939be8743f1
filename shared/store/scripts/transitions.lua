-- Put before every script: the clock, and the moves that more than one script makes.
-- The key prefixes (RECORD, LOGS, MESSAGE, QUEUE, LEASES, WAKE, INDEX, INDEX_OF, DEADLINES, WORKERS, WORKER,
-- UPKEEP, IDEMPOTENCY, FILE, FILES, RATE, CHANGES, CANCEL) and the internal names (WEBHOOKS, DELIVERY) are locals
-- that come from keys.py.
--
-- Redis rolls nothing back: a command that fails ends the script, and what was written before it stays. So each move
-- writes in this order, and may be repeated from any point of it:
--   1. the lease, where there is a new one: a worker that dies from here on is noticed
--   2. the record, in one HSET: from here on the move has happened
--   3. queue, new index, message, webhook
--   4. the end of the old lease, then the old index: until here a job that is half moved is still listed, and `mend`
--      puts the rest right
--   5. announcements, whose failure changes nothing
--
-- A Redis that is out of memory refuses a script at its first write that needs some, but lets a script
-- end that has begun with a removal. So submit may be refused, and those that claim or end work begin with one.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- How long a worker's last claims are remembered (ms): a step is repeated until Redis answers, however long it is away.
local MEMORY = 86400000

-- A removal of nothing, before the first write of a script that must not be refused for want of memory.
local function begin_writing()
  redis.call('HDEL', UPKEEP, '')
end

local published, waking = {}, {}

local function publish(channel, message)
  published[#published + 1] = channel
  published[#published + 1] = message
end

-- Wakes one idle worker of a queue.
local function wake(queue)
  waking[queue] = true
end

-- Ends every script that has something to announce. A subscriber that misses a message, and a worker that misses
-- its wake-up, find out by themselves.
local function announce()
  for i = 1, #published, 2 do
    redis.pcall('PUBLISH', published[i], published[i + 1])
  end
  for queue in pairs(waking) do
    if redis.pcall('LLEN', WAKE .. queue) == 0 then  -- one wake-up token at most
      redis.pcall('RPUSH', WAKE .. queue, '1')
    end
  end
end

local function is_internal(id)
  return string.sub(id, 1, #DELIVERY) == DELIVERY
end

-- What every move has to know of a job; its state is false if the record is gone.
local function look(id)
  local job = redis.call('HMGET', RECORD .. id, 'state', 'version', 'lines', 'webhook', 'claims', 'lost')
  return {state = job[1], version = job[2], lines = job[3], webhook = job[4], claims = job[5], lost = job[6]}
end

-- Makes the first delivery of a job's webhook, or the next one, with the record as it is now: a job of an internal
-- queue, which no index knows. It ends by its time, not by its attempts.
local function add_delivery(id)
  local record, fields = RECORD .. id, {}
  local words = redis.call('HGETALL', record)
  for i = 1, #words, 2 do
    fields[words[i]] = words[i + 1]
  end
  fields.params, fields.params_shown = fields.params_shown or fields.params, nil  -- no secret in a delivery
  local number = (fields.deliveries or 0) + 1
  fields.deliveries = string.format('%d', number)
  local delivery = DELIVERY .. fields.deliveries .. '-' .. id
  redis.call('SET', MESSAGE .. delivery, '{"t":null,"f":"webhook","a":["' .. delivery .. '"],"k":{},"et":' .. now .. '}')
  redis.call('ZADD', QUEUE .. WEBHOOKS, now, delivery)
  redis.call('HSET', RECORD .. delivery, 'type', 'webhook', 'queue', WEBHOOKS, 'state', 'pending', 'version', 1,
    'created_at', now, 'max_attempts', 1000, 'request_id', fields.request_id or '',
    'params', cjson.encode({job_id = id, url = fields.webhook, ended_at = now, fields = fields}))
  redis.call('HSET', record, 'deliveries', number)
  wake(WEBHOOKS)
end

-- What follows the records that a script has moved. It is gathered, and written by `flush` in one call per key:
-- Redis' own time per job is mostly calls.
local entering, messages, webhooks, released, leaving = {}, {}, {}, {}, {}

local function gather(lists, name, value)
  local list = lists[name] or {}
  lists[name] = list
  list[#list + 1] = value
end

local function move(id, from, to, score)
  if not is_internal(id) then
    gather(entering, to, score)
    gather(entering, to, id)
    gather(leaving, from, id)
  end
end

local function release(queue, lease)
  gather(released, queue, lease)
end

-- Every script that moves a job ends with it; a job moves once at most between two flushes.
local function flush()
  for state, scores in pairs(entering) do
    redis.call('ZADD', INDEX_OF .. state, unpack(scores))
  end
  if #messages > 0 then
    redis.call('DEL', unpack(messages))
  end
  for _, id in ipairs(webhooks) do
    add_delivery(id)
  end
  for queue, leases in pairs(released) do
    redis.call('ZREM', LEASES .. queue, unpack(leases))
  end
  for state, ids in pairs(leaving) do
    redis.call('ZREM', INDEX_OF .. state, unpack(ids))
  end
  entering, messages, webhooks, released, leaving = {}, {}, {}, {}, {}
end

-- Appends to a job's log. `lines` holds, one a line: its number within this claim, how long ago it was written (ms),
-- and a JSON object. What an earlier call has appended, whose reply was lost, is not appended again.
local function append_lines(id, claim, lines)
  local record, entries = RECORD .. id, {}
  local job = redis.call('HMGET', record, 'version', 'lines', 'logged')
  local total, before, known = tonumber(job[2] or 0), string.match(job[3] or '', '^(%d+):(%d+)$')
  known = before == claim and tonumber(known) or 0
  for number, age, line in string.gmatch(lines, '(%d+) (%d+) ([^\n]+)') do
    if tonumber(number) > known then
      total, known = total + 1, tonumber(number)
      entries[#entries + 1] = '{"seq":' .. total .. ',"version":' .. job[1] .. ',"at":' .. now - age .. ','
        .. string.sub(line, 2)
    end
  end
  if #entries == 0 then
    return
  end
  redis.call('HSET', record, 'lines', total, 'logged', claim .. ':' .. known)
  redis.call('RPUSH', LOGS .. id, unpack(entries))
  redis.call('LTRIM', LOGS .. id, -1000, -1)
  local left = redis.call('PTTL', record)
  if left > 0 then
    redis.call('PEXPIRE', LOGS .. id, left)
  end
end

-- The record's list of errors with one more, a JSON object, and the time.
local function errors_with(id, error)
  local errors = redis.call('HGET', RECORD .. id, 'errors')
  local list = errors and string.sub(errors, 1, -2) .. ',' or '['
  return list .. string.sub(error, 1, -2) .. ',"at":' .. now .. '}]'
end

-- Moves a job to a terminal state, for good. `words` are further fields of the record with their values.
local function settle(id, job, to, retention, words)
  local record, expires = RECORD .. id, now + retention * 1000
  local version = job.version + 1
  redis.call('PEXPIREAT', record, expires)
  local written = redis.pcall('HSET', record, 'state', to, 'finished_at', now, 'expires_at', expires,
    'version', version, unpack(words))
  if type(written) == 'table' then
    redis.pcall('PERSIST', record)  -- it is not done, so it must not expire
    error(written)
  end
  if job.lines then
    redis.call('PEXPIREAT', LOGS .. id, expires)
  end
  if job.webhook then
    webhooks[#webhooks + 1] = id
  end
  messages[#messages + 1] = MESSAGE .. id
  move(id, job.state, to, expires)
  publish(CHANGES .. id, version .. ' done')
end

-- Moves a running job back to pending, due in `delay` ms; one that was asked to stop ends as cancelled.
local function put_back(queue, id, job, delay, retain_cancelled, words)
  local record = RECORD .. id
  local more = redis.call('HMGET', record, 'created_at', 'cancel_requested')
  if more[2] then
    return settle(id, job, 'cancelled', retain_cancelled, words)
  end
  local version = job.version + 1
  if delay > 0 then
    words[#words + 1] = 'run_at'
    words[#words + 1] = now + delay
  end
  redis.call('HDEL', record, 'started_at', 'progress', 'worker')
  redis.call('HSET', record, 'state', 'pending', 'version', version, unpack(words))
  redis.call('ZADD', QUEUE .. queue, now + delay, id)
  move(id, 'running', 'pending', more[1])
  publish(CHANGES .. id, version)
  if delay == 0 then
    wake(queue)
  end
end

-- Moves a running job back as if it had not been claimed: the attempt is not charged.
local function give_back(queue, id, job, delay, retain_cancelled)
  local attempt = redis.call('HGET', RECORD .. id, 'attempt')
  put_back(queue, id, job, delay, retain_cancelled, {'attempt', attempt - 1})
end

-- Fails a job whose time to start is over. It is among the deadlines only until it starts or ends.
local function expire(id, retention)
  local job = look(id)
  if job.state == 'pending' then
    local queue = redis.call('HGET', RECORD .. id, 'queue')
    settle(id, job, 'failed', retention, {'errors', errors_with(id, '{"code":"job_expired","message":"No worker was '
      .. 'free to start the job in time.","hint":"Submit it again, with a later start_within_seconds, or start more '
      .. 'workers.","retryable":true,"attempt":0}')})
    redis.call('ZREM', QUEUE .. queue, id)
  end
  redis.call('ZREM', DEADLINES, id)
end

local function expire_late(retention, limit)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', now, 'LIMIT', 0, limit)) do
    expire(id, retention)
  end
  flush()
end

-- Drops retired jobs from the indexes; their records have expired by themselves. Their ids stay as long again
-- as the records were kept, a day at most: until then a request for one is answered 410.
local function prune(limit, retain)
  for state, retention in pairs(retain) do
    local oldest = now - math.min(retention, 86400) * 1000
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', INDEX_OF .. state, '-inf', oldest, 'LIMIT', 0, limit)) do
      redis.call('ZREM', INDEX, id)
      redis.call('ZREM', INDEX_OF .. state, id)
    end
  end
end

-- The time from which leases that have run out mean dead workers. A lease runs out as well while Redis is away, or
-- when its clock jumps, and then no worker could renew it. Workers and APIs leave a sign at least every third of a
-- lease; a gap of more than half a lease between two signs tells that it was Redis. Every worker that lives then
-- has one lease to renew its own.
-- `lease` is the caller's in ms, nil for the last worker's; `sign` is true to leave one.
local function rescue_from(lease, sign)
  local signs = redis.call('HMGET', UPKEEP, 'seen_at', 'rescue_from', 'lease')
  lease = lease or tonumber(signs[3] or 15000)
  local from = math.min(tonumber(signs[2] or 0), now + lease)  -- the clock may have been set back
  if signs[1] and now - signs[1] > lease / 2 then
    from, sign = now + lease, true
  end
  if sign then
    begin_writing()
    redis.call('HSET', UPKEEP, 'seen_at', now, 'rescue_from', from, 'lease', lease)
  end
  return from, lease
end

-- Takes a job from a worker that has let its lease run out: the attempt is charged.
local function rescue(queue, id, token, retain)
  local job = look(id)
  release(queue, token .. ':' .. id)
  if job.state ~= 'running' or job.claims ~= token then
    return false  -- a claim that did not come to its end, or an attempt that has ended
  end
  local more = redis.call('HMGET', RECORD .. id, 'attempt', 'max_attempts', 'worker', 'cancel_requested')
  -- `lost`: so that a late outcome is not taken for a repeat
  local words = {'lost', token, 'errors', errors_with(id, '{"code":"worker_lost","message":"The worker '
    .. (more[3] or '?') .. ' stopped renewing its lease while it ran this attempt.","hint":"Look in that worker\'s '
    .. 'log for a crash, an out-of-memory kill or a blocked event loop.","retryable":true,"attempt":' .. more[1]
    .. '}')}
  if tonumber(more[1]) < tonumber(more[2]) or more[4] then
    put_back(queue, id, job, 0, retain.cancelled, words)
  else
    settle(id, job, 'failed', retain.failed, words)
  end
  return true
end

-- Rescues the jobs of a queue whose leases have run out; appends their ids to `rescued`. Returns the time until which
-- none is rescued, 0 if there is no such time.
local function rescue_all(queue, lease, rescued, retain)
  local first = redis.call('ZRANGE', LEASES .. queue, 0, 0, 'WITHSCORES')[2]
  if not first or tonumber(first) > now then
    return 0
  end
  local from = rescue_from(lease)
  if from > now then
    return from
  end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', LEASES .. queue, '-inf', now, 'LIMIT', 0, 100)) do
    local token, id = string.match(member, '^(%d+):(.*)$')
    if rescue(queue, id, token, retain) then
      rescued[#rescued + 1] = id
    end
  end
  flush()
  return 0
end

-- Puts a job where its record says that it is, whatever has left it half way. Returns what was wrong if a worker would
-- never have come to it.
local function mend(id, retain)
  local record, wrong = RECORD .. id, nil
  local more = redis.call('HMGET', record, 'queue', 'created_at', 'run_at', 'expires_at', 'type', 'deliveries')
  local queue, created_at, run_at, expires_at, kind, deliveries = unpack(more)
  local job = look(id)
  local indexed = not is_internal(id)
  begin_writing()
  if not job.state then
    redis.call('ZREM', INDEX, id)
    redis.call('ZREM', INDEX_OF .. 'running', id)
    redis.call('ZREM', INDEX_OF .. 'pending', id)
  elseif job.state == 'pending' then
    if not redis.call('ZSCORE', QUEUE .. queue, id) then
      redis.call('SET', MESSAGE .. id, '{"t":null,"f":"' .. kind .. '","a":["' .. id .. '"],"k":{},"et":' .. now .. '}',
        'NX')
      redis.call('ZADD', QUEUE .. queue, math.max(created_at, run_at or 0), id)
      wake(queue)
      wrong = 'pending in no queue'
    end
    if indexed then
      redis.call('ZADD', INDEX_OF .. 'pending', created_at, id)
      redis.call('ZREM', INDEX_OF .. 'running', id)
    end
  elseif job.state == 'running' then
    if not redis.call('ZSCORE', LEASES .. queue, job.claims .. ':' .. id) then
      give_back(queue, id, job, 0, retain.cancelled)
      flush()
      wrong = 'running without a lease'
    elseif indexed then
      redis.call('ZADD', INDEX_OF .. 'running', created_at, id)
      redis.call('ZREM', INDEX_OF .. 'pending', id)
    end
  else
    redis.call('PEXPIREAT', record, expires_at)
    redis.call('DEL', MESSAGE .. id)
    redis.call('ZREM', QUEUE .. queue, id)
    if job.lines then
      redis.call('PEXPIREAT', LOGS .. id, expires_at)
    end
    if job.webhook and not deliveries then
      add_delivery(id)
    end
    if indexed then
      redis.call('ZADD', INDEX_OF .. job.state, expires_at, id)
      redis.call('ZREM', INDEX_OF .. 'running', id)
      redis.call('ZREM', INDEX_OF .. 'pending', id)
    end
  end
  return wrong
end

-- Rescues a running job when it is looked at, as a worker would.
local function rescue_one(queue, id, token, retain)
  local ends = redis.call('ZSCORE', LEASES .. queue, token .. ':' .. id)
  if not ends then
    mend(id, retain)
  elseif tonumber(ends) <= now and rescue_from() <= now then
    rescue(queue, id, token, retain)
    flush()
  end
end

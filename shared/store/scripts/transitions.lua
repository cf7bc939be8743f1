-- Put before every script: the clock, and the moves that more than one script makes.
-- The key prefixes (RECORD, LOGS, MESSAGE, QUEUE, LEASES, WAKE, INDEX, INDEX_OF, DEADLINES, WORKERS, WORKER,
-- IDEMPOTENCY, FILE, FILES, RATE, CHANGES, CANCEL) and the internal names (WEBHOOKS, DELIVERY) are locals that
-- come from keys.py.
--
-- A Redis that is out of memory refuses a script at its first write that needs some, but lets a script
-- end that has begun with a removal. So submit may be refused, and those that end work begin with one.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Counts a change of the record and nudges whoever waits for it; `mark` follows the version.
local function changed(id, mark)
  redis.call('PUBLISH', CHANGES .. id, redis.call('HINCRBY', RECORD .. id, 'version', 1) .. (mark or ''))
end

-- Leaves a token for one idle worker, unless one lies there already.
local function wake(queue)
  if redis.call('LLEN', WAKE .. queue) == 0 then
    redis.call('RPUSH', WAKE .. queue, '1')
  end
end

-- Makes the next delivery of a job's webhook, with the record as it is now: a job of an internal queue, which no
-- index knows. It ends by its time, not by its attempts.
local function announce(id)
  local record, fields = RECORD .. id, {}
  local number = redis.call('HINCRBY', record, 'deliveries', 1)
  local words = redis.call('HGETALL', record)
  for i = 1, #words, 2 do
    fields[words[i]] = words[i + 1]
  end
  fields.params, fields.params_shown = fields.params_shown or fields.params, nil  -- no secret in a delivery
  local delivery = DELIVERY .. number .. '-' .. id
  redis.call('HSET', RECORD .. delivery, 'type', 'webhook', 'queue', WEBHOOKS, 'state', 'pending', 'version', 1,
    'created_at', now, 'max_attempts', 1000, 'request_id', fields.request_id or '',
    'params', cjson.encode({job_id = id, url = fields.webhook, ended_at = now, fields = fields}))
  redis.call('SET', MESSAGE .. delivery, '{"t":null,"f":"webhook","a":["' .. delivery .. '"],"k":{},"et":' .. now .. '}')
  redis.call('ZADD', QUEUE .. WEBHOOKS, now, delivery)
  wake(WEBHOOKS)
end

-- Moves between the state indexes, messages to delete, and webhooks of jobs that have ended. They gather while a script goes through its
-- batch and are written by `flush`, one call per index: Redis' own time per job is mostly calls.
local leaving, entering, messages, webhooks = {}, {}, {}, {}

local function move(id, from, to, score)
  if string.sub(id, 1, #DELIVERY) == DELIVERY then
    return
  end
  local out, into = leaving[from] or {}, entering[to] or {}
  leaving[from], entering[to] = out, into
  out[#out + 1] = id
  into[#into + 1] = score
  into[#into + 1] = id
end

-- Every script that moves a job ends with it; a job moves once at most between two flushes.
local function flush()
  for state, ids in pairs(leaving) do
    redis.call('ZREM', INDEX_OF .. state, unpack(ids))
  end
  for state, scores in pairs(entering) do
    redis.call('ZADD', INDEX_OF .. state, unpack(scores))
  end
  if #messages > 0 then
    redis.call('DEL', unpack(messages))
  end
  for _, id in ipairs(webhooks) do
    announce(id)
  end
  leaving, entering, messages, webhooks = {}, {}, {}, {}
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

-- Appends an error, a JSON object, to the record's list, with the time.
local function append_error(id, error)
  local errors = redis.call('HGET', RECORD .. id, 'errors')
  local list = errors and string.sub(errors, 1, -2) .. ',' or '['
  redis.call('HSET', RECORD .. id, 'errors', list .. string.sub(error, 1, -2) .. ',"at":' .. now .. '}]')
end

-- Moves a job to a terminal state, for good. Returns false if its record is gone.
local function settle(id, from, to, retention, ...)
  local record, expires = RECORD .. id, now + retention * 1000
  if redis.call('PEXPIREAT', record, expires) == 0 then
    return false
  end
  redis.call('HSET', record, 'state', to, 'finished_at', now, 'expires_at', expires, ...)
  local job = redis.call('HMGET', record, 'lines', 'webhook')
  if job[1] then
    redis.call('PEXPIREAT', LOGS .. id, expires)
  end
  if job[2] then
    webhooks[#webhooks + 1] = id
  end
  messages[#messages + 1] = MESSAGE .. id
  move(id, from, to, expires)
  changed(id, ' done')
  return true
end

-- Moves a running job back to pending, due in `delay` ms; one that was asked to stop ends as cancelled.
local function put_back(queue, id, delay, retain_cancelled)
  local record = RECORD .. id
  local job = redis.call('HMGET', record, 'created_at', 'cancel_requested')
  if not job[1] then
    return false
  end
  if job[2] then
    return settle(id, 'running', 'cancelled', retain_cancelled)
  end
  redis.call('HDEL', record, 'started_at', 'progress', 'worker')
  redis.call('HSET', record, 'state', 'pending')
  if delay > 0 then
    redis.call('HSET', record, 'run_at', now + delay)
  end
  move(id, 'running', 'pending', job[1])
  redis.call('ZADD', QUEUE .. queue, now + delay, id)
  changed(id)
  if delay == 0 then
    wake(queue)
  end
  return true
end

-- Fails a job whose time to start is over. It is among the deadlines only until it starts or ends.
local function expire(id, retention)
  if redis.call('ZREM', DEADLINES, id) == 1 then
    redis.call('ZREM', QUEUE .. (redis.call('HGET', RECORD .. id, 'queue') or ''), id)
    if settle(id, 'pending', 'failed', retention) then
      append_error(id, '{"code":"job_expired","message":"No worker was free to start the job in time.","hint":'
        .. '"Submit it again, with a later start_within_seconds, or start more workers.","retryable":true,"attempt":0}')
    end
  end
end

local function expire_late(retention, limit)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', now, 'LIMIT', 0, limit)) do
    expire(id, retention)
  end
  flush()
end

-- Drops retired jobs from the indexes; their records have expired by themselves. Their ids stay as long again
-- as the records were kept, a day at most, so that whoever asks for one hears that it has expired.
local function trim(limit, retain)
  for state, retention in pairs(retain) do
    local oldest = now - math.min(retention, 86400) * 1000
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', INDEX_OF .. state, '-inf', oldest, 'LIMIT', 0, limit)) do
      redis.call('ZREM', INDEX_OF .. state, id)
      redis.call('ZREM', INDEX, id)
    end
  end
end

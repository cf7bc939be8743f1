-- The moves of a job that more than one script makes.
--
-- Redis rolls nothing back: a failing command ends the script, and earlier writes stay. So each move writes in this
-- order, and may be repeated from any point of it:
--   1. the lease, where there is a new one: a worker that dies from here on is noticed
--   2. the record, in one HSET: from here on the move has happened
--   3. queue, index, message, webhook, the caller's counts
--   4. the end of the old lease, or of the old place in the queue: until here the script that comes upon that place
--      completes the move by `repair`
-- The queues and leases are also the lists of pending and running jobs; only ended jobs have an index for each state.
-- Announcements may come at any point after the record: their failure changes nothing.
--
-- A Redis without free memory refuses a script at its first write that needs memory, unless the script has begun with a
-- removal. So submit may be refused, and scripts that claim or end work begin with a removal.

-- The time (ms) for which a worker's last claims are remembered: a step is repeated until Redis answers, however long
-- Redis is away.
local MEMORY = 86400000
local LONGEST_HISTORY = 20000  -- bytes of a record's list of ended attempts, about 150 of them

-- The fields of a worker's hash that hold the last step of one of its pumps, and the claims of that step.
local function memory_fields(pump)
  if pump == '1' then
    return 'step', 'claimed'
  end
  return 'step' .. pump, 'claimed' .. pump
end

-- Announces a change. A failure changes nothing: a subscriber that misses a message notices the change by itself.
local function publish(channel, message)
  redis.pcall(PUBLISH, channel, message)
end

-- Removes nothing, as the first write of a script that must not be refused for lack of memory.
local function begin_writing()
  redis.call('HDEL', UPKEEP, '')
end

-- The fields of a job that every move needs, by these indexes; the state is false if the record is gone.
-- `counted` is the caller, if the caller had a quota when the job was submitted.
local STATE, VERSION, LINES, WEBHOOK, FENCING_TOKEN, CALLER, COUNTED, HOLDER = 1, 2, 3, 4, 5, 6, 7, 8
local function read_fields(id)
  return redis.call('HMGET', RECORD .. id, 'state', 'version', 'lines', 'webhook', 'claims', 'caller', 'counted', 'worker')
end

-- Whether a worker may speak for the claim of a job, whose record names `holder`. A fail-over may lose a claim; the next
-- one has the same fencing token then, and may be of another worker. One process has two workers, for jobs and webhooks.
local function holds(worker_id, holder)
  return not holder or holder == worker_id or holder == worker_id .. '-webhooks'
end

-- Adds the first or next delivery of a job's webhook, with the record as it is now: a job of an internal queue, in no
-- index. A delivery ends by its time, not by its attempts.
local function add_delivery(id)
  local record, fields = RECORD .. id, {}
  local words = redis.call('HGETALL', record)
  for i = 1, #words, 2 do
    fields[words[i]] = words[i + 1]
  end
  fields.params, fields.params_shown = fields.params_shown or fields.params, nil  -- no secret in a delivery
  local number = (fields.deliveries or 0) + 1
  fields.deliveries = string.format('%d', number)
  local delivery = DELIVERY_ID .. fields.deliveries .. '-' .. id
  redis.call('SET', MESSAGE .. delivery, message_of('webhook', delivery))
  redis.call('ZADD', QUEUE .. WEBHOOKS, now, delivery)
  redis.call('HSET', RECORD .. delivery, 'type', 'webhook', 'queue', WEBHOOKS, 'state', 'pending', 'version', 1,
    'created_at', now, 'max_attempts', 1000, 'request_id', fields.request_id or '',
    'params', cjson.encode({job_id = id, url = fields.webhook, ended_at = now, fields = fields}))
  redis.call('HSET', record, 'deliveries', number)
  wake(WEBHOOKS)
end

-- The writes that follow the records that a script has moved. `flush` makes them in one call per key, because the time
-- of a script is mostly calls.
local ended, outcomes, messages, webhooks, counting, ended_leases = {}, {}, {}, {}, {}, {}

-- Counts a job in another state for its caller, if that one has a quota.
local function count(counted, id, state, expires)
  if counted then
    counting[#counting + 1] = {counted, id, state, expires}
  end
end

-- Adds an ended job to the index of its state. Deliveries are in no index.
local function add_ended(id, state, expires)
  if string.sub(id, 1, #DELIVERY_ID) ~= DELIVERY_ID then
    local scores = ended[state] or {}
    ended[state] = scores
    local n = #scores
    scores[n + 1], scores[n + 2] = expires, id
  end
end

-- Counts an ended job in its queue.
local function add_outcome(queue, state)
  local counts = outcomes[queue] or {}
  outcomes[queue] = counts
  counts[state] = (counts[state] or 0) + 1
end

local function end_lease(queue, lease)
  local leases = ended_leases[queue] or {}
  ended_leases[queue] = leases
  leases[#leases + 1] = lease
end

-- Makes the gathered writes, at the end of every script that moves a job. Between two flushes a job moves once at most.
local function flush()
  if not (next(ended_leases) or messages[1] or counting[1]) then
    return
  end
  for state, scores in pairs(ended) do
    redis.call('ZADD', INDEX_OF .. state, unpack(scores))
  end
  if #messages > 0 then
    redis.call('DEL', unpack(messages))
  end
  for _, id in ipairs(webhooks) do
    add_delivery(id)
  end
  for _, job in ipairs(counting) do
    quotas().count_job(unpack(job))
  end
  for queue, counts in pairs(outcomes) do
    for state, number in pairs(counts) do
      add_to_count(queue, state, number)
    end
  end
  for queue, leases in pairs(ended_leases) do
    redis.call('ZREM', LEASES .. queue, unpack(leases))
  end
  ended, outcomes, messages, webhooks, counting, ended_leases = {}, {}, {}, {}, {}, {}
end

-- The record's list of errors with one more, a JSON object, and the time.
local function errors_with(id, error)
  local errors = redis.call('HGET', RECORD .. id, 'errors')
  local list = errors and string.sub(errors, 1, -2) .. ',' or '['
  return list .. string.sub(error, 1, -2) .. ',"at":' .. now .. '}]'
end

-- Keeps the caller of a finished job for as long as the index remembers the job. If this fails, a caller whose key
-- is limited to its own jobs gets 404 in place of 410; nothing else changes.
local function remember_owner(id, job, expires)
  if job[CALLER] then
    local kept = math.max(expires - now, 1)
    redis.pcall('SET', OWNER .. id, job[CALLER], 'PX', kept + math.min(kept, 86400000))
  end
end

-- Moves a job to a terminal state, for good. `words` are further fields of the record with their values.
local function settle(queue, id, job, to, retention, words)
  local record, expires = RECORD .. id, now + retention * 1000
  local version = job[VERSION] + 1
  redis.call('PEXPIREAT', record, expires)
  local written = redis.pcall('HSET', record, 'state', to, 'finished_at', now, 'expires_at', expires,
    'version', version, unpack(words))
  if type(written) == 'table' then
    redis.pcall('PERSIST', record)  -- it is not done, so it must not expire
    error(written)
  end
  if job[LINES] then
    redis.call('PEXPIREAT', LOGS .. id, expires)
    redis.call('PEXPIREAT', OUTPUT .. id, expires)
  end
  remember_owner(id, job, expires)
  if job[WEBHOOK] then
    webhooks[#webhooks + 1] = id
  end
  messages[#messages + 1] = MESSAGE .. id
  add_ended(id, to, expires)
  add_outcome(queue, to)
  count(job[COUNTED], id, to, expires)
  publish(CHANGES .. id, version .. ' done')
end

-- Moves that no outcome of an attempt has brought, for the metrics of the caller: type and kind of each, a terminal state
-- or 'rescued'. Deliveries of webhooks are no jobs.
local moves = {}
local function note_move(id, kind)
  if string.sub(id, 1, #DELIVERY_ID) ~= DELIVERY_ID then
    moves[#moves + 1] = redis.call('HGET', RECORD .. id, 'type') or ''
    moves[#moves + 1] = kind
  end
end

-- The record's list of ended attempts with one more: a JSON object, of the last attempt.
local function attempts_with(attempts, outcome, attempt, started_at, worker)
  if attempts and #attempts > LONGEST_HISTORY then
    return attempts
  end
  local list = attempts and string.sub(attempts, 1, -2) .. ',' or '['
  return list .. cjson.encode({outcome = outcome, attempt = tonumber(attempt), started_at = tonumber(started_at),
    ended_at = now, worker = worker}) .. ']'
end

-- Moves a running job back to pending: due in `delay` ms, or without a delay in its former place in the queue, which
-- created_at and run_at tell. A job that was asked to stop ends as cancelled. `outcome` is that of the attempt, nil if its
-- handler was not started.
local function put_back(queue, id, job, outcome, delay, retain_cancelled, words)
  local record = RECORD .. id
  local created_at, run_at, cancel_requested, attempts, attempt, started_at, worker = unpack(redis.call('HMGET', record,
    'created_at', 'run_at', 'cancel_requested', 'attempts', 'attempt', 'started_at', 'worker'))
  if cancel_requested then
    settle(queue, id, job, 'cancelled', retain_cancelled, words)
    return note_move(id, 'cancelled')
  end
  local version, due = job[VERSION] + 1, math.max(created_at, run_at or 0)
  if delay then
    due = now + delay
    words[#words + 1] = 'run_at'
    words[#words + 1] = due
  end
  if outcome then
    words[#words + 1] = 'attempts'
    words[#words + 1] = attempts_with(attempts, outcome, attempt, started_at, worker)
  end
  redis.call('HDEL', record, 'started_at', 'progress', 'worker')
  redis.call('HSET', record, 'state', 'pending', 'version', version, unpack(words))
  redis.call('ZADD', QUEUE .. queue, due, id)
  count(job[COUNTED], id, 'pending')
  publish(CHANGES .. id, version)
  if due <= now then
    wake(queue)
  end
end

-- Releases a running job: back to pending, and the attempt is not charged. Without a delay the job keeps its place.
local function release(queue, id, job, outcome, delay, retain_cancelled, words)
  local attempt = redis.call('HGET', RECORD .. id, 'attempt')
  put_back(queue, id, job, outcome, delay, retain_cancelled, {'attempt', attempt - 1, unpack(words or {})})
end

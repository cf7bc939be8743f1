-- Accepts jobs: for each its record, its message, its place in the queue and in the indexes; all of them
-- or none.
-- ARGV: '', or the caller that has a quota, its jobs that may wait, and its bytes that may be kept, separated by spaces
--       (0: no bound);
--       then per job: a row SUBMISSION, and further fields of the record with their values
-- Returns one of
--   {'full', queue, jobs waiting}: it has no room for all
--   {'missing', file id}: no such file
--   {'backlog', jobs waiting, new jobs}: the caller's quota of jobs has no room for all
--   {'kept', bytes, bytes of the params}: the caller's quota of bytes has no room for all
--   {'conflict', id}: the idempotency key was used for that job, with another digest
--   {'expired', id}: the idempotency key was used for that job, whose record has expired
--   {'done', per job {'accepted', created_at, run_at or '', start_by or ''} or {'replayed', id, its record,
--   or {'large'}}}
-- A repeat of an accepted id answers 'accepted' again and changes nothing.

local answers, waiting, new = {}, {}, {}
local counted, most_waiting, most_kept
if ARGV[1] ~= '' then
  counted, most_waiting, most_kept = string.match(ARGV[1], '^(%S+) (%d+) (%d+)$')
end
local replayed = 0  -- bytes of the records that are returned

local function accepted(record)
  local times = redis.call('HMGET', record, 'created_at', 'run_at', 'start_by')
  return times[1] and {'accepted', times[1], times[2] or '', times[3] or ''}
end

-- The answer to a job that is known already; nil for a new one.
local function known(id, key, digest)
  if key == '' then
    return accepted(RECORD .. id)
  end
  local stored = redis.call('GET', key)
  local before, first = string.match(stored or '', '^(%x+):(.*)$')
  if first == id then
    return accepted(RECORD .. id)
  elseif first and before ~= digest then
    return {'conflict', first}
  elseif first then
    replayed = replayed + payload_size(RECORD .. first)
    local fields = replayed > LARGE and {'large'} or redis.call('HGETALL', RECORD .. first)
    return redis.call('EXISTS', RECORD .. first) == 1 and {'replayed', first, fields} or {'expired', first}
  end
end

-- The number of jobs that wait in a queue. The names of queues that hold jobs are in QUEUES.
local function count_waiting(queue)
  local count = redis.call('ZCARD', QUEUE .. queue)
  if count == 0 then
    redis.call('SADD', QUEUES, queue)
  end
  return count
end

-- The bytes of a new record that count.
local function bytes_of(at)
  local first, bytes = at + #SUBMISSION + 1, 0
  for i = first, first + ARGV[at + SUBMISSION.field_words] - 1, 2 do
    if ARGV[i] == 'params' or ARGV[i] == 'params_shown' then
      bytes = bytes + #ARGV[i + 1]
    end
  end
  return bytes
end

-- The record's state comes last: without it none of the rest counts.
local function accept(at)
  local id, kind, queue = ARGV[at + SUBMISSION.job_id], ARGV[at + SUBMISSION.type], ARGV[at + SUBMISSION.queue]
  local key, start_within = ARGV[at + SUBMISSION.idempotency_key], tonumber(ARGV[at + SUBMISSION.start_within])
  local due = math.max(tonumber(ARGV[at + SUBMISSION.due]), now) + ARGV[at + SUBMISSION.delay]
  local record = RECORD .. id
  local run_at, start_by = due > now and due or '', start_within > 0 and due + start_within or ''
  redis.call('SET', MESSAGE .. id, message_of(kind, id))
  if key ~= '' then
    redis.call('SET', key, ARGV[at + SUBMISSION.digest] .. ':' .. id, 'EX', ARGV[at + SUBMISSION.idempotency_seconds])
  end
  for file in string.gmatch(ARGV[at + SUBMISSION.files], '%S+') do
    redis.call('SADD', FILE .. file .. ':jobs', id)
  end
  if counted then
    quotas().count_job(counted, id, 'pending')
    quotas().charge(KEPT .. counted, id, bytes_of(at))
    redis.call('HSET', record, 'counted', counted)
  end
  redis.call('ZADD', INDEX, now, id)
  redis.call('ZADD', QUEUE .. queue, due, id)
  if run_at ~= '' then
    redis.call('HSET', record, 'run_at', run_at)
  end
  if start_by ~= '' then
    redis.call('ZADD', START_BY, start_by, id)
    redis.call('HSET', record, 'start_by', start_by)
  end
  redis.call('HSET', record, 'state', 'pending', 'type', kind, 'queue', queue, 'version', 1, 'created_at', now,
    unpack(ARGV, at + #SUBMISSION + 1, at + #SUBMISSION + ARGV[at + SUBMISSION.field_words]))
  publish(CHANGES .. id, 1)
  wake(queue)
  return {'accepted', now, run_at, start_by}
end

-- Removes the writes of `accept` for a job, the record first.
local function refuse(at)
  local id, key = ARGV[at + SUBMISSION.job_id], ARGV[at + SUBMISSION.idempotency_key]
  redis.pcall('DEL', RECORD .. id)
  redis.pcall('DEL', MESSAGE .. id)
  redis.pcall('ZREM', QUEUE .. ARGV[at + SUBMISSION.queue], id)
  redis.pcall('ZREM', INDEX, id)
  redis.pcall('ZREM', START_BY, id)
  if key ~= '' then
    redis.pcall('DEL', key)
  end
  for file in string.gmatch(ARGV[at + SUBMISSION.files], '%S+') do
    redis.pcall('SREM', FILE .. file .. ':jobs', id)
  end
  if counted then
    redis.pcall('ZREM', BACKLOG .. counted, id)
    pcall(quotas().discharge, KEPT .. counted, id)
  end
end

-- The answer to a caller whose quota has no room for the new jobs; nil if there is room.
local function without_room()
  local key, most = BACKLOG .. counted, tonumber(most_waiting)
  if most > 0 and redis.call('ZCARD', key) + #new > most then
    for _, id in ipairs(redis.call('ZRANGE', key, 0, 9)) do
      if redis.call('HGET', RECORD .. id, 'state') ~= 'pending' then
        redis.call('ZREM', key, id)  -- left over, should a command have failed
      end
    end
    local waiting = redis.call('ZCARD', key)
    if waiting + #new > most then
      return {'backlog', waiting, #new}
    end
  end
  most = tonumber(most_kept)
  if most > 0 then
    quotas().prune_kept(1000)
    local bytes, _, kept = 0, quotas().held(KEPT .. counted)
    for _, job in ipairs(new) do
      bytes = bytes + bytes_of(job.at)
    end
    if kept + bytes > most then
      return {'kept', string.format('%.0f', kept), string.format('%.0f', bytes)}
    end
  end
end

-- First it looks at all jobs: no job is written unless all can be.
local n, at = 0, 1
while at < #ARGV do
  n = n + 1
  local queue = ARGV[at + SUBMISSION.queue]
  local answer = known(ARGV[at + SUBMISSION.job_id], ARGV[at + SUBMISSION.idempotency_key],
    ARGV[at + SUBMISSION.digest])
  if answer and (answer[1] == 'conflict' or answer[1] == 'expired') then
    return answer
  elseif not answer then
    waiting[queue] = (waiting[queue] or count_waiting(queue)) + 1
    if waiting[queue] > tonumber(ARGV[at + SUBMISSION.max_waiting]) then
      return {'full', queue, redis.call('ZCARD', QUEUE .. queue)}
    end
    for file in string.gmatch(ARGV[at + SUBMISSION.files], '%S+') do
      if redis.call('EXISTS', FILE .. file) == 0 then
        return {'missing', file}
      end
    end
    new[#new + 1] = {number = n, at = at}
  end
  answers[n] = answer or false
  at = at + #SUBMISSION + ARGV[at + SUBMISSION.field_words]
end

local refusal = counted and #new > 0 and without_room()
if refusal then
  return refusal
end

local accepted_all, failure = pcall(function()
  for _, job in ipairs(new) do
    job.begun = true
    answers[job.number] = accept(job.at)
  end
end)
if not accepted_all then
  for _, job in ipairs(new) do
    if job.begun then
      refuse(job.at)
    end
  end
  return redis.error_reply(type(failure) == 'table' and failure.err or tostring(failure))
end
wake_workers()
return {'done', answers}

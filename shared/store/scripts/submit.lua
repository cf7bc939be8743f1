-- Accepts jobs: for each its record, its message, its place in the queue and in the indexes; all of them
-- or none. Its time grows with the jobs; a large batch is prepared in parts, and then committed.
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
--   {'busy', id}: the idempotency key was used for that job, which is prepared
--   {'done', per job {'accepted', created_at, run_at or '', start_by or '', 1 if its queue is paused} or {'replayed', id, its record,
--   or {'large'}}}
-- A repeat of an accepted id answers 'accepted' again and changes nothing.

local counted, most_waiting, most_kept
if ARGV[1] ~= '' then
  counted, most_waiting, most_kept = string.match(ARGV[1], '^(%S+) (%d+) (%d+)$')
end

-- The record's state comes last: without it none of the rest counts.
local function accept(at)
  local id, queue = ARGV[at + SUBMISSION.job_id], ARGV[at + SUBMISSION.queue]
  local due, run_at, start_by = times_of(now, ARGV[at + SUBMISSION.due], ARGV[at + SUBMISSION.delay],
    ARGV[at + SUBMISSION.start_within])
  local record = RECORD .. id
  write_hidden(at)
  if counted then
    quotas().count_job(counted, id, 'pending')
    quotas().charge(KEPT .. counted, id, quotas().bytes_of(at))
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
  redis.call('HSET', record, 'state', 'pending', 'type', ARGV[at + SUBMISSION.type], 'queue', queue, 'version', 1,
    'created_at', now, unpack(ARGV, at + #SUBMISSION + 1, at + #SUBMISSION + ARGV[at + SUBMISSION.field_words]))
  wake(queue)
  return {'accepted', now, run_at, start_by, is_paused(queue) and 1 or 0}
end

-- First it looks at all jobs: no job is written unless all can be.
local refusal, answers, new = look_at_jobs(1)
if refusal then
  return refusal
elseif counted and #new > 0 then
  refusal = quotas().full_backlog(counted, tonumber(most_waiting), #new)
    or quotas().full_store(counted, tonumber(most_kept), new)
  if refusal then
    return refusal
  end
end

local begun, failure, accepted_in = 0, nil, {}
for n, job in ipairs(new) do
  local accepted, answer = pcall(accept, job.at)
  begun = n
  if not accepted then
    failure = answer
    break
  end
  answers[job.number] = answer
  local queue = ARGV[job.at + SUBMISSION.queue]
  accepted_in[queue] = (accepted_in[queue] or 0) + 1
end

if failure then
  -- Removes the writes of `accept` for a job, the record first.
  local function refuse(at)
    local id, key = ARGV[at + SUBMISSION.job_id], ARGV[at + SUBMISSION.idempotency_key]
    redis.pcall('DEL', RECORD .. id)
    redis.pcall('DEL', MESSAGE .. id)
    redis.pcall('ZREM', QUEUE .. ARGV[at + SUBMISSION.queue], id)
    redis.pcall('ZREM', INDEX, id)
    redis.pcall('ZREM', START_BY, id)
    if key ~= '' then
      redis.pcall('DEL', TAG .. key)
    end
    for file in string.gmatch(ARGV[at + SUBMISSION.files], '%S+') do
      redis.pcall('SREM', FILE .. file .. ':jobs', id)
    end
    if counted then
      redis.pcall('ZREM', BACKLOG .. counted, id)
      pcall(quotas().discharge, KEPT .. counted, id)
    end
  end

  for n = 1, begun do
    refuse(new[n].at)
  end
  return redis.error_reply(type(failure) == 'table' and failure.err or tostring(failure))
end
for queue, number in pairs(accepted_in) do
  add_to_count(queue, 'submitted', number)
end
wake_workers()
return {'done', answers}

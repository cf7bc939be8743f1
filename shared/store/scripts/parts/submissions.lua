-- The look at submitted jobs, before any of them is written. Each job is a row SUBMISSION in ARGV, and further fields
-- of the record with their values.

local replayed = 0  -- bytes of the records that are returned

-- The answer for an accepted job with this id; nil for a new one. A prepared job, which has no state yet, is new.
local function accepted(record)
  local state, created_at, run_at, start_by, queue = unpack(
    redis.call('HMGET', record, 'state', 'created_at', 'run_at', 'start_by', 'queue'))
  return state and {'accepted', created_at, run_at or '', start_by or '', is_paused(queue) and 1 or 0} or nil
end

-- The answer to the user of an idempotency key that another job, `first`, has; nil if that job will never be accepted.
-- `batch` is the batch of the user's job, if it is prepared.
local function key_used(first, same_work, batch)
  local record = RECORD .. first
  local state, of_batch = unpack(redis.call('HMGET', record, 'state', 'batch'))
  if of_batch and not state then
    local ends = of_batch ~= batch and redis.call('ZSCORE', PREPARED_ENDS, of_batch)
    return ends and tonumber(ends) > now and {'busy', first} or nil
  elseif not same_work then
    return {'conflict', first}
  elseif not state then
    return {'expired', first}
  end
  replayed = replayed + payload_size(record)
  return {'replayed', first, replayed > LARGE and {'large'} or redis.call('HGETALL', record)}
end

-- The answer for a job that is known already; nil for a new one.
local function known(id, key, digest, batch)
  if key ~= '' then
    local before, first = string.match(redis.call('GET', TAG .. key) or '', '^(%x+):(.*)$')
    if not first then
      return nil
    elseif first ~= id then
      return key_used(first, before == digest, batch)
    end
  end
  return accepted(RECORD .. id)
end

-- Looks at the jobs whose rows begin after `at` words. Returns an answer that refuses them all; else nil, the answer
-- per job, false for a new one, and the number and place of each new job.
local function look_at_jobs(at, batch)
  local answers, new, waiting, n = {}, {}, {}, 0
  while at < #ARGV do
    n = n + 1
    local answer = known(ARGV[at + SUBMISSION.job_id], ARGV[at + SUBMISSION.idempotency_key],
      ARGV[at + SUBMISSION.digest], batch)
    answers[n] = answer or false
    if not answer then
      local queue, files = ARGV[at + SUBMISSION.queue], ARGV[at + SUBMISSION.files]
      local before = waiting[queue] or count_waiting(queue)
      waiting[queue] = before + 1
      if before >= tonumber(ARGV[at + SUBMISSION.max_waiting]) then
        return {'full', queue, redis.call('ZCARD', QUEUE .. queue)}
      end
      if files ~= '' then
        for file in string.gmatch(files, '%S+') do
          if redis.call('EXISTS', FILE .. file) == 0 then
            return {'missing', file}
          end
        end
      end
      new[#new + 1] = {number = n, at = at}
    elseif answer[1] ~= 'accepted' and answer[1] ~= 'replayed' then
      return answer
    end
    at = at + #SUBMISSION + ARGV[at + SUBMISSION.field_words]
  end
  return nil, answers, new
end

-- The writes of a new job that no reader sees: its message, its idempotency key, the files that it names.
local function write_hidden(at)
  local id, key = ARGV[at + SUBMISSION.job_id], ARGV[at + SUBMISSION.idempotency_key]
  redis.call('SET', MESSAGE .. id, message_of(ARGV[at + SUBMISSION.type], id))
  if key ~= '' then
    redis.call('SET', TAG .. key, ARGV[at + SUBMISSION.digest] .. ':' .. id, 'EX', ARGV[at + SUBMISSION.idempotency_seconds])
  end
  if ARGV[at + SUBMISSION.files] ~= '' then
    for file in string.gmatch(ARGV[at + SUBMISSION.files], '%S+') do
      redis.call('SADD', FILE .. file .. ':jobs', id)
    end
  end
end

-- Prepares a part of a large batch: writes messages, idempotency keys, and records without a state, which count as
-- missing. `commit` gives all jobs of the batch their states at once. Upkeep removes a batch that has ended,
-- because it was refused or did not go on in time.
-- ARGV: a row PREPARE, then per job as `submit` takes them
-- Returns {'lost'} if the batch has ended; {'prepared', per job false or, if it is known, the answer of `submit`};
--         or a refusal of `submit`, which ends the batch
-- A repeat changes nothing.

local batch, prepared = ARGV[PREPARE.batch], tonumber(ARGV[PREPARE.prepared])
local created_at, others = tonumber(ARGV[PREPARE.created_at]), tonumber(ARGV[PREPARE.others])
local counted, most_waiting, most_kept = quota_in(PREPARE.quota)
local entries = PREPARED .. batch

-- The record comes first: without it an idempotency key seems to be that of an expired job.
local function prepare(at)
  local id, queue, field_words = ARGV[at + SUBMISSION.job_id], ARGV[at + SUBMISSION.queue],
    ARGV[at + SUBMISSION.field_words]
  local _, run_at, start_by = times_of(created_at, ARGV[at + SUBMISSION.due], ARGV[at + SUBMISSION.delay],
    ARGV[at + SUBMISSION.start_within])
  local words = {'type', ARGV[at + SUBMISSION.type], 'queue', queue, 'version', 1, 'batch', batch, 'created_at',
    created_at, unpack(ARGV, at + #SUBMISSION + 1, at + #SUBMISSION + field_words)}
  local n = #words
  for name, value in pairs({run_at = run_at, start_by = start_by, counted = counted}) do
    if value ~= '' then
      words[n + 1], words[n + 2], n = name, value, n + 2
    end
  end
  redis.call('HSET', RECORD .. id, unpack(words))
  redis.call('ZADD', INDEX, created_at, id)
  write_hidden(at)
  if counted then
    quotas().charge(KEPT .. counted, id, quotas().bytes_of(at))
  end
end

-- The batch and its jobs are noted first, so that upkeep finds all that is written.
local function prepare_all(new, repeated)
  redis.call('ZADD', PREPARED_ENDS, now + ARGV[PREPARE.patience], batch)
  if not repeated then
    local noted = {}
    for i, job in ipairs(new) do
      noted[i] = ARGV[job.at + SUBMISSION.job_id] .. ' ' .. ARGV[job.at + SUBMISSION.idempotency_key]
    end
    redis.call('RPUSH', entries, unpack(noted))
  end
  for _, job in ipairs(new) do
    prepare(job.at)
  end
end

local ends = redis.call('ZSCORE', PREPARED_ENDS, batch)
if (ends and tonumber(ends) <= now) or (not ends and prepared > 0) then
  return {'lost'}
end
local refusal, answers, new = look_at_jobs(#PREPARE, batch)
local repeated = redis.call('LLEN', entries) > prepared
if not refusal and counted and #new > 0 and not repeated then
  refusal = quotas().full_backlog(counted, most_waiting, #new + others)
    or quotas().full_store(counted, most_kept, new)
end
if refusal then
  end_batch(batch)
  return refusal
end
if #new > 0 then
  local done, failure = pcall(prepare_all, new, repeated)
  if not done then
    end_batch(batch)
    return redis.error_reply(type(failure) == 'table' and failure.err or tostring(failure))
  end
end
return {'prepared', answers}

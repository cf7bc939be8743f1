-- A worker's one call: finishes a batch of attempts, rescues jobs whose leases ran out, fails jobs that were not
-- started in time, claims due jobs.
-- ARGV: a row STEP, the queues in strict order, then a row FINISHED per finished attempt
-- Returns {ms until a job of these queues is due or a lease ends, -1 if that is not known,
--          {per finished attempt 1 if it counts or 0 if the lease was lost},
--          {ids whose lease ran out},
--          {the words of a row CLAIM per claim},
--          now (ms),
--          {those of the queues that are paused},
--          {moves}}
-- The fencing token counts all claims of a job. It only rises. `attempt` does not: a release lowers it again. The token
-- is the field `claims` of the record, and a part of the lease `fencing_token:id`. A fail-over that loses a claim also loses
-- its token, so an outcome counts only if it comes from the worker that the record names.
-- A step that is repeated, because its reply was lost or a command of it failed, finishes nothing twice and claims the
-- same jobs.

local worker, step, slots = ARGV[STEP.worker_id], tonumber(ARGV[STEP.number]), tonumber(ARGV[STEP.slots])
local step_field, claimed_field = memory_fields(ARGV[STEP.pump])
local lease = tonumber(ARGV[STEP.lease])
local retain = {
  completed = tonumber(ARGV[STEP.retain_completed]),
  failed = tonumber(ARGV[STEP.retain_failed]),
  cancelled = tonumber(ARGV[STEP.retain_cancelled]),
}
local before_finished = #STEP + ARGV[STEP.queues]  -- words
local queues = {unpack(ARGV, #STEP + 1, before_finished)}

-- Ends a claim whose handler was not started. A job that must start in time goes back to the list of those, which the
-- claim took the job from, unless an earlier attempt has started.
local function return_claim(queue, id, job)
  release(queue, id, job, nil, nil, retain.cancelled)
  local state, start_by, attempt, begun = unpack(
    redis.call('HMGET', RECORD .. id, 'state', 'start_by', 'attempt', 'begun'))
  if state == 'pending' and start_by and attempt == '0' and not begun then
    redis.call('ZADD', START_BY, start_by, id)
  end
end

-- Moves a running job on by the outcome of its attempt, whose row begins after `at` words.
local function apply(at, id, job, outcome)
  local queue, body, delay = ARGV[at + FINISHED.queue], ARGV[at + FINISHED.body], tonumber(ARGV[at + FINISHED.delay])
  if outcome == 'returned' then
    return return_claim(queue, id, job)
  elseif outcome == 'released' then
    return release(queue, id, job, 'released', delay > 0 and delay or nil, retain.cancelled, {'begun', 1})
  elseif outcome == 'retry' then
    return put_back(queue, id, job, 'retried', delay, retain.cancelled, {'errors', errors_with(id, body)})
  end
  local progress, artifacts = ARGV[at + FINISHED.progress], ARGV[at + FINISHED.artifacts]
  local words = {}
  if outcome == 'completed' then
    words = {'result', body}
    if artifacts ~= '' then
      words[3], words[4] = 'artifacts', artifacts
    end
  elseif outcome == 'failed' then
    words = {'errors', errors_with(id, body)}
  end
  if progress ~= '' then
    words[#words + 1] = 'progress'
    words[#words + 1] = progress
  end
  if ARGV[at + FINISHED.started_at] ~= '0' then
    words[#words + 1] = 'started_at'
    words[#words + 1] = ARGV[at + FINISHED.started_at]
  end
  settle(queue, id, job, outcome, retain[outcome], words)
end

-- Whether an earlier call has applied this outcome. A call that failed half way has left the lease; then `repair` does
-- the rest.
local function was_applied(queue, id, job, lease, outcome)
  if redis.call('ZSCORE', LEASES .. queue, lease) then
    repair(id, retain)
    return true
  end
  local state, requeued = job[STATE], outcome == 'retry' or outcome == 'released' or outcome == 'returned'
  return redis.call('HGET', RECORD .. id, 'lost') ~= job[FENCING_TOKEN]
    and (state == outcome or (requeued and (state == 'pending' or state == 'cancelled')))
end

-- Ends the attempt whose row begins after `at` words; returns 1 if its outcome counts, else 0.
local function finish(at)
  local queue, id, lease = ARGV[at + FINISHED.queue], ARGV[at + FINISHED.job_id], ARGV[at + FINISHED.lease]
  local outcome, lines, output = ARGV[at + FINISHED.outcome], ARGV[at + FINISHED.lines], ARGV[at + FINISHED.output]
  local job = read_fields(id)
  if not job[STATE] or (job[FENCING_TOKEN] or 0) .. ':' .. id ~= lease then  -- a fail-over may have lost the first claim
    end_lease(queue, lease)
    return 0
  elseif not holds(worker, job[HOLDER]) then
    return 0
  elseif job[STATE] == 'running' then
    apply(at, id, job, outcome)
  elseif not was_applied(queue, id, job, lease, outcome) then
    return 0
  end
  if lines ~= '' then
    append_lines(id, job[FENCING_TOKEN], lines)
  end
  if output ~= '' then
    append_output(id, job[FENCING_TOKEN], output)
  end
  end_lease(queue, lease)
  return 1
end

-- Adds a row CLAIM; `add_messages` adds its message.
local function add_claim(
  claims, queue, id, fencing_token, attempt, max_attempts, params, request_id, trace, due)
  local at = #claims
  claims[at + CLAIM.queue] = queue
  claims[at + CLAIM.job_id] = id
  claims[at + CLAIM.fencing_token] = fencing_token
  claims[at + CLAIM.attempt] = attempt
  claims[at + CLAIM.max_attempts] = max_attempts
  claims[at + CLAIM.message] = ''
  claims[at + CLAIM.params] = params or ''
  claims[at + CLAIM.request_id] = request_id or ''
  claims[at + CLAIM.trace] = trace or ''
  claims[at + CLAIM.due] = tonumber(due)
end

-- Writes a claim into the record of a pending job.
local function start(id, fencing_token, attempt, version, counted)
  redis.call('HSET', RECORD .. id, 'state', 'running', 'attempt', attempt, 'claims', fencing_token, 'version', version,
    'worker', worker, 'started_at', now)
  count(counted, id, 'running')
  publish(CHANGES .. id, version)
end

-- Claims again the jobs that an earlier call with this step number claimed, as far as their leases are still held. A
-- call that failed half way has written the lease, but maybe not the record.
local function claim_again(memory, claims)
  for queue, fencing_token, id in string.gmatch(memory, '(%S+) (%d+):(%S+)') do
    if redis.call('ZSCORE', LEASES .. queue, fencing_token .. ':' .. id) then
      local state, last_token, attempt, max_attempts, params, request_id, version, counted, trace, created_at, run_at =
        unpack(redis.call('HMGET', RECORD .. id, 'state', 'claims', 'attempt', 'max_attempts', 'params', 'request_id',
          'version', 'counted', 'trace', 'created_at', 'run_at'))
      local started = state == 'running' and last_token == fencing_token
      attempt = tonumber(attempt or 0)
      if state == 'pending' and tonumber(last_token or 0) == fencing_token - 1 then
        attempt, started = attempt + 1, true
        start(id, fencing_token, attempt, version + 1, counted)
      end
      if started then
        redis.call('ZREM', QUEUE .. queue, id)
        if counted then
          quotas().count_job(counted, id, 'running')
        end
        add_claim(claims, queue, id, tonumber(fencing_token), attempt, max_attempts, params, request_id, trace,
          math.max(created_at, run_at or 0))
      end
    end
  end
end

-- Removes claimed jobs from a queue that also has jobs which do not wait: their moves were left incomplete.
local function clear_up(queue, starts, misplaced)
  for _, job in ipairs(starts) do
    redis.call('ZREM', QUEUE .. queue, job[1])
  end
  for _, id in ipairs(misplaced) do
    repair(id, retain)
    if redis.call('HGET', RECORD .. id, 'state') ~= 'pending' then
      redis.call('ZREM', QUEUE .. queue, id)
    end
  end
end

-- Claims due jobs of a queue. First it looks at them, so that worker and queue know of their leases before a record
-- changes; `memory` holds the leases of this step so far.
local function claim_from(queue, limit, claims, memory)
  local found = redis.call('ZRANGEBYSCORE', QUEUE .. queue, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
  local starts, scored, late, in_time, misplaced = {}, {}, {}, {}, {}
  for at = 1, #found, 2 do
    local id, due = found[at], found[at + 1]
    local state, attempt, last_token, version, max_attempts, params, request_id, start_by, counted, trace = unpack(
      redis.call('HMGET', RECORD .. id, 'state', 'attempt', 'claims', 'version', 'max_attempts', 'params',
        'request_id', 'start_by', 'counted', 'trace'))
    local pending = state == 'pending'
    if pending and start_by and tonumber(start_by) <= now and redis.call('ZSCORE', START_BY, id) then
      late[#late + 1] = id  -- it has not started before
    elseif pending then
      local fencing_token = (last_token or 0) + 1
      local member = fencing_token .. ':' .. id
      attempt = (attempt or 0) + 1
      starts[#starts + 1] = {id, fencing_token, attempt, version + 1, counted}
      add_claim(claims, queue, id, fencing_token, attempt, max_attempts, params, request_id, trace, due)
      scored[#scored + 1] = now + lease
      scored[#scored + 1] = member
      memory[#memory + 1] = queue .. ' ' .. member
      if start_by then
        in_time[#in_time + 1] = id
      end
    else
      misplaced[#misplaced + 1] = id
    end
  end
  if #starts > 0 then
    redis.call('HSET', WORKER .. worker, step_field, step, claimed_field, table.concat(memory, ' '))
    redis.call('ZADD', LEASES .. queue, unpack(scored))
  end
  for _, job in ipairs(starts) do
    start(unpack(job))
  end
  flush()
  if #misplaced == 0 and #found > 0 then
    redis.call('ZREMRANGEBYRANK', QUEUE .. queue, 0, #found / 2 - 1)
  elseif #misplaced > 0 then
    clear_up(queue, starts, misplaced)
  end
  if #in_time > 0 then
    redis.call('ZREM', START_BY, unpack(in_time))
  end
  for _, id in ipairs(late) do
    fail_unstarted(id, retain)
  end
end

local function claim_due(claims)
  local memory = {}
  for _, queue in ipairs(queues) do
    local free = slots - #claims / #CLAIM
    if free > 0 and not is_paused(queue) then
      claim_from(queue, math.floor(free), claims, memory)
    end
  end
end

local function paused_queues()
  local paused = {}
  for _, queue in ipairs(queues) do
    if is_paused(queue) then
      paused[#paused + 1] = queue
    end
  end
  return paused
end

local function add_messages(claims)
  local keys = {}
  for at = 0, #claims - 1, #CLAIM do
    keys[#keys + 1] = MESSAGE .. claims[at + CLAIM.job_id]
  end
  for n, message in ipairs(redis.call('MGET', unpack(keys))) do
    claims[(n - 1) * #CLAIM + CLAIM.message] = message or ''
  end
end

-- The time until a job of these queues is due, or a lease ends. A full worker leaves due jobs to others.
local function next_due(full, rescued_from)
  local next = -1
  local function at_latest(score)
    if score and (next < 0 or score - now < next) then
      next = math.max(1, score - now)
    end
  end
  for _, queue in ipairs(queues) do
    local first = not is_paused(queue) and redis.call('ZRANGE', QUEUE .. queue, 0, 0, 'WITHSCORES')[2]
    if not full then
      redis.call('DEL', WAKE .. queue)
      local ends = redis.call('ZRANGE', LEASES .. queue, 0, 0, 'WITHSCORES')[2]
      at_latest(first)
      at_latest(ends and math.max(ends, rescued_from))
    elseif first and tonumber(first) <= now then
      wake(queue)
    else
      at_latest(first)  -- to wake another one then
    end
  end
  if not full then
    at_latest(redis.call('ZRANGE', START_BY, 0, 0, 'WITHSCORES')[2])
  end
  return next
end

local accepted, rescued, claims, rescued_from = {}, {}, {}, 0
if #ARGV > before_finished then
  for at = before_finished, #ARGV - 1, #FINISHED do
    accepted[#accepted + 1] = finish(at)
  end
  flush()
end
for _, queue in ipairs(queues) do
  rescued_from = math.max(rescued_from, rescue_all(queue, lease, rescued, retain, 100))
end
fail_late(retain, 100)
local last_step, claimed, host = unpack(redis.call('HMGET', WORKER .. worker, step_field, claimed_field, 'host'))
last_step = tonumber(last_step or 0)
if step == last_step then
  claim_again(claimed, claims)
elseif step > last_step and slots > 0 then
  if #accepted == 0 then
    begin_writing()
  end
  claim_due(claims)
end
if #claims > 0 then
  if not host then  -- the heartbeat does so from its first beat on
    redis.call('PEXPIRE', WORKER .. worker, MEMORY)
  end
  add_messages(claims)
end
flush()
if step % 10 == 0 then  -- often enough to keep up with the jobs that expire
  prune(1000, retain)
end
local outdated = step < last_step  -- it has claimed nothing, so it must not take the wake-up
local wait = next_due(outdated or #claims / #CLAIM >= slots, rescued_from)
wake_workers()
return {wait, accepted, rescued, claims, now, paused_queues(), moves}

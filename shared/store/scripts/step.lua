-- A worker's one call: finish a batch of attempts, recover leases that ran out, fail jobs that were not
-- started in time, claim due jobs.
-- ARGV: worker id, step number, slots (jobs to claim at most), lease (ms),
--       retention of completed, failed, cancelled (s), number of queues, the queues in order,
--       then nine values per finished attempt: queue, id, lease, outcome, body, delay (ms), progress, lines,
--       artifacts
--         outcome completed: body is the result        failed, retry: body is the error
--         outcome released: handed back, the attempt is not charged        cancelled: body is ''
--         progress is JSON, or '' to leave the record's as it is; lines of its log as `append_lines` takes them;
--         artifacts is JSON, or '' if there are none, and counts for completed jobs
-- Returns {ms until a job of these queues is due or a lease ends, -1 if that is not known,
--          {per finished attempt 1 if it counts or 0 if the lease was lost},
--          {ids whose lease ran out},
--          {eight values per claim: queue, id, claim, attempt, max_attempts, message, params, request_id}}
-- The lease `claim:id` is the fence: `claim` counts all claims of a job, so that it never returns to a
-- former value, as `attempt` does when an attempt is handed back.
-- A step that is repeated, because its reply was lost, finishes nothing twice and claims the same jobs.

local worker, step, slots, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local retain = {completed = tonumber(ARGV[5]), failed = tonumber(ARGV[6]), cancelled = tonumber(ARGV[7])}
local queues = {unpack(ARGV, 9, 8 + ARGV[8])}

-- Ends the leases of the batch; returns whether all of them were held.
local function release_leases(first)
  local members, held, given = {}, 0, 0
  for i = first, #ARGV, 9 do
    local leases = members[ARGV[i]] or {}
    members[ARGV[i]] = leases
    leases[#leases + 1] = ARGV[i + 2]
    given = given + 1
  end
  for queue, leases in pairs(members) do
    held = held + redis.call('ZREM', LEASES .. queue, unpack(leases))
  end
  return held == given
end

local function finish(all_held, queue, id, lease, outcome, body, delay, progress, lines, artifacts)
  local record = RECORD .. id
  if not all_held then
    local job = redis.call('HMGET', record, 'claims', 'state', 'lost')
    local claim = string.match(lease, '^%d+')
    if job[1] ~= claim or job[3] == claim then
      return 0
    elseif job[2] ~= 'running' then  -- else it holds the lease of its last claim
      local returned = outcome == 'retry' or outcome == 'released'
      return (job[2] == outcome or (returned and (job[2] == 'pending' or job[2] == 'cancelled'))) and 1 or 0
    end
  end
  local found
  if outcome == 'completed' then
    found = settle(id, 'running', 'completed', retain.completed, 'result', body)
  elseif outcome == 'failed' then
    found = settle(id, 'running', 'failed', retain.failed)
  elseif outcome == 'cancelled' then
    found = settle(id, 'running', 'cancelled', retain.cancelled)
  else
    found = put_back(queue, id, tonumber(delay), retain.cancelled)
  end
  if not found then
    return 0
  end
  if outcome == 'failed' or outcome == 'retry' then
    append_error(id, body)
  elseif outcome == 'released' then
    redis.call('HINCRBY', record, 'attempt', -1)
  end
  if progress ~= '' and outcome ~= 'retry' and outcome ~= 'released' then
    redis.call('HSET', record, 'progress', progress)
  end
  if artifacts ~= '' and outcome == 'completed' then
    redis.call('HSET', record, 'artifacts', artifacts)
  end
  if lines ~= '' then
    append_lines(id, string.match(lease, '^%d+'), lines)
  end
  return 1
end

local function recover(queue, recovered)
  local first = redis.call('ZRANGE', LEASES .. queue, 0, 0, 'WITHSCORES')[2]
  if not first or tonumber(first) > now then
    return
  end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', LEASES .. queue, '-inf', now, 'LIMIT', 0, 100)) do
    local token, id = string.match(member, '^(%d+):(.*)$')
    redis.call('ZREM', LEASES .. queue, member)
    local job = redis.call('HMGET', RECORD .. id, 'attempt', 'max_attempts', 'worker', 'cancel_requested')
    if job[1] then
      recovered[#recovered + 1] = id
      redis.call('HSET', RECORD .. id, 'lost', token)  -- so that a late outcome is not taken for a repeat
      local left = tonumber(job[1]) < tonumber(job[2])
      append_error(id, '{"code":"worker_lost","message":"The worker ' .. (job[3] or '?')
        .. ' stopped renewing its lease while it ran this attempt.","hint":"Look in that worker\'s log for a crash'
        .. ', an out-of-memory kill or a blocked event loop.","retryable":true,"attempt":' .. job[1] .. '}')
      if left or job[4] then
        put_back(queue, id, 0, retain.cancelled)
      else
        settle(id, 'running', 'failed', retain.failed)
      end
    end
  end
end

local function add_claim(claims, queue, id, token, attempt, max_attempts, params, request_id)
  local n = #claims
  claims[n + 1], claims[n + 2], claims[n + 3], claims[n + 4] = queue, id, token, attempt
  claims[n + 5], claims[n + 6], claims[n + 7], claims[n + 8] = max_attempts, '', params or '', request_id or ''
end

local function claim(queue, id, claims, leases)
  local record = RECORD .. id
  local job = redis.call('HMGET', record, 'state', 'attempt', 'claims', 'version', 'created_at',
    'max_attempts', 'params', 'request_id', 'start_by')
  if job[1] ~= 'pending' then
    return
  end
  if job[9] and tonumber(job[9]) > now then
    redis.call('ZREM', DEADLINES, id)
  elseif job[9] and redis.call('ZSCORE', DEADLINES, id) then  -- it has not started before, and is late
    expire(id, retain.failed)
    return
  end
  local attempt, token, version = (job[2] or 0) + 1, (job[3] or 0) + 1, job[4] + 1
  redis.call('HSET', record, 'state', 'running', 'attempt', attempt, 'claims', token, 'version', version,
    'worker', worker, 'started_at', now)
  move(id, 'pending', 'running', job[5])
  redis.call('PUBLISH', CHANGES .. id, version)
  leases[#leases + 1] = now + lease
  leases[#leases + 1] = token .. ':' .. id
  add_claim(claims, queue, id, token, attempt, job[6], job[7], job[8])
end

-- What an earlier call with this step number claimed, as far as it is still held.
local function claimed_before(memory, claims)
  for queue, token, id in string.gmatch(memory, '(%S+) (%d+):(%S+)') do
    if redis.call('ZSCORE', LEASES .. queue, token .. ':' .. id) then
      local job = redis.call('HMGET', RECORD .. id, 'attempt', 'max_attempts', 'params', 'request_id')
      add_claim(claims, queue, id, tonumber(token), tonumber(job[1]), job[2], job[3], job[4])
    end
  end
end

local function claim_due(claims)
  for _, queue in ipairs(queues) do
    if slots * 8 <= #claims then
      return
    end
    local ids = redis.call('ZRANGEBYSCORE', QUEUE .. queue, '-inf', now, 'LIMIT', 0,
      math.floor(slots - #claims / 8))
    if #ids > 0 then
      redis.call('ZREMRANGEBYRANK', QUEUE .. queue, 0, #ids - 1)
    end
    local leases = {}
    for _, id in ipairs(ids) do
      claim(queue, id, claims, leases)
    end
    if #leases > 0 then
      redis.call('ZADD', LEASES .. queue, unpack(leases))
    end
  end
end

local function add_messages(claims)
  local keys = {}
  for i = 2, #claims, 8 do
    keys[#keys + 1] = MESSAGE .. claims[i]
  end
  for n, message in ipairs(redis.call('MGET', unpack(keys))) do
    claims[n * 8 - 2] = message or ''
  end
end

local function remember(claims, alive)
  local memory = {}
  for i = 1, #claims, 8 do
    memory[#memory + 1] = claims[i] .. ' ' .. claims[i + 2] .. ':' .. claims[i + 1]
  end
  redis.call('HSET', WORKER .. worker, 'step', step, 'claimed', table.concat(memory, ' '))
  if not alive then  -- the heartbeat sees to it from its first beat on
    redis.call('PEXPIRE', WORKER .. worker, lease)
  end
end

-- The time until something of these queues wants this worker. A full one leaves what is due to others.
local function next_due(full)
  local next = -1
  local function at_latest(entry)
    if entry[2] and (next < 0 or entry[2] - now < next) then
      next = math.max(1, entry[2] - now)
    end
  end
  for _, queue in ipairs(queues) do
    local first = redis.call('ZRANGE', QUEUE .. queue, 0, 0, 'WITHSCORES')
    if not full then
      redis.call('DEL', WAKE .. queue)
      at_latest(first)
      at_latest(redis.call('ZRANGE', LEASES .. queue, 0, 0, 'WITHSCORES'))
    elseif first[2] and tonumber(first[2]) <= now then
      wake(queue)
    else
      at_latest(first)  -- to wake another one then
    end
  end
  if not full then
    at_latest(redis.call('ZRANGE', DEADLINES, 0, 0, 'WITHSCORES'))
  end
  return next
end

local verdicts, recovered, claims = {}, {}, {}
local held = release_leases(9 + ARGV[8])
for i = 9 + ARGV[8], #ARGV, 9 do
  verdicts[#verdicts + 1] = finish(held, unpack(ARGV, i, i + 8))
end
flush()
for _, queue in ipairs(queues) do
  recover(queue, recovered)
end
flush()
expire_late(retain.failed, 100)
local last = redis.call('HMGET', WORKER .. worker, 'step', 'claimed', 'host')
local last_step = tonumber(last[1] or 0)
if step == last_step then
  claimed_before(last[2], claims)
elseif step > last_step and slots > 0 then
  claim_due(claims)
  if #claims > 0 then
    remember(claims, last[3])
  end
end
if #claims > 0 then
  add_messages(claims)
end
flush()
if step % 10 == 0 then  -- often enough to keep up with what retires
  trim(1000, retain)
end
local outdated = step < last_step  -- it has looked at nothing, so it must not take the wake-up token
return {next_due(outdated or #claims >= slots * 8), verdicts, recovered, claims}

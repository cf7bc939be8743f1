-- Accepts a prepared batch: gives its jobs a state, a place in their queues and in the indexes; all of them or none.
-- Redis does nothing else meanwhile, so there is one command per record, and one per index for all: 4 ms for 1,000 jobs.
-- ARGV: a row COMMIT, then per group of jobs that are due alike: a row GROUP, and the ids of its jobs
-- Returns {'done', per group {'accepted', created_at, run_at or '', start_by or ''}}; {'lost'} if the batch has ended
--         or is not whole, as after a fail-over; or, which ends the batch, one of
--   {'full', queue, jobs waiting}: it has no room for all
--   {'backlog', jobs waiting, new jobs}: the caller's quota of jobs has no room for all
-- A repeat answers 'done' again and changes nothing.

local batch, jobs = ARGV[COMMIT.batch], tonumber(ARGV[COMMIT.jobs])
local counted, most_waiting = quota_in(COMMIT.quota)
local stamp = string.format('%.0f', now)

-- The groups; `first` and `last` are the places of their ids in ARGV.
local groups, ids = {}, {}
do
  local at = #COMMIT
  while at < #ARGV do
    local due, run_at, start_by = times_of(ARGV[at + GROUP.due], ARGV[at + GROUP.delay], ARGV[at + GROUP.start_within])
    local first = at + #GROUP + 1
    at = at + #GROUP + ARGV[at + GROUP.jobs]
    groups[#groups + 1] = {queue = ARGV[first - #GROUP - 1 + GROUP.queue], first = first, last = at, due = due,
      run_at = run_at, start_by = start_by}
    for i = first, at do
      ids[#ids + 1] = ARGV[i]
    end
  end
end

-- The answer to a repeat, once all jobs have been accepted; nil if they have not.
local function accepted_before()
  local answers = {}
  for n, group in ipairs(groups) do
    local of_batch, created_at, run_at, start_by = unpack(
      redis.call('HMGET', RECORD .. ARGV[group.first], 'batch', 'created_at', 'run_at', 'start_by'))
    if of_batch ~= batch or not created_at then
      return nil
    end
    answers[n] = {'accepted', created_at, run_at or '', start_by or ''}
  end
  return {'done', answers}
end

local function without_room()
  local waiting = {}
  for _, group in ipairs(groups) do
    local queue = group.queue
    waiting[queue] = (waiting[queue] or redis.call('ZCARD', QUEUE .. queue)) + group.last - group.first + 1
  end
  for queue, number in pairs(waiting) do
    if number > tonumber(ARGV[COMMIT.max_waiting]) then
      return {'full', queue, redis.call('ZCARD', QUEUE .. queue)}
    end
  end
  return counted and quotas().full_backlog(counted, most_waiting, jobs)
end

-- Scores and ids as ZADD takes them: per queue, and of the jobs that must start by a time.
local function scored()
  local queued, start_bys = {}, {}
  for _, group in ipairs(groups) do
    local entries = queued[group.queue] or {}
    queued[group.queue] = entries
    for i = group.first, group.last do
      local n = #entries
      entries[n + 1], entries[n + 2] = group.due, ARGV[i]
      if group.start_by ~= '' then
        local m = #start_bys
        start_bys[m + 1], start_bys[m + 2] = group.start_by, ARGV[i]
      end
    end
  end
  return queued, start_bys
end

local function created()
  local entries = {}
  for i, id in ipairs(ids) do
    entries[2 * i - 1], entries[2 * i] = stamp, id
  end
  return entries
end

-- The records come last: a job has no state before all are in place.
local function accept_all()
  local queued, start_bys = scored()
  local indexed = created()
  for queue, entries in pairs(queued) do
    redis.call('ZADD', QUEUE .. queue, unpack(entries))
    wake(queue)
  end
  if start_bys[1] then
    redis.call('ZADD', START_BY, unpack(start_bys))
  end
  redis.call('ZADD', INDEX, unpack(indexed))
  redis.call('ZADD', INDEX_OF .. 'pending', unpack(indexed))
  if counted then
    redis.call('ZADD', BACKLOG .. counted, unpack(indexed))
  end
  local answers = {}
  for n, group in ipairs(groups) do
    local words = {'state', 'pending', 'created_at', stamp}
    for name, time in pairs({run_at = group.run_at, start_by = group.start_by}) do
      if time ~= '' then
        words[#words + 1], words[#words + 2] = name, time
      end
    end
    for i = group.first, group.last do
      redis.call('HSET', RECORD .. ARGV[i], unpack(words))
    end
    answers[n] = {'accepted', stamp, group.run_at, group.start_by}
  end
  redis.call('ZREM', PREPARED_ENDS, batch)  -- last: from here on a repeat does not accept them again
  return answers
end

-- Takes back the writes of `accept_all`: the jobs are prepared again.
local function refuse_all()
  for _, id in ipairs(ids) do
    redis.pcall('HDEL', RECORD .. id, 'state', 'created_at', 'run_at', 'start_by')
  end
  for _, group in ipairs(groups) do
    redis.pcall('ZREM', QUEUE .. group.queue, unpack(ARGV, group.first, group.last))
  end
  local indexes = {START_BY, INDEX_OF .. 'pending', INDEX, counted and BACKLOG .. counted}
  for _, index in ipairs(indexes) do
    redis.pcall('ZREM', index, unpack(ids))
  end
end

local entries = PREPARED .. batch
local ends = redis.call('ZSCORE', PREPARED_ENDS, batch)
if not ends then
  return accepted_before() or {'lost'}
elseif tonumber(ends) <= now then
  return {'lost'}
elseif redis.call('LLEN', entries) ~= jobs then
  end_batch(batch)
  return {'lost'}
end
local refusal = without_room()
if refusal then
  end_batch(batch)
  return refusal
end
local done, answers = pcall(accept_all)
if not done then
  refuse_all()
  end_batch(batch)
  return redis.error_reply(type(answers) == 'table' and answers.err or tostring(answers))
end
if type(redis.pcall('DEL', entries)) == 'table' then
  redis.pcall('PEXPIRE', entries, 1000)
end
wake_workers()
return {'done', answers}

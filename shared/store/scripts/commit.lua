-- Accepts a prepared batch: gives its jobs a state, a place in their queues and among those that wait; all of them or
-- none. Redis does nothing else meanwhile, so there is one short command per record, and one per key for all.
-- ARGV: a row COMMIT, then per group of jobs that are due alike: a row GROUP, and the ids of its jobs
-- Returns {'done', per group {'accepted', created_at, run_at or '', start_by or '', 1 if its
--         queue is paused}}; {'lost'} if the batch has ended
--         or is not whole, as after a fail-over; or, which ends the batch, one of
--   {'full', queue, jobs waiting}: it has no room for all
--   {'backlog', jobs waiting, new jobs}: the caller's quota of jobs has no room for all
-- A repeat answers 'done' again and changes nothing.

local batch, jobs, created_at = ARGV[COMMIT.batch], tonumber(ARGV[COMMIT.jobs]), ARGV[COMMIT.created_at]
local counted, most_waiting = quota_in(COMMIT.quota)
local entries = PREPARED .. batch

-- The groups, with the places of their first and last ids in ARGV.
local groups, next_row = {}, #COMMIT
while next_row < #ARGV do
  local at = next_row
  local due, run_at, start_by = times_of(tonumber(created_at), ARGV[at + GROUP.due], ARGV[at + GROUP.delay],
    ARGV[at + GROUP.start_within])
  next_row = at + #GROUP + ARGV[at + GROUP.jobs]
  groups[#groups + 1] = {queue = ARGV[at + GROUP.queue], first = at + #GROUP + 1, last = next_row, due = due,
    start_by = start_by,
    answer = {'accepted', created_at, run_at, start_by, is_paused(ARGV[at + GROUP.queue]) and 1 or 0}}
end

-- The answer to a call and its repeats, once all jobs are accepted.
local function done()
  local answers = {}
  for n, group in ipairs(groups) do
    answers[n] = group.answer
  end
  return {'done', answers}
end

local function accepted_before()
  local state, of_batch = unpack(redis.call('HMGET', RECORD .. ARGV[groups[1].first], 'state', 'batch'))
  return state and of_batch == batch
end

-- The answer to a batch for which there is no room; nil if there is.
local function without_room()
  local waiting = {}
  for _, group in ipairs(groups) do
    local queue = group.queue
    waiting[queue] = (waiting[queue] or count_waiting(queue)) + group.last - group.first + 1
  end
  for queue, number in pairs(waiting) do
    if number > tonumber(ARGV[COMMIT.max_waiting]) then
      return {'full', queue, redis.call('ZCARD', QUEUE .. queue)}
    end
  end
  return counted and quotas().full_backlog(counted, most_waiting, jobs) or nil
end

-- Scores and ids, as ZADD takes them: per queue by the due time; those that must start by a time; all by created_at, if
-- they are counted.
local function scored()
  local queued, start_bys, created, n, m = {}, {}, {}, 0, 0
  for _, group in ipairs(groups) do
    local due, start_by = group.due, group.start_by
    local waiting = queued[group.queue] or {}
    queued[group.queue] = waiting
    local w = #waiting
    for i = group.first, group.last do
      waiting[w + 1], waiting[w + 2], w = due, ARGV[i], w + 2
      if counted then
        created[n + 1], created[n + 2], n = created_at, ARGV[i], n + 2
      end
      if start_by ~= '' then
        start_bys[m + 1], start_bys[m + 2], m = start_by, ARGV[i], m + 2
      end
    end
  end
  return queued, start_bys, created
end

-- The states come last: before, none of the rest counts.
local function accept_all()
  local queued, start_bys, created = scored()
  for queue, waiting in pairs(queued) do
    redis.call('ZADD', QUEUE .. queue, unpack(waiting))
    wake(queue)
  end
  if start_bys[1] then
    redis.call('ZADD', START_BY, unpack(start_bys))
  end
  if counted then
    redis.call('ZADD', BACKLOG .. counted, unpack(created))
  end
  for _, group in ipairs(groups) do
    for i = group.first, group.last do
      redis.call('HSET', RECORD .. ARGV[i], 'state', 'pending')
    end
  end
  redis.call('ZREM', PREPARED_ENDS, batch)  -- from here on a repeat does not accept the jobs again
end

-- Takes back the writes of `accept_all`: the jobs are prepared again.
local function refuse_all()
  for _, group in ipairs(groups) do
    for i = group.first, group.last do
      redis.pcall('HDEL', RECORD .. ARGV[i], 'state')
    end
    for _, key in ipairs({QUEUE .. group.queue, START_BY, BACKLOG .. (counted or '')}) do
      redis.pcall('ZREM', key, unpack(ARGV, group.first, group.last))
    end
  end
end

local ends = redis.call('ZSCORE', PREPARED_ENDS, batch)
if not ends and accepted_before() then
  return done()
elseif not ends or tonumber(ends) <= now then
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
local accepted, failure = pcall(accept_all)
if not accepted then
  refuse_all()
  end_batch(batch)
  return redis.error_reply(type(failure) == 'table' and failure.err or tostring(failure))
end
for _, group in ipairs(groups) do
  add_to_count(group.queue, 'submitted', group.last - group.first + 1)
end
if type(redis.pcall('DEL', entries)) == 'table' then
  redis.pcall('PEXPIRE', entries, 1000)
end
wake_workers()
return done()

-- Counts of callers with a quota: their jobs that wait, the bytes of their records, their files.
--
-- A count is a hash: `bytes` and `count` in all, and the bytes of each thing by its id. Each change of it is one HSET,
-- so that a command which fails leaves it right, and may be repeated.

local counts  -- the functions below, made when they are first needed: most calls have no caller with a quota

local function quotas()
  if counts then
    return counts
  end
  counts = {}
  local GONE = '-'  -- in place of the bytes of a thing that is counted no more, until its field is removed

  -- The totals of a count: the number of things, and their bytes.
  function counts.held(count)
    local found = redis.call('HMGET', count, 'count', 'bytes')
    return tonumber(found[1] or 0), tonumber(found[2] or 0)
  end

  -- Counts a thing, or its bytes anew.
  function counts.charge(count, id, bytes)
    local number, total = counts.held(count)
    local before = tonumber(redis.call('HGET', count, id) or nil)
    redis.call('HSET', count, 'bytes', string.format('%.0f', total + bytes - (before or 0)),
      'count', string.format('%.0f', number + (before and 0 or 1)), id, string.format('%.0f', bytes))
  end

  -- Counts a thing no more.
  function counts.discharge(count, id)
    local before = redis.call('HGET', count, id)
    if not before then
      return
    end
    local number, total = counts.held(count)
    if before ~= GONE and number <= 1 then
      redis.call('DEL', count)
      return
    elseif before ~= GONE then
      redis.call('HSET', count, 'bytes', string.format('%.0f', total - before),
        'count', string.format('%.0f', number - 1), id, GONE)
    end
    redis.call('HDEL', count, id)
  end

  -- Counts a job as its record says: among those that wait or not, and by its bytes until it expires.
  function counts.count_job(caller, id, state, expires)
    if state == 'pending' then
      redis.call('ZADD', BACKLOG .. caller, now, id)
      return
    end
    redis.call('ZREM', BACKLOG .. caller, id)
    if state ~= 'running' then
      local bytes = 0
      for _, field in ipairs({'params', 'params_shown', 'result'}) do
        bytes = bytes + redis.call('HSTRLEN', RECORD .. id, field)
      end
      redis.call('ZADD', KEPT_ENDS, expires, caller .. ' ' .. id)
      counts.charge(KEPT .. caller, id, bytes)
    end
  end

  -- Counts expired records no more.
  function counts.prune_kept(limit)
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEPT_ENDS, '-inf', now, 'LIMIT', 0, limit)) do
      local caller, id = string.match(member, '^(%S+) (%S+)$')
      counts.discharge(KEPT .. caller, id)
      redis.call('ZREM', KEPT_ENDS, member)
    end
  end

  -- The bytes that count of a new record, whose row SUBMISSION begins after `at` words.
  function counts.bytes_of(at)
    local first, bytes = at + #SUBMISSION + 1, 0
    for i = first, first + ARGV[at + SUBMISSION.field_words] - 1, 2 do
      if ARGV[i] == 'params' or ARGV[i] == 'params_shown' then
        bytes = bytes + #ARGV[i + 1]
      end
    end
    return bytes
  end

  -- The answer to a caller whose quota of waiting jobs has no room for `new` more; nil if there is room, or no quota.
  function counts.full_backlog(caller, most, new)
    local key = BACKLOG .. caller
    if most == 0 or redis.call('ZCARD', key) + new <= most then
      return nil
    end
    for _, id in ipairs(redis.call('ZRANGE', key, 0, 9)) do
      if redis.call('HGET', RECORD .. id, 'state') ~= 'pending' then
        redis.call('ZREM', key, id)  -- left over, should a command have failed
      end
    end
    local waiting = redis.call('ZCARD', key)
    return waiting + new > most and {'backlog', waiting, new} or nil
  end

  -- The answer to a caller whose quota of kept bytes has no room for new jobs; nil if there is room, or no quota.
  function counts.full_store(caller, most, jobs)
    if most == 0 then
      return nil
    end
    counts.prune_kept(200)
    local bytes, _, kept = 0, counts.held(KEPT .. caller)
    for _, job in ipairs(jobs) do
      bytes = bytes + counts.bytes_of(job.at)
    end
    return kept + bytes > most and {'kept', string.format('%.0f', kept), string.format('%.0f', bytes)} or nil
  end

  return counts
end


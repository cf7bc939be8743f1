-- A page of jobs, newest first: by creation, or those in one terminal state by their end.
-- ARGV: state or '', type or '', records at most, entries to look at, score and id to go on after, or '',
--       caller or '', then labels to match: names and values as pairs
-- Returns {score and id to go on after, or '' at the end, then {id, the record's fields and values} per job}

local state, kind, limit, budget = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local index = state == '' and INDEX or INDEX_OF .. state
local caller = ARGV[7]
local page = {'', ''}

local function matches(record)
  local job = redis.call('HMGET', record, 'type', 'labels', 'caller')
  if not job[1] or (kind ~= '' and job[1] ~= kind) or (caller ~= '' and job[3] ~= caller) then
    return false
  end
  local labels = #ARGV > 7 and cjson.decode(job[2] or '{}')
  for i = 8, #ARGV, 2 do
    if labels[ARGV[i]] ~= ARGV[i + 1] then
      return false
    end
  end
  return true
end

-- Of jobs that have ended, the index is by their expiry, and remembers some that have expired.
local lowest = (state == '' or state == 'pending' or state == 'running') and '-inf' or now
local score, last = ARGV[5], ARGV[6]
while budget > 0 do
  local from = score == '' and '+inf' or score
  local skipped = 0  -- entries of the same millisecond that an earlier page has shown
  if score ~= '' then
    skipped = redis.call('ZCOUNT', index, score, score)
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', index, score, score)) do
      skipped = id < last and skipped - 1 or skipped
    end
  end
  local count = math.min(budget, 200)
  local found = redis.call('ZREVRANGEBYSCORE', index, from, lowest, 'WITHSCORES', 'LIMIT', skipped, count)
  for i = 1, #found, 2 do
    last, score = found[i], found[i + 1]
    if matches(RECORD .. last) then
      page[#page + 1] = {last, unpack(redis.call('HGETALL', RECORD .. last))}
      if #page - 2 == limit then
        page[1], page[2] = score, last
        return page
      end
    end
  end
  if #found < 2 * count then
    return page
  end
  budget = budget - count
end
page[1], page[2] = score, last
return page

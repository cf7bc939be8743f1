-- A page of jobs, newest first: all jobs by creation, ended ones by their end, waiting ones by their due time, running
-- ones by their ids, which begin with the time of creation.
-- ARGV: a row LIST, the fields to return, then labels to match: names and values as pairs
-- Returns {score and id of the cursor, or '' at the end, then {id, those fields and their values} per job}; one record
-- at least, however large

local state, kind, caller = ARGV[LIST.state], ARGV[LIST.type], ARGV[LIST.caller]
local only, after, before = ARGV[LIST.queue], ARGV[LIST.created_after], ARGV[LIST.created_before]
local limit, bytes, budget = tonumber(ARGV[LIST.limit]), tonumber(ARGV[LIST.bytes]), tonumber(ARGV[LIST.budget])
local fields = fields_from(#LIST + 1)
local labels_from = #LIST + 1 + #fields
local is_terminal = state ~= '' and state ~= 'pending' and state ~= 'running'
local page = {'', ''}

local function matches(record)
  local of_type, of_state, stored, of_caller, queue, created_at = unpack(
    redis.call('HMGET', record, 'type', 'state', 'labels', 'caller', 'queue', 'created_at'))
  if not of_state or (kind ~= '' and of_type ~= kind) or (caller ~= '' and of_caller ~= caller)
      or (state ~= '' and of_state ~= state) or (only ~= '' and queue ~= only)
      or (after ~= '' and tonumber(created_at) < tonumber(after))
      or (before ~= '' and tonumber(created_at) >= tonumber(before)) then
    return false
  end
  local labels = #ARGV >= labels_from and cjson.decode(stored or '{}')
  for i = labels_from, #ARGV, 2 do
    if labels[ARGV[i]] ~= ARGV[i + 1] then
      return false
    end
  end
  return true
end

-- Ends the page after the entry (score, id).
local function ended(score, id)
  page[1], page[2] = score, id
  return page
end

-- The number of entries of a sorted set below (score, last), by bisection: thousands may have the same score.
local function count_below(key, score, last)
  local begin, low, high = redis.call('ZCOUNT', key, '-inf', '(' .. score), 0, redis.call('ZCOUNT', key, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if redis.call('ZRANGE', key, begin + middle, begin + middle)[1] < last then
      low = middle + 1
    else
      high = middle
    end
  end
  return begin + low
end

-- The next entries of a sorted set below (score, last), highest first: ids and scores in turn.
local function entries_below(key, score, last, count)
  local total = redis.call('ZCARD', key)
  local first = score == '' and 0 or total - count_below(key, score, last)
  return redis.call('ZRANGE', key, first, first + count - 1, 'REV', 'WITHSCORES')
end

-- Pairs of id and score as ids and scores in turn, highest first.
local function in_order(pairs_found, count)
  table.sort(pairs_found, function(a, b)
    return a[2] > b[2] or (a[2] == b[2] and a[1] > b[1])
  end)
  local found = {}
  for i = 1, math.min(#pairs_found, count) do
    found[2 * i - 1], found[2 * i] = pairs_found[i][1], string.format('%.0f', pairs_found[i][2])
  end
  return found
end

-- The queues whose jobs may match.
local function queues()
  return only ~= '' and {only} or redis.call('SMEMBERS', QUEUES)
end

-- The next waiting jobs of all queues.
local function waiting_below(score, last, count)
  local found = {}
  for _, queue in ipairs(queues()) do
    local entries = entries_below(QUEUE .. queue, score, last, count)
    for i = 1, #entries, 2 do
      found[#found + 1] = {entries[i], tonumber(entries[i + 1])}
    end
  end
  return in_order(found, count)
end

-- The next running jobs of all queues.
local function running_below(score, last, count)
  local found = {}
  for _, queue in ipairs(queues()) do
    for _, lease in ipairs(redis.call('ZRANGE', LEASES .. queue, 0, -1)) do
      local id = string.sub(lease, string.find(lease, ':', 1, true) + 1)
      if score == '' or id < last then
        found[#found + 1] = {id, 0}
      end
    end
  end
  return in_order(found, count)
end

local function next_entries(score, last, count)
  if state == '' then
    return entries_below(INDEX, score, last, count)
  elseif state == 'pending' then
    return waiting_below(score, last, count)
  elseif state == 'running' then
    return running_below(score, last, count)
  end
  return entries_below(INDEX_OF .. state, score, last, count)
end

local score, last = ARGV[LIST.score], ARGV[LIST.last]
if state == '' and before ~= '' and (score == '' or tonumber(score) >= tonumber(before)) then
  score, last = before, ''  -- all jobs are listed by creation
end
while budget > 0 do
  local count = state == 'running' and budget or math.min(budget, 200)  -- running jobs are sorted once
  local found = next_entries(score, last, count)
  for i = 1, #found, 2 do
    local id, record = found[i], RECORD .. found[i]
    if is_terminal and tonumber(found[i + 1]) < now then
      return page  -- all further ones have expired
    elseif state == '' and after ~= '' and tonumber(found[i + 1]) < tonumber(after) then
      return page  -- all further ones are older
    elseif matches(record) then
      local values, size = excerpt(record, fields, #page > 2 and bytes or math.huge)
      if not values then
        return ended(score, last)
      end
      local queue = redis.call('HMGET', record, 'state', 'queue')
      if queue[1] == 'pending' and is_paused(queue[2]) then
        values[#values + 1], values[#values + 2] = 'queue_paused', 1
      end
      page[#page + 1], bytes = {id, unpack(values)}, bytes - size
    end
    last, score = id, found[i + 1]
    if #page - 2 == limit then
      return ended(score, last)
    end
  end
  if #found < 2 * count then
    return page
  end
  budget = budget - count
end
return ended(score, last)

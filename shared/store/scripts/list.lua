-- A page of jobs, newest first: by creation, or those in one terminal state by their end.
-- ARGV: a row LIST, the fields to return, then labels to match: names and values as pairs
-- Returns {score and id of the cursor, or '' at the end, then {id, those fields and their values} per job}; one record
-- at least, however large

local state, kind, caller = ARGV[LIST.state], ARGV[LIST.type], ARGV[LIST.caller]
local limit, bytes, budget = tonumber(ARGV[LIST.limit]), tonumber(ARGV[LIST.bytes]), tonumber(ARGV[LIST.budget])
local fields = fields_from(#LIST + 1)
local labels_from = #LIST + 1 + #fields
local index = state == '' and INDEX or INDEX_OF .. state
local page = {'', ''}

local function matches(record)
  local of_type, stored, of_caller, stored_state = unpack(
    redis.call('HMGET', record, 'type', 'labels', 'caller', 'state'))
  if not stored_state or (kind ~= '' and of_type ~= kind) or (caller ~= '' and of_caller ~= caller) then
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

-- An index of ended jobs is by their expiry, and still has some that have expired.
local lowest = (state == '' or state == 'pending' or state == 'running') and '-inf' or now
local score, last = ARGV[LIST.score], ARGV[LIST.last]
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
    local id, record = found[i], RECORD .. found[i]
    if matches(record) then
      local values, size = excerpt(record, fields, #page > 2 and bytes or math.huge)
      if not values then
        return ended(score, last)
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

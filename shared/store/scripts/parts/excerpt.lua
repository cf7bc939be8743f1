-- Part of scripts that return several records, or some fields of them.

local OVERHEAD = 800  -- bytes of a record as JSON, besides its values
local PAYLOAD = {'params', 'params_shown', 'result'}

-- Some fields of a record and their values as pairs, and their bytes as JSON; nil if those are more than `most`.
local function excerpt(record, fields, most)
  local size = OVERHEAD
  for _, field in ipairs(PAYLOAD) do
    size = size + (fields[field] and redis.call('HSTRLEN', record, field) or 0)
  end
  if size > most then
    return nil
  end
  size = OVERHEAD
  local found = {}
  for i, value in ipairs(redis.call('HMGET', record, unpack(fields))) do
    if value then
      found[#found + 1] = fields[i]
      found[#found + 1] = value
      size = size + #value
    end
  end
  return found, size
end

-- The names among ARGV from `first` on, as many as ARGV[first - 1] says: a list, and a set.
local function fields_from(first)
  local fields = {unpack(ARGV, first, first + ARGV[first - 1] - 1)}
  for _, field in ipairs(fields) do
    fields[field] = true
  end
  return fields
end

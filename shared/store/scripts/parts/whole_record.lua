-- Part of scripts that return whole records.

local LARGE = 65536  -- bytes of params and result; a larger record would block the shared connection

local function payload_size(record)
  return redis.call('HSTRLEN', record, 'params') + redis.call('HSTRLEN', record, 'result')
end

-- A record's fields and values as pairs; {'large'} in place of a large one.
local function fields_of(record)
  return payload_size(record) > LARGE and {'large'} or redis.call('HGETALL', record)
end

-- Removes the record of an uploaded file, unless a job that is not done names the file.
-- ARGV: id, caller whose files alone count, or ''
-- Returns one of {'missing'}, {'in use', job id, its caller or ''}, {'dropped'}. A repeat answers 'missing'.

local file = FILE .. ARGV[1]
local size, uploader = unpack(redis.call('HMGET', file, 'size', 'caller'))
if not size or (ARGV[2] ~= '' and uploader ~= ARGV[2]) then
  return {'missing'}
end
for _, id in ipairs(redis.call('SMEMBERS', file .. ':jobs')) do
  local state, caller, batch = unpack(redis.call('HMGET', RECORD .. id, 'state', 'caller', 'batch'))
  if state == 'pending' or state == 'running' or (batch and not state) then  -- without a state it is prepared
    return {'in use', id, caller or ''}
  end
end
local caller = redis.call('HGET', file, 'counted')
if caller then
  quotas().discharge(UPLOADS .. caller, ARGV[1])
end
redis.call('DEL', file, file .. ':jobs')
redis.call('ZREM', FILES, ARGV[1])
return {'dropped'}

-- Forgets an uploaded file, unless a job that is not done names it.
-- ARGV: id
-- Returns one of {'missing'}, {'in use', job id}, {'dropped'}. A repeat answers 'missing'.

local file = FILE .. ARGV[1]
if redis.call('EXISTS', file) == 0 then
  return {'missing'}
end
for _, id in ipairs(redis.call('SMEMBERS', file .. ':jobs')) do
  local state = redis.call('HGET', RECORD .. id, 'state')
  if state == 'pending' or state == 'running' then
    return {'in use', id}
  end
end
local caller = redis.call('HGET', file, 'counted')
if caller then
  discharge(UPLOADS .. caller, ARGV[1])
end
redis.call('DEL', file, file .. ':jobs')
redis.call('ZREM', FILES, ARGV[1])
return {'dropped'}

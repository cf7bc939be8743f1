-- Whether a job whose record is gone has expired lately, if this owner submitted it; any job for ''.
local function expired_lately(id, owner)
  return redis.call('ZSCORE', INDEX, id) and redis.call('EXISTS', RECORD .. id) == 0  -- else it is prepared
    and (owner == '' or redis.call('GET', OWNER .. id) == owner)
end


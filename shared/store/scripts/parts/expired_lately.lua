-- Whether a job whose record is gone has expired lately, if this owner submitted it; any job for ''.
local function expired_lately(id, owner)
  return redis.call('ZSCORE', INDEX, id) and (owner == '' or redis.call('GET', OWNER .. id) == owner)
end


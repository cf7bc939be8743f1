-- Writes the progress of running attempts, each only while its lease is held.
-- ARGV: four values per job: queue, id, claim, progress (JSON)
-- Returns {ids that were asked to stop}.

local cancelled = {}
for i = 1, #ARGV, 4 do
  local queue, id, claim, progress = unpack(ARGV, i, i + 3)
  if redis.call('ZSCORE', LEASES .. queue, claim .. ':' .. id) then
    redis.call('HSET', RECORD .. id, 'progress', progress)
    changed(id)
    if redis.call('HEXISTS', RECORD .. id, 'cancel_requested') == 1 then
      cancelled[#cancelled + 1] = id
    end
  end
end
return cancelled

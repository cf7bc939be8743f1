-- Writes the progress and the log of running attempts, each only while its lease is held.
-- ARGV: five values per job: queue, id, claim, progress (JSON, or '' for no news), lines of its log as `append_lines`
--       takes them
-- Returns {ids that were asked to stop}.

local cancelled = {}
for i = 1, #ARGV, 5 do
  local queue, id, claim, progress, lines = unpack(ARGV, i, i + 4)
  if redis.call('ZSCORE', LEASES .. queue, claim .. ':' .. id) then
    publish(CHANGES .. id, redis.call('HINCRBY', RECORD .. id, 'version', 1))
    if progress ~= '' then
      redis.call('HSET', RECORD .. id, 'progress', progress)
    end
    if lines ~= '' then
      append_lines(id, claim, lines)
    end
    if redis.call('HEXISTS', RECORD .. id, 'cancel_requested') == 1 then
      cancelled[#cancelled + 1] = id
    end
  end
end
wake_workers()
return cancelled

-- Times of the jobs that ended last, of one state.
-- ARGV: state, number of jobs
-- Returns per job {type, time at which it was due (ms), started_at or '', finished_at}

local found = {}
for _, id in ipairs(redis.call('ZRANGE', INDEX_OF .. ARGV[1], 0, ARGV[2] - 1, 'REV')) do
  local kind, created_at, run_at, started_at, finished_at = unpack(
    redis.call('HMGET', RECORD .. id, 'type', 'created_at', 'run_at', 'started_at', 'finished_at'))
  if kind then
    found[#found + 1] = {kind, run_at or created_at, started_at or '', finished_at}
  end
end
return found

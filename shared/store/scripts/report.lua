-- Writes the progress, the log, the output and the start of running attempts, each only while its lease is held. Output
-- alone does not raise the version of the record: each chunk would send the whole record to its readers.
-- ARGV: a row REPORT per attempt
-- Returns {ids of jobs that were asked to stop}

local cancelled = {}
for at = 0, #ARGV - 1, #REPORT do
  local id, fencing_token = ARGV[at + REPORT.job_id], ARGV[at + REPORT.fencing_token]
  local progress, lines = ARGV[at + REPORT.progress], ARGV[at + REPORT.lines]
  local cancel_requested, holder = unpack(redis.call('HMGET', RECORD .. id, 'cancel_requested', 'worker'))
  if redis.call('ZSCORE', LEASES .. ARGV[at + REPORT.queue], fencing_token .. ':' .. id)
    and (ARGV[at + REPORT.worker_id] == '' or holds(ARGV[at + REPORT.worker_id], holder)) then
    local output, started_at = ARGV[at + REPORT.output], ARGV[at + REPORT.started_at]
    if progress ~= '' or lines ~= '' or started_at ~= '0' or output == '' then
      publish(CHANGES .. id, redis.call('HINCRBY', RECORD .. id, 'version', 1))
    end
    if started_at ~= '0' then
      redis.call('HSET', RECORD .. id, 'started_at', started_at)
    end
    if progress ~= '' then
      redis.call('HSET', RECORD .. id, 'progress', progress)
    end
    if lines ~= '' then
      append_lines(id, fencing_token, lines)
    end
    if output ~= '' then
      append_output(id, fencing_token, output)
      publish(CHANGES .. id, 'output')
    end
    if cancel_requested then
      cancelled[#cancelled + 1] = id
    end
  end
end
wake_workers()
return cancelled

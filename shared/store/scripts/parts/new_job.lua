-- The times of a job created at `created_at`: due; run_at, or '' if it is due at once; start_by, or '' if it may start
-- at any time.
local function times_of(created_at, due, delay, start_within)
  due = math.max(tonumber(due), created_at) + delay
  start_within = tonumber(start_within)
  return due, due > created_at and due or '', start_within > 0 and due + start_within or ''
end

-- The number of jobs that wait in a queue. The names of queues that hold jobs are in QUEUES.
local function count_waiting(queue)
  local count = redis.call('ZCARD', QUEUE .. queue)
  if count == 0 then
    redis.call('SADD', QUEUES, queue)
  end
  return count
end

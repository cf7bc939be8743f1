-- Resumes a queue, and wakes an idle worker of it, which wakes the next one while jobs are due.
-- ARGV: queue

redis.call('HDEL', PAUSED, ARGV[1])
wake(ARGV[1])
wake_workers()
return 1

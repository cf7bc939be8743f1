-- Removes a worker that shuts down, and leaves a wake-up where jobs still wait.
-- ARGV: worker id, then its queues

redis.call('DEL', WORKER .. ARGV[1])
redis.call('ZREM', WORKERS, ARGV[1])
for i = 2, #ARGV do
  if redis.call('ZCARD', QUEUE .. ARGV[i]) > 0 then
    wake(ARGV[i])
  end
end
wake_workers()
return 1

-- Fails jobs that were to start by a time that is over, for a reader who sees one before a worker does.
-- ARGV: retention of failed jobs (s)

expire_late(tonumber(ARGV[1]), 1000)
return 1

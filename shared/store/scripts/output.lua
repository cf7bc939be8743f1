-- A job's output, as far as its last claim has emitted it.
-- ARGV: id, claim whose chunks are known already, or 0; number of them; chunks to return at most; caller whose jobs
-- alone count, or ''
-- Returns {claim, its attempt, chunks so far, 1 if the job has ended else 0, the chunks after the known ones, as JSON};
--         of a job that is missing {-1} if it has expired lately, else {-2}
-- Known chunks of another claim count as none.

local id, known_claim, known, most, owner = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local state, claims, attempt, output, caller = unpack(
  redis.call('HMGET', RECORD .. id, 'state', 'claims', 'attempt', 'output', 'caller'))
if not state then
  return {expired_lately(id, owner) and -1 or -2}
elseif owner ~= '' and caller ~= owner then
  return {-2}
end
local ended = (state == 'pending' or state == 'running') and 0 or 1
local claim, of_attempt = string.match(output or '', '^(%d+):(%d+)$')
if claim ~= claims then  -- of an earlier claim, or none
  return {tonumber(claims or 0), tonumber(attempt or 0), 0, ended}
end
if known_claim ~= claim then
  known = 0
end
local total = redis.call('LLEN', OUTPUT .. id)
return {tonumber(claim), tonumber(of_attempt), total, ended,
  unpack(redis.call('LRANGE', OUTPUT .. id, known, known + most - 1))}

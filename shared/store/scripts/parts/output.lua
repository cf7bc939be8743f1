-- A job's output: the chunks that the handler of its last claim has emitted. Each claim begins it anew.

-- Appends to a job's output. `chunks` holds, one a line: its number within this claim, and its JSON. Chunks that an
-- earlier call has appended, whose reply was lost, are not appended again: the length of the list tells.
local function append_output(id, fencing_token, chunks)
  local record, key, entries = RECORD .. id, OUTPUT .. id, {}
  local claim, attempt, lines = unpack(redis.call('HMGET', record, 'output', 'attempt', 'lines'))
  local known = redis.call('LLEN', key)
  if string.match(claim or '', '^%d+') ~= fencing_token then
    redis.call('DEL', key)
    known = 0
    -- `lines`, so that the end of the job also bounds the life of its output
    redis.call('HSET', record, 'output', fencing_token .. ':' .. attempt, 'lines', lines or 0)
  end
  for number, chunk in string.gmatch(chunks, '(%d+) ([^\n]+)') do
    if tonumber(number) > known then
      entries[#entries + 1] = chunk
    end
  end
  for at = 1, #entries, 5000 do
    redis.call('RPUSH', key, unpack(entries, at, math.min(at + 4999, #entries)))
  end
  local left = redis.call('PTTL', record)
  if left > 0 then
    redis.call('PEXPIRE', key, left)
  end
end

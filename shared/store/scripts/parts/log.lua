-- A job's log, of which the last lines are kept.

local KEPT_LINES = 1000

-- Appends to a job's log. `lines` holds, one a line: its number within this claim, its age (ms),
-- and a JSON object. Lines that an earlier call has appended, whose reply was lost, are not appended again.
local function append_lines(id, fencing_token, lines)
  local record, entries = RECORD .. id, {}
  local version, written, logged = unpack(redis.call('HMGET', record, 'version', 'lines', 'logged'))
  local total, before, known = tonumber(written or 0), string.match(logged or '', '^(%d+):(%d+)$')
  known = before == fencing_token and tonumber(known) or 0
  for number, age, line in string.gmatch(lines, '(%d+) (%d+) ([^\n]+)') do
    if tonumber(number) > known then
      total, known = total + 1, tonumber(number)
      entries[#entries + 1] = '{"seq":' .. total .. ',"version":' .. version .. ',"at":' .. now - age .. ','
        .. string.sub(line, 2)
    end
  end
  if #entries == 0 then
    return
  end
  redis.call('HSET', record, 'lines', total, 'logged', fencing_token .. ':' .. known)
  redis.call('RPUSH', LOGS .. id, unpack(entries))
  redis.call('LTRIM', LOGS .. id, -KEPT_LINES, -1)
  local left = redis.call('PTTL', record)
  if left > 0 then
    redis.call('PEXPIRE', LOGS .. id, left)
  end
end

-- The times of a new job: due; run_at, or '' if it is due at once; start_by, or '' if it may start at any time.
local function times_of(due, delay, start_within)
  due = math.max(tonumber(due), now) + delay
  start_within = tonumber(start_within)
  return due, due > now and due or '', start_within > 0 and due + start_within or ''
end

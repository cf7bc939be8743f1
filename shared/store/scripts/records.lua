-- Several records, whole as far as they are not too many bytes together, else without their payload.
-- ARGV: bytes at most, number of fields, the fields of a record without its payload, then ids
-- Returns {fields and values of a record as pairs, per id; {} if it is missing}

local left, fields, records = tonumber(ARGV[1]), fields_from(3), {}
for i = 3 + #fields, #ARGV do
  local record = RECORD .. ARGV[i]
  left = left - OVERHEAD - payload_size(record)
  records[#records + 1] = left < 0 and excerpt(record, fields, math.huge) or redis.call('HGETALL', record)
end
return records

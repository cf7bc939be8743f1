-- The message of a job, as arq's workers read it: the job type's name and the job's id.
local function message_of(kind, id)
  return '{"t":null,"f":"' .. kind .. '","a":["' .. id .. '"],"k":{},"et":' .. now .. '}'
end


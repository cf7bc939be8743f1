-- The cancellation of a job, for the scripts that cancel one or several.

-- Cancels a waiting job, or asks the worker of a running one to stop. Returns 'cancelled' (also for a job that was
-- cancelled before), 'cancelling' or 'finished'.
local function cancel_job(id, job, queue, requested, retain)
  if job[STATE] == 'pending' then
    settle(queue, id, job, 'cancelled', retain.cancelled, {'cancel_requested', 1})
    note_move(id, 'cancelled')
    flush()
    redis.call('ZREM', QUEUE .. queue, id)
    redis.call('ZREM', START_BY, id)
    return 'cancelled'
  elseif job[STATE] == 'running' then
    if not requested then
      begin_writing()
      redis.call('HSET', RECORD .. id, 'cancel_requested', 1, 'version', job[VERSION] + 1)
      publish(CHANGES .. id, job[VERSION] + 1)
    end
    publish(CANCEL, id)
    rescue_one(queue, id, job[FENCING_TOKEN], retain)  -- its worker may have died: then this ends the job
    return redis.call('HGET', RECORD .. id, 'state') == 'cancelled' and 'cancelled' or 'cancelling'
  end
  return job[STATE] == 'cancelled' and 'cancelled' or 'finished'
end

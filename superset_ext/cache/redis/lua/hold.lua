-- A writer of the metadata database says that it is about to commit, or that it has committed.
-- KEYS: the stamp, the holds
-- ARGV: a new stamp, the writer's token, for how many ms it may take; 0 where it has ended
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('SET', KEYS[1], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ms)
if ARGV[3] == '0' then
  redis.call('ZREM', KEYS[2], ARGV[2])
else
  redis.call('ZADD', KEYS[2], ms + ARGV[3], ARGV[2])
end
return 1

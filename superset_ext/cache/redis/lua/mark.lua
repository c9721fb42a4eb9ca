-- The stamp of the metadata database, or nothing while somebody is writing there.
-- KEYS: the stamp, the holds
-- ARGV: the stamp to begin with, where there is none
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
if redis.call('ZCOUNT', KEYS[2], '(' .. ms, '+inf') > 0 then
  return ''
end
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])

-- Give a lease back, if it still is the caller's, and wake whoever waits for its answer.
-- KEYS: the lease
-- ARGV: the token, the channel, what to tell
local held = redis.pcall('GET', KEYS[1])
if type(held) == 'string' and string.sub(held, 1, #ARGV[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return redis.call('PUBLISH', ARGV[2], ARGV[3])

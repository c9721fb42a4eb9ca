-- Keep a lease, if it still is the caller's.
-- KEYS: the lease
-- ARGV: the token, how long in ms
-- Answer: 1 kept, 0 lost
local held = redis.pcall('GET', KEYS[1])
if type(held) == 'string' and string.sub(held, 1, #ARGV[1]) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0

-- Take the lease of an entry, unless somebody has one whose answer the caller may use.
-- KEYS: the lease
-- ARGV: the caller's token, when its read began in microseconds, how long it takes the lease in ms,
--   and when the read of a holder must have begun to be of use
-- Answer: {1} taken, {0, when the holder's read began, ms left}
local held = redis.pcall('GET', KEYS[1])
if type(held) == 'string' then
  local token, began = string.match(held, '^(%x+) (%d+)$')
  if token and token ~= ARGV[1] and tonumber(began) >= tonumber(ARGV[4]) then
    return {0, began, redis.call('PTTL', KEYS[1])}
  end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
return {1}

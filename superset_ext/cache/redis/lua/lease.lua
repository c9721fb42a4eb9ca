-- Take the lease of an entry, unless somebody has one whose answer the caller may use.
-- KEYS: the lease
-- ARGV: the caller's token, when its read began in microseconds and the last stamp it knew, how long it takes
--   the lease in ms, and when the read of a holder must have begun, and what stamp it must know, to be of use
-- Answer: {1} taken, {0, when the holder's read began, ms left}
local held = redis.pcall('GET', KEYS[1])
if type(held) == 'string' then
  local token, began, knows = string.match(held, '^(%x+) (%d+) (%d+)$')
  if token and token ~= ARGV[1] and tonumber(began) >= tonumber(ARGV[5]) and tonumber(knows) >= tonumber(ARGV[6]) then
    local left, now = redis.call('PTTL', KEYS[1]), redis.call('TIME')
    -- A holder from the future took it before the clock was set back: it would then last for as long as that.
    if tonumber(began) <= (now[1] + 1) * 1000000 + now[2] then
      return {0, began, left}
    end
  end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3], 'PX', ARGV[4])
return {1}

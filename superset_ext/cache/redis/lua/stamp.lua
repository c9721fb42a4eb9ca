-- Stamp tags with the server's time. A stamp never goes back, even where the clock did.
-- KEYS: the stamps
-- Answer: seconds, microseconds
local now = redis.call('TIME')
local stamp = string.format('%d%06d', now[1], now[2])
for _, key in ipairs(KEYS) do
  local old = redis.pcall('GET', key)
  if type(old) ~= 'string' or not string.match(old, '^%d+$') or tonumber(old) < tonumber(stamp) then
    redis.call('SET', key, stamp)
  end
end
return now

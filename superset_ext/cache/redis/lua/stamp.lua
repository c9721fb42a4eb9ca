-- Stamp tags. A stamp is the server's time in microseconds, or one more than the last stamp where the
-- clock is not later than that: a stamp never goes back and is never given twice, whatever the clock does.
-- KEYS: the hash of stamps
-- ARGV: 16 hexadecimal digits for a new era, how many tags a hash may hold, the tags …
-- Answer: seconds, microseconds
local now = redis.call('TIME')
local time = string.format('%d%06d', now[1], now[2])
local head = redis.pcall('HGET', KEYS[1], '~')
local era, last, count
if type(head) == 'string' and #head == 57 then
  era, last, count = string.match(head, '^([1-8]%d+%-%x+) ([1-8]%d+) (%d+)$')
end
if not era or tonumber(count) ~= redis.call('HLEN', KEYS[1]) or tonumber(count) > tonumber(ARGV[2]) then
  redis.call('UNLINK', KEYS[1])
  era, last = time .. '-' .. ARGV[1], time
end
local stamp = string.format('%.0f', math.max(tonumber(time), tonumber(last) + 1))
local fields = {'~', ''}
for index = 3, #ARGV do
  fields[#fields + 1] = ARGV[index]
  fields[#fields + 1] = stamp
end
redis.call('HSET', KEYS[1], unpack(fields))
redis.call('HSET', KEYS[1], '~', string.format('%s %s %06d', era, stamp, redis.call('HLEN', KEYS[1])))
return now

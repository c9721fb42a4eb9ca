-- All that is needed to judge an entry, beside its bytes, which a plain GET in the same round trip
-- brings: returning them from here would copy them once more inside the server.
-- KEYS: the entry, the zset of remembered deadlines
-- ARGV: what a stamp's key begins with ('' where entries have no tags), the entry's digest
-- Answer: seconds, microseconds, entry id or '', remembered deadline in ms or false, stamps or false …
local now = redis.call('TIME')
local head = redis.pcall('GETRANGE', KEYS[1], 0, 55)
if type(head) ~= 'string' or #head < 56 then
  return {now[1], now[2], '', redis.call('ZSCORE', KEYS[2], ARGV[2])}
end
local answer = {now[1], now[2], string.sub(head, 9, 24), false}
local high, low = string.byte(head, 7, 8)
local length = high * 256 + low
if ARGV[1] ~= '' and length > 0 then
  for tag in string.gmatch(redis.call('GETRANGE', KEYS[1], 56, 55 + length), '[^\n]+') do
    answer[#answer + 1] = redis.call('GET', ARGV[1] .. tag)
  end
end
return answer

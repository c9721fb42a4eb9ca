-- All that is needed to judge an entry, beside its bytes, which a plain GET in the same round trip
-- brings: returning them from here would copy them once more inside the server.
-- KEYS: the entry, the zset of remembered deadlines
-- ARGV: what a stamp's key begins with ('' where entries have no tags), the entry's digest
-- Answer, one string, since each element of a list costs the client as much as ten of these words:
--   the entry's id (16 bytes, zero without an entry), then seconds, microseconds, the remembered
--   deadline in ms of an absent entry or '-', and each tag's stamp or '-', separated by spaces
local now = redis.call('TIME')
local head = redis.pcall('GETRANGE', KEYS[1], 0, 255)  -- nearly always with all tags
if type(head) ~= 'string' or #head < 80 then
  local deadline = redis.call('ZSCORE', KEYS[2], ARGV[2]) or '-'
  return string.rep('\0', 16) .. now[1] .. ' ' .. now[2] .. ' ' .. deadline
end
local high, low = string.byte(head, 7, 8)
local length = high * 256 + low
local said = string.sub(head, 9, 24) .. now[1] .. ' ' .. now[2] .. ' -'
if ARGV[1] == '' or length == 0 then
  return said
end
local block = length <= 176 and string.sub(head, 81, 80 + length) or redis.call('GETRANGE', KEYS[1], 80, 79 + length)
local words = {said}
for tag in string.gmatch(block, '[^\n]+') do
  words[#words + 1] = redis.call('GET', ARGV[1] .. tag) or '-'
end
return table.concat(words, ' ')

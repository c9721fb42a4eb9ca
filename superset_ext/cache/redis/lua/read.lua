-- All that is needed to judge an entry, beside its bytes, which a plain GET in the same round trip
-- brings: returning them from here would copy them once more inside the server.
-- KEYS: the entry, the zset of remembered deadlines; where entries have tags, the hash of stamps
-- ARGV: the entry's digest
-- Answer: the error where the server refuses the entry, else one string, since each element of a list costs
--   the client as much as ten of these words:
--   the entry's id (16 bytes, zero without an entry), then seconds, microseconds, the remembered
--   deadline in ms of an absent entry or '-', the era of the stamps and the last stamp or '- -', and
--   each tag's stamp or '-', separated by spaces
local now = redis.call('TIME')
local head = redis.pcall('GETRANGE', KEYS[1], 0, 255)  -- nearly always with all tags
local absent = type(head) ~= 'string' or #head < 88
local tags, count = {'~'}, 1
if KEYS[3] and not absent then
  local high, low = string.byte(head, 7, 8)
  local length = high * 256 + low
  local block = length <= 168 and string.sub(head, 89, 88 + length) or redis.call('GETRANGE', KEYS[1], 88, 87 + length)
  for tag in string.gmatch(block, '[^\n]+') do
    count = count + 1
    tags[count] = tag
  end
end

local words = {}
if KEYS[3] then
  for first = 1, count, 4000 do  -- the stack takes no more
    local stamps = redis.pcall('HMGET', KEYS[3], unpack(tags, first, math.min(first + 3999, count)))
    if stamps.err then
      break  -- something else lies under the key of the stamps
    end
    if count <= 4000 then
      words = stamps
    else
      for i = 1, #stamps do
        words[first + i - 1] = stamps[i]
      end
    end
  end
  for i = 2, count do
    local stamp = words[i]
    if not stamp then
      words[i] = '-'
    elseif stamp == '-' then
      words[i] = '?'  -- of somebody else, who must not say that there is none
    end
  end
end
local era = words[1]
-- Of an era: its name, the last stamp and the number of fields; one that is missing would read as «unchanged».
if era and #era == 57 and tonumber(string.sub(era, 52)) == redis.call('HLEN', KEYS[3]) then
  words[1] = string.sub(era, 1, 50)
else
  words = {'- -'}
end
if absent then
  if type(head) == 'table' and string.sub(head.err, 1, 9) ~= 'WRONGTYPE' then
    return head  -- refused, which is no miss
  end
  local deadline = redis.call('ZSCORE', KEYS[2], ARGV[1]) or '-'
  return string.rep('\0', 16) .. now[1] .. ' ' .. now[2] .. ' ' .. deadline .. ' ' .. words[1]
end
return string.sub(head, 9, 24) .. now[1] .. ' ' .. now[2] .. ' - ' .. table.concat(words, ' ')

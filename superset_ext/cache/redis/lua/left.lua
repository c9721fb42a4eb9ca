-- For how long many entries of one server are still of use, in as few bytes as it can be said.
-- KEYS: the entries
-- ARGV: the hash of stamps and the run and era that count, hashed ('' and '' where entries have no tags)
-- Answers 8 bytes a key, a signed little-endian number: milliseconds, -2 none or out of date, -1 no end;
-- or the error where the server refuses an entry.
local now = redis.call('TIME')
local now_us = now[1] * 1000000 + now[2]

local function number(bytes)
  local high, low = struct.unpack('>I4I4', bytes)
  return high * 4294967296 + low
end

local function outdated(key, head)
  if string.sub(head, 73, 80) ~= ARGV[2] then
    return true
  end
  local high, low = string.byte(head, 7, 8)
  local known = number(string.sub(head, 65, 72))
  for tag in string.gmatch(redis.call('GETRANGE', key, 88, 87 + high * 256 + low), '[^\n]+') do
    local stamp = redis.call('HGET', ARGV[1], tag)
    if stamp and (tonumber(stamp) or 2^53) > known then
      return true
    end
  end
  return false
end

local left = {}
for index, key in ipairs(KEYS) do
  local head = redis.pcall('GETRANGE', key, 0, 87)
  if type(head) == 'table' and string.sub(head.err, 1, 9) ~= 'WRONGTYPE' then
    return head
  end
  local ms = -2
  if type(head) == 'string' and #head == 88 then
    local until_us = number(string.sub(head, 81, 88))
    ms = until_us == 0 and -1 or math.max(-2, math.floor((until_us - now_us) / 1000))
    if ms == -1 and until_us > 0 or ms ~= -2 and ARGV[1] ~= '' and outdated(key, head) then
      ms = -2
    end
  end
  left[index] = struct.pack('<i8', ms)
end
return table.concat(left)

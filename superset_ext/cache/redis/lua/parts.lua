-- Whether every entry that a grant was made of is still the one it was: replaced, deleted and expired ones are not.
-- The grant names them in its tags, as `part:ID:KEY` with the id in hexadecimal digits.
-- KEYS: the grant
-- Answer: 1, or 0 where one is not, or the grant names none
local head = redis.pcall('GETRANGE', KEYS[1], 0, 79)
if type(head) ~= 'string' or #head < 80 then
  return 0
end
local high, low = string.byte(head, 7, 8)
local block = redis.call('GETRANGE', KEYS[1], 80, 79 + high * 256 + low)
local same = 0
for id, key in string.gmatch('\n' .. block, '\npart:(%x+):([^\n]+)') do
  local now = redis.pcall('GETRANGE', key, 8, 23)
  if type(now) ~= 'string' or #now ~= 16 then
    return 0
  end
  if string.gsub(now, '.', function(c) return string.format('%02x', string.byte(c)) end) ~= id then
    return 0
  end
  same = 1
end
return same

-- Whether every entry that a grant was made of is still the one it was: replaced, deleted and expired ones are not.
-- The grant names them in its tags, as `part:ID:KEY` with the id in hexadecimal digits.
-- KEYS: the grant
-- Answer: the grant's id, or nothing where one is not, or the grant names none; the error where the server
--   refuses one
local head = redis.pcall('GETRANGE', KEYS[1], 0, 87)
if type(head) == 'table' and string.sub(head.err, 1, 9) ~= 'WRONGTYPE' then
  return head
end
if type(head) ~= 'string' or #head < 88 then
  return ''
end
local high, low = string.byte(head, 7, 8)
local block = redis.call('GETRANGE', KEYS[1], 88, 87 + high * 256 + low)
local same, hex = '', string.rep('%02x', 16)
for id, key in string.gmatch('\n' .. block, '\npart:(%x+):([^\n]+)') do
  local now = redis.pcall('GETRANGE', key, 8, 23)
  if type(now) == 'table' and string.sub(now.err, 1, 9) ~= 'WRONGTYPE' then
    return now
  end
  if type(now) ~= 'string' or #now ~= 16 then
    return ''
  end
  if string.format(hex, string.byte(now, 1, 16)) ~= id then
    return ''
  end
  same = string.sub(head, 9, 24)
end
return same

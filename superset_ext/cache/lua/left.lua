-- How long many keys of one server still live, in as few bytes as it can be said.
-- KEYS: the keys.
-- Answers 8 bytes a key: PTTL's reply as a signed little-endian number (-2: no key, -1: no end).
local left = {}
for index, key in ipairs(KEYS) do
  left[index] = struct.pack('<i8', redis.call('PTTL', key))
end
return table.concat(left)

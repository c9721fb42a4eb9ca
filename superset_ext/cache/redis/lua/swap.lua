-- Store an entry if what is there now is still what the caller has seen: `add`, `inc` and `dec`.
-- KEYS: the entry
-- ARGV: the entry id seen ('' for none), the new bytes, its timeout in ms, 0 for ever, -1 to leave it
-- Answer: 1 stored, 0 somebody else was faster; the error where the server refuses the entry
local seen = redis.pcall('GETRANGE', KEYS[1], 8, 23)
if type(seen) == 'table' and string.sub(seen.err, 1, 9) ~= 'WRONGTYPE' then
  return seen
end
if type(seen) ~= 'string' or seen ~= ARGV[1] then
  return 0
end
local ttl = tonumber(ARGV[3])
if ttl > 0 then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ttl)
elseif ttl == 0 then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
end
return 1

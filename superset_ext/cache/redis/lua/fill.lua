-- Store an entry, unless one is there whose read began later: whoever was slow must not undo it.
-- The time of the read is the fencing token: it is the server's own clock, and each owner's is later
-- than that of the owner before it.
-- KEYS: the entry
-- ARGV: its bytes, its timeout in ms, 0 for ever
-- Answer: 1 stored, 0 a newer one is there
local old = redis.pcall('GETRANGE', KEYS[1], 0, 71)
if type(old) == 'string' and #old == 72 and string.sub(old, 1, 4) == string.sub(ARGV[1], 1, 4)
  and string.sub(old, 65, 72) == string.sub(ARGV[1], 65, 72)
  and string.sub(old, 57, 64) > string.sub(ARGV[1], 57, 64) then
  return 0
end
if ARGV[2] == '0' then
  redis.call('SET', KEYS[1], ARGV[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1

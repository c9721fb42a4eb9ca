-- Store an entry, unless one is there whose read began later: whoever was slow must not undo it.
-- The time of the read is the fencing token: it is the server's own clock, and each owner's is later
-- than that of the owner before it.
-- Where the caller has the entry's lease, give it back as well, and tell the waiters what became of it.
-- KEYS: the entry; of a caller with a lease, the lease
-- ARGV: the entry's bytes, its timeout in ms, 0 for ever; of a caller with a lease, its token, the
--   channel, what to publish when the entry is there, and what when it is not
-- Answer: 1 stored, 0 a newer one is there; the error if the server refused to store it, and then none is there
local function fill()
  local old = redis.pcall('GETRANGE', KEYS[1], 0, 71)
  if type(old) == 'string' and #old == 72 and string.sub(old, 1, 4) == string.sub(ARGV[1], 1, 4)
    and string.sub(old, 65, 72) == string.sub(ARGV[1], 65, 72)
    and string.sub(old, 57, 64) > string.sub(ARGV[1], 57, 64) then
    return 0
  end
  local done
  if ARGV[2] == '0' then
    done = redis.pcall('SET', KEYS[1], ARGV[1])
  else
    done = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  end
  if done.err then
    redis.pcall('UNLINK', KEYS[1])
    return done
  end
  return 1
end

local answer = fill()
if KEYS[2] then
  local held = redis.pcall('GET', KEYS[2])
  if type(held) == 'string' and string.sub(held, 1, #ARGV[3]) == ARGV[3] then
    redis.call('DEL', KEYS[2])
  end
  redis.call('PUBLISH', ARGV[4], type(answer) == 'number' and ARGV[5] or ARGV[6])
end
return answer

-- Store an entry, unless one is there whose read began later: whoever was slow must not undo it.
-- A read is later that knew a later stamp; with the same last stamp, the one that began at a later time.
-- A time that is still to come is none: the clock was set back since.
-- Where the caller has the entry's lease, give it back as well, and tell the waiters what became of it.
-- KEYS: the entry; of a caller with a lease, the lease
-- ARGV: the entry's bytes, its timeout in ms, 0 for ever, the latest time that may be, as in an entry; of a
--   caller with a lease, its token, the channel, what to publish when the entry is there, and what when it is not
-- Answer: 1 stored, 0 a newer one is there; the error if the server refused to read or store it, and
--   then none that it has stored is there
local function number(bytes)  -- Lua orders strings by the locale that the server runs in
  local high, low = struct.unpack('>I4I4', bytes)
  return high * 4294967296 + low
end

local function later(old, new)
  if #old < 80 or string.sub(old, 1, 4) ~= string.sub(new, 1, 4) or string.sub(old, 73, 80) ~= string.sub(new, 73, 80) then
    return false
  end
  local known, knows = number(string.sub(old, 65, 72)), number(string.sub(new, 65, 72))
  local began = number(string.sub(old, 57, 64))
  return known > knows or known == knows and began > number(string.sub(new, 57, 64)) and began <= number(ARGV[3])
end

local function fill()
  local old = redis.pcall('GETRANGE', KEYS[1], 0, 79)
  if type(old) == 'table' and string.sub(old.err, 1, 9) ~= 'WRONGTYPE' then
    return old
  end
  if type(old) == 'string' and later(old, ARGV[1]) then
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
  if type(held) == 'string' and string.sub(held, 1, #ARGV[4]) == ARGV[4] then
    redis.call('DEL', KEYS[2])
  end
  redis.call('PUBLISH', ARGV[5], type(answer) == 'number' and ARGV[6] or ARGV[7])
end
return answer

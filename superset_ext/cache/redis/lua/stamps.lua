-- The clock, a remembered deadline, the era and the stamps of given tags: the second hop of a read where
-- the entry lives on another node of a cluster, was replaced between the two halves of the first, or
-- where no era was there. An era begins here if there is none.
-- KEYS: the zset of remembered deadlines; where entries have tags, the hash of stamps
-- ARGV: the entry's digest, 16 hexadecimal digits for a new era, the tags …
-- Answer: as read.lua's, with zeroes for the id
local now = redis.call('TIME')
local words = {now[1], now[2], redis.call('ZSCORE', KEYS[1], ARGV[1]) or '-'}
local function begun()
  local era = redis.pcall('HGET', KEYS[2], '~')
  if type(era) == 'string' and #era == 57 and string.match(era, '^[1-8]%d+%-%x+ [1-8]%d+ %d+$')
    and tonumber(string.sub(era, 52)) == redis.call('HLEN', KEYS[2]) then
    return string.sub(era, 1, 50)
  end
  local time = string.format('%d%06d', now[1], now[2])
  era = time .. '-' .. ARGV[2] .. ' ' .. time
  redis.call('UNLINK', KEYS[2])
  redis.call('HSET', KEYS[2], '~', era .. ' 000001')
  return era
end

words[4] = KEYS[2] and begun() or '- -'
for first = 3, #ARGV, 4000 do
  for _, stamp in ipairs(redis.call('HMGET', KEYS[2], unpack(ARGV, first, math.min(first + 3999, #ARGV)))) do
    words[#words + 1] = stamp ~= '-' and stamp or stamp and '?' or '-'
  end
end
return string.rep('\0', 16) .. table.concat(words, ' ')

-- The clock, a remembered deadline and the stamps of given tags: the second hop of a read where the
-- entry lives on another node of a cluster, or was replaced between the two halves of the first.
-- KEYS: the zset of remembered deadlines, the stamps …
-- ARGV: the entry's digest
-- Answer: as read.lua's, with zeroes for the id
local now = redis.call('TIME')
local words = {now[1], now[2], redis.call('ZSCORE', KEYS[1], ARGV[1]) or '-'}
for i = 2, #KEYS do
  words[#words + 1] = redis.call('GET', KEYS[i]) or '-'
end
return string.rep('\0', 16) .. table.concat(words, ' ')

-- Of a grant what `read.lua` and `parts.lua` say, which stand before this as the functions `read` and `parts`.
-- Answer: the error where the server refuses; else 1 where every entry that it was made of is still the one it was, or
--   0, and the answer of `read.lua`
local head = read()
if type(head) == 'table' then
  return head
end
local id = parts()
if type(id) == 'table' then
  return id
end
return (id ~= '' and '1' or '0') .. head

-- A page of a channel's members: their values.
-- KEYS: members, order. ARGV: process, session behind which it begins (empty for the beginning), maximum number.

local from = ARGV[2] == '' and '-' or '(' .. ARGV[2]
local sessions = redis.call('ZRANGEBYLEX', KEYS[2], from, '+', 'LIMIT', 0, ARGV[3])
local page = {}
for index, session in ipairs(sessions) do
  local value = redis.call('HGET', KEYS[1], session)
  local _, _, movement = read_member(value or ' 0 0 ')
  page[index] = movement
end
return page

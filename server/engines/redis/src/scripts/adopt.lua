-- Gives a partition to the process that executes this. Its generation is raised if the process may lack the newest publications: after
-- a failover or a restart. It stays if the partition was moved from another living master, which loses nothing.
-- KEYS: generation.
-- ARGV: process, id of its replication, id of the replication that it has followed before, a random name, then the living masters.
--
-- A generation has a number and the name: two servers that go on from the same data, because both are taken for the master, must not
-- have one generation.

local known = redis.call('HMGET', KEYS[1], 'r', 'i', 'n')
if known[1] == ARGV[1] then
  return 0
end
local is_moved = false
if known[2] ~= ARGV[3] then
  for index = 5, #ARGV do
    is_moved = is_moved or ARGV[index] == known[1]
  end
end
local generation = known[3]
if not is_moved or not generation then
  local number = tonumber(string.match(generation or '', '^%d+')) or 0
  generation = string.format('%.0f', number + 1) .. '-' .. ARGV[4]
end
redis.call('HSET', KEYS[1], 'r', ARGV[1], 'i', ARGV[2], 'n', generation)
return 1

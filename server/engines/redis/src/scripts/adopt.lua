-- Gives a partition to the process that executes this. Its generation is raised if the process may lack the newest publications: after
-- a failover or a restart. It stays if the partition was moved from another living master, which loses nothing.
-- KEYS: generation.
-- ARGV: process, id of its replication, id of the replication that it has followed before, then the living masters.

local known = redis.call('HMGET', KEYS[1], 'r', 'i', 'n')
if known[1] == ARGV[1] then
  return 0
end
local is_moved = false
if known[2] ~= ARGV[3] then
  for index = 4, #ARGV do
    is_moved = is_moved or ARGV[index] == known[1]
  end
end
local number = (tonumber(known[3]) or 0) + (is_moved and 0 or 1)
redis.call('HSET', KEYS[1], 'r', ARGV[1], 'i', ARGV[2], 'n', string.format('%.0f', number))
return 1

-- Stores the report of a node with the time of the store.
-- KEYS: nodes. ARGV: process, owner, report, time after which a node is dead, '1' for the first report of an owner.
-- Returns 0 if the earlier reports are lost or too old: then the node has to go on with another owner, because the members of this
-- one are removed.

local now = time()
local last = redis.call('HGET', KEYS[1], ARGV[2])
if ARGV[5] ~= '1' and (not last or tonumber(string.match(last, '^%d+')) + ARGV[4] <= now) then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[2], string.format('%.0f', now) .. ' ' .. ARGV[3])
return 1

-- The nodes with their reports.
-- KEYS: nodes. ARGV: process.
-- Returns the time of the store, then id and report of each node.

local answer = redis.call('HGETALL', KEYS[1])
table.insert(answer, 1, string.format('%.0f', time()))
return answer

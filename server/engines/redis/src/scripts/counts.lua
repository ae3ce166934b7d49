-- The numbers of sessions and users in a channel.
-- KEYS: order, users. ARGV: process.

local anonymous = redis.call('HGET', KEYS[2], '')
local users = redis.call('HLEN', KEYS[2])
if anonymous then
  users = users - 1 + anonymous
end
return { redis.call('ZCARD', KEYS[1]), users }

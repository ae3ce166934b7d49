-- Ends the grace of a session, if its time has come.
-- KEYS: members, order, users, leaving.
-- ARGV: process, session, name of the channel, command of the delivery, its channel.

local name = leaving_name(ARGV[3], ARGV[2])
local due = tonumber(redis.call('ZSCORE', KEYS[4], name) or nil)
if not due or due > time() then
  return 0
end
redis.call('ZREM', KEYS[4], name)
local value = redis.call('HGET', KEYS[1], ARGV[2])
if not value then
  return 0
end
local grace, user, movement = read_member(value)
redis.call('HDEL', KEYS[1], ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[2])
if redis.call('HGET', KEYS[3], user) == '-' .. ARGV[2] then
  redis.call('HDEL', KEYS[3], user)
end
redis.call(ARGV[4], ARGV[5], 'l' .. movement)
return 1

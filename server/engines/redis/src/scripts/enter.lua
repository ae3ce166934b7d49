-- Enters a session in a channel.
-- KEYS: members, order, users, leaving, channels of the owner, sessions of the owner in the channel.
-- ARGV: process, session, user (empty for an anonymous one), grace in milliseconds (empty without joins and leaves), movement,
--       owner, name of the channel, command of the delivery, its channel.

local session, user, grace = ARGV[2], ARGV[3], ARGV[4]
local value = member_value(grace, ARGV[6], user, ARGV[5])
local is_here = redis.call('HEXISTS', KEYS[1], session) == 1
  and not redis.call('ZSCORE', KEYS[4], leaving_name(ARGV[7], session))
local is_first = not is_here
if not is_here then
  local known = user ~= '' and redis.call('HGET', KEYS[3], user)
  if user == '' then
    redis.call('HINCRBY', KEYS[3], '', 1)
  elseif not known then
    redis.call('HSET', KEYS[3], user, 1)
  else
    is_first = false
    if string.sub(known, 1, 1) == '-' then
      local last = string.sub(known, 2)
      redis.call('ZREM', KEYS[4], leaving_name(ARGV[7], last))
      redis.call('HDEL', KEYS[1], last)
      redis.call('ZREM', KEYS[2], last)
      redis.call('HSET', KEYS[3], user, 1)
    else
      redis.call('HINCRBY', KEYS[3], user, 1)
    end
  end
end
redis.call('HSET', KEYS[1], session, value)
redis.call('ZADD', KEYS[2], 0, session)
redis.call('SADD', KEYS[5], ARGV[7])
redis.call('SADD', KEYS[6], session)
if is_first and grace ~= '' then
  redis.call(ARGV[8], ARGV[9], 'j' .. ARGV[5])
end
return 1

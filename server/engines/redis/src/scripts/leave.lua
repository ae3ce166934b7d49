-- Removes a session of an owner from a channel.
-- KEYS: members, order, users, leaving, channels of the owner, sessions of the owner in the channel.
-- ARGV: process, session, owner, name of the channel, command of the delivery, its channel.

local session = ARGV[2]
if redis.call('SREM', KEYS[6], session) == 0 then
  return 0
end
if redis.call('EXISTS', KEYS[6]) == 0 then
  redis.call('SREM', KEYS[5], ARGV[4])
end
local value = redis.call('HGET', KEYS[1], session)
if not value then
  return 0
end
local grace, user, movement, owner = read_member(value)
if owner ~= ARGV[3] then
  return 0
end
local is_last = true
if user == '' then
  if redis.call('HINCRBY', KEYS[3], '', -1) <= 0 then
    redis.call('HDEL', KEYS[3], '')
  end
else
  local here = (tonumber(redis.call('HGET', KEYS[3], user)) or 1) - 1
  if here > 0 then
    redis.call('HSET', KEYS[3], user, here)
    is_last = false
  elseif grace ~= '' and grace ~= '0' then
    redis.call('HSET', KEYS[3], user, '-' .. session)
    redis.call('ZADD', KEYS[4], time() + grace, leaving_name(ARGV[4], session))
    return 1
  else
    redis.call('HDEL', KEYS[3], user)
  end
end
redis.call('HDEL', KEYS[1], session)
redis.call('ZREM', KEYS[2], session)
if is_last and grace ~= '' then
  redis.call(ARGV[5], ARGV[6], 'l' .. movement)
end
return 1

-- Counts a session as one of its user.
-- KEYS: sessions of the user with their owners, counted sessions of the owner. ARGV: process, session, user, owner, maximum number.

local is_counted = redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1
if not is_counted and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
redis.call('SADD', KEYS[2], ARGV[2] .. ARGV[3])
return 1

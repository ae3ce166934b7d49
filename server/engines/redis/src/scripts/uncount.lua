-- Counts a session of an owner no longer.
-- KEYS: sessions of the user with their owners, counted sessions of the owner. ARGV: process, session, user, owner.

redis.call('SREM', KEYS[2], ARGV[2] .. ARGV[3])
if redis.call('HGET', KEYS[1], ARGV[2]) == ARGV[4] then
  redis.call('HDEL', KEYS[1], ARGV[2])
end
return 1

-- The sessions of a partition whose grace has passed: each is the session and the name of the channel.
-- KEYS: leaving. ARGV: process, maximum number.

return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', time(), 'LIMIT', 0, ARGV[2])

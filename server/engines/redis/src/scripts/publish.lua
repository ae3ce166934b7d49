-- Publishes a message.
-- KEYS: generation, state, stream, key of the publish (absent without one).
-- ARGV: process, fresh epoch, command of the delivery, its channel, message, bytes of the payload, time for which the key is kept,
--       then for a channel with history: number, time and bytes of its history.
-- Returns "offset epoch", "0 " without history.

local known = KEYS[4] and redis.call('GET', KEYS[4])
if known then
  return known
end
local now = time()
local offset, epoch = 0, ''
if ARGV[8] then
  local size, ttl, most_bytes = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
  local channel = log(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2])
  if not channel then
    return not_adopted()
  end
  local count = redis.call('XLEN', KEYS[3])
  if count == 0 then
    channel.bytes, channel.expiry = 0, now + ttl
  end
  offset, epoch = channel.offset + 1, channel.epoch
  channel.bytes = channel.bytes + ARGV[6]
  redis.call('XADD', KEYS[3], text(offset) .. '-0', 't', text(now), 'n', ARGV[6], 'm', ARGV[5])
  redis.call('HSET', KEYS[2], 'o', text(offset), 'b', text(channel.bytes), 'x', text(channel.expiry))
  trim(KEYS[3], KEYS[2], channel, now, size, ttl, most_bytes)
  redis.call('PEXPIRE', KEYS[3], text(ttl))
  keep(KEYS[2], offset, ttl)
end
local answer = text(offset) .. ' ' .. epoch
-- The delivery is last: a write that is refused, because the memory is full, has delivered nothing.
if KEYS[4] then
  redis.call('SET', KEYS[4], answer, 'PX', ARGV[7])
end
redis.call(ARGV[3], ARGV[4], 'p' .. text(offset) .. ' ' .. text(now) .. ' ' .. epoch .. ' ' .. ARGV[5])
return answer

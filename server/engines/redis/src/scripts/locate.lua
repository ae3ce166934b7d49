-- Finds the newest offset of a channel, the offset before its oldest kept publication, and the starts of its last generations.
-- KEYS: generation, state, stream.
-- ARGV: process, fresh epoch, number, time and bytes of its history.

local size, ttl, most_bytes = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local channel = log(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2])
if not channel then
  return not_adopted()
end
local count = trim(KEYS[3], KEYS[2], channel, time(), size, ttl, most_bytes)
keep(KEYS[2], channel.offset, ttl)
return { channel.epoch, text(channel.offset), text(math.max(0, channel.offset - count)), channel.starts }

-- Reads a page of a channel's history.
-- KEYS: generation, state, stream.
-- ARGV: process, fresh epoch, number, time and bytes of its history, maximum number and bytes of the page, '1' for newest first,
--       offset and epoch of the position behind which it begins (absent without one).
-- Returns nothing if the position is of another epoch, or if publications behind it are lost. Otherwise: epoch, newest offset,
-- '1' if there are more, then offset, time and message of each publication.

local size, ttl, most_bytes = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local limit, page_bytes, reverse = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == '1'
local since = tonumber(ARGV[9])
local channel = log(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2])
if not channel then
  return not_adopted()
end
local count = trim(KEYS[3], KEYS[2], channel, time(), size, ttl, most_bytes)
keep(KEYS[2], channel.offset, ttl)
if since and (ARGV[10] ~= channel.epoch or since > channel.offset) then
  return false
end
local before_oldest = math.max(0, channel.offset - count)
local from, to
if reverse then
  from, to = since and math.min(since - 1, channel.offset) or channel.offset, before_oldest + 1
  count = from - to + 1
else
  since = since or before_oldest
  if since < before_oldest then
    return false
  end
  from, to = since + 1, channel.offset
  count = to - from + 1
end
local page, bytes, taken = { channel.epoch, text(channel.offset), '0' }, 0, 0
-- A page of none is a question about the position alone.
while limit > 0 and taken < count do
  if taken >= limit then
    page[3] = '1'
    break
  end
  local step = math.min(16, limit - taken)
  local raw
  if reverse then
    raw = redis.call('XREVRANGE', KEYS[3], text(from - taken) .. '-0', text(to) .. '-0', 'COUNT', step)
  else
    raw = redis.call('XRANGE', KEYS[3], text(from + taken) .. '-0', text(to) .. '-0', 'COUNT', step)
  end
  if not raw[1] then
    break
  end
  for _, each in ipairs(raw) do
    local publication = entry(each)
    if taken > 0 and bytes + publication.bytes > page_bytes then
      page[3] = '1'
      return page
    end
    bytes = bytes + publication.bytes
    taken = taken + 1
    page[#page + 1] = text(publication.offset)
    page[#page + 1] = text(publication.time)
    page[#page + 1] = publication.blob
  end
end
return page

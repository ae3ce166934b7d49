-- The log of a channel, shared by several scripts.
--
-- The state of a channel is a hash: e (the name of its epochs), o (the newest offset), b (the bytes of the kept payloads),
-- x (the time at which the oldest publication expires), s (the last generations, each as "name:offset" with its first offset less
-- one: a subscriber of an earlier generation continues there at the latest). Its publications are a stream; the id of each is its offset.
-- The generation of a partition is a hash: r (the process that has it), i (the id of its replication), n (its name, which is part of
-- every epoch). Another process has to adopt the partition first: see adopt.lua.

local function time()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

local function text(number)
  return string.format('%.0f', number)
end

-- The generation of a partition; nothing if another process has it.
local function generation(key, process)
  local known = redis.call('HMGET', key, 'r', 'n')
  return known[1] == process and known[2]
end

local function not_adopted()
  return redis.error_reply('NOTADOPTED another process has this partition')
end

-- The epoch of a channel: its name, its generation, the offset before the first one of the generation, and the generation before.
-- So an epoch of a server that was wrongly taken for the master shows how far it goes back to the same messages.
local function epoch_of(name, starts)
  local before, last, start = string.match(starts, '(%S*):%d+ (%S+):(%d+)$')
  if not last then
    before, last, start = '', string.match(starts, '(%S+):(%d+)$')
  end
  return name .. '.' .. last .. '.' .. start .. '.' .. before
end

-- The starts of the generations of a channel, with the present one.
local function with_generation(state_key, offset, starts, generation)
  starts = starts or ''
  if string.match(starts, '(%S+):%d+$') == generation then
    return starts
  end
  starts = string.gsub(starts .. ' ' .. generation .. ':' .. text(offset), '^ ', '')
  local _, count = string.gsub(starts, ':', '')
  if count > 8 then
    starts = string.gsub(starts, '^%S+ ', '')
  end
  redis.call('HSET', state_key, 's', starts)
  return starts
end

-- The state of a channel; a new one gets the name `fresh`. Nothing if another process has the partition.
local function log(generation_key, state_key, stream_key, process, fresh)
  local number = generation(generation_key, process)
  if not number then
    return nil
  end
  local state = redis.call('HMGET', state_key, 'e', 'o', 'b', 'x', 's')
  if not state[1] then
    redis.call('DEL', stream_key)
    redis.call('HSET', state_key, 'e', fresh, 'o', 0)
    state = { fresh, 0, 0, 0, '' }
  end
  local starts = with_generation(state_key, state[2], state[5], number)
  return {
    starts = starts,
    name = state[1],
    epoch = epoch_of(state[1], starts),
    offset = tonumber(state[2]) or 0,
    bytes = tonumber(state[3]) or 0,
    expiry = tonumber(state[4]) or 0,
  }
end

-- An entry of the stream as a table.
local function entry(raw)
  local fields = raw[2]
  return {
    offset = tonumber(string.match(raw[1], '^(%d+)')),
    time = tonumber(fields[2]),
    bytes = tonumber(fields[4]),
    blob = fields[6],
  }
end

-- Keeps the state of a channel for a day, and longer if its history lives longer. One that was never used is forgotten sooner.
local function keep(state_key, offset, ttl)
  local longest = offset == 0 and 600000 or math.max(86400000, 2 * ttl)
  redis.call('PEXPIRE', state_key, text(longest))
end

-- Removes publications that are too old, too many or too large, the oldest first, and the newest never for its size alone.
-- Returns the number of those that are left, and changes the state.
local function trim(stream_key, state_key, channel, now, size, ttl, most_bytes)
  local count = redis.call('XLEN', stream_key)
  if count == 0 then
    channel.bytes = 0
    return 0
  end
  local cut
  while count > 0 and (count > size or (count > 1 and channel.bytes > most_bytes) or channel.expiry <= now) do
    local from = cut and ('(' .. text(cut) .. '-0') or '-'
    local raw = redis.call('XRANGE', stream_key, from, '+', 'COUNT', 2)
    if not raw[1] then
      count = 0
      break
    end
    local oldest = entry(raw[1])
    if not (count > size or (count > 1 and channel.bytes > most_bytes) or oldest.time + ttl <= now) then
      channel.expiry = oldest.time + ttl
      redis.call('HSET', state_key, 'x', text(channel.expiry))
      break
    end
    cut = oldest.offset
    count = count - 1
    channel.bytes = channel.bytes - oldest.bytes
    channel.expiry = raw[2] and entry(raw[2]).time + ttl or now + ttl
  end
  if cut then
    redis.call('XTRIM', stream_key, 'MINID', text(cut + 1) .. '-0')
    if count == 0 then
      channel.bytes = 0
    end
    redis.call('HSET', state_key, 'b', text(channel.bytes), 'x', text(channel.expiry))
  end
  return count
end


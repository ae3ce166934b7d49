-- Compares the positions that a node has seen with those of the store.
-- KEYS: generation, then the state and the stream of each channel.
-- ARGV: process, fresh epoch, then for each channel the offset and epoch that the node has seen ('0' and '' for none).
-- Returns for each channel "offset epoch", '' if it has no state, or '!' if another program has written its key: that concerns no
-- other channel.

local number = generation(KEYS[1], ARGV[1])
if not number then
  return not_adopted()
end
local answers = {}
for index = 2, #KEYS, 2 do
  local state = redis.pcall('HMGET', KEYS[index], 'e', 'o', 's')
  local answer = ''
  if state.err then
    answer = '!'
  elseif state[1] then
    local name, offset = state[1], tonumber(state[2])
    local starts = with_generation(KEYS[index], offset, state[3], number)
    local seen, epoch = tonumber(ARGV[index + 1]), ARGV[index + 2]
    if epoch == epoch_of(name, starts) and seen > offset then
      -- The store has lost publications without a sign: no position of this epoch can be trusted.
      name = ARGV[2]
      redis.call('HSET', KEYS[index], 'e', name)
      redis.call('DEL', KEYS[index + 1])
    end
    if redis.call('PTTL', KEYS[index]) < 43200000 then
      redis.call('PEXPIRE', KEYS[index], offset == 0 and 600000 or 86400000)
    end
    answer = text(offset) .. ' ' .. epoch_of(name, starts)
  end
  answers[#answers + 1] = answer
end
return answers

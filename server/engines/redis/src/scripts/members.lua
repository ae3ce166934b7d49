-- The members of channels, shared by several scripts.
--
-- The members of a channel are a hash by session, a sorted set for the order of the sessions, and a hash of its users: the number
-- of a user's sessions, or '-' and the last session during its grace; the anonymous sessions are counted under the empty name.
-- Each member has an owner: a life of its node. A node that was taken for dead goes on with another one.
-- The leaving sessions of a partition are a sorted set by the end of their grace.

local function time()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

local function leaving_name(channel, session)
  return session .. channel
end

local function member_value(grace, owner, user, movement)
  return grace .. ' ' .. owner .. ' ' .. #user .. ' ' .. user .. movement
end

-- The grace, the user, the movement and the owner of a member.
local function read_member(value)
  local grace, owner, length, place = string.match(value, '^(%d*) (%x+) (%d+) ()')
  local behind = place + length
  return grace, string.sub(value, place, behind - 1), string.sub(value, behind), owner
end


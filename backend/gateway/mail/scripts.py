"""What is done in Redis in one piece. All clocks are Redis's own: machines need not agree on the time.

A node has a sorted set of the ids that wait, by when each is due (see `domain/urgency.py`). Each request is a hash
that lapses when it is not fetched in time; a fetched one is a string, which tells where its answer goes and lapses with
the request. Only the first answer finds it.
"""

# KEYS: ids, request. ARGV: id, request prefix, most ids, most bytes, fetch ms, ms after that, reply list, head, body,
# channel, node, tier, its patience in us; then each tier and how many of the places are kept for it, as `Places` has
# it. Returns 0 when too many wait.
PUT = """
local bytes, waits, taken = string.len(ARGV[9]), false, {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local size = redis.call('HSTRLEN', ARGV[2] .. id, 'body')
  if size == 0 then
    redis.call('ZREM', KEYS[1], id)
  else
    local tier = redis.call('HGET', ARGV[2] .. id, 'tier')
    bytes, waits, taken[tier] = bytes + size, true, (taken[tier] or 0) + 1
  end
end
if waits and bytes > tonumber(ARGV[4]) then return 0 end
local common, own = tonumber(ARGV[3]), 0
for at = 14, #ARGV, 2 do
  local left = tonumber(ARGV[at + 1]) - (taken[ARGV[at]] or 0)
  common = common - tonumber(ARGV[at + 1]) + math.min(0, left)
  if ARGV[at] == ARGV[12] then own = left end
end
if own <= 0 and common <= 0 then return 0 end
local now = redis.call('TIME')
local due = string.format('%.0f', now[1] * 1000000 + now[2] + ARGV[13])
redis.call('HSET', KEYS[2], 'reply', ARGV[7], 'head', ARGV[8], 'body', ARGV[9], 'rest', ARGV[6], 'tier', ARGV[12])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('ZADD', KEYS[1], due, ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[5]) then redis.call('PEXPIRE', KEYS[1], ARGV[5]) end
redis.call('PUBLISH', ARGV[10], ARGV[11])
return 1
"""

# KEYS: ids, seen. ARGV: request prefix, fetched prefix, most requests, most bytes, seen ms.
# Returns id, ms left, head and body of each.
FETCH = """
redis.call('SET', KEYS[2], '1', 'PX', ARGV[5])
local found, bytes = {}, 0
while #found < 4 * tonumber(ARGV[3]) do
  local id = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
  if not id then break end
  local key = ARGV[1] .. id
  local size = redis.call('HSTRLEN', key, 'body')
  if #found > 0 and bytes + size > tonumber(ARGV[4]) then break end
  redis.call('ZREM', KEYS[1], id)
  if size > 0 then
    local told = redis.call('HMGET', key, 'reply', 'head', 'body', 'rest')
    local left = redis.call('PTTL', key) + tonumber(told[4])
    redis.call('DEL', key)
    if left > 0 then
      redis.call('SET', ARGV[2] .. id, told[1], 'PX', left)
      found[#found + 1] = id
      found[#found + 1] = left
      found[#found + 1] = told[2]
      found[#found + 1] = told[3]
      bytes = bytes + size
    end
  end
end
return found
"""

# KEYS: ids, request, fetched, seen. ARGV: id, whether the answer is not wanted any more, should it have been fetched.
# Returns 1 if it waited (it does no longer), 2 if it waited and the node was there lately, else 0.
WITHDRAW = """
redis.call('ZREM', KEYS[1], ARGV[1])
if ARGV[2] == '1' then redis.call('DEL', KEYS[3]) end
if redis.call('DEL', KEYS[2]) == 0 then return 0 end
return 1 + redis.call('EXISTS', KEYS[4])
"""

# KEYS: fetched, each. ARGV: kept ms, seen key, seen ms, then the answer to each. Returns how many were waited for.
ANSWER = """
redis.call('SET', ARGV[2], '1', 'PX', ARGV[3])
local count = 0
for index, key in ipairs(KEYS) do
  local reply = redis.call('GETDEL', key)
  if reply then
    redis.call('RPUSH', reply, ARGV[index + 3])
    redis.call('PEXPIRE', reply, ARGV[1])
    count = count + 1
  end
end
return count
"""

"""The Lua script by which gateways draw permits from one bucket; Redis runs it at once, and by its own clock."""

PERMITS = """
-- One key's limits on one face: draws blocks of permits and leases places, as domain/buckets.py says it, in one trip.
-- KEYS: 1 the hash. ARGV: 1 process, 2 lease in ms, 3 ms to keep the hash, 4 places at most, 5 places needed,
-- 6 parts of a permit, 7 share of a bucket, 8 share of free places; then for requests and for tokens:
-- limit a minute, need, least, returned, block.
-- Answers, for requests and for tokens, granted, left and wait in ms; then the places that the process has.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local mine = 'p:' .. ARGV[1]
local parts, share, slot_share = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local kept, others = {}, 0
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local name, value = fields[i], fields[i + 1]
  if string.sub(name, 1, 2) == 'p:' then
    local held, until_ms = string.match(value, '^(%d+):(%d+)$')
    if tonumber(until_ms) <= now then
      redis.call('HDEL', KEYS[1], name)
    elseif name ~= mine then
      others = others + tonumber(held)
    end
  else
    kept[name] = tonumber(value)
  end
end

local at = math.max(now, kept.at or now)
local elapsed = now - (kept.at or now)
if elapsed < 0 then elapsed = 0 end
local answer = {}

local function whole_number(value) return string.format('%.0f', value) end -- Lua itself would write 6e+13

local function draw(field, from)
  local limit, need, least = tonumber(ARGV[from]), tonumber(ARGV[from + 1]), tonumber(ARGV[from + 2])
  local returned, block = tonumber(ARGV[from + 3]), tonumber(ARGV[from + 4])
  local full = limit * parts
  local level = full
  if kept[field] then level = kept[field] + elapsed * limit end
  level = math.max(-full, math.min(full, level + returned * parts))
  local whole, granted, wait = math.floor(level / parts), 0, 0
  if need > 0 then
    if whole >= least then
      granted = math.min(whole, math.max(need, math.min(block, math.floor(whole / share))))
    end
    level = level - granted * parts
    if granted < need then wait = math.max(1, math.ceil((least * parts - level) / limit)) end
  end
  redis.call('HSET', KEYS[1], field, whole_number(level))
  answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = granted, math.floor(level / parts), wait
end

draw('r', 9)
draw('t', 14)

local limit, need = tonumber(ARGV[4]), tonumber(ARGV[5])
local free = math.max(0, limit - others)
local places = math.max(0, math.min(free, need))
if need > 0 and free > need then places = need + math.floor((free - need) / slot_share) end
if places > 0 then
  redis.call('HSET', KEYS[1], mine, places .. ':' .. whole_number(now + ARGV[2]))
else
  redis.call('HDEL', KEYS[1], mine)
end
redis.call('HSET', KEYS[1], 'at', whole_number(at))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
answer[#answer + 1] = places
return answer
"""

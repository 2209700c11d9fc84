-- Tests all buckets in KEYS and charges all of them, or none if one refuses.
-- The arithmetic is that of keyward's ratelimit/gcra.go, on integers below
-- 2^53; a test compares the two.
--
-- ARGV[1]: 1 to charge, 0 to peek. Then eight values per key: the count, the
-- emission interval's micros and part, the burst tolerance's micros and part,
-- the interval in microseconds, 1 for a shadow limit, and the number of deferred
-- requests. These are charged before this one, as far as the bucket has space,
-- whether or not this one is refused. A stored value is "FULLAT PART MICROS":
-- when the bucket will be full, in microseconds since 1970 and in 1/count of
-- one, and the interval in microseconds under which it was stored.
--
-- Returns 1 if all were charged, else 0. Then four values per key: whether it
-- allows the request, the TAT's micros and part, with this request if it was
-- charged, and the number of deferred requests that were charged.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local charge, buckets, refused = ARGV[1] == '1', {}, false

local function allows(b)
  return b.tat < b.tolerance or b.tat == b.tolerance and b.part <= b.tolerancePart
end

local function add(b)
  b.tat, b.part, b.changed = b.tat + b.interval, b.part + b.intervalPart, true
  if b.part >= b.count then
    b.tat, b.part = b.tat + 1, b.part - b.count
  end
end

for i, key in ipairs(KEYS) do
  local a = 8 * i - 6
  local b = {
    count = tonumber(ARGV[a]), interval = tonumber(ARGV[a + 1]), intervalPart = tonumber(ARGV[a + 2]),
    tolerance = tonumber(ARGV[a + 3]), tolerancePart = tonumber(ARGV[a + 4]), micros = tonumber(ARGV[a + 5]),
    tat = 0, part = 0, applied = 0,
  }
  local maxTAT, maxPart = b.tolerance + b.interval, b.tolerancePart + b.intervalPart
  if maxPart >= b.count then
    maxTAT, maxPart = maxTAT + 1, maxPart - b.count
  end
  local fullAt, part, micros = string.match(redis.call('GET', key) or '', '^(%d+) (%d+) (%S+)$')
  if fullAt and tonumber(fullAt) >= now then
    b.tat, b.part, micros = tonumber(fullAt) - now, tonumber(part), tonumber(micros)
    if micros ~= b.micros then
      b.changed = true
      if b.part > 0 then
        b.tat, b.part = b.tat + 1, 0
      end
      if micros and micros > 0 then
        b.tat = math.ceil(b.tat / micros * b.micros)
      else
        b.tat, b.part = maxTAT, maxPart
      end
    elseif b.part >= b.count then
      b.tat, b.part, b.changed = b.tat + 1, 0, true
    end
    if b.tat > maxTAT or b.tat == maxTAT and b.part > maxPart then
      b.tat, b.part, b.changed = maxTAT, maxPart, true
    end
  end
  if charge then
    local deferred = tonumber(ARGV[a + 7])
    while b.applied < deferred and allows(b) do
      add(b)
      b.applied = b.applied + 1
    end
  end
  b.allows = allows(b)
  if not b.allows and ARGV[a + 6] ~= '1' then
    refused = true
  end
  buckets[i] = b
end

local charged = charge and not refused
local answer = { charged and 1 or 0 }
for i, b in ipairs(buckets) do
  if charged and b.allows then
    add(b)
  end
  if b.changed then
    -- Formatted here, since Lua would write a number this large as 1.7e+15.
    local value = string.format('%.0f %.0f %s', now + b.tat, b.part, ARGV[8 * i - 1])
    redis.call('SET', KEYS[i], value, 'PX', string.format('%.0f', math.ceil((b.tat + 1) / 1000)))
  end
  local at = 4 * i - 2
  answer[at], answer[at + 1], answer[at + 2], answer[at + 3] = b.allows and 1 or 0, b.tat, b.part, b.applied
end
return answer

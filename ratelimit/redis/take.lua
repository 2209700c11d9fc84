-- Tests all buckets in KEYS and charges all of them, or none if one refuses.
-- The arithmetic is that of keyward's ratelimit/gcra.go, on whole numbers below
-- 2^53; a test holds the two to each other.
--
-- ARGV[1]: 1 to charge, 0 to look. Then for each key eight values: count, the
-- step's micros and part, the room's micros and part, the pace, 1 for a shadow
-- limit, and how many requests are owed: charged before this one and whether or
-- not it is refused, as far as there is room. A value kept is "EMPTY PART PACE": when the bucket will be empty
-- in microseconds since 1970 and in 1/count of one, and the pace it was kept by.
--
-- Returns 1 if all were charged, else 0; then for each key whether it admits, the
-- level's micros and part, with the request in it if it was charged, and how many of those owed were.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local charge, buckets, refused = ARGV[1] == '1', {}, false

local function admits(b)
  return b.level < b.room or b.level == b.room and b.part <= b.roomPart
end

local function add(b)
  b.level, b.part, b.changed = b.level + b.step, b.part + b.stepPart, true
  if b.part >= b.count then
    b.level, b.part = b.level + 1, b.part - b.count
  end
end

for i, key in ipairs(KEYS) do
  local a = 8 * i - 6
  local b = {
    count = tonumber(ARGV[a]), step = tonumber(ARGV[a + 1]), stepPart = tonumber(ARGV[a + 2]),
    room = tonumber(ARGV[a + 3]), roomPart = tonumber(ARGV[a + 4]), pace = tonumber(ARGV[a + 5]),
    level = 0, part = 0, paid = 0,
  }
  local full, fullPart = b.room + b.step, b.roomPart + b.stepPart
  if fullPart >= b.count then
    full, fullPart = full + 1, fullPart - b.count
  end
  local empty, part, pace = string.match(redis.call('GET', key) or '', '^(%d+) (%d+) (%S+)$')
  if empty and tonumber(empty) >= now then
    b.level, b.part, pace = tonumber(empty) - now, tonumber(part), tonumber(pace)
    if pace ~= b.pace then
      b.changed = true
      if b.part > 0 then
        b.level, b.part = b.level + 1, 0
      end
      if pace and pace > 0 then
        b.level = math.ceil(b.level / pace * b.pace)
      else
        b.level, b.part = full, fullPart
      end
    elseif b.part >= b.count then
      b.level, b.part, b.changed = b.level + 1, 0, true
    end
    if b.level > full or b.level == full and b.part > fullPart then
      b.level, b.part, b.changed = full, fullPart, true
    end
  end
  if charge then
    local owed = tonumber(ARGV[a + 7])
    while b.paid < owed and admits(b) do
      add(b)
      b.paid = b.paid + 1
    end
  end
  b.admits = admits(b)
  if not b.admits and ARGV[a + 6] ~= '1' then
    refused = true
  end
  buckets[i] = b
end

local charged = charge and not refused
local answer = { charged and 1 or 0 }
for i, b in ipairs(buckets) do
  if charged and b.admits then
    add(b)
  end
  if b.changed then
    -- In a format of its own, since a number this large would be written as 1.7e+15.
    local value = string.format('%.0f %.0f %s', now + b.level, b.part, ARGV[8 * i - 1])
    redis.call('SET', KEYS[i], value, 'PX', string.format('%.0f', math.ceil((b.level + 1) / 1000)))
  end
  local at = 4 * i - 2
  answer[at], answer[at + 1], answer[at + 2], answer[at + 3] = b.admits and 1 or 0, b.level, b.part, b.paid
end
return answer

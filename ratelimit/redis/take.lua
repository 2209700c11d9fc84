-- Tests all buckets in KEYS and charges all of them, or none if one refuses.
-- The arithmetic is that of keyward's ratelimit/gcra.go, on whole numbers below
-- 2^53; a test holds the two to each other.
--
-- ARGV[1]: 1 to charge, 0 to look. Then for each key seven values: count, the
-- step's micros and part, the room's micros and part, the pace, and 1 for a
-- shadow limit. A value kept is "EMPTY PART PACE": when the bucket will be empty
-- in microseconds since 1970 and in 1/count of one, and the pace it was kept by.
--
-- Returns 1 if all were charged, else 0; then for each key whether it admits, and the
-- level's micros and part, with the request in it if it was charged.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local buckets, refused = {}, false

for i, key in ipairs(KEYS) do
  local a = 7 * i - 5
  local b = {
    count = tonumber(ARGV[a]), step = tonumber(ARGV[a + 1]), stepPart = tonumber(ARGV[a + 2]),
    room = tonumber(ARGV[a + 3]), roomPart = tonumber(ARGV[a + 4]), pace = tonumber(ARGV[a + 5]),
    level = 0, part = 0,
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
  b.admits = b.level < b.room or b.level == b.room and b.part <= b.roomPart
  if not b.admits and ARGV[a + 6] ~= '1' then
    refused = true
  end
  buckets[i] = b
end

local charged = ARGV[1] == '1' and not refused
local answer = { charged and 1 or 0 }
for i, b in ipairs(buckets) do
  local add = charged and b.admits
  if add then
    b.level, b.part = b.level + b.step, b.part + b.stepPart
    if b.part >= b.count then
      b.level, b.part = b.level + 1, b.part - b.count
    end
  end
  if add or b.changed then
    -- In a format of its own, since a number this large would be written as 1.7e+15.
    local value = string.format('%.0f %.0f %s', now + b.level, b.part, ARGV[7 * i])
    redis.call('SET', KEYS[i], value, 'PX', string.format('%.0f', math.ceil((b.level + 1) / 1000)))
  end
  answer[3 * i - 1], answer[3 * i], answer[3 * i + 1] = b.admits and 1 or 0, b.level, b.part
end
return answer

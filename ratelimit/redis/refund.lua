-- Takes out of each bucket in KEYS what one request put in, where another
-- node of a cluster refused it. ARGV has for each key the count, the step's
-- micros and part, and the pace. Who came between has been charged on top, and
-- stays so; a bucket that is kept by another pace meanwhile is left as it is.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for i, key in ipairs(KEYS) do
  local a = 4 * i - 3
  local count = tonumber(ARGV[a])
  local empty, part, pace = string.match(redis.call('GET', key) or '', '^(%d+) (%d+) (%S+)$')
  if empty and tonumber(pace) == tonumber(ARGV[a + 3]) then
    local level, rest = tonumber(empty) - now - tonumber(ARGV[a + 1]), tonumber(part) - tonumber(ARGV[a + 2])
    if rest < 0 then
      level, rest = level - 1, rest + count
    end
    if level < 0 then
      redis.call('DEL', key)
    else
      local value = string.format('%.0f %.0f %s', now + level, rest, pace)
      redis.call('SET', key, value, 'PX', string.format('%.0f', math.ceil((level + 1) / 1000)))
    end
  end
end
return #KEYS

-- Removes the charge of one request from each bucket in KEYS, because another
-- node of a cluster refused the request. ARGV has four values per key: the
-- count, the emission interval's micros and part, and the interval in
-- microseconds. Requests that came in between were charged on top and stay
-- charged. A bucket that was stored under another rate since is not changed.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for i, key in ipairs(KEYS) do
  local a = 4 * i - 3
  local count = tonumber(ARGV[a])
  local fullAt, part, micros = string.match(redis.call('GET', key) or '', '^(%d+) (%d+) (%S+)$')
  if fullAt and tonumber(micros) == tonumber(ARGV[a + 3]) then
    local tat, rest = tonumber(fullAt) - now - tonumber(ARGV[a + 1]), tonumber(part) - tonumber(ARGV[a + 2])
    if rest < 0 then
      tat, rest = tat - 1, rest + count
    end
    if tat < 0 then
      redis.call('DEL', key)
    else
      local value = string.format('%.0f %.0f %s', now + tat, rest, micros)
      redis.call('SET', key, value, 'PX', string.format('%.0f', math.ceil((tat + 1) / 1000)))
    end
  end
end
return #KEYS

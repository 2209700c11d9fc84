-- Asks Keyward about a request and applies the answer. For haproxy.cfg, which refuses
-- everything that this file has not allowed: an error in here allows no request.

local address = "http://127.0.0.1:9192"
-- Timeout of one try, in milliseconds. HAProxy 2.6 tries four times, so a Keyward that
-- hangs is given up after a second; the number of tries can be set from 2.9 on.
local timeout = 250

-- The headers that Keyward sees, in addition to those set below. A header that carries a
-- credential (credentials.header) must be here, or Keyward finds none.
local shown = {
  ["authorization"] = true, ["x-api-key"] = true, ["cookie"] = true, ["sec-websocket-protocol"] = true,
  ["origin"] = true, ["access-control-request-method"] = true,
  ["content-type"] = true, ["x-request-id"] = true,
}

-- Headers that only Keyward may set for the upstream. Each one replaces the client's own;
-- without a value from Keyward, the client's own is removed. The names in
-- identity_headers and credentials must be here.
local function isKeywards(name)
  return name:sub(1, 7) == "x-auth-" or name == "authorization" or name == "x-api-key" or name == "cookie"
    or name == "sec-websocket-protocol"
end

-- Names that some servers take for another name (x_auth_subject, x.auth.subject). Keyward
-- can have only those removed that it sees.
local function isOdd(name)
  return name:find("[^a-z0-9-]") ~= nil
end

-- Headers of a denial that are for this file, or for the connection to Keyward, and not
-- for the client.
local function isForTheClient(name)
  return name:sub(1, 7) ~= "x-auth-" and name ~= "content-length" and name ~= "transfer-encoding"
    and name ~= "connection" and name ~= "keep-alive" and name ~= "date"
end

-- Headers of an allow that tell the client the rest of its limit (rate_limits.headers:
-- always); haproxy.cfg has a line for each.
local told = {
  ["ratelimit"] = "txn.ratelimit", ["ratelimit-policy"] = "txn.ratelimit_policy",
  ["x-ratelimit-limit"] = "txn.limit", ["x-ratelimit-remaining"] = "txn.remaining", ["x-ratelimit-reset"] = "txn.reset",
  ["x-keyward-key-expires"] = "txn.key_expires",
}

-- The header lines with a name, in order; HAProxy counts them from 0.
local function lines(headers, name)
  local list, i = {}, 0
  local values = headers[name]
  while values and values[i] ~= nil do
    list[#list + 1] = values[i]
    i = i + 1
  end
  return list
end

-- The only line with that name; nil if there is none or more than one.
local function only(headers, name)
  local list = lines(headers, name)
  return #list == 1 and list[1] or nil
end

-- The next server may drop headers that a Connection header names. It could name the
-- identity headers: the upstream would then see no user.
local connectionOptions = {
  ["close"] = true, ["keep-alive"] = true, ["upgrade"] = true, ["te"] = true, ["http2-settings"] = true,
}

local function dropsHeaders(headers)
  for _, line in ipairs(lines(headers, "connection")) do
    for option in line:lower():gmatch("[^, \t]+") do
      if not connectionOptions[option] then return true end
    end
  end
  return false
end

-- Headers for Keyward. Only this file sets these names: a client's own are never sent.
local function question(txn, headers)
  local ask = {
    ["host"] = { only(headers, "host") or "" },
    ["x-original-method"] = { txn.f:method() },
    ["x-original-uri"] = { txn.f:pathq() },
    ["x-forwarded-for"] = { txn.f:src() },
    ["x-forwarded-proto"] = { txn.f:ssl_fc() == 1 and "https" or "http" },
  }
  for name in pairs(headers) do
    if shown[name] or isOdd(name) then ask[name] = lines(headers, name) end
  end
  return ask
end

local function allow(txn, headers, answer, target)
  local request = txn.http
  for name in pairs(headers) do
    if isKeywards(name) then request:req_del_header(name) end
  end
  for name in (only(answer, "x-envoy-auth-headers-to-remove") or ""):gmatch("[^, ]+") do
    request:req_del_header(name)
  end
  for name in pairs(answer) do
    if isKeywards(name) then
      for _, value in ipairs(lines(answer, name)) do request:req_add_header(name, value) end
    end
  end
  for name, variable in pairs(told) do
    local value = only(answer, name)
    if value then txn:set_var(variable, value) end
  end
  -- The target as Keyward parsed it, without a credential in its query.
  request:req_set_uri(target)
  txn:set_var("txn.keyward", "allowed") -- last, when everything is done
end

local function deny(txn, response, status)
  local headers = {}
  for name in pairs(response.headers) do
    if isForTheClient(name) then headers[name] = lines(response.headers, name) end
  end
  local body = txn.f:method() ~= "HEAD" and response.body or ""
  txn:done(txn:reply{ status = status, headers = headers, body = body })
end

core.register_action("keyward", { "http-req" }, function(txn)
  local headers = txn.http:req_get_headers()
  if dropsHeaders(headers) then
    txn:done(txn:reply{ status = 400 })
  end
  local response = core.httpclient():get{
    url = address .. "/authz/nginx", headers = question(txn, headers), timeout = timeout,
  }
  local answer = response.headers or {}
  local target, status = only(answer, "x-keyward-uri"), tonumber(only(answer, "x-auth-code"))
  if response.status == 200 and target then
    allow(txn, headers, answer, target)
  elseif (response.status == 401 or response.status == 403) and status and status >= 400 and status <= 599 then
    deny(txn, response, status)
  end
  -- Any other answer is not Keyward's: haproxy.cfg returns 503.
end)

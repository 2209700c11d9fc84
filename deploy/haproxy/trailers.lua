-- Refuses a request that has fields after its body (trailers), with 400. They arrive
-- after the decision, HAProxy would forward them, and some servers merge them with the
-- headers: x-auth-subject there would forge what keyward.lua removed. HAProxy 2.6 to 3.1
-- has no option against them. Bodies of any length pass unbuffered. When the trailers
-- arrive, the upstream may have received the body already: without its end, or over
-- HTTP/2 as if it were complete. It never gets the trailers.

local Trailers = { id = "trailers", flags = filter.FLT_CFG_FL_HTX }
Trailers.__index = Trailers

function Trailers:new()
  return setmetatable({}, Trailers)
end

function Trailers:start_analyze(txn, channel)
  if channel:is_resp() then return end
  filter.register_data_filter(self, channel)
  txn:set_var("txn.trailers", "watched") -- last: haproxy.cfg refuses a request without it
end

-- HAProxy calls this with the part of a request's body that it is about to forward.
-- HAProxy counts trailers as input, at least two bytes, but not as body; the end of a
-- chunked body counts as one byte. So if the last two bytes are not body, there are
-- trailers.
function Trailers:http_payload(txn, message)
  if message:input() > 1 and message:body(-2, 2) == nil then
    -- An error refuses the request. filter.ERROR as a result does not: HAProxy 2.6 to 3.3
    -- takes the negative number for a large one and forwards everything.
    error("a request with trailers", 0)
  end
end

core.register_filter("trailers", Trailers, function(instance) return instance end)

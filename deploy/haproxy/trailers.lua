-- Refuses a request that has fields after its body (trailers), with 400. They come
-- after the decision, HAProxy would pass them on, and some servers merge them
-- with the headers: x-auth-subject there would forge what keyward.lua removed.
-- HAProxy 2.6 to 3.1 has no option against them. Bodies of whatever length pass
-- unbuffered. When the trailers come, the upstream may have received the body already:
-- without its end, or over HTTP/2 as if it were complete. It never gets the trailers.

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

-- Is called with what is about to be passed on of a request's body. HAProxy counts
-- trailers as input, and at least two bytes of it, but not as body; the end of a
-- chunked body counts one byte. So if the last two bytes are not body, there are trailers.
function Trailers:http_payload(txn, message)
  if message:input() > 1 and message:body(-2, 2) == nil then
    -- An error is a refusal. filter.ERROR as a result is not: HAProxy 2.6 to 3.3
    -- takes the negative number for a large one and passes on all there is.
    error("a request with trailers", 0)
  end
end

core.register_filter("trailers", Trailers, function(instance) return instance end)

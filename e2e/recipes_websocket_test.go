package e2e

import (
	"slices"
	"strings"
	"testing"
)

// TestRecipeSignalRWebsocket: a browser's handshake has the token in the query.
func TestRecipeSignalRWebsocket(t *testing.T) {
	throughProxies(t, func(t *testing.T, proxy string) {
		r, issuer := newSignalR(t, proxy, func(config string) string { return config })
		w := r.startWebsockets()
		for token, subject := range map[string]string{"TOKEN": "818727", "OWN": "17"} {
			w.opens("/hubs/chat?id=1&access_token="+r.variables[token], "/hubs/chat?id=1", nil, map[string][]string{"x-auth-subject": {subject}})
		}
		w.refuses("/hubs/chat?id=1", nil, "no_credential")
		w.refuses("/hubs/chat?id=1&access_token="+issuer.forged("access-token.json"), nil, "invalid_token")
		r.keepsSecrets(t)
	}, "haproxy")
}

// TestRecipeLLMWebsocket: the websockets of OpenAI, of Azure, and of servers
// that set headers.
func TestRecipeLLMWebsocket(t *testing.T) {
	for _, name := range providerKeys {
		t.Setenv(name, name)
	}
	throughProxies(t, func(t *testing.T, proxy string) {
		r := newRecipe(t, "llm-gateways", proxy, nil)
		key := r.keyward("key", "create", "--config", "keyward.yaml", "--name", "voice", "--scope", "realtime")
		chat := r.keyward("key", "create", "--config", "keyward.yaml", "--name", "chat", "--scope", "chat")
		r.variables["KEY"] = key
		w := r.startWebsockets()
		offered := func(key string) []string {
			return []string{"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key." + key + ", openai-beta.realtime-v1"}
		}
		want := map[string][]string{"sec-websocket-protocol": {"realtime", "openai-beta.realtime-v1"}, "x-auth-method": {"api_key"}}
		if slices.Contains([]string{"", "nginx", "envoy-module"}, proxy) {
			want["authorization"] = []string{"Bearer OPENAI_API_KEY"}
		}
		w.opens("/v1/realtime?model=gpt-4o-realtime-preview", "/v1/realtime?model=gpt-4o-realtime-preview", offered(key), want)
		delete(want, "sec-websocket-protocol")
		w.opens("/v1/realtime?model=x", "/v1/realtime?model=x", []string{bearer(key), "OpenAI-Beta: realtime=v1"}, want)
		if !slices.Contains(cannotCutQuery, proxy) {
			w.opens("/openai/realtime?deployment=x&api-key="+key, "/openai/realtime?deployment=x", nil, map[string][]string{"x-auth-method": {"api_key"}})
		}
		w.refuses("/v1/realtime", offered("sk-another"), "invalid_token")
		w.refuses("/v1/realtime", offered(chat), "insufficient_scope")
		w.refuses("/v1/realtime", append(offered(key), bearer(key)), "ambiguous_credential")
		w.refuses("/v1/realtime", []string{"Sec-WebSocket-Protocol: realtime, openai-beta.realtime-v1"}, "no_credential")
		r.keepsSecrets(t)
	}, overHTTP...)
}

// startWebsockets starts the system with an upstream that accepts websockets.
func (r *recipe) startWebsockets() *websocketSystem {
	r.t.Helper()
	upstream := &recorder{respond: respondWebsocket}
	r.opts.upstream = upstream.start
	r.start()
	return &websocketSystem{system: r.system, upstream: upstream}
}

// opens opens a websocket, and compares what the upstream got: the target, and
// these headers. Authorization is absent unless it is among them. The websocket
// is nil if it is refused.
func (w *websocketSystem) opens(target, forwarded string, lines []string, want map[string][]string) (a answer, ws *websocket) {
	w.t.Helper()
	a, ws = w.handshake(target, append(lines, "Origin: https://app.example.com")...)
	if ws == nil {
		w.t.Errorf("%s %q: %d %s", target, lines, a.status, a.body)
		return a, nil
	}
	if err := ws.echo("hello"); err != nil {
		w.t.Errorf("%s %q: %v", target, lines, err)
	}
	got := w.last()
	if got.target() != forwarded {
		w.t.Errorf("%s arrived as %s, want %s", target, got.target(), forwarded)
	}
	if head := strings.Join(got.head, "\n"); want["authorization"] == nil && strings.Contains(strings.ToLower(head), "\nauthorization:") || strings.Contains(head, "sk-") {
		w.t.Errorf("%s: the upstream got %q", target, got.head)
	}
	for name, value := range want {
		if got := values(got.head, name); !slices.Equal(got, value) {
			w.t.Errorf("%s: the upstream got %s %q, want %q", target, name, got, value)
		}
	}
	return a, ws
}

// refuses wants the handshake to be denied.
func (w *websocketSystem) refuses(target string, lines []string, reason string) {
	w.t.Helper()
	before := len(w.arrivals())
	if a, _ := w.handshake(target, lines...); a.reason() != reason || len(w.arrivals()) != before {
		w.t.Errorf("%s %q: %d %s, want %s", target, lines, a.status, a.reason(), reason)
	}
}

// Package admin answers whether Keyward is well: metrics, health, readiness
// and profiles, on a listener of their own that no client of the API can
// reach. It changes nothing.
package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler serves the admin listener. Ready returns why requests can't be
// judged now, nil when they can. Usage returns what is known of a key's use,
// nil where it was never used; what it returns is said as JSON.
func Handler(gatherer prometheus.Gatherer, ready func() error, usage func(keyID string) (any, error)) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		say(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			say(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		say(w, http.StatusOK, "ready")
	})
	mux.HandleFunc("GET /usage/{key}", func(w http.ResponseWriter, r *http.Request) {
		sayUsage(w, r.PathValue("key"), usage)
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	return mux
}

func sayUsage(w http.ResponseWriter, keyID string, usage func(string) (any, error)) {
	found, err := usage(keyID)
	switch {
	case err != nil:
		say(w, http.StatusInternalServerError, err.Error())
	case found == nil:
		say(w, http.StatusNotFound, "no use of such a key is known")
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(found)
	}
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text)
}

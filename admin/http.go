// Package admin reports the server's state: metrics, health, readiness and
// profiles, on a separate listener that no client of the API can reach. It
// authenticates no one, and changes nothing.
package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Keys holds the queries about a key, given its id. Results are encoded as JSON;
// nil means that nothing was found.
type Keys struct {
	Usage func(id string) (any, error)
	Limit func(ctx context.Context, id string) (any, error)
}

// Handler serves the admin listener. ready returns why the server cannot decide
// requests now, nil if it can.
func Handler(gatherer prometheus.Gatherer, ready func() error, keys Keys) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeText(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			writeText(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		writeText(w, http.StatusOK, "ready")
	})
	mux.HandleFunc("GET /usage/{key}", func(w http.ResponseWriter, r *http.Request) {
		found, err := keys.Usage(r.PathValue("key"))
		writeJSON(w, found, err, "no use of such a key is known")
	})
	mux.HandleFunc("GET /limits/{key}", func(w http.ResponseWriter, r *http.Request) {
		found, err := keys.Limit(r.Context(), r.PathValue("key"))
		if err != nil {
			writeText(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		writeJSON(w, found, nil, "no limit is set for such a key")
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	return mux
}

func writeJSON(w http.ResponseWriter, found any, err error, none string) {
	switch {
	case err != nil:
		writeText(w, http.StatusInternalServerError, err.Error())
	case found == nil:
		writeText(w, http.StatusNotFound, none)
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(found)
	}
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text)
}

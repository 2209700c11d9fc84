package server

import (
	"bytes"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"keyward/admin"
	"keyward/config"

	"github.com/prometheus/client_golang/prometheus"
)

// TestErrorLog: failed handshakes are counted and have a line a second; what
// else net/http logs has lines of its own beside them.
func TestErrorLog(t *testing.T) {
	var text bytes.Buffer
	registry := prometheus.NewRegistry()
	clients, err := admin.NewListenerMetrics(registry, listenerGRPC, listenerHTTP, listenerAdmin)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{logger: newLogger(&text, config.LogJSON, slog.LevelInfo), clients: clients}
	log := s.errorLog(listenerHTTP)
	const failures = 1000
	for i := range failures {
		log.Printf("http: TLS handshake error from 192.0.2.1:%d: EOF", i)
	}
	log.Print("http: something else\nwith a stack")
	said := text.String()
	if lines := strings.Count(said, "TLS handshake failed"); lines > 20 { // seconds that it may take
		t.Errorf("%d lines", lines)
	}
	for _, want := range []string{
		`"msg":"TLS handshake failed","listener":"http","error":"192.0.2.1:0: EOF"`,
		`"msg":"http: something else\nwith a stack","library":"net/http","listener":"http"`,
	} {
		if !strings.Contains(said, want) {
			t.Errorf("the log has no %s: %s", want, said)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]float64{}
	for _, family := range families {
		for _, sample := range family.GetMetric() {
			if family.GetName() == "keyward_tls_handshake_failures_total" {
				counted[sample.GetLabel()[0].GetValue()] = sample.GetCounter().GetValue()
			}
		}
	}
	if want := map[string]float64{"grpc": 0, "http": failures, "admin": 0}; !maps.Equal(counted, want) {
		t.Errorf("counted %v, want %v", counted, want)
	}
}

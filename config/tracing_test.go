package config

import "testing"

func TestCollectorAddress(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		"": true, "http://collector:4317": true, "https://collector.example.com:443": true, "http://[::1]:4317": true, "http://127.0.0.1:4317": true,
		"collector:4317": false, "http://collector": false, "http://:4317": false, "grpc://collector:4317": false, "HTTP://collector:4317": false,
		"http://collector:70000": false, "http://collector:4317/": false, "http://collector:4317/v1/traces": false, "http://collector:4317?a=b": false,
		"http://user:password@collector:4317": false, "http://collector:4317#a": false, "unix:///run/otel.sock": false, "http://": false,
	} {
		if err := validCollector(endpoint); (err == nil) != ok {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

func TestFraction(t *testing.T) {
	for text, want := range map[string]float64{
		"0": 0, "1": 1, "0.01": 0.01, ".5": 0.5, "1.0": 1, "0.0": 0,
		"1.01": -1, "2": -1, "-0.1": -1, "1e-3": -1, "NaN": -1, "Inf": -1, "0x1p-2": -1, "'0.5'": -1, "50%": -1, "[]": -1, "~": -1,
	} {
		cfg, err := Parse("f", []byte("tracing: {endpoint: 'http://a:1', sample: "+text+"}"), noEnv)
		got := -1.0
		if err == nil {
			got = cfg.Tracing.Sample
		}
		if got != want {
			t.Errorf("sample: %s is %v, want %v", text, got, want)
		}
	}
}

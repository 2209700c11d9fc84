package e2e

import (
	"testing"

	"keyward/e2e/stack"
)

func traefikProxy(s *system) stack.Proxy {
	s.t.Helper()
	return stack.Traefik{
		Binary: programs.traefik, Static: s.shipped("traefik", "traefik.yaml"), Dynamic: s.shipped("traefik", "dynamic.yaml"),
	}
}

func TestTraefik(t *testing.T) {
	proxied{proxy: "traefik", dead: 500, garbage: 500, fixedTarget: true, anyOK: true, waitsLong: true}.test(t)
}

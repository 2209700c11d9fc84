package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestEnvoyLoadsTheOverlaysFiles: Envoy loads the files of deploy/kubernetes
// without a warning.
func TestEnvoyLoadsTheOverlaysFiles(t *testing.T) {
	need(t, "Envoy")
	for _, overlay := range []string{"sidecar", "shared"} {
		file := filepath.Join(programs.root, "deploy/kubernetes/overlays", overlay, "envoy.yaml")
		out, err := exec.CommandContext(t.Context(), programs.envoy, "--mode", "validate", "-c", file).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "OK") {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
		if lines := warningLine.FindAllString(string(out), -1); len(lines) > 0 {
			t.Errorf("when it reads %s:\n%s", file, strings.Join(lines, "\n"))
		}
	}
}

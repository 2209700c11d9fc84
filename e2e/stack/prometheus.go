package stack

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
)

// Prometheus is the server and its tool.
type Prometheus struct{ Server, Tool string }

// FindPrometheus returns the installed Prometheus, or that in the cache
// directory: `make test` unpacks it there, because Debian's package would start
// a server.
func FindPrometheus(cache string) (Prometheus, error) {
	unpacked := filepath.Join(cache, "prometheus", "usr", "bin")
	for _, dir := range []string{"", unpacked} {
		server, err := exec.LookPath(filepath.Join(dir, "prometheus"))
		tool, failed := exec.LookPath(filepath.Join(dir, "promtool"))
		if err == nil && failed == nil {
			return Prometheus{server, tool}, nil
		}
	}
	return Prometheus{}, errors.New("prometheus and promtool are not installed (Debian, Ubuntu: apt-get install prometheus)")
}

// Start starts the server in the directory, and returns when it answers. The
// caller must stop the Process, even after an error, unless it is nil.
func (p Prometheus) Start(ctx context.Context, dir, config string, port int, flags ...string) (*Process, error) {
	address := Address(port)
	process, err := startProcess("prometheus", dir, append([]string{p.Server, "--config.file=" + config,
		"--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + address, "--log.level=warn"}, flags...)...)
	if err != nil {
		return nil, err
	}
	return process, waitReady(ctx, process, func(ctx context.Context) bool { return Answers(ctx, "http://"+address+"/-/ready") })
}

package stack

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
)

// Prometheus is the server and the tool that comes with it.
type Prometheus struct{ Server, Tool string }

// FindPrometheus finds it where it is installed, or in the cache folder: `make test`
// unpacks it there, since Debian's package would start a server.
func FindPrometheus(cache string) (Prometheus, error) {
	unpacked := filepath.Join(cache, "prometheus", "usr", "bin")
	for _, dir := range []string{"", unpacked} {
		server, err := exec.LookPath(filepath.Join(dir, "prometheus"))
		tool, failed := exec.LookPath(filepath.Join(dir, "promtool"))
		if err == nil && failed == nil {
			return Prometheus{server, tool}, nil
		}
	}
	return Prometheus{}, errors.New("there is no prometheus and promtool (Debian, Ubuntu: apt-get install prometheus)")
}

// Start starts the server in the folder, and returns when it answers. The Process
// is to be stopped with an error, too, unless it is nil.
func (p Prometheus) Start(ctx context.Context, dir, config string, port int, flags ...string) (*Process, error) {
	address := Address(port)
	process, err := startProcess("prometheus", dir, append([]string{p.Server, "--config.file=" + config,
		"--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + address, "--log.level=warn"}, flags...)...)
	if err != nil {
		return nil, err
	}
	return process, waitReady(ctx, process, func(ctx context.Context) bool { return answers(ctx, "http://"+address+"/-/ready") })
}

package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// NginxBinary returns the path of nginx, which Debian installs outside the PATH
// of other users than root.
func NginxBinary() (string, error) {
	path, err := exec.LookPath("nginx")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/nginx")
	}
	if err != nil {
		return "", errors.New("nginx is not installed (Debian, Ubuntu: apt-get install nginx)")
	}
	return path, nil
}

// Nginx is nginx with a configuration of deploy/nginx.
type Nginx struct {
	Binary string
	Config string // the text of the file
}

// Start implements Proxy.
func (n Nginx) Start(dir string, ports Ports) (*Process, error) {
	text, err := nginxIn(dir, n.Config)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(portsInText(text, ports)), 0o600); err != nil {
		return nil, fmt.Errorf("writing nginx's configuration: %w", err)
	}
	// One process: workers would outlive a killed master.
	return startProcess("nginx", dir, n.Binary, "-p", dir, "-c", file, "-e", "stderr", "-g", "daemon off; master_process off;")
}

// Ready implements Proxy.
func (n Nginx) Ready(ctx context.Context, ports Ports) bool { return isServed(ctx, ports.Envoy) }

// nginxIn makes nginx write into the directory, and its logs to its output,
// where the file names a distribution's paths, so that it needs no special
// rights.
func nginxIn(dir, text string) (string, error) {
	places := [][2]string{
		{"user www-data;\n", ""},
		{"pid /run/nginx.pid;", "pid " + filepath.Join(dir, "nginx.pid") + ";"},
		{"error_log /var/log/nginx/error.log ", "error_log stderr "},
		{"access_log /var/log/nginx/access.log ", "access_log /dev/stdout "},
		{"\nhttp {\n", "\nhttp {\n" + nginxTemporary(dir)},
	}
	for _, place := range places {
		if strings.Count(text, place[0]) != 1 {
			return "", errors.New("nginx's configuration does not have exactly once: " + strings.TrimSpace(place[0]))
		}
		text = strings.Replace(text, place[0], place[1], 1)
	}
	return text, nil
}

// nginxTemporary returns settings for the directories that nginx creates when
// it starts.
func nginxTemporary(dir string) string {
	var lines strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "scgi", "uwsgi"} {
		fmt.Fprintf(&lines, "    %s_temp_path %s;\n", kind, filepath.Join(dir, "nginx-"+kind))
	}
	return lines.String()
}

var shippedAddress = regexp.MustCompile(`127\.0\.0\.1:(\d+)`)

// portsInText replaces the shipped ports wherever a text has them with their
// address.
func portsInText(text string, ports Ports) string {
	change := map[string]string{}
	for i, p := range ports.named() {
		change[Address(*Shipped.named()[i].port)] = Address(*p.port)
	}
	return shippedAddress.ReplaceAllStringFunc(text, func(address string) string {
		if to := change[address]; to != "" {
			return to
		}
		return address
	})
}

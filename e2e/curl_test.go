package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyward/e2e/stack"
)

// answerHead is the file, in a terminal's directory, to which curl writes the
// head of the last response.
const answerHead = "answer-head"

// writeCurlrc makes curl connect to the proxy for the page's hosts, trust its
// certificate, and keep the head of each response, without any of that in the
// command.
func (c *terminal) writeCurlrc(t *testing.T) {
	t.Helper()
	lines := []string{"silent", "show-error", "max-time = 25", `noproxy = "*"`, fmt.Sprintf("dump-header = %q", filepath.Join(c.dir, answerHead))}
	for _, host := range c.hosts {
		port := c.Ports().Envoy
		if strings.HasSuffix(host, ":443") && c.tlsPort != 0 {
			port = c.tlsPort
		}
		lines = append(lines, fmt.Sprintf("connect-to = \"%s:%s\"", host, stack.Address(port)))
	}
	if c.authority != nil {
		lines = append(lines, fmt.Sprintf("cacert = %q", c.authority.file))
	}
	if err := os.WriteFile(filepath.Join(c.dir, ".curlrc"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

type answerHeader struct {
	status string
	header http.Header
}

// verdict returns the status, and whether it is the proxy's own refusal.
func (a answerHeader) verdict() string {
	if a.status < "400" || a.header.Get("X-Keyward-Decision-Id") != "" {
		return a.status
	}
	return "own " + a.status
}

// answered reads the head of the last response that curl kept.
func (c *terminal) answered() (answerHeader, error) {
	text, err := os.ReadFile(filepath.Join(c.dir, answerHead))
	if err != nil {
		return answerHeader{}, err
	}
	reader := textproto.NewReader(bufio.NewReader(bytes.NewReader(text)))
	line, err := reader.ReadLine()
	if err != nil {
		return answerHeader{}, err
	}
	_, rest, _ := strings.Cut(line, " ")
	status, _, _ := strings.Cut(rest, " ")
	header, err := reader.ReadMIMEHeader()
	return answerHeader{status, http.Header(header)}, err
}

package main

import (
	"archive/tar"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// unpack unpacks the image for this machine, as a runtime does.
func unpack(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	layers, err := image(t, runtime.GOARCH).Layers()
	fatal(t, err)
	for _, l := range layers {
		eachEntry(t, l, func(h *tar.Header, content []byte) {
			name := filepath.Join(root, h.Name)
			if h.Typeflag == tar.TypeDir {
				fatal(t, os.MkdirAll(name, 0o755))
				return
			}
			fatal(t, os.WriteFile(name, content, os.FileMode(h.Mode)))
		})
	}
	return root
}

// contained returns a command that runs the image's entry point with arguments,
// as the image's user, with only the image's files visible. Without root rights
// it uses a user namespace.
func contained(root string, args ...string) *exec.Cmd {
	const user = 65532
	command := exec.Command("/keyward", args...)
	command.Dir, command.Env = "/etc/keyward", []string{}
	command.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: user, Gid: user}}
	if os.Getuid() != 0 {
		command.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: user, HostID: os.Getuid(), Size: 1}}
		command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: user, HostID: os.Getgid(), Size: 1}}
		command.SysProcAttr.Credential.NoSetGroups = true
	}
	return command
}

func TestContainerVersion(t *testing.T) {
	out, err := contained(unpack(t), "version").CombinedOutput()
	if want := fmt.Sprintf("keyward v1.2.3-test %s linux/%s\n", runtime.Version(), runtime.GOARCH); err != nil || string(out) != want {
		t.Errorf("%q, %v, want %q", out, err, want)
	}
}

// TestContainerServes: with a configuration and a key file mounted, and without
// any other writable path, the image becomes ready, knows the key, and ends on
// SIGTERM with status 0.
func TestContainerServes(t *testing.T) {
	root := unpack(t)
	create := exec.Command(filepath.Join(root, "keyward"), "key", "create", "--name", "test")
	create.Dir = filepath.Join(root, "etc/keyward")
	key, err := create.Output()
	fatal(t, err)
	fatal(t, os.Chmod(filepath.Join(root, "etc/keyward/keys.jsonl"), 0o444))

	c := serve(t, root, "")
	if status, body := c.get("admin", "/readyz", ""); status != http.StatusOK {
		t.Errorf("/readyz: %d %s", status, body)
	}
	if status, body := c.get("http", "/v1/auth/verify", strings.TrimSpace(string(key))); status != http.StatusOK {
		t.Errorf("the mounted key: %d %s", status, body)
	}
	if status, body := c.get("http", "/v1/auth/verify", "kw_00000000000000000000000000000000000000"); status != http.StatusUnauthorized {
		t.Errorf("another key: %d %s", status, body)
	}
	c.stop()
}

// container is a running container.
type container struct {
	t         *testing.T
	command   *exec.Cmd
	addresses map[string]string
	log       *os.File
	ended     chan error
}

// serve starts the image's command, without any write permission, and waits
// until it answers.
func serve(t *testing.T, root, more string) *container {
	t.Helper()
	c := &container{t: t, addresses: map[string]string{"http": free(t), "admin": free(t)}, ended: make(chan error, 1)}
	config := fmt.Sprintf("listen: {grpc: '', http: '%s', admin: '%s'}\n%s", c.addresses["http"], c.addresses["admin"], more)
	fatal(t, os.WriteFile(filepath.Join(root, "etc/keyward/keyward.yaml"), []byte(config), 0o444))
	writable(t, root, false)
	file, err := image(t, runtime.GOARCH).ConfigFile()
	fatal(t, err)
	c.command = contained(root, file.Config.Cmd...)
	c.log, err = os.Create(filepath.Join(t.TempDir(), "log"))
	fatal(t, err)
	c.command.Stdout, c.command.Stderr = c.log, c.log
	fatal(t, c.command.Start())
	go func() { c.ended <- c.command.Wait() }()
	t.Cleanup(func() { writable(t, root, true) })
	t.Cleanup(func() { c.stop() })
	c.wait("/healthz", func(status int, _ string) bool { return status == http.StatusOK })
	return c
}

// wait polls until the response satisfies enough.
func (c *container) wait(path string, enough func(status int, body string) bool) {
	c.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-c.ended:
			c.t.Fatalf("the container ended: %v\n%s", err, c.said())
		default:
		}
		status, body := c.get("admin", path, "")
		if enough(status, body) {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: %d %s", path, status, body)
		}
	}
}

// get returns status 0 if nothing answers.
func (c *container) get(listener, path, key string) (status int, body string) {
	c.t.Helper()
	request, err := http.NewRequest(http.MethodGet, "http://"+c.addresses[listener]+path, nil)
	fatal(c.t, err)
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	answer, err := (&http.Client{Timeout: 5 * time.Second}).Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	fatal(c.t, err)
	return answer.StatusCode, string(content)
}

func (c *container) said() string {
	c.t.Helper()
	said, err := os.ReadFile(c.log.Name())
	fatal(c.t, err)
	return string(said)
}

// stop may be called more than once.
func (c *container) stop() {
	c.t.Helper()
	if c.command == nil {
		return
	}
	fatal(c.t, c.command.Process.Signal(syscall.SIGTERM))
	if err := <-c.ended; err != nil {
		c.t.Errorf("after SIGTERM: %v\n%s", err, c.said())
	}
	c.log.Close()
	c.command = nil
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fatal(t, err)
	defer l.Close()
	return l.Addr().String()
}

// writable removes write permission from all directories, also for their owner,
// or restores it.
func writable(t *testing.T, root string, yes bool) {
	t.Helper()
	mode := os.FileMode(0o555)
	if yes {
		mode = 0o755
	}
	for _, dir := range []string{"", "etc", "etc/keyward", "etc/ssl", "etc/ssl/certs"} {
		fatal(t, os.Chmod(filepath.Join(root, dir), mode))
	}
}

const bundleFile = "etc/ssl/certs/ca-certificates.crt"

// TestPublicAuthorities: a public server's certificate chain, at its time,
// verifies with the image's certificates, and does not without them.
func TestPublicAuthorities(t *testing.T) {
	chain, err := os.ReadFile("testdata/public-chain.pem")
	fatal(t, err)
	leaf, rest := pem.Decode(chain)
	server, err := x509.ParseCertificate(leaf.Bytes)
	fatal(t, err)
	roots, err := os.ReadFile(filepath.Join(unpack(t), bundleFile))
	fatal(t, err)
	for _, c := range []struct {
		roots []byte
		good  bool
	}{{roots, true}, {nil, false}} {
		options := x509.VerifyOptions{DNSName: "www.google.com", CurrentTime: time.Unix(1677615892, 0), Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool()}
		options.Roots.AppendCertsFromPEM(c.roots)
		options.Intermediates.AppendCertsFromPEM(rest)
		if _, err := server.Verify(options); (err == nil) != c.good {
			t.Errorf("with %d bytes of roots: %v", len(c.roots), err)
		}
	}
}

// TestOperatorsAuthorities: Keyward in the image trusts the certificates in its
// /etc/ssl/certs. What an operator mounts there applies: an additional
// authority, others instead, or none.
func TestOperatorsAuthorities(t *testing.T) {
	issuer := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","alg":"EdDSA","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)
	}))
	issuer.Config.ErrorLog = log.New(io.Discard, "", 0) // half of the handshakes must fail
	issuer.StartTLS()
	defer issuer.Close()
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Certificate().Raw})
	more := fmt.Sprintf("keys: {file: ''}\njwt:\n- {name: company, issuer: https://id.example.com, algorithms: [EdDSA], jwks_url: '%s/jwks'}\n", issuer.URL)
	for name, c := range map[string]struct {
		file    string
		content []byte
		want    string
	}{
		"nothing mounted":        {"", nil, "error"},
		"one more, as a file":    {"etc/ssl/certs/company.pem", own, "ok"},
		"instead of the image's": {bundleFile, own, "ok"},
		"an empty one, instead":  {bundleFile, nil, "error"},
	} {
		t.Run(name, func(t *testing.T) {
			root := unpack(t)
			if c.file != "" {
				fatal(t, os.RemoveAll(filepath.Join(root, c.file)))
				fatal(t, os.WriteFile(filepath.Join(root, c.file), c.content, 0o444))
			}
			running := serve(t, root, more)
			other := map[string]string{"ok": "error", "error": "ok"}[c.want]
			running.wait("/metrics", func(_ int, body string) bool {
				if strings.Contains(body, refreshes(other)+" 1") {
					t.Fatalf("reading the issuer's keys: %s\n%s", other, running.said())
				}
				return strings.Contains(body, refreshes(c.want)+" 1")
			})
			running.stop()
			if failed := strings.Contains(running.said(), "its certificate is not trusted"); failed != (c.want == "error") {
				t.Errorf("the log is\n%s", running.said())
			}
		})
	}
}

func refreshes(result string) string {
	return `keyward_jwks_refreshes_total{issuer="company",result="` + result + `"}`
}

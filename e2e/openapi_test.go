package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// ends are the operations that may end the key with which the others are tried.
var ends = []string{"revoke-key", "revoke-own-key", "rotate-key", "rotate-own-key", "delete-key", "revoke-keys", "update-user", "delete-user"}

// TestOpenAPIDocument has Schemathesis send requests that it makes of the OpenAPI
// document, good ones and bad ones: none is answered with a 5xx, and every answer has
// a status, a media type and a body that the document has.
func TestOpenAPIDocument(t *testing.T) {
	need(t, "Schemathesis")
	examples := 25
	if os.Getenv("KEYWARD_PROVE") != "" {
		examples = 1000
	}
	m := startManaged(t)
	var others []string
	for _, id := range ends {
		others = append(others, "--exclude-operation-id", id)
	}
	m.schemathesis(m.admin, examples, others...)
	for i, id := range ends {
		m.schemathesis(m.administrator(fmt.Sprintf("of %d", i)), examples, "--include-operation-id", id)
	}
}

var tested = regexp.MustCompile(`(\d+) generated, (\d+) passed`)

func (m *managed) schemathesis(key string, examples int, args ...string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "python3", append([]string{
		"-m", "schemathesis.cli", "run", "http://" + m.address + "/api/openapi.json", "--header", "Authorization: Bearer " + key,
		"--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance,unsupported_method",
		"--phases", "examples,coverage,fuzzing", "--max-examples", fmt.Sprint(examples), "--seed", "1", "--no-color",
	}, args...)...)
	hooks, err := filepath.Abs("testdata")
	if err != nil {
		m.t.Fatal(err)
	}
	cmd.Dir, cmd.Env = m.dir, append(os.Environ(), "PYTHONPATH="+programs.schemathesis+":"+hooks, "PYTHONDONTWRITEBYTECODE=1", "SCHEMATHESIS_HOOKS=schemathesis_hooks")
	out, err := cmd.CombinedOutput()
	found := tested.FindStringSubmatch(string(out))
	if err != nil || found == nil || found[1] != found[2] || found[1] == "0" {
		m.t.Errorf("%q: %v\n%s", args, err, out)
		return
	}
	m.t.Logf("%q: %s requests", args, found[1])
}

package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// RunJavaScript runs a script as a module with node, and reads the value of an expression at its
// end. env is in addition to this process's environment.
func RunJavaScript(ctx context.Context, script, expression string, result any, env ...string) error {
	cmd := exec.CommandContext(ctx, "node", "--input-type=module")
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = strings.NewReader(script + "\nconsole.log(JSON.stringify(" + expression + "))\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, result)
	}
	if err != nil {
		return fmt.Errorf("node: %w: %s%s", err, out, stderr.Bytes())
	}
	return nil
}

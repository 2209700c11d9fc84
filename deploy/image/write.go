package main

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/distribution/reference"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// write replaces in the directory: oci/, the layout; keyward.tar, the same as
// an archive; and the SBOMs.
func write(out string, name reference.Reference, index v1.ImageIndex, images []platformImage) error {
	dir := filepath.Join(out, "oci")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	tagged, ok := name.(reference.NamedTagged)
	if !ok {
		return fmt.Errorf("%s has no tag", name)
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	// One entry, so that tools need no selection. The first name is the tag of
	// the image specification. The second is the name in containerd, and
	// therefore in Docker and kind.
	if err := path.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": tagged.Tag(),
		"io.containerd.image.name":          tagged.String(),
	})); err != nil {
		return err
	}
	for _, i := range images {
		file := fmt.Sprintf("keyward-%s-%s.spdx.json", i.made.OS, i.made.Arch)
		if err := os.WriteFile(filepath.Join(out, file), i.sbom, 0o644); err != nil {
			return err
		}
	}
	old, err := dockerManifest(tagged, images)
	if err != nil {
		return err
	}
	return archive(filepath.Join(out, "keyward.tar"), dir, old)
}

// dockerImage is an entry of manifest.json, by which a Docker without
// containerd finds its images. It does not support an index, so each platform
// has a tag.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func dockerManifest(name reference.NamedTagged, images []platformImage) ([]byte, error) {
	var all []dockerImage
	for _, i := range images {
		manifest, err := i.Manifest()
		if err != nil {
			return nil, err
		}
		one := dockerImage{Config: blob(manifest.Config.Digest), RepoTags: []string{reference.FamiliarString(name) + "-" + i.made.Arch}}
		for _, l := range manifest.Layers {
			one.Layers = append(one.Layers, blob(l.Digest))
		}
		all = append(all, one)
	}
	return json.Marshal(all)
}

func blob(digest v1.Hash) string { return "blobs/" + digest.Algorithm + "/" + digest.Hex }

// archive writes the layout and manifest.json, in order of name, with a fixed
// time.
func archive(file, dir string, manifest []byte) (err error) {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() {
		if closed := out.Close(); err == nil {
			err = closed
		}
	}()
	w := tar.NewWriter(out)
	if err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return archiveFile(w, dir, path)
	}); err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: "manifest.json", Mode: 0o644, Size: int64(len(manifest)), ModTime: time.Unix(0, 0)}); err != nil {
		return err
	}
	if _, err := w.Write(manifest); err != nil {
		return err
	}
	return w.Close()
}

func archiveFile(w *tar.Writer, dir, path string) error {
	name, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: filepath.ToSlash(name), Mode: 0o644, Size: info.Size(), ModTime: time.Unix(0, 0)}); err != nil {
		return err
	}
	_, err = io.Copy(w, in)
	return err
}

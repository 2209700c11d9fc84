package main

import (
	"fmt"
	"os"
	"time"

	"github.com/distribution/reference"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// made is the result.
type made struct {
	Reference string // name and tag
	Digest    v1.Hash
	Platforms []madePlatform
}

type madePlatform struct {
	OS, Arch             string
	Digest               v1.Hash
	Compressed, Unpacked int64 // total of the layers, in bytes
}

// makeImage builds keyward for each platform and writes the image.
func makeImage(o options) (*made, error) {
	name, err := reference.ParseDockerRef(o.Name + ":" + o.Version)
	if err != nil {
		return nil, fmt.Errorf("image %s:%s: %w", o.Name, o.Version, err)
	}
	dir, err := os.MkdirTemp("", "keyward-image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)

	result := &made{Reference: reference.FamiliarString(name)}
	var images []platformImage
	for _, p := range platforms {
		compiled, err := compile(o, p.os, p.arch, dir)
		if err != nil {
			return nil, err
		}
		image, err := newPlatformImage(o, compiled)
		if err != nil {
			return nil, fmt.Errorf("image for %s/%s: %w", p.os, p.arch, err)
		}
		images = append(images, image)
		result.Platforms = append(result.Platforms, image.made)
	}
	index := indexOf(images)
	if result.Digest, err = index.Digest(); err != nil {
		return nil, err
	}
	return result, write(o.Out, name, index, images)
}

// platformImage is the image of one platform, with its metadata.
type platformImage struct {
	v1.Image
	made        madePlatform
	sbom        []byte
	attestation v1.Image
}

// untyped is an image whose artifact type is only in its manifest. The library
// would repeat it in the index, where older versions of skopeo drop it and so
// change the digest.
type untyped struct{ v1.Image }

// ArtifactType returns "", which makes the library omit it.
func (untyped) ArtifactType() (string, error) { return "", nil }

func newPlatformImage(o options, p *program) (platformImage, error) {
	created, err := p.created(o)
	if err != nil {
		return platformImage{}, err
	}
	image, size, err := assemble(p, created, config(o, p, created))
	if err != nil {
		return platformImage{}, err
	}
	digest, err := image.Digest()
	if err != nil {
		return platformImage{}, err
	}
	sbom, err := spdx(p, created)
	if err != nil {
		return platformImage{}, err
	}
	attestation, err := attest(image, sbom)
	if err != nil {
		return platformImage{}, err
	}
	size.OS, size.Arch, size.Digest = p.OS, p.Arch, digest
	return platformImage{Image: image, made: size, sbom: sbom, attestation: attestation}, nil
}

// assemble makes an image of the layers, beginning with the one that changes
// least.
func assemble(p *program, created time.Time, config *v1.ConfigFile) (image v1.Image, size madePlatform, err error) {
	base, err := baseFiles()
	if err != nil {
		return nil, size, err
	}
	image = mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return nil, size, err
	}
	for _, content := range []struct {
		of    string
		files []file
	}{{"users and authorities", base}, {"keyward " + p.Version, programFiles(p)}} {
		l, err := layer(content.files, created)
		if err != nil {
			return nil, size, err
		}
		compressed, err := l.Size()
		if err != nil {
			return nil, size, err
		}
		size.Compressed += compressed
		for _, f := range content.files {
			size.Unpacked += int64(len(f.content))
		}
		history := v1.History{Created: v1.Time{Time: created}, CreatedBy: "make image", Comment: content.of}
		if image, err = mutate.Append(image, mutate.Addendum{Layer: l, History: history}); err != nil {
			return nil, size, err
		}
	}
	return image, size, nil
}

// config returns the default configuration of a container.
func config(o options, p *program, created time.Time) *v1.ConfigFile {
	labels := map[string]string{
		"org.opencontainers.image.title":       "keyward",
		"org.opencontainers.image.description": "Authentication for an API, beside the proxy that carries its traffic",
		"org.opencontainers.image.licenses":    license,
		"org.opencontainers.image.version":     p.Version,
		"org.opencontainers.image.revision":    p.revision(),
		"org.opencontainers.image.created":     created.Format(time.RFC3339),
	}
	if o.URL != "" {
		labels["org.opencontainers.image.source"] = o.URL
	}
	return &v1.ConfigFile{
		Architecture: p.Arch, OS: p.OS, Created: v1.Time{Time: created}, RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{
			// Numeric, so that Kubernetes' runAsNonRoot can verify that it is
			// not root.
			User:         nonroot + ":" + nonroot,
			Entrypoint:   []string{"/keyward"},
			Cmd:          []string{"serve", "--config", "/etc/keyward/keyward.yaml"},
			WorkingDir:   "/etc/keyward",
			ExposedPorts: map[string]struct{}{"9191/tcp": {}, "9192/tcp": {}, "9193/tcp": {}},
			Labels:       labels,
		},
	}
}

// indexOf lists the images and then the attestations, as BuildKit does. A
// runtime takes the first entry for its platform, and no runtime has the
// platform "unknown".
func indexOf(images []platformImage) v1.ImageIndex {
	var entries []mutate.IndexAddendum
	for _, i := range images {
		platform := &v1.Platform{OS: i.made.OS, Architecture: i.made.Arch}
		entries = append(entries, mutate.IndexAddendum{Add: untyped{i.Image}, Descriptor: v1.Descriptor{Platform: platform}})
	}
	for _, i := range images {
		entries = append(entries, mutate.IndexAddendum{Add: untyped{i.attestation}, Descriptor: v1.Descriptor{
			Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
			Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": i.made.Digest.String()},
		}})
	}
	return mutate.AppendManifests(empty.Index, entries...)
}

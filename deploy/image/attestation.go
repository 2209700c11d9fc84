package main

import (
	"bytes"
	"encoding/json"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	attestationType = "application/vnd.docker.attestation.manifest.v1+json"
	statementType   = "application/vnd.in-toto+json"
	predicateType   = "https://spdx.dev/Document"
)

// statement is an in-toto statement, v1.
type statement struct {
	Type          string             `json:"_type"`
	Subject       []statementSubject `json:"subject"`
	PredicateType string             `json:"predicateType"`
	Predicate     json.RawMessage    `json:"predicate"`
}

type statementSubject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// attestation is an OCI artifact with one layer, a statement about an image. It
// is what BuildKit makes with oci-artifact=true. The referrers of a registry
// and Docker's own tools both lead to it. It is not a signature; signing is
// left to the publisher of the image.
type attestation struct {
	manifest []byte
	layer    v1.Layer
}

func attest(image v1.Image, sbom []byte) (v1.Image, error) {
	subject, err := partial.Descriptor(untyped{image})
	if err != nil {
		return nil, err
	}
	said, err := json.Marshal(statement{
		Type:          "https://in-toto.io/Statement/v1",
		Subject:       []statementSubject{{Name: "keyward", Digest: map[string]string{subject.Digest.Algorithm: subject.Digest.Hex}}},
		PredicateType: predicateType,
		Predicate:     sbom,
	})
	if err != nil {
		return nil, err
	}
	layer := static.NewLayer(said, statementType)
	described, err := partial.Descriptor(layer)
	if err != nil {
		return nil, err
	}
	described.Annotations = map[string]string{"in-toto.io/predicate-type": predicateType}
	config, size, err := v1.SHA256(bytes.NewReader(noConfig))
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.OCIManifestSchema1,
		ArtifactType:  attestationType,
		Config:        v1.Descriptor{MediaType: types.OCIEmptyJSON, Digest: config, Size: size},
		Layers:        []v1.Descriptor{*described},
		Subject:       subject,
	})
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(&attestation{manifest: manifest, layer: layer})
}

// noConfig is the content of the empty descriptor, as the image specification
// defines it.
var noConfig = []byte("{}")

// Methods of partial.CompressedImageCore.

func (a *attestation) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }
func (a *attestation) RawManifest() ([]byte, error)        { return a.manifest, nil }
func (a *attestation) RawConfigFile() ([]byte, error)      { return noConfig, nil }

// LayerByDigest returns the only layer; callers only ask for digests of the
// manifest.
func (a *attestation) LayerByDigest(v1.Hash) (partial.CompressedLayer, error) { return a.layer, nil }

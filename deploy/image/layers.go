package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// nonroot is the number of the user and the group, as in the distroless images.
const nonroot = "65532"

const (
	passwd = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:" + nonroot + ":" + nonroot + ":nonroot:/etc/keyward:/sbin/nologin\n"
	group  = "root:x:0:\nnonroot:x:" + nonroot + ":\n"
)

// file is one entry of a layer. A name that ends in "/" is a directory.
type file struct {
	name    string
	content []byte
	mode    int64
}

// baseFiles returns the files that the program needs. There is no /tmp: Keyward
// writes only to the key file's directory and to standard output.
func baseFiles() ([]file, error) {
	roots, err := certificates()
	if err != nil {
		return nil, err
	}
	return []file{
		{name: "etc/", mode: 0o755},
		{name: "etc/group", content: []byte(group), mode: 0o444},
		{name: "etc/keyward/", mode: 0o755},
		{name: "etc/passwd", content: []byte(passwd), mode: 0o444},
		{name: "etc/ssl/", mode: 0o755},
		{name: "etc/ssl/certs/", mode: 0o755},
		{name: "etc/ssl/certs/ca-certificates.crt", content: roots, mode: 0o444},
	}, nil
}

func programFiles(p *program) []file {
	return []file{{name: "keyward", content: p.Bytes, mode: 0o555}}
}

// certificates returns the Mozilla bundle that the Go team maintains, as PEM.
// It is a file and not x509.SetFallbackRoots in the program, because the
// fallback applies when no certificate can be read: after a failed mount over
// /etc/ssl/certs the program would trust the public authorities instead of
// none.
//
// A root that is only valid for older certificates is left out, since PEM
// cannot express that.
func certificates() ([]byte, error) {
	var all bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		parsed, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return nil, fmt.Errorf("a root of the bundle: %w", err)
		}
		fmt.Fprintf(&all, "# %s\n", parsed.Subject)
		if err := pem.Encode(&all, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	return all.Bytes(), nil
}

// layer returns a layer of the files in the given order, all owned by root and
// with the same time.
func layer(files []file, created time.Time) (v1.Layer, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, f := range files {
		header := tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.content)), Mode: f.mode, ModTime: created, Format: tar.FormatPAX}
		if f.name[len(f.name)-1] == '/' {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(&header); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithCompressedCaching)
}

package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"time"
)

// program is keyward, compiled for one platform.
type program struct {
	OS, Arch string
	Version  string // as printed by `keyward version`
	Bytes    []byte
	Info     *debug.BuildInfo
}

var platforms = []struct{ os, arch string }{{"linux", "amd64"}, {"linux", "arm64"}}

// compile builds keyward with the Go command, and reads back the build
// information.
func compile(o options, goos, goarch, dir string) (*program, error) {
	file := filepath.Join(dir, "keyward-"+goos+"-"+goarch)
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=true", "-o", file, "-ldflags", "-s -w -X main.version="+o.Version, "./cmd/keyward")
	build.Dir = o.Source
	build.Stderr = os.Stderr
	// Without these, the builder's settings would affect the program and thus
	// the digest.
	build.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "GOAMD64=v1", "GOARM64=v8.0", "CGO_ENABLED=0",
		"GOFLAGS=", "GOEXPERIMENT=", "GOFIPS140=off", "GOWORK=off")
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("building keyward for %s/%s: %w", goos, goarch, err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p := &program{OS: goos, Arch: goarch, Version: o.Version, Bytes: content, Info: info}
	if p.revision() == "" {
		return nil, fmt.Errorf("%s is not under version control, so the image could not be traced to its source", o.Source)
	}
	return p, nil
}

func (p *program) setting(key string) string {
	for _, s := range p.Info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// revision returns the commit, and whether the tree differed from it.
func (p *program) revision() string {
	if p.setting("vcs.modified") == "true" {
		return p.setting("vcs.revision") + "+modified"
	}
	return p.setting("vcs.revision")
}

// created returns the time of the image and of all its files: that of the
// options, or else the commit's.
func (p *program) created(o options) (time.Time, error) {
	if !o.Created.IsZero() {
		return o.Created.UTC(), nil
	}
	committed, err := time.Parse(time.RFC3339, p.setting("vcs.time"))
	if err != nil {
		return time.Time{}, fmt.Errorf("time of the commit: %w", err)
	}
	return committed.UTC(), nil
}

func (p *program) sha256() string {
	sum := sha256.Sum256(p.Bytes)
	return hex.EncodeToString(sum[:])
}

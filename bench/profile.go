package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"keyward/bench/credential"
	"keyward/bench/loadgen"
	"keyward/bench/process"

	"google.golang.org/protobuf/encoding/protowire"
)

// profile makes the profile with which the compiler optimizes keyward
// (cmd/keyward/default.pgo): known keys, few and many, unknown ones and junk,
// and rate-limited ones over gRPC, and known ones over HTTP, each for the same
// time.
func (b *bench) profile() error {
	if b.profileTo == "" {
		return nil
	}
	few := b.casesOf(b.small, "")
	settings := []*scenario{
		{keys: b.small, cases: few}, {keys: b.large, cases: b.casesOf(b.large, "")}, {keys: b.small, more: limitedConfig, cases: b.limitedCases(few, "")},
	}
	var files []string
	for i, s := range settings {
		s.binary, s.procs = b.binary, 1
		if err := s.start(filepath.Join(b.dir, fmt.Sprint("profile", i))); err != nil {
			return err
		}
		loads := []func(time.Duration) error{}
		for _, c := range s.cases {
			loads = append(loads, c.measure)
		}
		if i == 0 {
			loads = append(loads, s.overHTTP)
		}
		for _, load := range loads {
			file, err := b.profiled(s.child, len(files), load)
			if err != nil {
				return err
			}
			files = append(files, file)
		}
		if err := s.child.Stop(); err != nil {
			return err
		}
	}
	merged, err := exec.Command("go", append([]string{"tool", "pprof", "-proto"}, files...)...).Output()
	if err != nil {
		return fmt.Errorf("merging: %w", err)
	}
	return b.save(merged)
}

// overHTTP checks the scenario's keys as nginx does.
func (s *scenario) overHTTP(span time.Duration) error {
	_, err := perRequest(s.child, filepath.Join(filepath.Dir(s.child.Socket), process.HTTPSocket), span, loadgen.NginxCheck(credential.AnyKey(s.keys.Secrets)))
	return err
}

// profiled takes a profile of the child while load runs.
func (b *bench) profiled(c *process.Child, n int, load func(time.Duration) error) (string, error) {
	const seconds = 25
	file := filepath.Join(b.dir, fmt.Sprintf("cpu%d.pprof", n))
	done := make(chan error, 1)
	go func() { done <- load((seconds + 2) * time.Second) }()
	time.Sleep(time.Second)
	response, err := c.Admin.Get(fmt.Sprintf("http://admin/debug/pprof/profile?seconds=%d", seconds))
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("profile: %s, %w", response.Status, err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return "", err
	}
	return file, <-done
}

// save writes a profile without the path of the binary on this machine.
func (b *bench) save(compressed []byte) error {
	in, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	out := gzip.NewWriter(&text)
	const stringTable = 6 // in pprof's profile.proto
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return protowire.ParseError(n)
		}
		size := protowire.ConsumeFieldValue(number, kind, raw[n:])
		if size < 0 {
			return protowire.ParseError(size)
		}
		field := raw[:n+size]
		if number == stringTable {
			if value, _ := protowire.ConsumeBytes(raw[n:]); string(value) == b.binary {
				field = protowire.AppendString(protowire.AppendTag(nil, stringTable, protowire.BytesType), "keyward")
			}
		}
		if _, err := out.Write(field); err != nil {
			return err
		}
		raw = raw[n+size:]
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.WriteFile(b.profileTo, text.Bytes(), 0o644)
}

package config

import (
	"slices"
	"strconv"
	"strings"

	"keyward/config/strictyaml"
)

// File is a file that a configuration names.
type File struct {
	Key  string // for example tls.grpc.cert_file; of a list's element, jwt.jwks_file
	Line int    // from 1; 0 for the default
	Path string
	// written is the value as the configuration has it, if it has environment
	// variables in it, and "" otherwise.
	written string
}

// Problem returns a problem with the file. It does not show the values of
// environment variables: a secret may have been used as a file name by mistake.
func (f File) Problem(config string, err error) Problem {
	text := err.Error()
	if f.written != "" {
		quoted := strconv.Quote(f.Path)
		text = strings.ReplaceAll(text, quoted, f.written)
		text = strings.ReplaceAll(text, f.Path, f.written)
	}
	return Problem{File: config, Line: f.Line, Message: f.Key + ": " + text}
}

// filename reads a file name.
func (d *decoder) filename(to *string) strictyaml.Field {
	return func(v strictyaml.Value) {
		d.Text(to)(v)
		if *to != "" {
			d.files = append(d.files, File{v.Name, v.Line, *to, d.Written(v)})
		}
	}
}

// namedFiles returns the files that were read, by line, and the default key
// file if none was.
func (d *decoder) namedFiles(cfg *Config) []File {
	const keys = "keys.file"
	if cfg.Keys.File != "" && !slices.ContainsFunc(d.files, func(f File) bool { return f.Key == keys }) {
		d.files = append(d.files, File{Key: keys, Path: cfg.Keys.File})
	}
	slices.SortStableFunc(d.files, func(a, b File) int { return a.Line - b.Line })
	return d.files
}

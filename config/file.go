package config

import (
	"slices"
	"strconv"
	"strings"
)

// File is a file that a configuration names, and where it does so.
type File struct {
	Key  string // as in tls.grpc.cert_file; of an element of a list as in jwt.jwks_file
	Line int    // from 1; 0 is the default, which no line names
	Path string
	// written is the value as the configuration has it, where environment
	// variables stand in it; "" where none do.
	written string
}

// Problem is one thing wrong with the file. What environment variables stand
// for is not shown: it may be a secret that was taken for a file's name.
func (f File) Problem(config string, err error) Problem {
	text := err.Error()
	if f.written != "" {
		quoted := strconv.Quote(f.Path)
		text = strings.ReplaceAll(text, quoted, f.written)
		text = strings.ReplaceAll(text, f.Path, f.written)
	}
	return Problem{File: config, Line: f.Line, Message: f.Key + ": " + text}
}

// filename reads the name of a file.
func (r *reader) filename(to *string) field {
	return func(v value) {
		r.text(to)(v)
		if *to != "" {
			r.files = append(r.files, File{v.name, v.Line, *to, r.written[v.Node]})
		}
	}
}

// named are the files that were read, by line, and the default of the key file where none was.
func (r *reader) named(cfg *Config) []File {
	const keys = "keys.file"
	if cfg.Keys.File != "" && !slices.ContainsFunc(r.files, func(f File) bool { return f.Key == keys }) {
		r.files = append(r.files, File{Key: keys, Path: cfg.Keys.File})
	}
	slices.SortStableFunc(r.files, func(a, b File) int { return a.Line - b.Line })
	return r.files
}

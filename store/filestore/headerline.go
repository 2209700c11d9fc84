package filestore

import (
	"keyward/store/jsonline"
)

// headerReader reads the members of a header.
type headerReader struct {
	header
	version int64 // of a file of firstVersion; zero: it has versions
	seen    map[string]bool
	others  jsonline.Unknown
}

// readHeader reads a file's first line.
func readHeader(line []byte) (header, error) {
	r := headerReader{seen: map[string]bool{}}
	s := jsonline.NewScanner(line)
	err := s.Object(func(name []byte) error { return r.member(&s, name) })
	switch {
	case err != nil:
		return header{}, err
	case !s.End() || r.seen["version"] == r.seen["versions"]:
		return header{}, jsonline.ErrSyntax
	case r.seen["version"]:
		if r.version != firstVersion {
			return header{}, jsonline.ErrSyntax
		}
		r.Versions = [2]int64{firstVersion, firstVersion}
	case r.Versions[0] < firstVersion || r.Versions[1] < r.Versions[0]:
		return header{}, jsonline.ErrSyntax
	}
	r.unknown = string(r.others.Raw())
	return r.header, nil
}

func knownInHeader(name []byte) bool {
	switch string(name) {
	case "keyward", "version", "versions", "hash", "pepper", "last", "must":
		return true
	default:
		return false
	}
}

func (r *headerReader) member(s *jsonline.Scanner, name []byte) error {
	if !knownInHeader(name) {
		return r.others.Read(s, name, knownInHeader)
	}
	if r.seen[string(name)] {
		return jsonline.ErrTwice
	}
	r.seen[string(name)] = true
	switch string(name) {
	case "keyward":
		return s.ReadTextString(&r.Kind)
	case "version":
		var ok bool
		r.version, ok = s.ReadInteger()
		return jsonline.ErrType.Unless(ok)
	case "versions":
		return r.readVersions(s)
	case "must":
		return r.readMust(s)
	case "last":
		var ok bool
		r.Last, ok = s.ReadInteger()
		return jsonline.ErrType.Unless(ok && r.Last > 0)
	case "hash":
		return s.ReadTextString(&r.Hash)
	default:
		return s.ReadTextString(&r.Pepper)
	}
}

func (r *headerReader) readVersions(s *jsonline.Scanner) error {
	n := 0
	err := s.Array(func() error {
		if n == len(r.Versions) {
			return jsonline.ErrList
		}
		var ok bool
		r.Versions[n], ok = s.ReadInteger()
		n++
		return jsonline.ErrType.Unless(ok)
	})
	if err == nil && n != len(r.Versions) {
		err = jsonline.ErrList
	}
	return err
}

func (r *headerReader) readMust(s *jsonline.Scanner) error {
	ahead := *s
	var names [][]byte
	if err := ahead.ReadTexts(&names); err != nil {
		return err
	}
	for _, name := range names {
		r.newer = r.newer || !knownInHeader(name)
	}
	return r.others.Read(s, []byte("must"), knownInHeader)
}

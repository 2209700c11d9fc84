package usage

import "iter"

// Sums adds up lines per key. Its zero value has none.
type Sums struct {
	keys  map[string]*aggregate
	order []string // of the keys, as they came
	line  aggregate
}

// KeyLines are the lines that have the sum of a key, without their newlines: "" for one
// that the sum does not need.
type KeyLines struct {
	Totals, Days string
	Last         int64 // use, in microseconds since 1970
}

// Add adds a line, which has no newline. It returns false for one that it cannot read.
func (s *Sums) Add(line []byte) bool {
	id, err := s.parse(line)
	if err == nil {
		s.addTo(id)
	}
	return err == nil
}

// AddOf is Add for a line that must be about the key.
func (s *Sums) AddOf(id string, line []byte) bool {
	got, err := s.parse(line)
	if err != nil || got != id {
		return false
	}
	s.addTo(id)
	return true
}

func (s *Sums) parse(line []byte) (id string, err error) {
	if len(line) >= maxLine {
		return "", errLine
	}
	return parseLine(line, &s.line)
}

func (s *Sums) addTo(id string) {
	sum := s.keys[id]
	if sum == nil {
		sum = &aggregate{}
		if s.keys == nil {
			s.keys = map[string]*aggregate{}
		}
		s.keys[id] = sum
		s.order = append(s.order, id)
	}
	sum.add(&s.line)
}

// Keys returns the keys, in the order in which they came.
func (s *Sums) Keys() []string { return s.order }

// All returns the sum of each key, in the order in which the keys came. Each line can be
// read again: one that would be too long, as only lines that no Keyward wrote make it,
// is left out.
func (s *Sums) All() iter.Seq2[string, KeyLines] {
	return func(yield func(string, KeyLines) bool) {
		for _, id := range s.order {
			if !yield(id, s.keys[id].lines(id)) {
				return
			}
		}
	}
}

func (t *aggregate) lines(id string) KeyLines {
	var lines KeyLines
	if len(t.results) > 0 {
		lines.Last = t.last
		lines.Totals = bounded(appendLine(nil, id, t))
	}
	if len(t.days) > 0 {
		lines.Days = bounded(appendDaysLine(nil, id, &t.daily))
	}
	return lines
}

// bounded returns the line without its newline, "" if a reader would skip it.
func bounded(line []byte) string {
	if len(line) > maxLine {
		return ""
	}
	return string(line[:len(line)-1])
}

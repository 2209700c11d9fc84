package usage

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"unicode/utf8"
)

// A line is one JSON object in exactly this form, so that it is read quickly, and
// only up to its id if that is enough:
//
//	{"id":"k_…","first":µs,"last":µs,"address":"…","results":{"ok":12},"outcomes":[[µs,"GET","/posts",200,"ok"]]}
//
// Times are microseconds since 1970; the oldest outcome comes first.

// maxLine bounds a line: 20 paths of 256 bytes, each of which may take six bytes,
// and space for the rest.
const maxLine = 64 << 10

// maxResults bounds the number of results of a line. There are fewer reasons.
const maxResults = 256

var errLine = errors.New("not a line as this package writes them")

// appendLine appends the line of the key with the content t, and a newline.
func appendLine(dst []byte, id string, t *aggregate) []byte {
	dst = appendText(append(dst, `{"id":`...), id)
	dst = strconv.AppendInt(append(dst, `,"first":`...), t.first, 10)
	dst = strconv.AppendInt(append(dst, `,"last":`...), t.last, 10)
	dst = appendText(append(dst, `,"address":`...), t.address)
	dst = append(dst, `,"results":{`...)
	for i, c := range t.results {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(append(appendText(dst, c.result), ':'), c.n, 10)
	}
	dst = append(dst, `},"outcomes":[`...)
	for i := range t.outcomes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = t.outcomes[i].append(dst)
	}
	return append(dst, "]}\n"...)
}

func (o *outcome) append(dst []byte) []byte {
	dst = strconv.AppendInt(append(dst, '['), o.at, 10)
	dst = appendText(append(dst, ','), o.method)
	dst = appendText(append(dst, ','), o.path)
	dst = strconv.AppendInt(append(dst, ','), int64(o.status), 10)
	return append(appendText(append(dst, ','), o.result), ']')
}

// appendText appends s as a JSON string. Bytes that are not valid UTF-8 become
// U+FFFD.
func appendText(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string can always be marshalled
			return append(dst, quoted...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}

// cursor reads what appendLine wrote. At the first difference from that form it
// sets bad and reads nothing more.
type cursor struct {
	text []byte
	bad  bool
}

// is reads the literal if it is next.
func (c *cursor) is(literal string) bool {
	if c.bad || len(c.text) < len(literal) || string(c.text[:len(literal)]) != literal {
		return false
	}
	c.text = c.text[len(literal):]
	return true
}

func (c *cursor) must(literal string) {
	if !c.is(literal) {
		c.bad = true
	}
}

func (c *cursor) number(limit uint64) uint64 {
	digits := 0
	for digits < len(c.text) && '0' <= c.text[digits] && c.text[digits] <= '9' {
		digits++
	}
	n, err := strconv.ParseUint(string(c.text[:digits]), 10, 64)
	if err != nil || n > limit || digits > 1 && c.text[0] == '0' {
		c.bad = true
		return 0
	}
	c.text = c.text[digits:]
	return n
}

// maxTime is the end of the year 9999, after which there is no RFC 3339 time.
const maxTime = 253402300800*1e6 - 1

func (c *cursor) time() int64 { return int64(c.number(maxTime)) }

// word reads a string that most lines have, without allocating it each time.
func (c *cursor) word() string {
	for _, common := range [...]string{"GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "ok"} {
		if rest := c.text; c.is(`"`) && c.is(common) && c.is(`"`) {
			return common
		} else if !c.bad {
			c.text = rest
		}
	}
	return c.str()
}

func (c *cursor) str() string {
	c.must(`"`)
	if c.bad {
		return ""
	}
	end := 0
	for end < len(c.text) && c.text[end] != '"' && c.text[end] != '\\' && c.text[end] >= 0x20 && c.text[end] <= 0x7e {
		end++
	}
	if end == len(c.text) || c.text[end] != '"' {
		return c.escaped(end)
	}
	raw := c.text[:end]
	c.text = c.text[end+1:]
	return string(raw)
}

// escaped reads a string that is not only plain ASCII. Its closing quote is not
// before from.
func (c *cursor) escaped(from int) (s string) {
	end := from
	for end < len(c.text) && c.text[end] != '"' {
		if c.text[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(c.text) || !utf8.Valid(c.text[:end]) ||
		json.Unmarshal(slices.Concat([]byte(`"`), c.text[:end], []byte(`"`)), &s) != nil {
		c.bad = true
		return ""
	}
	c.text = c.text[end+1:]
	return s
}

// readID reads the id of the line's key, and returns the cursor after it.
func (c *cursor) readID() string {
	c.must(`{"id":`)
	return c.str()
}

// readTimes reads the times after the id.
func (c *cursor) readTimes() (first, last int64) {
	c.must(`,"first":`)
	first = c.time()
	c.must(`,"last":`)
	return first, c.time()
}

// parseLine reads a line without its newline into t, whose slices it reuses.
func parseLine(line []byte, t *aggregate) (id string, err error) {
	c := cursor{text: line}
	*t = aggregate{results: t.results[:0], outcomes: t.outcomes[:0]}
	id = c.readID()
	t.first, t.last = c.readTimes()
	c.must(`,"address":`)
	t.address = c.str()
	c.must(`,"results":{`)
	for !c.bad && !c.is("}") {
		if len(t.results) > 0 {
			c.must(",")
		}
		result := c.word()
		c.must(":")
		t.results = append(t.results, count{result, c.number(1<<64 - 1)})
		c.bad = c.bad || len(t.results) > maxResults
	}
	c.must(`,"outcomes":[`)
	for !c.bad && !c.is("]") {
		if len(t.outcomes) > 0 {
			c.must(",")
		}
		t.outcomes = append(t.outcomes, c.readOutcome())
		c.bad = c.bad || len(t.outcomes) > maxOutcomes
	}
	c.must("}")
	if c.bad || len(c.text) > 0 || id == "" {
		return "", errLine
	}
	return id, nil
}

func (c *cursor) readOutcome() (o outcome) {
	c.must("[")
	o.at = c.time()
	c.must(",")
	o.method = c.word()
	c.must(",")
	o.path = c.str()
	c.must(",")
	o.status = int(c.number(999))
	c.must(",")
	o.result = c.word()
	c.must("]")
	return o
}

package usage

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"unicode/utf8"
)

// A line is one JSON object in exactly one of these forms, so that it is read
// quickly, and only up to its id if that is enough:
//
//	{"id":"k_…","first":µs,"last":µs,"address":"…","results":{"ok":12},"outcomes":[[µs,"GET","/posts",200,"ok"]]}
//	{"id":"k_…","days":[[20420,12,1,0]],"previous":µs}
//
// Times are microseconds since 1970; the oldest outcome comes first. A day has the
// number of days since 1970, and how many requests were allowed, were denied, and
// were made with a previous secret; previous is when that was last. The days of one
// line are in order.
//
// A reader skips lines of another form. So a version of Keyward that does not know
// days reads the rest, and drops the days when it compacts the file. A new member
// is therefore a new form of line, and never an addition to one of these.

// maxLine bounds a line: 20 paths of 256 bytes, each of which may take six bytes,
// and space for the rest.
const maxLine = 64 << 10

// maxDayNumber is the last day of the year 9999.
const maxDayNumber = int64(maxTime) / dayMicros

// maxResults bounds the number of results of a line. There are fewer reasons.
const maxResults = 256

var errLine = errors.New("not a line as this package writes them")

// appendLines appends the lines of the key that together have the content t.
func appendLines(dst []byte, id string, t *aggregate) []byte {
	if len(t.results) > 0 {
		dst = appendLine(dst, id, t)
	}
	if len(t.days) > 0 {
		dst = appendDaysLine(dst, id, &t.daily)
	}
	return dst
}

// appendLine appends a line with all of t but its days, and a newline.
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

// appendDaysLine appends a line with the days, and a newline.
func appendDaysLine(dst []byte, id string, t *daily) []byte {
	dst = appendText(append(dst, `{"id":`...), id)
	dst = append(dst, `,"days":[`...)
	for i, d := range t.days {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, '['), d.number, 10)
		for _, n := range [...]uint64{d.allowed, d.denied, d.byPreviousSecrets} {
			dst = strconv.AppendUint(append(dst, ','), n, 10)
		}
		dst = append(dst, ']')
	}
	dst = strconv.AppendInt(append(dst, `],"previous":`...), t.previousLast, 10)
	return append(dst, "}\n"...)
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
	*t = aggregate{results: t.results[:0], outcomes: t.outcomes[:0], daily: daily{days: t.days[:0]}}
	id = c.readID()
	if c.is(`,"days":[`) {
		c.readDays(&t.daily)
	} else {
		c.readTotals(t)
	}
	c.must("}")
	if c.bad || len(c.text) > 0 || id == "" {
		return "", errLine
	}
	return id, nil
}

// readTotals reads what appendLine wrote after the id.
func (c *cursor) readTotals(t *aggregate) {
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
}

// readDays reads what appendDaysLine wrote after the first bracket.
func (c *cursor) readDays(t *daily) {
	for more := true; more; more = c.is(",") {
		d := c.readDay()
		if n := len(t.days); n == maxDays || n > 0 && d.number <= t.days[n-1].number {
			c.bad = true
		}
		t.days = append(t.days, d)
	}
	c.must(`],"previous":`)
	t.previousLast = c.time()
}

func (c *cursor) readDay() (d day) {
	c.must("[")
	d.number = int64(c.number(uint64(maxDayNumber)))
	for _, n := range [...]*uint64{&d.allowed, &d.denied, &d.byPreviousSecrets} {
		c.must(",")
		*n = c.number(1<<64 - 1)
	}
	c.must("]")
	return d
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

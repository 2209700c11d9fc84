package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// soakQuestion is a request whose only right answer is known.
type soakQuestion struct {
	name   string
	block  []byte // its fields in HPACK
	status string
	seen   string // the subject that the upstream saw, of an allowed request
	says   string // in the body of a denial
	reset  bool   // the client ends the stream at once
}

// newSoakQuestion encodes the request. No field is to be indexed, so that one
// encoding is valid on each connection.
func newSoakQuestion(name, path, credential, status, answer string) *soakQuestion {
	q := &soakQuestion{name: name, status: status, seen: answer}
	if status != "200" {
		q.seen, q.says = "", `"`+answer+`"`
	}
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: path}, {Name: ":authority", Value: "api.example.com"},
		{Name: "user-agent", Value: "curl/8.5.0"}, {Name: "accept", Value: "*/*"},
	}
	if credential != "" {
		fields = append(fields, hpack.HeaderField{Name: "authorization", Value: credential})
	}
	var block bytes.Buffer
	for encoder, i := hpack.NewEncoder(&block), 0; i < len(fields); i++ {
		fields[i].Sensitive = true
		_ = encoder.WriteField(fields[i]) // into memory
	}
	q.block = block.Bytes()
	return q
}

// soakLoad sends requests over HTTP/2 and compares each answer. It writes the
// frames itself, since a client library would take more of the processor than
// Envoy.
type soakLoad struct {
	address        string
	conns, streams int
	rate           int // requests per second over all connections; 0: as many as are answered
	pick           func() *soakQuestion
	stop           <-chan struct{}
}

// soakAnswers are the answers of a load.
type soakAnswers struct {
	right     int
	resets    int // streams that the client has ended
	reconnect int // connections that Envoy has drained
	wrong     map[string]int
	took      time.Duration
	times     []time.Duration // at a given rate, from when the request was due
	cpu       workerTime
}

func (a *soakAnswers) add(b *soakAnswers) {
	a.right, a.resets, a.reconnect, a.times, a.took = a.right+b.right, a.resets+b.resets, a.reconnect+b.reconnect, append(a.times, b.times...), a.took+b.took
	if a.wrong == nil {
		a.wrong = map[string]int{}
	}
	for what, n := range b.wrong {
		a.wrong[what] += n
	}
}

// problems returns what was wrong, with numbers.
func (a *soakAnswers) problems() (all []string) {
	for _, what := range slices.Sorted(maps.Keys(a.wrong)) {
		all = append(all, fmt.Sprintf("%d times %s", a.wrong[what], what))
	}
	return all
}

// percentile sorts the times.
func (a *soakAnswers) percentile(p float64) time.Duration {
	if len(a.times) == 0 {
		return 0
	}
	slices.Sort(a.times)
	return a.times[min(len(a.times)-1, int(float64(len(a.times))*p/100))]
}

// run sends the load until stop is closed.
func (l soakLoad) run() *soakAnswers {
	var mu sync.Mutex
	var wait sync.WaitGroup
	all := &soakAnswers{}
	began := time.Now()
	for range l.conns {
		wait.Go(func() {
			a := &soakAnswers{wrong: map[string]int{}}
			due := began
			for first := true; first || !l.stopped(); first = false {
				if !first {
					a.reconnect++
				}
				if err := l.serve(a, &due); err != nil {
					a.wrong["a connection failed: "+err.Error()]++
					time.Sleep(50 * time.Millisecond) // an Envoy that is gone is not asked a million times
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all.add(a)
		})
	}
	wait.Wait()
	all.took = time.Since(began)
	return all
}

func (l soakLoad) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// soakConn is one connection.
type soakConn struct {
	soakLoad
	answers *soakAnswers
	conn    net.Conn
	out     *bufio.Writer
	in      *bufio.Reader
	frames  *http2.Framer
	decoder *hpack.Decoder
	next    uint32 // stream
	open    int
	leaving bool // Envoy takes no more streams
	credit  int
	ring    [4096]soakStream // stream n is at n/2 modulo its size
	reading *soakStream      // whose fields the decoder reads
}

type soakStream struct {
	asked   *soakQuestion // nil: none, or the client has ended it
	due     time.Time
	status  string
	seen    string
	said    bool
	excerpt string
}

const soakWindow = 1 << 30

// soakTimeout is how long a client waits, so long that a busy machine ends no
// request.
const soakTimeout = time.Minute

// serve runs one connection until the load ends or Envoy drains it.
func (l soakLoad) serve(a *soakAnswers, due *time.Time) error {
	conn, err := net.Dial("tcp", l.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	c := &soakConn{soakLoad: l, answers: a, conn: conn, out: bufio.NewWriterSize(conn, 64<<10), in: bufio.NewReaderSize(conn, 64<<10), next: 1}
	c.frames = http2.NewFramer(c.out, c.in)
	c.frames.SetReuseFrames()
	c.decoder = hpack.NewDecoder(4096, c.field)
	_, _ = c.out.WriteString(http2.ClientPreface)
	if err := errors.Join(
		c.frames.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: soakWindow}, http2.Setting{ID: http2.SettingEnablePush, Val: 0}),
		c.frames.WriteWindowUpdate(0, soakWindow), c.out.Flush()); err != nil {
		return err
	}
	for now := time.Now(); ; now = time.Now() {
		if ending := c.leaving || c.stopped(); ending && c.open == 0 {
			return nil
		} else if err := c.ask(now, due, ending); err != nil {
			return err
		}
		if err := c.read(*due); err != nil {
			return fmt.Errorf("with %d requests open, leaving %t: %w", c.open, c.leaving, err)
		}
	}
}

// ask sends the requests that are due: at a given rate those whose time has
// come, otherwise as many as may be open.
func (c *soakConn) ask(now time.Time, due *time.Time, ending bool) error {
	for c.open < c.streams && !ending {
		at := now
		if c.rate > 0 {
			if due.After(now) {
				break
			}
			at, *due = *due, due.Add(time.Second*time.Duration(c.conns)/time.Duration(c.rate))
		}
		if err := c.send(c.pick(), at); err != nil {
			return err
		}
	}
	if c.in.Buffered() == 0 {
		return c.out.Flush()
	}
	return nil
}

func (c *soakConn) send(q *soakQuestion, due time.Time) error {
	id := c.next
	c.next += 2
	s := &c.ring[id/2%uint32(len(c.ring))]
	if s.asked != nil {
		return fmt.Errorf("stream %d was not answered while 4096 others were: %s", id-2*uint32(len(c.ring)), s.asked.name)
	}
	if q.reset {
		// In half of the cases the request has not ended either.
		half := rand.IntN(2) == 0
		c.answers.resets++
		return errors.Join(c.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: q.block, EndHeaders: true, EndStream: half}),
			c.frames.WriteRSTStream(id, http2.ErrCodeCancel))
	}
	*s = soakStream{asked: q, due: due}
	c.open++
	return c.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: q.block, EndHeaders: true, EndStream: true})
}

// read reads a frame. At a given rate it waits at most until the next request
// is due.
func (c *soakConn) read(due time.Time) error {
	wait := soakTimeout
	if c.rate > 0 {
		wait = min(max(time.Until(due), 50*time.Microsecond), time.Second)
	}
	if c.in.Buffered() == 0 {
		if err := c.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return err
		}
		if _, err := c.in.Peek(1); errors.Is(err, os.ErrDeadlineExceeded) && c.rate > 0 {
			return c.overdue()
		} else if err != nil {
			return err
		}
		if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
	}
	frame, err := c.frames.ReadFrame()
	if err != nil {
		return err
	}
	switch f := frame.(type) {
	case *http2.HeadersFrame:
		return c.headers(f)
	case *http2.DataFrame:
		return c.data(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			return c.frames.WritePing(true, f.Data)
		}
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return c.frames.WriteSettingsAck()
		}
	case *http2.RSTStreamFrame:
		c.end(f.StreamID, fmt.Sprintf("stream reset: %v", f.ErrCode))
	case *http2.GoAwayFrame:
		if f.ErrCode != http2.ErrCodeNo {
			return fmt.Errorf("the connection was ended: %v %q", f.ErrCode, f.DebugData())
		}
		c.leaving = true
		c.drop(f.LastStreamID)
	}
	return nil
}

// overdue returns an error if the last request was not answered for long.
func (c *soakConn) overdue() error {
	if s := &c.ring[(c.next-2)/2%uint32(len(c.ring))]; c.next > 1 && s.asked != nil && time.Since(s.due) > soakTimeout {
		return fmt.Errorf("%s was not answered", s.asked.name)
	}
	return nil
}

// drop forgets the streams that Envoy has not begun to process: a client sends
// them again, on another connection.
func (c *soakConn) drop(last uint32) {
	for id := last + 2; id < c.next && id > last; id += 2 {
		if s := &c.ring[id/2%uint32(len(c.ring))]; s.asked != nil {
			s.asked = nil
			c.open--
		}
	}
}

// decisionID differs in each answer.
var decisionID = regexp.MustCompile(`,"decision_id":"[^"]*"`)

func (c *soakConn) field(f hpack.HeaderField) {
	switch f.Name {
	case ":status":
		c.reading.status = f.Value
	case "x-seen":
		c.reading.seen = f.Value
	}
}

func (c *soakConn) headers(f *http2.HeadersFrame) error {
	if !f.HeadersEnded() {
		return errors.New("an answer with very many headers")
	}
	c.reading = &c.ring[f.StreamID/2%uint32(len(c.ring))]
	if _, err := c.decoder.Write(f.HeaderBlockFragment()); err != nil {
		return err
	}
	if err := c.decoder.Close(); err != nil {
		return err
	}
	if f.StreamEnded() {
		c.end(f.StreamID, "")
	}
	return nil
}

func (c *soakConn) data(f *http2.DataFrame) error {
	c.credit += len(f.Data())
	if c.credit > soakWindow/2 {
		if err := c.frames.WriteWindowUpdate(0, uint32(c.credit)); err != nil {
			return err
		}
		c.credit = 0
	}
	if s := &c.ring[f.StreamID/2%uint32(len(c.ring))]; s.asked != nil {
		s.said = s.said || s.asked.says != "" && bytes.Contains(f.Data(), []byte(s.asked.says))
		if !s.said && s.excerpt == "" {
			s.excerpt = string(decisionID.ReplaceAll(f.Data()[:min(len(f.Data()), 300)], nil))
		}
	}
	if f.StreamEnded() {
		c.end(f.StreamID, "")
	}
	return nil
}

// end compares an answer that is complete, or a stream that has failed.
func (c *soakConn) end(id uint32, failed string) {
	s := &c.ring[id/2%uint32(len(c.ring))]
	if s.asked == nil { // the client has ended it
		return
	}
	q := s.asked
	switch {
	case failed == "" && s.status == q.status && s.seen == q.seen && s.said == (q.says != ""):
		c.answers.right++
		if c.rate > 0 {
			c.answers.times = append(c.answers.times, time.Since(s.due))
		}
	default:
		c.answers.wrong[fmt.Sprintf("%s: %s%s, as %q, %s", q.name, failed, s.status, s.seen, s.excerpt)]++
	}
	s.asked = nil
	c.open--
}

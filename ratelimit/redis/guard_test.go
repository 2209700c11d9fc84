package redis

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"keyward/ratelimit"
)

// fakeServer is a server that sends the same reply to all commands, or to those
// after a number of correctly answered steps of a connection's setup.
type fakeServer struct {
	net.Listener
	reply      func(w io.Writer)
	setupSteps int // steps of the setup that it answers correctly
	replied    atomic.Int64
}

func startFakeServer(t testing.TB, setupSteps int, reply func(w io.Writer)) *fakeServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &fakeServer{Listener: listener, reply: reply, setupSteps: setupSteps}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go l.serve(conn)
		}
	}()
	return l
}

var commandName = regexp.MustCompile(`\*\d+\r\n\$\d+\r\n([a-zA-Z]+)\r\n`)

// serve replies to each command once. No command is so long that it arrives in
// two parts.
func (l *fakeServer) serve(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		w := bufio.NewWriterSize(conn, 64<<10)
		for _, match := range commandName.FindAllSubmatch(buffer[:n], -1) {
			l.replyTo(strings.ToLower(string(match[1])), w)
		}
		if w.Flush() != nil {
			return
		}
	}
}

func (l *fakeServer) replyTo(command string, w io.Writer) {
	host, port, _ := net.SplitHostPort(l.Addr().String())
	switch {
	case l.setupSteps >= 1 && command == "hello":
		_, _ = io.WriteString(w, "-ERR unknown command\r\n")
	case l.setupSteps >= 1 && (command == "client" || command == "select" || command == "readonly"):
		_, _ = io.WriteString(w, "+OK\r\n")
	case l.setupSteps >= 2 && command == "cluster":
		_, _ = fmt.Fprintf(w, "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$%d\r\n%s\r\n:%s\r\n", len(host), host, port)
	case l.setupSteps >= 2 && command == "sentinel":
		_, _ = fmt.Fprintf(w, "*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(host), host, len(port), port)
	default:
		l.replied.Add(1)
		l.reply(w)
	}
}

func always(text string) func(io.Writer) {
	return func(w io.Writer) { _, _ = io.WriteString(w, text) }
}

// endless writes the text until the reader stops.
func endless(begin, text string) func(io.Writer) {
	return func(w io.Writer) {
		_, err := io.WriteString(w, begin)
		for more := strings.Repeat(text, 1+32<<10/len(text)); err == nil; {
			_, err = io.WriteString(w, more)
		}
	}
}

// invalidReplies are replies that Redis never sends to these commands.
var invalidReplies = map[string]func(io.Writer){
	"a string that overflows":            always("$9000000000000000000\r\n"),
	"a string of 2 GiB":                  always("$2147483647\r\n"),
	"a string of 1 MiB":                  always("$1048576\r\n"),
	"a string of a negative length":      always("$-2\r\n"),
	"an array that overflows":            always("*9000000000000000000\r\n"),
	"an array of 1000000000":             always("*1000000000\r\n"),
	"an array of 1000000":                always("*1000000\r\n"),
	"arrays in arrays":                   always(strings.Repeat("*1\r\n", 200_000)),
	"arrays in arrays without end":       endless("", "*1\r\n"),
	"large arrays in large arrays":       always(strings.Repeat("*16384\r\n", 1000)),
	"a status without end":               endless("+", "a"),
	"an error without end":               endless("-ERR ", "a"),
	"a number without end":               endless(":", "1"),
	"a length without end":               endless("$", "1"),
	"a big number without end":           endless("(", "1"),
	"an unknown type without end":        endless("", "a"),
	"line ends":                          endless("", "\r\n"),
	"an array of strings without end":    endless("*250\r\n", "$4096\r\n"+strings.Repeat("a", 4096)+"\r\n"),
	"a map":                              always("%1000000000\r\n"),
	"a small map":                        always("%1\r\n:1\r\n:2\r\n"),
	"a map with an array for a key":      always("%1\r\n*1\r\n:1\r\n:2\r\n"),
	"a set":                              always("~1000000000\r\n"),
	"a push":                             always(">1000000000\r\n"),
	"a push of a name that overflows":    always(">1\r\n$9223372036854775807\r\n"),
	"an attribute":                       always("|1000000000\r\n"),
	"attributes in attributes":           endless("", "|1\r\n"),
	"a big number":                       always("(" + strings.Repeat("9", 1<<20) + "\r\n"),
	"a verbatim string":                  always("=9000000000000000000\r\n"),
	"a short verbatim string":            always("=1\r\na\r\n"),
	"an error with a length":             always("!9000000000000000000\r\n"),
	"a streamed string":                  always("$?\r\n;9000000000000000000\r\n"),
	"a streamed array":                   always("*?\r\n"),
	"a number that is not valid":         always(":1e9\r\n"),
	"a boolean":                          always("#t\r\n"),
	"a null":                             always("_\r\n"),
	"a float":                            always(",1e308\r\n"),
	"an array shorter than the script's": always("*1\r\n:1\r\n"),
	"nil":                                always("*-1\r\n"),
	"a line without a carriage return":   always("+OK\n"),
	"a web server":                       always("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
	"MOVED to another address each time": movesEachTime(),
	"MOVED without an address":           always("-MOVED\r\n"),
}

func movesEachTime() func(io.Writer) {
	var n atomic.Int64
	return func(w io.Writer) { _, _ = fmt.Fprintf(w, "-MOVED 1 127.99.99.99:%d\r\n", n.Add(1)%60000+1) }
}

// TestInvalidReplies: whatever a server replies, or an attacker in front of it,
// at any step of the setup, it counts as one failure, takes little memory and
// does not end the process.
func TestInvalidReplies(t *testing.T) {
	for name, reply := range invalidReplies {
		for _, kind := range []string{"redis", "redis+cluster", "redis+sentinel"} {
			for setupSteps := range 3 {
				t.Run(fmt.Sprintf("%s, %s, step %d", name, kind, setupSteps), func(t *testing.T) { testInvalidReply(t, reply, kind, setupSteps) })
			}
		}
	}
}

func testInvalidReply(t *testing.T, reply func(io.Writer), kind string, setupSteps int) {
	l := startFakeServer(t, setupSteps, reply)
	url := kind + "://" + l.Addr().String()
	if kind == "redis+sentinel" {
		url += "/main"
	}
	s := openStore(t, url, 2*time.Second)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 3 {
		if err := takeOne(t, s); err == nil || len(err.Error()) > 2000 {
			t.Errorf("%.200v", err)
		}
	}
	runtime.ReadMemStats(&after)
	if l.replied.Load() == 0 {
		t.Error("the reply under test was never sent")
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20 {
		t.Errorf("%d MiB allocated", took>>20)
	}
}

func takeOne(t *testing.T, s *Store) error {
	one := []ratelimit.Limit{limit(numbered(1, 1), ratelimit.Rate{Count: 10, Period: time.Hour})}
	_, err := s.Take(t.Context(), time.Now(), one, make([]ratelimit.Result, 1))
	return err
}

// TestInvalidSentinelReplies: a reply about the master that is too short, or
// that has no valid address, is a failure.
func TestInvalidSentinelReplies(t *testing.T) {
	for _, reply := range []string{
		"*0\r\n", "*1\r\n$9\r\n127.0.0.1\r\n", "*2\r\n$-1\r\n$-1\r\n", "*2\r\n:1\r\n:2\r\n", "*2\r\n*0\r\n*0\r\n", "*3\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\n1\r\n",
		"*2\r\n$9\r\n127.0.0.1\r\n$5\r\n99999\r\n", "*2\r\n$9\r\n127.0.0.1\r\n$1\r\n0\r\n", "*2\r\n$0\r\n\r\n$4\r\n6379\r\n", "*2\r\n$9\r\n127", "-ERR\r\n", "+OK\r\n",
	} {
		l := startFakeServer(t, 0, always(reply))
		if err := takeOne(t, openStore(t, "redis+sentinel://"+l.Addr().String()+"/main", 2*time.Second)); err == nil || l.replied.Load() == 0 {
			t.Errorf("%q: %v", reply, err)
		}
	}
}

// TestLargeClusterReply: a reply about the cluster that is as large as allowed
// takes little memory.
func TestLargeClusterReply(t *testing.T) {
	var slots strings.Builder
	n := ofCluster.reply / 64
	fmt.Fprintf(&slots, "*%d\r\n", n)
	for i := range n {
		fmt.Fprintf(&slots, "*3\r\n:%d\r\n:%d\r\n*3\r\n$12\r\n127.99.99.99\r\n:%d\r\n$0\r\n\r\n", i, i, i+1)
	}
	if slots.Len() > ofCluster.reply {
		t.Fatal(slots.Len())
	}
	l := startFakeServer(t, 1, always(slots.String()))
	s := openStore(t, "redis+cluster://"+l.Addr().String(), 5*time.Second)
	for range 3 {
		if takeOne(t, s) == nil {
			t.Error("no error")
		}
	}
	runtime.GC()
	var stats runtime.MemStats
	if runtime.ReadMemStats(&stats); stats.HeapAlloc > 200<<20 {
		t.Errorf("%d MiB in use", stats.HeapAlloc>>20)
	}
}

// TestOneLargeReply: only one of two connections may receive a large reply at
// a time, and a closed connection does not keep the slot.
func TestOneLargeReply(t *testing.T) {
	g := newGuard(nil, ofCluster)
	large := "*40\r\n" + strings.Repeat("$1000\r\n"+strings.Repeat("a", 1000)+"\r\n", 40)
	half := large[:len(large)/2+1000]
	open := func() (*guarded, net.Conn) {
		here, there := net.Pipe()
		return &guarded{Conn: here, guard: g, replies: replyReader{bounds: g.bounds}}, there
	}
	reads := func(c *guarded, there net.Conn, text string) error {
		go func() { _, _ = io.WriteString(there, text) }()
		_, err := io.ReadFull(c, make([]byte, len(text)))
		return err
	}
	one, there := open()
	two, elsewhere := open()
	if err := reads(one, there, half); err != nil {
		t.Fatal(err)
	}
	if err := reads(two, elsewhere, half); !errors.Is(err, errBusy) {
		t.Errorf("two large replies at once: %v", err)
	}
	if err := reads(one, there, large[len(half):]); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		next, there := open()
		if err := reads(next, there, half); err != nil {
			t.Errorf("after the large reply: %v", err)
		}
		_ = next.Close()
	}
}

func TestRedirectionsAreBounded(t *testing.T) {
	var r redirections
	for i := range maxRedirections {
		if err := r.redirected(strconv.Itoa(i)); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := r.redirected("one more"); err == nil {
		t.Error("an address beyond the limit is followed")
	}
	if err := r.redirected("7"); err != nil {
		t.Error("a known address is not followed:", err)
	}
	r.since = r.since.Add(-redirectionsFor)
	if err := r.redirected("one more"); err != nil {
		t.Error("not followed after redirectionsFor:", err)
	}
}

// readReply reads one reply from complete text, and returns what
// follows it.
func readReply(text []byte, within bounds, depth int) (rest []byte, complete, ok bool) {
	end := bytes.IndexByte(text, '\n')
	if end < 0 {
		return nil, false, len(text) <= maxLine
	}
	line, rest := text[:end+1], text[end+1:]
	if len(line) < 3 || len(line) > maxLine || line[len(line)-2] != '\r' {
		return nil, false, false
	}
	body := string(line[1 : len(line)-2])
	n, err := strconv.ParseInt(body, 10, 64)
	number := err == nil && len(line) <= lineStart
	switch line[0] {
	case '+', '-':
		return rest, true, true
	case ':':
		return rest, true, number
	case '$':
		switch {
		case !number || n < -1 || n > int64(within.bulk):
			return nil, false, false
		case n < 0:
			return rest, true, true
		case len(rest) < int(n)+2:
			return nil, false, true
		}
		return rest[n+2:], true, true
	case '*':
		if !number || n < -1 || n > int64(within.elements) || n > 0 && depth >= within.depth {
			return nil, false, false
		}
		for range n {
			if rest, complete, ok = readReply(rest, within, depth+1); !complete || !ok {
				return nil, complete, ok
			}
		}
		return rest, true, true
	}
	return nil, false, false
}

// FuzzReplies compares replyReader, which reads replies in parts, with
// readReply.
func FuzzReplies(f *testing.F) {
	for _, seed := range []string{
		"+OK\r\n", "-ERR no\r\n:12\r\n", "$3\r\nabc\r\n$-1\r\n", "*2\r\n:1\r\n*0\r\n", "*1\r\n*1\r\n*1\r\n:1\r\n", "*-1\r\n", "$9000000000000000000\r\n", "*257\r\n", "\r\n", "+\n", "%1\r\n",
		":+1\r\n", "$+1\r\na\r\n", "$0\r\n\r\n", "$4096\r\n", "*2\r\n$1\r\n\r\r\n+a\r\n", "+\r\r\n",
	} {
		f.Add([]byte(seed), uint64(1))
	}
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		if len(text) > 4<<10 { // less than the bound of a reply
			return
		}
		want, rest := true, text
		for complete := true; want && complete && len(rest) > 0; {
			rest, complete, want = readReply(rest, ofServer, 0)
		}
		a, r := replyReader{bounds: ofServer}, rand.New(rand.NewPCG(seed, 1))
		var err error
		for left := text; err == nil && len(left) > 0; {
			n := 1 + r.IntN(len(left))
			err = a.read(left[:n])
			left = left[n:]
		}
		if refuses := err != nil; refuses == want {
			t.Fatalf("%q: %v, want it accepted: %v", text, err, want)
		}
		if len(a.open) > ofServer.depth || a.bulk > ofServer.bulk+2 || len(a.line) > lineStart {
			t.Fatalf("%q: %+v", text, a)
		}
	})
}

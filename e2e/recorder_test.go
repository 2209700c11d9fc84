package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// recorder is an upstream that records all of each request except its body, as
// it arrived, over HTTP/1 or, with prior knowledge, HTTP/2. It reads the wire
// itself, because a framework may drop the fields after a body, which the tests
// need.
type recorder struct {
	// respond responds to a complete HTTP/1 request. keepOpen says that the next
	// one may follow. nil responds with 200 to each.
	respond func(r arrival, in *bufio.Reader, out io.Writer) (keepOpen bool)

	listener net.Listener
	conns    sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool
	got  []arrival
	errs []error // of requests that could not be read
}

// arrival is a request as it reached the upstream.
type arrival struct {
	http2    bool
	head     []string // the request line or the pseudo-header fields, and the header fields
	body     int      // length of the body
	trailers []string // the fields after the body
	complete bool     // the request was received to its end
}

// start listens at the address. It has the signature of options.upstream.
func (r *recorder) start(address string) (stop func(), err error) {
	if r.listener, err = net.Listen("tcp", address); err != nil {
		return nil, err
	}
	r.open = map[net.Conn]bool{}
	r.conns.Go(func() {
		for {
			conn, err := r.listener.Accept()
			if err != nil {
				return
			}
			r.conns.Go(func() { r.serve(conn) })
		}
	})
	return r.stop, nil
}

func (r *recorder) stop() {
	r.listener.Close()
	r.mu.Lock()
	for conn := range r.open {
		conn.Close()
	}
	r.open = nil
	r.mu.Unlock()
	r.conns.Wait()
}

// requests returns the requests so far.
func (r *recorder) requests() []arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]arrival(nil), r.got...)
}

// problems returns the errors of requests that could not be read.
func (r *recorder) problems() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.errs...)
}

func (r *recorder) keep(request arrival, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.errs = append(r.errs, fmt.Errorf("the upstream cannot read %q %q: %w", request.head, request.trailers, err))
	}
	if len(request.head) > 0 {
		r.got = append(r.got, request)
	}
}

func (r *recorder) serve(conn net.Conn) {
	defer conn.Close()
	r.mu.Lock()
	stopped := r.open == nil
	if !stopped {
		r.open[conn] = true
	}
	r.mu.Unlock()
	if stopped || conn.SetDeadline(time.Now().Add(time.Minute)) != nil {
		return
	}
	in := bufio.NewReader(conn)
	if preface, err := in.Peek(3); err == nil && string(preface) == "PRI" {
		r.serveHTTP2(in, conn)
		return
	}
	respond := r.respond
	if respond == nil {
		respond = respondOK
	}
	for {
		request, err := readHTTP1(in, conn)
		if isEnd(err) {
			err = nil // the proxy dropped the request, or no longer needs the connection
		}
		r.keep(request, err)
		if !request.complete {
			return
		}
		if !respond(request, in, conn) {
			return
		}
	}
}

func respondOK(_ arrival, _ *bufio.Reader, out io.Writer) (keepOpen bool) {
	return write(out, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") == nil
}

func isEnd(err error) bool {
	var network net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network)
}

// readHTTP1 reads a request line by line. On an error it returns what it has
// read before.
func readHTTP1(in *bufio.Reader, out io.Writer) (r arrival, err error) {
	if r.head, err = readFields(in); err != nil {
		return r, err
	}
	if header(r.head, "expect") != "" {
		if err := write(out, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return r, err
		}
	}
	if chunked := header(r.head, "transfer-encoding"); chunked != "" {
		err = r.readChunks(in)
	} else if length := header(r.head, "content-length"); length != "" {
		if r.body, err = strconv.Atoi(length); err == nil {
			_, err = io.CopyN(io.Discard, in, int64(r.body))
		}
	}
	r.complete = err == nil
	return r, err
}

// readFields reads lines up to an empty one.
func readFields(in *bufio.Reader) (lines []string, err error) {
	for {
		line, err := in.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			lines = append(lines, line)
		}
		if err != nil || line == "" {
			return lines, err
		}
	}
}

// header returns the last value of that name among header lines, "" if there is
// none.
func header(lines []string, name string) (value string) {
	for _, line := range lines {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			value = strings.TrimSpace(v)
		}
	}
	return value
}

func (r *arrival) readChunks(in *bufio.Reader) error {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		size, extension, extended := strings.Cut(strings.TrimSpace(line), ";")
		if extended {
			r.trailers = append(r.trailers, "chunk extension "+extension)
		}
		n, err := strconv.ParseInt(size, 16, 32)
		if err != nil {
			return err
		}
		if n == 0 {
			fields, err := readFields(in)
			r.trailers = append(r.trailers, fields...)
			return err
		}
		r.body += int(n)
		if _, err := io.CopyN(io.Discard, in, n+2); err != nil { // including the end of the line
			return err
		}
	}
}

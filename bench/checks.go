package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	"keyward/authz"
	"keyward/keystore"
)

// checks compares the processor time of a check with that of a call to the
// server that looks at nothing, both at saturation: the server on one core, the
// client on the other, in rounds that alternate.
func (b *bench) checks() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	baseline, err := startBare(program, "-baseline", filepath.Join(b.dir, "baseline.sock"))
	if err != nil {
		return err
	}
	if err := pin(1); err != nil {
		return err
	}
	subjects := []*subject{{name: "baseline: grpc-go, looks at nothing", child: baseline, ask: asker(bearers(b.small.secrets), allow)}}
	var children []*child
	for i, binary := range append([]string{b.binary}, strings.FieldsFunc(b.against, func(r rune) bool { return r == ',' })...) {
		build := ""
		if i > 0 {
			build = " (" + filepath.Base(binary) + ")"
		}
		for _, keys := range []*keyFile{b.large, b.small} {
			cases := b.casesOf(keys, build)
			if len(cases) == 0 {
				continue
			}
			c, err := startChild(binary, filepath.Join(b.dir, fmt.Sprint("checks", len(children))), keys, 1)
			if err != nil {
				return err
			}
			children = append(children, c)
			for _, s := range cases {
				s.child = c
				subjects = append(subjects, s)
			}
		}
	}
	if err := b.alternate(subjects); err != nil {
		return err
	}
	_ = baseline.cmd.Process.Kill()
	_ = baseline.cmd.Wait()
	var stopped error
	for _, c := range children {
		stopped = errors.Join(stopped, c.stop())
	}
	return errors.Join(stopped, unpin())
}

// casesOf are the questions to a server with those keys, as far as they are asked for.
func (b *bench) casesOf(keys *keyFile, build string) []*subject {
	all := []*subject{{name: "known key of " + count(len(keys.secrets)) + build, ask: asker(bearers(keys.secrets), allow)}}
	if keys == b.large {
		all = append(all,
			&subject{name: "unknown key, beside " + count(b.many) + build, ask: asker(unknownKeys(), deny)},
			&subject{name: "junk, beside " + count(b.many) + build, ask: asker([]string{"Bearer kw_junk", "Bearer x"}, deny)})
	}
	return slices.DeleteFunc(all, func(s *subject) bool { return !strings.Contains(s.name, b.cases) })
}

// subject is what is measured in turn with others, and compared with the first of them.
type subject struct {
	name  string
	child *child
	ask   func() question
	cpu   []float64 // microseconds a call, by round
	ratio []float64 // to the first's, by round
	rate  []float64 // calls a second
	times [3][]float64
}

// percentiles are those of the times between question and answer.
var percentiles = [3]float64{50, 99, 99.9}

// alternate measures all of them, round by round.
func (b *bench) alternate(subjects []*subject) error {
	for round := range b.rounds + 1 {
		for _, s := range subjects {
			if err := s.measure(b.span); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if round == 0 { // to warm up
				s.cpu, s.rate, s.times = nil, nil, [3][]float64{}
				continue
			}
			s.ratio = append(s.ratio, s.cpu[round-1]/subjects[0].cpu[round-1])
		}
	}
	fmt.Printf("%-40s %9s %7s %9s %9s %9s %9s\n", "at saturation, server on one core", "µs CPU", "ratio", "calls/s", "p50 µs", "p99 µs", "p99.9 µs")
	for _, s := range subjects {
		fmt.Printf("%-40s %9.2f %7.3f %9.0f", s.name, median(s.cpu), median(s.ratio), median(s.rate))
		for _, times := range s.times {
			fmt.Printf(" %9.0f", median(times))
		}
		fmt.Println()
	}
	return nil
}

func (s *subject) measure(span time.Duration) error {
	before, err := s.child.cpu()
	if err != nil {
		return err
	}
	a, err := driver{address: "unix://" + s.child.socket, ask: s.ask, grpc: true, conns: 4, streams: 32, span: span}.run()
	if err != nil {
		return err
	}
	after, err := s.child.cpu()
	s.cpu = append(s.cpu, float64(after-before)/1e3/float64(a.count))
	s.rate = append(s.rate, float64(a.count)/a.took.Seconds())
	for i, p := range percentiles {
		s.times[i] = append(s.times[i], float64(a.percentile(p))/1e3)
	}
	return err
}

// asker makes the question that Envoy asks of a request with one of the values of Authorization.
func asker(values []string, want verdict) func() question {
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/envoy.service.auth.v3.Authorization/Check"},
		{Name: ":authority", Value: "keyward"}, {Name: "te", Value: "trailers"}, {Name: "grpc-timeout", Value: "250m"}, {Name: "content-type", Value: "application/grpc"},
	}
	templates := map[int]template{}
	for _, value := range values {
		if n := len(value); templates[n].body == nil {
			templates[n] = newTemplate(n)
		}
	}
	return func() question {
		value := values[rand.IntN(len(values))]
		return question{fields: fields, body: templates[len(value)].with(value), want: want}
	}
}

// template is an encoded message, and where in it the value of Authorization stands.
type template struct {
	body []byte
	at   int
}

func newTemplate(length int) template {
	placeholder := strings.Repeat("\x01", length)
	message, err := proto.Marshal(request(placeholder))
	if err != nil {
		panic(err) // a message of our own
	}
	body := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	body = append(body, message...)
	return template{body, bytes.Index(body, []byte(placeholder))}
}

func (t template) with(value string) []byte {
	body := bytes.Clone(t.body)
	copy(body[t.at:], value)
	return body
}

func bearers(secrets []string) []string {
	values := make([]string, len(secrets))
	for i, s := range secrets {
		values[i] = bearer(s)
	}
	return values
}

// unknownKeys are well formed, and nobody's; more of them than are remembered as unknown.
func unknownKeys() []string {
	values := make([]string, 300_000)
	for i := range values {
		values[i] = bearer(must(keystore.Generate(randomBytes{}, keyPrefix, keystore.FormatKeyward)).Reveal())
	}
	return values
}

// randomBytes are for keys that open nothing.
type randomBytes struct{}

func (randomBytes) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(rand.Uint32())
	}
	return len(p), nil
}

func must(secret authz.Secret, err error) authz.Secret {
	if err != nil {
		panic(err) // the source of randomness does not fail
	}
	return secret
}

// pin keeps this process to one core, away from the server's.
func pin(core int) error { return taskset(strconv.Itoa(core)) }

func unpin() error { return taskset("0-1") }

func taskset(cores string) error {
	return exec.Command("taskset", "-a", "-p", "-c", cores, strconv.Itoa(os.Getpid())).Run()
}

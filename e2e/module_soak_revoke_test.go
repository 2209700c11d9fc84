package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"

	"keyward/internal/rawcheck"
	"keyward/store"
)

// probeEvery is the interval of the requests with a key that is about to be
// revoked.
const probeEvery = 500 * time.Microsecond

// revokedKey is what was seen of a key while it was revoked. The times are
// after the revocation returned; negative: before.
type revokedKey struct {
	took     time.Duration // the revocation
	lastSent time.Duration // when the last request was sent that was allowed
	lastSeen time.Duration // when the last response came that allowed
	lastGRPC time.Duration // when the last check was sent that the Keyward beside allowed
	replaced bool          // the key file was replaced meanwhile, or shortly before
}

// revokeOne makes a key, has it used, revokes it, and returns how long it
// remained valid.
func (s *soak) revokeOne(conn *grpc.ClientConn) (revokedKey, error) {
	record, secret, err := s.keys.Create(s.t.Context(), store.KeyParams{Name: "to be revoked", Prefix: "kw_"})
	if err != nil {
		return revokedKey{}, err
	}
	p, err := startProbe(s.envoys.edgeAddress(), newSoakQuestion("a key that is revoked", "/d/open", "Bearer "+secret.Reveal(), "200", record.ID))
	if err != nil {
		return revokedKey{}, err
	}
	defer p.conn.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), soakTimeout)
	defer cancel()
	beside := askBeside(ctx, conn, secret.Reveal())
	for p.allowed.Load() < 5 || beside.allowed.Load() < 5 { // it is in force and used
		select {
		case err := <-p.ended:
			return revokedKey{}, err
		case <-ctx.Done():
			return revokedKey{}, fmt.Errorf("a new key was used %d times, and %d times beside", p.allowed.Load(), beside.allowed.Load())
		case <-time.After(time.Millisecond):
		}
	}
	began := time.Now()
	if _, err := s.keys.Revoke(s.t.Context(), record.ID, ""); err != nil {
		return revokedKey{}, err
	}
	returned := time.Now()
	for _, ended := range []<-chan error{p.ended, beside.ended} {
		select {
		case err := <-ended:
			if err != nil {
				return revokedKey{}, err
			}
		case <-ctx.Done():
			return revokedKey{}, errors.New("a key was not revoked within a minute")
		}
	}
	if _, err := s.keys.Delete(s.t.Context(), record.ID, ""); err != nil {
		return revokedKey{}, err
	}
	return revokedKey{
		took: returned.Sub(began), lastSent: p.lastSent.Sub(returned), lastSeen: p.lastSeen.Sub(returned), lastGRPC: beside.lastSent.Sub(returned),
	}, nil
}

// besideProbe asks the Keyward beside Envoy about a key.
type besideProbe struct {
	allowed  atomic.Int64
	ended    chan error
	lastSent time.Time // to be read after ended
}

// askBeside asks until the key is denied.
func askBeside(ctx context.Context, conn *grpc.ClientConn, key string) *besideProbe {
	p := &besideProbe{ended: make(chan error, 1)}
	request := rawcheck.Request{Method: "GET", Target: "/d/open", Headers: [][2]string{{"authorization", "Bearer " + key}}}
	go func() {
		for {
			sent := time.Now()
			a, err := rawcheck.Ask(ctx, conn, request)
			switch {
			case err != nil:
				p.ended <- err
				return
			case a.Status == 200:
				p.lastSent = sent
				p.allowed.Add(1)
			case p.allowed.Load() > 0: // before, the key was not known yet
				p.ended <- nil
				return
			}
			time.Sleep(probeEvery - time.Since(sent))
		}
	}()
	return p
}

// revocationProbe sends a request over and over, without waiting for its
// answer, until it is denied.
type revocationProbe struct {
	conn               net.Conn
	allowed            atomic.Int64
	ended              chan error
	lastSent, lastSeen time.Time // to be read after ended
}

func startProbe(address string, q *soakQuestion) (*revocationProbe, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	p := &revocationProbe{conn: conn, ended: make(chan error, 1)}
	write := http2.NewFramer(conn, nil)
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := errors.Join(write.WriteSettings(), write.WriteWindowUpdate(0, soakWindow), conn.SetDeadline(time.Now().Add(soakTimeout))); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	const maxProbes = 40_000
	sent := make([]atomic.Int64, maxProbes) // Unix nanoseconds, by half of the stream
	var open atomic.Int64
	go func() { // until the connection is closed
		for n := 0; n < maxProbes; time.Sleep(probeEvery) {
			if open.Load() >= 90 { // of the 100 that Envoy lets a connection have
				continue
			}
			open.Add(1)
			sent[n].Store(time.Now().UnixNano())
			if write.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*n + 1), BlockFragment: q.block, EndHeaders: true, EndStream: true}) != nil {
				return
			}
			n++
		}
	}()
	go func() { p.ended <- p.read(sent, &open, q) }()
	return p, nil
}

// read reads answers until a key that was allowed has been denied for some
// time.
func (p *revocationProbe) read(sent []atomic.Int64, open *atomic.Int64, q *soakQuestion) error {
	frames, status, seen, denied := http2.NewFramer(nil, p.conn), "", "", 0
	decoder := hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		switch f.Name {
		case ":status":
			status = f.Value
		case "x-seen":
			seen = f.Value
		}
	})
	for denied < 20 {
		frame, err := frames.ReadFrame()
		if err != nil {
			return err
		}
		if frame.Header().Flags.Has(http2.FlagDataEndStream) && (frame.Header().Type == http2.FrameHeaders || frame.Header().Type == http2.FrameData) {
			open.Add(-1)
		}
		f, ok := frame.(*http2.HeadersFrame)
		if !ok {
			continue
		}
		status, seen = "", ""
		if _, err := decoder.Write(f.HeaderBlockFragment()); err != nil {
			return err
		}
		switch {
		case status == "200" && seen == q.seen && denied == 0:
			p.lastSent, p.lastSeen = time.Unix(0, sent[f.StreamID/2].Load()), time.Now()
			p.allowed.Add(1)
		case status == "401" && p.allowed.Load() > 0:
			denied++
		case status != "401":
			return fmt.Errorf("an answer is %s, as %q, after %d that deny", status, seen, denied)
		}
	}
	return nil
}

// lags are how long revoked keys remained valid.
type lags []time.Duration

func (l lags) String() string {
	if len(l) == 0 {
		return "none"
	}
	sorted := slices.Sorted(slices.Values(l))
	at := func(p int) time.Duration {
		return sorted[min(len(sorted)-1, len(sorted)*p/100)].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("median %v, p90 %v, p99 %v, maximum %v, of %d", at(50), at(90), at(99), sorted[len(sorted)-1].Round(10*time.Microsecond), len(sorted))
}

func (l lags) percentile(p int) time.Duration {
	if len(l) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(l))
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}

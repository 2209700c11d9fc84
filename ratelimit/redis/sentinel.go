package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
)

// sentinels finds the current master. It asks the Sentinels for each new
// connection; when a master is demoted, they close the connections to it. The
// library's own implementation does not check their replies, and a reply that
// is too short ends the process.
type sentinels struct {
	addresses []string
	master    string // name of the master
	guard     *guard
	last      atomic.Uint32 // index of the one that answered last, which is asked first
}

var errSentinel = errors.New("no Sentinel knows the master")

// open implements the library's Dialer. It opens a connection to the master.
func (s *sentinels) open(ctx context.Context, network, _ string) (net.Conn, error) {
	first := int(s.last.Load())
	var errs []error
	for i := range s.addresses {
		at := (first + i) % len(s.addresses)
		address, err := s.ask(ctx, network, s.addresses[at])
		if err == nil {
			s.last.Store(uint32(at))
			return s.guard.open(ctx, network, address)
		}
		errs = append(errs, fmt.Errorf("%s: %w", s.addresses[at], err))
	}
	return nil, fmt.Errorf("%w: %w", errSentinel, errors.Join(errs...))
}

// ask asks one Sentinel for the master's address.
func (s *sentinels) ask(ctx context.Context, network, sentinel string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := s.guard.open(ctx, network, sentinel)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	const command = "*3\r\n$8\r\nSENTINEL\r\n$23\r\nget-master-addr-by-name\r\n$%d\r\n%s\r\n"
	if _, err := fmt.Fprintf(conn, command, len(s.master), s.master); err != nil {
		return "", err
	}
	return masterAddress(bufio.NewReader(conn))
}

// masterAddress reads the reply: an array of host and port, or nil if the
// master is unknown.
func masterAddress(r *bufio.Reader) (string, error) {
	if line, err := r.ReadString('\n'); err != nil {
		return "", err
	} else if line != "*2\r\n" {
		return "", errSentinel
	}
	var hostPort [2]string
	for i := range hostPort {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		n, err := strconv.Atoi(strings.TrimRight(strings.TrimPrefix(line, "$"), "\r\n"))
		if err != nil || line[0] != '$' || n <= 0 || n > ofServer.bulk {
			return "", errSentinel
		}
		text := make([]byte, n+len("\r\n"))
		if _, err := io.ReadFull(r, text); err != nil {
			return "", err
		}
		hostPort[i] = string(text[:n])
	}
	if port, err := strconv.ParseUint(hostPort[1], 10, 16); err != nil || port == 0 {
		return "", errSentinel
	}
	return net.JoinHostPort(hostPort[0], hostPort[1]), nil
}

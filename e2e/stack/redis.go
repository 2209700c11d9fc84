package stack

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// RedisBinary returns the path of Redis or Valkey.
func RedisBinary() (string, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("redis-server is not installed (Debian, Ubuntu: apt-get install redis-server)")
}

// StartRedis starts a Redis without persistence, and returns when it answers.
// The caller must stop the Process, even after an error, unless it is nil.
func StartRedis(ctx context.Context, dir, binary string, port int) (*Process, error) {
	p, err := startProcess("redis", dir, binary, "--port", strconv.Itoa(port), "--bind", "127.0.0.1",
		"--dir", dir, "--save", "", "--appendonly", "no")
	if err != nil {
		return nil, err
	}
	return p, waitReady(ctx, p, func(context.Context) bool { return pong(Address(port)) })
}

func pong(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(time.Second)) != nil {
		return false
	}
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return false
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && strings.TrimSpace(line) == "+PONG"
}

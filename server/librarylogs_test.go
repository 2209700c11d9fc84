package server

import (
	"bytes"
	"context"
	"errors"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keyward/config"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel"
	"google.golang.org/grpc/grpclog"
)

const asLibraryUser = "KEYWARD_TEST_LIBRARY_LOGS"

// TestLibraryLogs: what each library logs by itself is a line of our log, and
// standard error gets none of it. Their loggers are the process's, so the test has one of its own.
func TestLibraryLogs(t *testing.T) {
	if os.Getenv(asLibraryUser) != "" {
		logAsLibraries()
		return
	}
	child := exec.Command(os.Args[0], "-test.run", "^TestLibraryLogs$", "-test.v=false")
	child.Env = append(os.Environ(), asLibraryUser+"=1")
	var stdout, stderr bytes.Buffer
	child.Stdout, child.Stderr = &stdout, &stderr
	if err := child.Run(); err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	if stderr.Len() > 0 {
		t.Errorf("on standard error: %s", &stderr)
	}
	for _, library := range []string{`"library":"log"`, `"library":"opentelemetry"`, `"library":"redis"`, `"library":"grpc"`, `"msg":"of package slog"`, `"msg":"of package log"`} {
		if !strings.Contains(stdout.String(), library) {
			t.Errorf("the log has no %s: %s", library, &stdout)
		}
	}
}

// logAsLibraries has each library log something as it does in use.
func logAsLibraries() {
	adoptLibraryLogs(newLogger(os.Stdout, config.LogJSON, slog.LevelInfo))
	log.Print("of package log")
	slog.Info("of package slog")
	otel.Handle(errors.New("of OpenTelemetry"))
	grpclog.Component("test").Error("of gRPC")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	client := redis.NewClient(&redis.Options{})
	client.Expire(ctx, "key", time.Millisecond) // shorter than Redis can, of which go-redis warns
	_ = client.Close()
}

// TestLibraryLinesAreLimited: a second has a few lines, and the next one with any says how many it had not.
func TestLibraryLinesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		logger := limited(newLogger(&text, config.LogJSON, slog.LevelInfo), "chatty", 3).With("more", "attributes")
		for range 10 {
			logger.Warn("line")
		}
		time.Sleep(time.Second)
		logger.Warn("later")
		if lines := strings.Count(text.String(), "\n"); lines != 4 || !strings.Contains(text.String(), `"msg":"later","library":"chatty","more":"attributes","suppressed":7`) {
			t.Errorf("%d lines: %s", lines, &text)
		}
	})
}

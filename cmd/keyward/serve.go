package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"keyward/config"
	"keyward/server"
	"keyward/verifier/password"

	"keyward/cmd/keyward/command"
)

type serveCommand struct {
	Config string `placeholder:"FILE" help:"Configuration file (default: built-in defaults)."`
}

// Run serves until the context ends. SIGHUP reloads configuration and keys.
func (c *serveCommand) Run(env *command.Env) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // before the keys are read: a signal during that must not end the process
	defer signal.Stop(hangup)
	// By default these end the process: SIGPIPE on a write to standard output or
	// error whose reader is gone, SIGXFSZ on one that exceeds the file size limit.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGXFSZ)
	env.Stderr = impatientWriter{env.Stderr}

	_, ownGOGC := env.Getenv("GOGC") // an explicit setting is kept
	_, ownProcs := env.Getenv("GOMAXPROCS")
	s, err := server.New(server.Options{
		Load:        func() (*config.Config, error) { return env.LoadConfig(c.Config) },
		ConfigFile:  c.Config,
		Version:     thisBuild().Version,
		TuneGC:      !ownGOGC,
		TuneProcs:   !ownProcs,
		LibraryLogs: true,
		HashCommand: password.Command{
			Path: selfExecutable(), Args: []string{os.Args[0], hashCommandName}, LowPriority: []string{hashLowPriorityArg},
		},
	})
	if err != nil {
		return err
	}

	ctx, stop := signal.NotifyContext(env.Context, os.Interrupt, syscall.SIGTERM)
	reload := make(chan struct{})
	var forwarding sync.WaitGroup
	forwarding.Go(func() { forward(ctx, hangup, reload) })
	err = s.Run(ctx, reload)
	stop()
	forwarding.Wait()
	return err
}

// selfExecutable returns the file that this process runs. On Linux that remains
// so if another version has replaced the file, or the file was removed.
func selfExecutable() string {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe"
	}
	path, err := os.Executable()
	if err != nil {
		return "" // the program is found by its name
	}
	return path
}

// impatientWriter gives up on an output that accepts nothing for a second, such
// as a pipe that is not read: the process must be able to exit.
type impatientWriter struct{ out io.Writer }

// Write implements io.Writer.
func (w impatientWriter) Write(p []byte) (int, error) {
	done := make(chan error, 1)
	text := bytes.Clone(p)
	go func() { _, err := w.out.Write(text); done <- err }()
	select {
	case err := <-done:
		return len(p), err
	case <-time.After(time.Second):
		return 0, os.ErrDeadlineExceeded
	}
}

// forward passes on signals to the server as reloads, until the context ends.
func forward(ctx context.Context, signals <-chan os.Signal, reload chan<- struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
		}
		select {
		case <-ctx.Done():
			return
		case reload <- struct{}{}:
		}
	}
}

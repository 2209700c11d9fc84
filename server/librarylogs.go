package server

import (
	"fmt"
	"log"
	"log/slog"
	"os"
	"strings"

	"keyward/ratelimit/redis"
	"keyward/tracing"

	"google.golang.org/grpc/grpclog"
)

// libraryLines is the maximum number of lines per second of each library.
const libraryLines = 10

// adoptLibraryLogs directs the package-level loggers of libraries to the server's
// logger. By default they write to standard error, where an unread pipe blocks the
// goroutine that logs, and with it a connection. These loggers belong to the
// process: it must not run other servers, and must not have used gRPC yet.
func adoptLibraryLogs(logger *slog.Logger) {
	own := limited(logger, "log", libraryLines)
	slog.SetDefault(own)
	log.SetFlags(0)
	log.SetOutput(lineWriter(func(text string) { own.Warn(text) })) // slog made it a line of level INFO
	grpclog.SetLoggerV2(grpcLog{limited(logger, "grpc", libraryLines)})
	tracing.LogTo(limited(logger, "opentelemetry", libraryLines))
	redis.LogTo(limited(logger, "redis", libraryLines))
}

// grpcLog implements grpclog.LoggerV2 for errors alone, as gRPC's own logger
// does by default. Some of its warnings quote the metadata of a call.
type grpcLog struct{ logger *slog.Logger }

func (grpcLog) Info(...any)             {}
func (grpcLog) Infoln(...any)           {}
func (grpcLog) Infof(string, ...any)    {}
func (grpcLog) Warning(...any)          {}
func (grpcLog) Warningln(...any)        {}
func (grpcLog) Warningf(string, ...any) {}

func (l grpcLog) Error(args ...any)                 { l.logger.Error(fmt.Sprint(args...)) }
func (l grpcLog) Errorln(args ...any)               { l.logger.Error(strings.TrimSpace(fmt.Sprintln(args...))) }
func (l grpcLog) Errorf(format string, args ...any) { l.logger.Error(fmt.Sprintf(format, args...)) }

// gRPC expects the process to end here. Only an error in the program causes it; a
// peer cannot.
func (l grpcLog) Fatal(args ...any)                 { l.Error(args...); os.Exit(1) }
func (l grpcLog) Fatalln(args ...any)               { l.Errorln(args...); os.Exit(1) }
func (l grpcLog) Fatalf(format string, args ...any) { l.Errorf(format, args...); os.Exit(1) }

// V implements grpclog.LoggerV2: nothing verbose is logged.
func (grpcLog) V(int) bool { return false }

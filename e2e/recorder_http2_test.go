package e2e

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// serveHTTP2 reads frames, and answers each request when it has ended.
func (r *recorder) serveHTTP2(in io.Reader, out io.Writer) {
	if _, err := io.CopyN(io.Discard, in, int64(len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(out, in)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	streams := map[uint32]*arrival{}
	err := framer.WriteSettings()
	for err == nil {
		var frame http2.Frame
		if frame, err = framer.ReadFrame(); err == nil {
			err = r.takeFrame(framer, streams, frame)
		}
	}
	for _, request := range streams {
		r.keep(*request, nil)
	}
	var broken http2.StreamError
	var failed http2.ConnectionError
	if errors.As(err, &broken) || errors.As(err, &failed) {
		r.keep(arrival{}, err)
	}
}

func (r *recorder) takeFrame(framer *http2.Framer, streams map[uint32]*arrival, frame http2.Frame) error {
	id, ended := frame.Header().StreamID, frame.Header().Flags.Has(http2.FlagDataEndStream)
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			return nil
		}
		return framer.WriteSettingsAck()
	case *http2.PingFrame:
		if f.IsAck() {
			return nil
		}
		return framer.WritePing(true, f.Data)
	case *http2.RSTStreamFrame:
		if request := streams[id]; request != nil {
			r.keep(*request, nil)
			delete(streams, id)
		}
		return nil
	case *http2.MetaHeadersFrame:
		fields := make([]string, len(f.Fields))
		for i, field := range f.Fields {
			fields[i] = field.Name + ": " + field.Value
		}
		if request := streams[id]; request != nil {
			request.trailers = append(request.trailers, fields...)
		} else {
			streams[id] = &arrival{http2: true, head: fields}
		}
	case *http2.DataFrame:
		if request := streams[id]; request != nil {
			request.body += len(f.Data())
		}
		if n := f.Header().Length; n > 0 {
			if err := errors.Join(framer.WriteWindowUpdate(0, n), framer.WriteWindowUpdate(id, n)); err != nil {
				return err
			}
		}
	default:
		return nil
	}
	request := streams[id]
	if !ended || request == nil {
		return nil
	}
	request.complete = true
	r.keep(*request, nil)
	delete(streams, id)
	return answerHTTP2(framer, id, strings.HasPrefix(header(request.head, "content-type"), "application/grpc"))
}

// answerHTTP2 answers with 200, and for a gRPC client with status 0.
func answerHTTP2(framer *http2.Framer, stream uint32, grpc bool) error {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	fields := []hpack.HeaderField{{Name: ":status", Value: "200"}}
	if grpc {
		fields = append(fields, hpack.HeaderField{Name: "content-type", Value: "application/grpc"}, hpack.HeaderField{Name: "grpc-status", Value: "0"})
	}
	for _, f := range fields {
		_ = encoder.WriteField(f) // writes to memory
	}
	err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndStream: grpc, EndHeaders: true})
	if err == nil && !grpc {
		err = framer.WriteData(stream, true, []byte("ok"))
	}
	return err
}

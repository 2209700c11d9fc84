package config

import (
	"errors"
	"net"
	"strconv"
	"strings"
)

func (r *reader) listen(v value, l *Listen) {
	var http value
	r.mapping(v, fields{
		{"grpc", r.checked(&l.GRPC, validAddress)},
		{"http", func(v value) { http = v; r.checked(&l.HTTP, validAddress)(v) }},
		{"admin", r.checked(&l.Admin, validAddress)},
	})
	if http.Node != nil && l.HTTP != "" {
		r.warn(http.Line, "%s: nothing listens there yet: this version %s", http.name, noHTTP)
	}
	if l.GRPC == "" {
		r.warn(v.Line, "listen.grpc: empty, so that no proxy can ask: this version %s", noHTTP)
	}
	if l.GRPC != "" && l.GRPC == l.Admin && !strings.HasSuffix(l.GRPC, ":0") {
		r.problem(v.Line, "listen.grpc and listen.admin can't be the same address")
	}
}

// validAddress takes host:port, unix:///path and, for no listener, nothing.
func validAddress(address string) error {
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		if !strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/") {
			return errors.New("the address of a unix socket is unix:///path")
		}
		return nil
	}
	if address == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || strings.ContainsAny(host, " /") {
		return errors.New("an address is host:port, unix:///path, or empty for no listener")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return errors.New("a port is a number from 0 to 65535")
	}
	return nil
}

func (r *reader) tls(v value, cfg *Config) {
	r.mapping(v, fields{
		{"grpc", func(v value) { r.keyPair(v, &cfg.TLS.GRPC, cfg.Listen.GRPC) }},
		{"http", r.notYet(noHTTP)},
		{"admin", func(v value) { r.keyPair(v, &cfg.TLS.Admin, cfg.Listen.Admin) }},
	})
}

func (r *reader) keyPair(v value, pair *KeyPair, address string) {
	r.mapping(v, fields{
		{"cert_file", r.text(&pair.CertFile)},
		{"key_file", r.text(&pair.KeyFile)},
		{"client_ca_file", r.text(&pair.ClientCAFile)},
	})
	switch {
	case (pair.CertFile == "") != (pair.KeyFile == ""):
		r.problem(v.Line, "%s: cert_file and key_file go together", v.name)
	case pair.ClientCAFile != "" && pair.CertFile == "":
		r.problem(v.Line, "%s: client_ca_file needs cert_file and key_file", v.name)
	case pair.Enabled() && address == "":
		r.warn(v.Line, "%s: of no effect: that listener is off", v.name)
	}
}

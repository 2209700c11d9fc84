package config

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

func (d *decoder) listen(v value, l *Listen) {
	d.mapping(v, fields{
		{"grpc", d.checked(&l.GRPC, validAddress)},
		{"http", d.checked(&l.HTTP, validAddress)},
		{"admin", d.checked(&l.Admin, validAddress)},
		{"console", d.checked(&l.Console, validAddress)},
	})
	if l.GRPC == "" && l.HTTP == "" && l.Console == "" {
		d.warn(v.Line, "listen: neither grpc nor http, so that no proxy can ask")
	}
	named := map[string]string{}
	for _, each := range []struct{ name, address string }{{"grpc", l.GRPC}, {"http", l.HTTP}, {"admin", l.Admin}, {"console", l.Console}} {
		if each.address == "" || strings.HasSuffix(each.address, ":0") {
			continue
		}
		if other := named[each.address]; other != "" {
			d.problem(v.Line, "listen.%s and listen.%s can't be the same address", other, each.name)
		}
		named[each.address] = each.name
	}
}

// validAddress accepts host:port, unix:///path, and the empty text for no
// listener.
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

func (d *decoder) tls(v value, cfg *Config) {
	d.mapping(v, fields{
		{"grpc", func(v value) { d.keyPair(v, &cfg.TLS.GRPC, cfg.Listen.GRPC) }},
		{"http", func(v value) { d.keyPair(v, &cfg.TLS.HTTP, cfg.Listen.HTTP) }},
		{"admin", func(v value) { d.keyPair(v, &cfg.TLS.Admin, cfg.Listen.Admin) }},
		{"console", func(v value) { d.keyPair(v, &cfg.TLS.Console, cfg.Listen.Console) }},
	})
}

func (d *decoder) keyPair(v value, pair *KeyPair, address string) {
	d.mapping(v, fields{
		{"cert_file", d.filename(&pair.CertFile)},
		{"key_file", d.filename(&pair.KeyFile)},
		{"client_ca_file", d.filename(&pair.ClientCAFile)},
	})
	switch {
	case (pair.CertFile == "") != (pair.KeyFile == ""):
		d.problem(v.Line, "%s: cert_file and key_file go together", v.name)
	case pair.ClientCAFile != "" && pair.CertFile == "":
		d.problem(v.Line, "%s: client_ca_file needs cert_file and key_file", v.name)
	case pair.Enabled() && address == "":
		d.warn(v.Line, "%s: of no effect: that listener is off", v.name)
	}
}

// isLocal reports whether only this machine can connect to the address.
func isLocal(address string) bool {
	if strings.HasPrefix(address, "unix://") {
		return true
	}
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// trustedProxies reads addresses and networks.
func (d *decoder) trustedProxies(v value, cfg *Config) {
	d.each(v, func(element value) {
		text, ok := d.readText(element)
		if !ok {
			return
		}
		prefix, err := parseNetwork(text)
		if err != nil {
			d.wrong(element, "an address or a network as 10.0.0.0/8")
			return
		}
		cfg.TrustedProxies = append(cfg.TrustedProxies, prefix)
	})
}

// parseNetwork parses a network. An address is the network of that address
// alone.
func parseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
		return address.Unmap().Prefix(address.Unmap().BitLen())
	}
	prefix, err := netip.ParsePrefix(text)
	if err == nil && prefix.Masked() != prefix {
		err = errors.New("an address with bits beyond its network")
	}
	return prefix, err
}

package config

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"keyward/config/strictyaml"
)

func (d *decoder) listen(v strictyaml.Value, l *Listen) {
	d.Mapping(v, strictyaml.Fields{
		{"grpc", d.Checked(&l.GRPC, validAddress)},
		{"http", d.Checked(&l.HTTP, validAddress)},
		{"admin", d.Checked(&l.Admin, validAddress)},
		{"console", d.Checked(&l.Console, validAddress)},
		{"issuer", d.Checked(&l.Issuer, validAddress)},
	})
	if l.GRPC == "" && l.HTTP == "" && !l.Managing() {
		d.Warn(v.Line, "listen: neither grpc nor http, so that no proxy can ask")
	}
	named := map[string]string{}
	for _, each := range []struct{ name, address string }{{"grpc", l.GRPC}, {"http", l.HTTP}, {"admin", l.Admin}, {"console", l.Console}, {"issuer", l.Issuer}} {
		if each.address == "" || strings.HasSuffix(each.address, ":0") {
			continue
		}
		if other := named[each.address]; other != "" {
			d.Report(v.Line, "listen.%s and listen.%s can't be the same address", other, each.name)
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

func (d *decoder) tls(v strictyaml.Value, cfg *Config) {
	d.Mapping(v, strictyaml.Fields{
		{"grpc", func(v strictyaml.Value) { d.keyPair(v, &cfg.TLS.GRPC, cfg.Listen.GRPC) }},
		{"http", func(v strictyaml.Value) { d.keyPair(v, &cfg.TLS.HTTP, cfg.Listen.HTTP) }},
		{"admin", func(v strictyaml.Value) { d.keyPair(v, &cfg.TLS.Admin, cfg.Listen.Admin) }},
		{"console", func(v strictyaml.Value) { d.keyPair(v, &cfg.TLS.Console, cfg.Listen.Console) }},
		{"issuer", func(v strictyaml.Value) { d.keyPair(v, &cfg.TLS.Issuer, cfg.Listen.Issuer) }},
	})
}

func (d *decoder) keyPair(v strictyaml.Value, pair *KeyPair, address string) {
	d.Mapping(v, strictyaml.Fields{
		{"cert_file", d.filename(&pair.CertFile)},
		{"key_file", d.filename(&pair.KeyFile)},
		{"client_ca_file", d.filename(&pair.ClientCAFile)},
	})
	switch {
	case (pair.CertFile == "") != (pair.KeyFile == ""):
		d.Report(v.Line, "%s: cert_file and key_file go together", v.Name)
	case pair.ClientCAFile != "" && pair.CertFile == "":
		d.Report(v.Line, "%s: client_ca_file needs cert_file and key_file", v.Name)
	case pair.Enabled() && address == "":
		d.Warn(v.Line, "%s: of no effect: that listener is off", v.Name)
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
func (d *decoder) trustedProxies(v strictyaml.Value, cfg *Config) {
	d.Each(v, func(element strictyaml.Value) {
		text, ok := d.ReadText(element)
		if !ok {
			return
		}
		prefix, err := parseNetwork(text)
		if err != nil {
			d.Wrong(element, "an address or a network as 10.0.0.0/8")
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

package redis

import (
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// ErrURL describes the valid URLs. It does not quote the given one, which may
// contain a password.
var ErrURL = errors.New("want redis://[user:password@]host:port[/db], rediss://… for TLS, unix:///path[?db=N], " +
	"redis+cluster://host:port[,host:port…] or redis+sentinel://host:port[,host:port…]/master[/db]; rediss+… for TLS")

// kind is the kind of server at the addresses.
type kind uint8

const (
	single kind = iota
	cluster
	sentinel
)

// endpoint is the parsed form of a URL.
type endpoint struct {
	kind               kind
	secure             bool
	addresses          []string
	username, password string
	master             string
	db                 int
}

var schemes = map[string]endpoint{
	"redis": {}, "rediss": {secure: true}, "unix": {},
	"redis+cluster": {kind: cluster}, "rediss+cluster": {kind: cluster, secure: true},
	"redis+sentinel": {kind: sentinel}, "rediss+sentinel": {kind: sentinel, secure: true},
}

// parseURL parses a URL. net/url does not support lists of hosts, and its
// errors quote the URL.
func parseURL(text string) (endpoint, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	p, known := schemes[scheme]
	if !known || strings.ContainsAny(text, "#\x00\n\r\t ") {
		return endpoint{}, ErrURL
	}
	rest, query, asked := strings.Cut(rest, "?")
	authority, path := rest, ""
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		authority, path = rest[:slash], rest[slash+1:]
	}
	hosts := authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		hosts = authority[at+1:]
		if !p.readUser(authority[:at]) {
			return endpoint{}, ErrURL
		}
	}
	ok := false
	switch {
	case scheme == "unix":
		ok = hosts == "" && p.readSocket(path, query, asked)
	case !asked:
		ok = p.readHosts(hosts) && p.readPath(path)
	}
	if !ok {
		return endpoint{}, ErrURL
	}
	return p, nil
}

func (p *endpoint) readUser(text string) bool {
	name, password, _ := strings.Cut(text, ":")
	var err, err2 error
	p.username, err = url.PathUnescape(name)
	p.password, err2 = url.PathUnescape(password)
	return err == nil && err2 == nil
}

func (p *endpoint) readSocket(path, query string, asked bool) bool {
	file, err := url.PathUnescape(path)
	if err != nil || file == "" || strings.IndexByte(file, 0) >= 0 {
		return false
	}
	p.addresses = []string{"/" + file}
	number, isDB := strings.CutPrefix(query, "db=")
	return !asked || isDB && p.readDB(number)
}

func (p *endpoint) readHosts(list string) bool {
	for address := range strings.SplitSeq(list, ",") {
		host, port, err := net.SplitHostPort(address)
		if err != nil { // no port, or an IPv6 address without brackets
			host, port = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]"), p.port()
			if strings.Contains(host, ":") && !strings.HasPrefix(address, "[") {
				return false
			}
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || host == "" || strings.ContainsAny(host, "/@[]%") {
			return false
		}
		p.addresses = append(p.addresses, net.JoinHostPort(host, port))
	}
	return p.kind != single || len(p.addresses) == 1
}

func (p *endpoint) port() string {
	if p.kind == sentinel {
		return "26379"
	}
	return "6379"
}

func (p *endpoint) readPath(path string) bool {
	db := path
	if p.kind == sentinel {
		p.master, db, _ = strings.Cut(path, "/")
		if p.master == "" || strings.Contains(p.master, "%") {
			return false
		}
	}
	return db == "" || p.kind != cluster && p.readDB(db)
}

func (p *endpoint) readDB(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	p.db = int(n)
	return err == nil
}

// options returns the options that the endpoint determines.
func (p *endpoint) options(trust *tls.Config) *redis.UniversalOptions {
	o := &redis.UniversalOptions{
		Addrs: slices.Clone(p.addresses), Username: p.username, Password: p.password, DB: p.db,
		MasterName: p.master, IsClusterMode: p.kind == cluster,
	}
	if p.secure {
		o.TLSConfig = &tls.Config{}
		if trust != nil {
			o.TLSConfig = trust.Clone()
		}
		o.TLSConfig.MinVersion = max(o.TLSConfig.MinVersion, tls.VersionTLS12)
		if host, _, err := net.SplitHostPort(p.addresses[0]); err == nil && p.kind == single && o.TLSConfig.ServerName == "" {
			o.TLSConfig.ServerName = host
		}
	}
	return o
}

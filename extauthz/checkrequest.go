package extauthz

import (
	"keyward/authz"
	"keyward/chars"
)

// The field numbers that are read, of envoy.service.auth.v3
// (external_auth.proto, attribute_context.proto) and envoy.config.core.v3.
const (
	checkAttributes = 1

	attributesSource            = 1
	attributesRequest           = 4
	attributesContextExtensions = 10

	peerAddress          = 1
	addressSocketAddress = 1
	addressPipe          = 2
	addressEnvoyInternal = 3
	socketAddressAddress = 2

	requestHTTP = 2

	httpID        = 1
	httpMethod    = 2
	httpHeaders   = 3
	httpPath      = 4
	httpHost      = 5
	httpScheme    = 6
	httpHeaderMap = 13

	headerMapHeaders = 1

	headerKey      = 1
	headerValue    = 2
	headerRawValue = 3

	mapKey   = 1
	mapValue = 2
)

// routeExtension is the context extension by which Envoy's configuration
// selects a route by name.
const routeExtension = "keyward.route"

// maxHeaders bounds the work for one request. By default Envoy passes 100 at
// most.
const maxHeaders = 1024

// readCheckRequest fills r from the bytes of a CheckRequest. It reads the
// fields that are needed in place and skips the rest; the strings in r are
// substrings of message. It reads what the generated decoder reads, which a
// fuzz test checks, or refuses: a singular field must not occur twice.
func readCheckRequest(message string, r *authz.Request) error {
	c := checkReader{r: r}
	f := fields{rest: message}
	for f.next() {
		if f.number == checkAttributes {
			c.once(bitAttributes)
			c.attributes(f.value)
		}
	}
	c.done(&f)
	return c.err
}

// checkReader is the state of reading one message.
type checkReader struct {
	r          *authz.Request
	seen       uint32 // bits of the singular fields that were present
	rawHeaders bool
	err        error
}

// The bits for once, one for each singular field.
const (
	bitAttributes = iota
	bitSource
	bitRequest
	bitAddress
	bitSocketAddress
	bitPeer
	bitHTTP
	bitHeaderMap
	bitID
	bitMethod
	bitPath
	bitHost
	bitScheme
	bitRoute
)

// once refuses a singular field that occurs a second time. The generated
// decoder would merge two messages or take the last string; proxies send
// neither.
func (c *checkReader) once(bit uint) {
	if c.seen&(1<<bit) != 0 {
		c.err = errWire
	}
	c.seen |= 1 << bit
}

// done keeps the error of a message whose fields were read, if it is the first.
func (c *checkReader) done(f *fields) {
	if c.err == nil {
		c.err = f.err
	}
}

func (c *checkReader) text(bit uint, value string, field *string) {
	*field = value
	c.once(bit)
}

func (c *checkReader) attributes(message string) {
	f := fields{rest: message}
	for f.next() {
		switch f.number {
		case attributesSource:
			c.once(bitSource)
			c.source(f.value)
		case attributesRequest:
			c.once(bitRequest)
			c.request(f.value)
		case attributesContextExtensions:
			c.contextExtension(f.value)
		}
	}
	c.done(&f)
}

func (c *checkReader) source(message string) {
	f := fields{rest: message}
	for f.next() {
		if f.number == peerAddress {
			c.once(bitAddress)
			c.address(f.value)
		}
	}
	c.done(&f)
}

func (c *checkReader) address(message string) {
	f := fields{rest: message}
	for f.next() {
		switch f.number {
		case addressPipe, addressEnvoyInternal:
			c.once(bitSocketAddress) // a oneof, of which the last one would count
		case addressSocketAddress:
			c.once(bitSocketAddress)
			c.socketAddress(f.value)
		}
	}
	c.done(&f)
}

func (c *checkReader) socketAddress(message string) {
	f := fields{rest: message}
	for f.next() {
		if f.number == socketAddressAddress {
			c.text(bitPeer, f.value, &c.r.Peer)
		}
	}
	c.done(&f)
}

func (c *checkReader) request(message string) {
	f := fields{rest: message}
	for f.next() {
		if f.number == requestHTTP {
			c.once(bitHTTP)
			c.http(f.value)
		}
	}
	c.done(&f)
}

func (c *checkReader) http(message string) {
	f := fields{rest: message}
	for f.next() {
		switch f.number {
		case httpID:
			c.text(bitID, f.value, &c.r.RequestID)
		case httpMethod:
			c.text(bitMethod, f.value, &c.r.Method)
		case httpPath:
			c.text(bitPath, f.value, &c.r.Target)
		case httpHost:
			c.text(bitHost, f.value, &c.r.Host)
		case httpScheme:
			c.text(bitScheme, f.value, &c.r.Scheme)
		case httpHeaders:
			if !c.rawHeaders {
				c.mapHeader(f.value)
			}
		case httpHeaderMap:
			// With encode_raw_headers, header_map has every header as it was
			// sent. The two are never mixed.
			c.rawHeaders = true
			c.r.Headers = c.r.Headers[:0]
			c.once(bitHeaderMap)
			c.headerMap(f.value)
		}
	}
	c.done(&f)
}

func (c *checkReader) headerMap(message string) {
	f := fields{rest: message}
	for f.next() {
		if f.number == headerMapHeaders {
			c.rawHeader(f.value)
		}
	}
	c.done(&f)
}

// rawHeader reads one entry of header_map.
func (c *checkReader) rawHeader(message string) {
	var line [headerRawValue + 1]string
	c.texts(message, line[:])
	value := line[headerRawValue]
	if value == "" {
		value = line[headerValue]
	}
	c.add(chars.LowerASCII(line[headerKey]), value)
}

// mapHeader reads one entry of the headers map. The generated decoder would
// keep the last of two entries with the same name; this one refuses to choose.
func (c *checkReader) mapHeader(entry string) {
	var line [mapValue + 1]string
	c.texts(entry, line[:])
	name := chars.LowerASCII(line[mapKey])
	for i := range c.r.Headers {
		if c.r.Headers[i].Name == name {
			c.err = errWire
		}
	}
	c.add(name, line[mapValue])
}

// add appends a header, its name in lower case. Pseudo-headers repeat other
// fields and are skipped.
func (c *checkReader) add(name, value string) {
	if name == "" || name[0] == ':' {
		return
	}
	if len(c.r.Headers) == maxHeaders {
		c.err = errWire
		return
	}
	c.r.Headers = append(c.r.Headers, authz.Header{Name: name, Value: value})
}

func (c *checkReader) contextExtension(entry string) {
	var line [mapValue + 1]string
	c.texts(entry, line[:])
	if line[mapKey] != routeExtension {
		return
	}
	if line[mapValue] == "" {
		c.err = errWire // an empty name must not mean "select by path"
	}
	c.text(bitRoute, line[mapValue], &c.r.RouteName)
}

// texts reads a message of strings into the slice, by field number. No field
// may occur twice.
func (c *checkReader) texts(message string, all []string) {
	seen := 0
	f := fields{rest: message}
	for f.next() {
		if f.number >= uint64(len(all)) {
			continue
		}
		if seen&(1<<f.number) != 0 {
			c.err = errWire
		}
		seen |= 1 << f.number
		all[f.number] = f.value
	}
	c.done(&f)
}

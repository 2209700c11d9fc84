package extauthz

import "keyward/authz"

// Field numbers of envoy.service.auth.v3 (external_auth.proto,
// attribute_context.proto) and envoy.config.core.v3; those that we read.
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

// routeExtension is the context extension with which Envoy's configuration picks a route by name.
const routeExtension = "keyward.route"

// maxHeaders bounds the work on one request. Envoy passes 100 at most unless told otherwise.
const maxHeaders = 1024

// readCheckRequest fills r from the bytes of a CheckRequest, reading in place
// what is needed and stepping over the rest; the strings in r are parts of
// message. It reads as the generated decoder does, which a fuzz test holds it
// to, or refuses: a field that can stand only once stands once.
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

// checkReader holds what is read of one message.
type checkReader struct {
	r          *authz.Request
	seen       uint32 // bits of the singular fields that were there
	rawHeaders bool
	err        error
}

// Bits for once, one for each singular field.
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

// once refuses a singular field the second time. The generated decoder would
// merge two messages or take the last string; a proxy sends neither.
func (c *checkReader) once(bit uint) {
	if c.seen&(1<<bit) != 0 {
		c.err = errWire
	}
	c.seen |= 1 << bit
}

// done notes what is wrong with a message whose fields were read.
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
			c.once(bitSocketAddress) // a oneof: the last one would count
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
			// With encode_raw_headers this one has every line as it came; the
			// two are never mixed.
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

// rawHeader reads one line of header_map.
func (c *checkReader) rawHeader(message string) {
	var line [headerRawValue + 1]string
	c.texts(message, line[:])
	value := line[headerRawValue]
	if value == "" {
		value = line[headerValue]
	}
	c.add(authz.LowerASCII(line[headerKey]), value)
}

// mapHeader reads one entry of the headers map. The generated decoder would
// keep the last of two entries with one name; we refuse to choose.
func (c *checkReader) mapHeader(entry string) {
	var line [mapValue + 1]string
	c.texts(entry, line[:])
	name := authz.LowerASCII(line[mapKey])
	for i := range c.r.Headers {
		if c.r.Headers[i].Name == name {
			c.err = errWire
		}
	}
	c.add(name, line[mapValue])
}

// add appends a header line, its name in lower case. Pseudo-headers repeat what has fields of its own.
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
		c.err = errWire // an empty name must not mean "by path"
	}
	c.text(bitRoute, line[mapValue], &c.r.RouteName)
}

// texts reads a message of strings into the slice, by field number. None of them may stand twice.
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

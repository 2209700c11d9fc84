package extauthz

import (
	"strings"

	"keyward/authz"
)

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
	return eachField(message, c.check)
}

// checkReader holds what is read of one message.
type checkReader struct {
	r          *authz.Request
	seen       uint32 // bits of the singular fields that were there
	rawHeaders bool
}

// once refuses a singular field the second time. The generated decoder would
// merge two messages or take the last string; a proxy sends neither.
func (c *checkReader) once(bit uint) error {
	if c.seen&(1<<bit) != 0 {
		return errWire
	}
	c.seen |= 1 << bit
	return nil
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

func (c *checkReader) check(number uint64, value string) error {
	if number != checkAttributes {
		return nil
	}
	return c.message(bitAttributes, value, c.attributes)
}

func (c *checkReader) message(bit uint, value string, visit func(uint64, string) error) error {
	if err := c.once(bit); err != nil {
		return err
	}
	return eachField(value, visit)
}

func (c *checkReader) attributes(number uint64, value string) error {
	switch number {
	case attributesSource:
		return c.message(bitSource, value, c.source)
	case attributesRequest:
		return c.message(bitRequest, value, c.request)
	case attributesContextExtensions:
		return c.contextExtension(value)
	default:
		return nil
	}
}

func (c *checkReader) source(number uint64, value string) error {
	if number != peerAddress {
		return nil
	}
	return c.message(bitAddress, value, func(number uint64, value string) error {
		if number == addressPipe || number == addressEnvoyInternal {
			return c.once(bitSocketAddress) // a oneof: the last one would count
		}
		if number != addressSocketAddress {
			return nil
		}
		return c.message(bitSocketAddress, value, func(number uint64, value string) error {
			if number != socketAddressAddress {
				return nil
			}
			return c.text(bitPeer, value, &c.r.Peer)
		})
	})
}

func (c *checkReader) text(bit uint, value string, field *string) error {
	*field = value
	return c.once(bit)
}

func (c *checkReader) request(number uint64, value string) error {
	if number != requestHTTP {
		return nil
	}
	return c.message(bitHTTP, value, c.http)
}

func (c *checkReader) http(number uint64, value string) error {
	switch number {
	case httpID:
		return c.text(bitID, value, &c.r.RequestID)
	case httpMethod:
		return c.text(bitMethod, value, &c.r.Method)
	case httpPath:
		return c.text(bitPath, value, &c.r.Target)
	case httpHost:
		return c.text(bitHost, value, &c.r.Host)
	case httpScheme:
		return c.text(bitScheme, value, &c.r.Scheme)
	case httpHeaders:
		if c.rawHeaders {
			return nil
		}
		return c.mapHeader(value)
	case httpHeaderMap:
		// With encode_raw_headers this one has every line as it came; the
		// two are never mixed.
		c.rawHeaders = true
		c.r.Headers = c.r.Headers[:0]
		return c.message(bitHeaderMap, value, c.rawHeader)
	default:
		return nil
	}
}

// rawHeader reads one line of header_map.
func (c *checkReader) rawHeader(number uint64, value string) error {
	if number != headerMapHeaders {
		return nil
	}
	var line [headerRawValue + 1]string
	if err := eachFieldOnce(value, line[:]); err != nil {
		return err
	}
	if line[headerRawValue] != "" {
		return c.add(line[headerKey], line[headerRawValue])
	}
	return c.add(line[headerKey], line[headerValue])
}

// mapHeader reads one entry of the headers map. The generated decoder would
// keep the last of two entries with one name; we refuse to choose.
func (c *checkReader) mapHeader(entry string) error {
	var line [mapValue + 1]string
	if err := eachFieldOnce(entry, line[:]); err != nil {
		return err
	}
	name := lowerASCII(line[mapKey])
	for i := range c.r.Headers {
		if c.r.Headers[i].Name == name {
			return errWire
		}
	}
	return c.add(name, line[mapValue])
}

// add appends a header line. Pseudo-headers repeat what has fields of its own.
func (c *checkReader) add(name, value string) error {
	if name == "" || name[0] == ':' {
		return nil
	}
	if len(c.r.Headers) == maxHeaders {
		return errWire
	}
	c.r.Headers = append(c.r.Headers, authz.Header{Name: lowerASCII(name), Value: value})
	return nil
}

func (c *checkReader) contextExtension(entry string) error {
	var line [mapValue + 1]string
	if err := eachFieldOnce(entry, line[:]); err != nil || line[mapKey] != routeExtension {
		return err
	}
	if line[mapValue] == "" {
		return errWire // an empty name must not mean "by path"
	}
	return c.text(bitRoute, line[mapValue], &c.r.RouteName)
}

// eachFieldOnce reads a message of strings into the slice, by field number.
func eachFieldOnce(message string, fields []string) error {
	seen := 0
	return eachField(message, func(number uint64, value string) error {
		if number >= uint64(len(fields)) {
			return nil
		}
		if seen&(1<<number) != 0 {
			return errWire
		}
		seen |= 1 << number
		fields[number] = value
		return nil
	})
}

// lowerASCII is strings.ToLower without the letters outside ASCII that it turns into ASCII ones.
func lowerASCII(s string) string {
	if strings.IndexFunc(s, isUpperASCII) < 0 {
		return s
	}
	return strings.Map(func(c rune) rune {
		if isUpperASCII(c) {
			c += 'a' - 'A'
		}
		return c
	}, s)
}

func isUpperASCII(c rune) bool { return 'A' <= c && c <= 'Z' }

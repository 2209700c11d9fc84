package authz

// Transport is the protocol by which Keyward was asked about a request.
type Transport uint8

// The transports. A new one is a constant here, a row in transports, and a file
// that fills in a Request and writes the Decision (see extauthz).
const (
	TransportGRPC      Transport = iota // Envoy
	TransportNginx                      // nginx and HAProxy
	TransportForward                    // Caddy and Traefik
	TransportEnvoyHTTP                  // Envoy, over HTTP
	TransportVerify                     // the caller itself, about its own credential

	TransportCount
)

// TransportInfo is a row of the table of transports.
type TransportInfo struct {
	Transport Transport
	Name      string // in metrics, logs and traces
	// Operation is what the transport asks for: "check" judges a request,
	// "verify" authenticates the caller alone.
	Operation string
}

var transports = [TransportCount]TransportInfo{
	TransportGRPC:      {TransportGRPC, "grpc", "check"},
	TransportNginx:     {TransportNginx, "nginx", "check"},
	TransportForward:   {TransportForward, "forward", "check"},
	TransportEnvoyHTTP: {TransportEnvoyHTTP, "envoy_http", "check"},
	TransportVerify:    {TransportVerify, "verify", "verify"},
}

// Transports returns the table. It must not be changed.
func Transports() []TransportInfo { return transports[:] }

// String is the transport's name.
func (t Transport) String() string { return transports[t].Name }

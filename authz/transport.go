package authz

// Transport is the protocol over which a proxy or a caller asks.
type Transport uint8

// The transports. A new one is a constant here, a row in transports, and a file
// that fills in a Request and writes the Decision (see extauthz).
const (
	TransportGRPC      Transport = iota // Envoy
	TransportNginx                      // nginx and HAProxy
	TransportForward                    // Caddy and Traefik
	TransportEnvoyHTTP                  // Envoy, over HTTP
	TransportVerify                     // the caller, about its own credential
	TransportManage                     // a caller of the management API
	TransportModule                     // Envoy, within its process

	TransportCount
)

// TransportInfo is a row of the table of transports.
type TransportInfo struct {
	Transport Transport
	Name      string // in metrics, logs and traces
	// Operation is the operation that the transport requests: "check" decides a
	// request, "verify" only authenticates the caller.
	Operation string
}

var transports = [TransportCount]TransportInfo{
	TransportGRPC:      {TransportGRPC, "grpc", "check"},
	TransportNginx:     {TransportNginx, "nginx", "check"},
	TransportForward:   {TransportForward, "forward", "check"},
	TransportEnvoyHTTP: {TransportEnvoyHTTP, "envoy_http", "check"},
	TransportVerify:    {TransportVerify, "verify", "verify"},
	TransportManage:    {TransportManage, "manage", "check"},
	TransportModule:    {TransportModule, "module", "check"},
}

// Transports returns the table. The caller must not change it.
func Transports() []TransportInfo { return transports[:] }

// String returns the transport's name.
func (t Transport) String() string { return transports[t].Name }

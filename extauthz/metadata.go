package extauthz

import "net/http"

// metadataAge is how long a client may keep a document: a changed configuration
// reaches clients soon, and a burst of them asks a cache.
const metadataAge = "public, max-age=300"

// serveMetadata answers with the document at the path (RFC 9728 section 3.2),
// or with 404. Every client may read it, without a credential: it says how to get
// one. The path is compared byte for byte, as clients compare the resource in
// the document with the URL that they use (section 3.3).
//
// Scripts of all origins may read the document, since clients that run in
// browsers need it before they have a token.
func (h *Handler) serveMetadata(w http.ResponseWriter, hr *http.Request, path string) {
	if h.Metadata == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	document, found := h.Metadata[path]
	switch {
	case !found:
		w.WriteHeader(http.StatusNotFound)
	case hr.Method == http.MethodGet, hr.Method == http.MethodHead:
		header.Set("Cache-Control", metadataAge)
		header.Set("Content-Type", "application/json")
		_, _ = w.Write(document)
	case hr.Method == http.MethodOptions: // MCP clients send MCP-Protocol-Version, so browsers ask first
		header.Set("Access-Control-Allow-Methods", "GET, HEAD")
		header.Set("Access-Control-Allow-Headers", "*")
		w.WriteHeader(http.StatusNoContent)
	default:
		header.Set("Allow", "GET, HEAD, OPTIONS")
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// Package overrides lists the request headers by which a client could have an
// upstream see another request than the one that was checked.
package overrides

import "slices"

// Headers returns the request headers, in lower case, from which some
// upstreams take another method, path or host than the request line and Host
// have. No check covers these, so every allow removes them. The shipped proxy
// configurations remove them too; a test compares those with this list. The
// headers of the client's address and scheme (X-Forwarded-For, -Proto, -Port)
// are not in the list: proxies set them, and they do not change what was
// checked.
func Headers() []string {
	return slices.Concat(methodOverrides, pathOverrides, hostOverrides)
}

var (
	methodOverrides = []string{
		"x-http-method-override", // Rack, Rails, Symfony, Laravel, Yii, ASP.NET Core, Slim, Plack
		"x-http-method",          // OData, Express
		"x-method-override",      // Express
		"x-original-method",
		"x-forwarded-method",
	}
	pathOverrides = []string{
		"x-original-url", // IIS, Symfony, Zend, Yii
		"x-rewrite-url",  // IIS, Symfony, Zend, Yii
		"x-original-uri",
		"x-original-path",
		"x-forwarded-uri",
		"x-forwarded-url",
		"x-forwarded-path",
		"x-forwarded-prefix", // Spring, ASP.NET Core, Symfony, Werkzeug
		"x-forwarded-script-name",
		"x-script-name", // mod_wsgi, Flask
		"script-name",   // Gunicorn
		"path-info",     // Gunicorn
		"x-envoy-original-path",
		"x-waws-unencoded-url", // Azure App Service
		"x-ms-original-url",    // Azure Functions
	}
	hostOverrides = []string{
		"forwarded", // RFC 7239
		"x-forwarded-host",
		"x-forwarded-server", // Jetty
		"x-original-host",
		"x-host", // mod_wsgi
		"x-http-host-override",
	}
)

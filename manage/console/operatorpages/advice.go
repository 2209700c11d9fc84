package operatorpages

import "keyward/authz"

// advice is what a reason means, and what an operator can do about it.
type advice struct{ Means, Do string }

// adviceOn returns what is said of each reason for a denial.
func adviceOn(r authz.Reason) advice {
	return map[authz.Reason]advice{
		authz.AmbiguousPath:         {"Programs could read the path differently.", "Send the path in its simple form: without dot segments, double slashes and needless escapes. docs/reasons.md lists what is refused."},
		authz.AmbiguousHeader:       {"A header could be taken for an identity header.", "Remove the header from the request."},
		authz.RouteDenied:           {"The route denies every request, or the proxy is not trusted.", "Look at the cause. If the API is to be reached there, change the route, or trusted_proxies."},
		authz.MethodNotAllowed:      {"The path has routes, but none for this method.", "Use another method, or add a route for it."},
		authz.HTTPSRequired:         {"The client used http.", "Use https, and let the proxy report the scheme."},
		authz.NoCredential:          {"The request had no credential.", "Check the header's name in the program, and that the proxy sends the header to Keyward."},
		authz.MalformedCredential:   {"The credential has characters that none has, or is too long.", "Look for a quoted key, a variable that was not expanded, or a newline."},
		authz.AmbiguousCredential:   {"The request had more than one credential.", "Send one credential, in one place."},
		authz.UnsupportedCredential: {"This scheme of credentials is not enabled.", "Use another scheme, or enable it under credentials in the configuration."},
		authz.InvalidToken:          {"The credential is of no kind that is valid here.", "Look for a key that was cut off or mistyped. For a token, compare its issuer, audience and algorithm with the configuration; the cause says which."},
		authz.UnknownKey:            {"No key has this secret.", "Look for a key of another environment, or one that was deleted."},
		authz.RevokedKey:            {"The key was revoked or deleted, or this secret was replaced.", "Give the program the new secret, or a new key."},
		authz.ExpiredKey:            {"The key has expired, or its secret is too old.", "Extend the expiry, rotate the key if its secret is too old, or create a new one."},
		authz.PausedKey:             {"The key is paused.", "Its page says who paused it and why. Resume it when the reason is gone."},
		authz.NotYetValid:           {"The key begins later.", "Wait until it begins, or change its start. Compare the clocks."},
		authz.WrongPassword:         {"The user name or the password is wrong.", "Set the user's password, or give the user a link to set it."},
		authz.DisabledUser:          {"The user of the credential is disabled, or is not there.", "Enable the user, or create it again under another name."},
		authz.ExpiredToken:          {"The token has expired.", "Let the program get a new token before the old one expires."},
		authz.RevokedToken:          {"The token was revoked.", "Let the program get a new token. The list of revoked tokens says why."},
		authz.AddressNotAllowed:     {"The key is not valid at this address.", "Compare the client's address with the networks of the key. If the address is that of a proxy, set client_address.trusted_hops."},
		authz.WrongKind:             {"The route does not accept this kind of credential.", "Use one of the kinds that the route accepts."},
		authz.PathNotAllowed:        {"The path is not among those of the key and its user, or belongs to another subject ({subject} in the route's path).", "If the program is to use the path, add it to the paths of the key or of its user. A path of the route's subject is for that subject alone."},
		authz.InsufficientScope:     {"A scope that the route requires is missing.", "If the program is to do this, grant the scope to the key and to its user; of scopes_any, one is enough."},
		authz.WrongProject:          {"The route requires another project.", "Use a key of that project."},
		authz.RateLimited:           {"A rate limit was exhausted.", "Let the program wait as Retry-After says. If the limit is too low, change it."},
		authz.Unavailable:           {"Keyward could not decide.", "Look at the cause and at the readiness of this replica: a file, an issuer or the store of rate limits is unavailable."},
		authz.Overloaded:            {"Keyward had more to verify than it could in time.", "Use more replicas, or tokens and keys instead of passwords."},
		authz.RequestTooLarge:       {"The proxy sent more of the request than Keyward reads.", "Do not let the proxy include the body in the check."},
		authz.Internal:              {"Keyward failed.", "The cause has the details. Please report it."},
	}[r]
}

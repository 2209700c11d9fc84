// Package linking is which user a person is whom an OpenID provider vouches for: the one
// whose record has the person's iss and sub. The first login puts them there, or makes
// the user, and only where no other person can be that user already; an administrator can
// do so for any. Package manage lends it what every change of a user goes through.
package linking

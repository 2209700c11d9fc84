package config

import (
	"strings"
	"testing"
)

// TestWarnSharedSubjects checks that there is a warning if and only if the
// upstream cannot distinguish the subjects of two sources.
func TestWarnSharedSubjects(t *testing.T) {
	const (
		one    = "jwt:\n- {name: one, issuer: https://one.example, audiences: [a]}\n"
		two    = one + "- {name: two, issuer: https://two.example, audiences: [a]}\n"
		access = "jwt:\n- {name: one, kind: oauth, issuer: https://one.example, audiences: [a]}\n"
		opaque = "introspection:\n- {name: three, url: https://three.example}\n"
		server = opaque + "- {name: four, url: https://four.example}\n"
	)
	for text, want := range map[string]string{
		"{}":         "",
		one:          "", // x-auth-method distinguishes its subjects from those of keys
		one + opaque: "",
		two:          `f:1: no identity header distinguishes the subjects of jwt "one", jwt "two": the upstream takes alice of one for alice of another; add x-auth-issuer: issuer to identity_headers, and have the upstream check it`,
		access + strings.Replace(opaque, "three", "one", 1): "", // one server, used in two ways
		access + opaque: `f:3: no identity header distinguishes the subjects of jwt "one", introspection "three"`,
		one + server:    `f:3: no identity header distinguishes the subjects of introspection "three", introspection "four"`,

		one + "identity_headers: {x-user: subject}\n":                             `f:1: no identity header distinguishes the subjects of keys and users, jwt "one"`,
		"keys: {file: ''}\n" + one + "identity_headers: {x-user: subject}\n":      "",
		two + "identity_headers: {x-user: subject, x-issuer: issuer}\n":           "",
		one + opaque + "identity_headers: {x-user: subject, x-issuer: issuer}\n":  "",
		two + "identity_headers: {}\n":                                            "",
		two + "identity_headers: {x-user: subject, x-client: client_id}\n":        `f:1: no identity header distinguishes the subjects of`,
		"identity_headers: {x-user: subject}\nusers: {file: u}\nkeys: {file: ''}": "",
	} {
		got := warningsAbout(t, text, "subjects of")
		if !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%sgot  %s\nwant %s", text, got, want)
		}
	}
}

// TestWarnSubjectPaths: a path with {subject} is for the subjects of one source.
func TestWarnSubjectPaths(t *testing.T) {
	const (
		one    = "jwt:\n- {name: one, issuer: https://one.example, audiences: [a]}\n"
		two    = one + "- {name: two, issuer: https://two.example, audiences: [a]}\n"
		access = "jwt:\n- {name: one, kind: oauth, issuer: https://one.example, audiences: [a]}\n"
		opaque = "introspection:\n- {name: three, url: https://three.example}\n"
		route  = "routes: [{name: own, path: '/users/{subject}'}]\n"
	)
	limited := func(kinds string) string {
		return "routes: [{name: own, path: '/users/{subject}', credentials: [" + kinds + "]}]\n"
	}
	for text, want := range map[string]string{
		route:                              "",
		one + "routes: [{path: /users}]\n": "",
		one + route:                        `f:3: routes: route own: {subject} is a subject of keys and users, jwt "one"`,
		"keys: {file: ''}\n" + one + route: "",
		one + limited("jwt"):               "",
		one + limited("api_key"):           "",
		one + limited("api_key, jwt"):      `f:3: routes: route own`,
		access + strings.Replace(opaque, "three", "one", 1) + limited("oauth"): "", // one server, used in two ways
		two + limited("jwt"): `f:4: routes: route own: {subject} is a subject of jwt "one", jwt "two"`,
		"users: {file: u}\n" + strings.Replace(one, "name: one", "name: one, users: true", 1) + route: "",
		"introspection:\n- {name: three, url: https://three.example}\n" + route:                       `f:3: routes: route own: {subject} is a subject of keys and users, introspection "three"`,
		two + "identity_headers: {x-user: subject, x-issuer: issuer}\n" + route:                       `f:5: routes: route own`,
	} {
		got := warningsAbout(t, text, "{subject}")
		if !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%sgot  %s\nwant %s", text, got, want)
		}
	}
}

// warningsAbout returns the warnings of a configuration that contain a text.
func warningsAbout(t *testing.T, text, part string) (found string) {
	t.Helper()
	cfg, err := Parse("f", []byte(text), noEnv)
	if err != nil {
		t.Errorf("%s%v", text, err)
		return ""
	}
	for _, warning := range cfg.Warnings {
		if strings.Contains(warning.Message, part) {
			found += warning.String()
		}
	}
	return found
}

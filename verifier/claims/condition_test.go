package claims_test

import (
	"strings"
	"testing"
	"time"

	"keyward/verifier/claims"
	"keyward/verifier/strictjson"
)

// TestConditions reads as policy: the claim, the values, and the claims that have
// one of them.
func TestConditions(t *testing.T) {
	for _, c := range []struct {
		path, values, document string
		holds                  bool
	}{
		{"sub", "repo:octo-org/*", `{"sub":"repo:octo-org/octo-repo:ref:refs/heads/main"}`, true},
		{"sub", "repo:octo-org/*", `{"sub":"repo:octo-org-evil/x"}`, false},
		{"sub", "repo:octo-org/*", `{"sub":"xrepo:octo-org/x"}`, false},
		{"sub", "repo:octo-org/*", `{"sub":"REPO:octo-org/x"}`, false},
		{"sub", "repo:octo-org/*", `{"sub":"repo:octo-org/"}`, true},
		{"sub", "repo:octo-org/*:ref:refs/heads/main", `{"sub":"repo:octo-org/a:ref:refs/heads/main"}`, true},
		{"sub", "repo:octo-org/*:ref:refs/heads/main", `{"sub":"repo:octo-org/a:ref:refs/heads/main2"}`, false},
		{"sub", "repo:octo-org/*:ref:refs/heads/main", `{"sub":"repo:octo-org/:ref:refs/heads/dev:ref:refs/heads/main"}`, true},
		{"sub", "aba*aba", `{"sub":"aba"}`, false}, // no character counts twice
		{"sub", "aba*aba", `{"sub":"abaaba"}`, true},
		{"sub", "a*b*c", `{"sub":"axbxbxc"}`, true},
		{"sub", "a*b*c", `{"sub":"axcxb"}`, false},
		{"sub", "a**b", `{"sub":"ab"}`, true},
		{"sub", "*", `{"sub":""}`, true},
		{"sub", "*", `{}`, false},
		{"sub", "*", `{"sub":null}`, false},
		{"sub", "*", `{"sub":{}}`, false},
		{"sub", "a.c", `{"sub":"abc"}`, false}, // no regular expression
		{"sub", "a?c", `{"sub":"abc"}`, false},
		{"sub", "a, b", `{"sub":"a"}`, true},
		{"sub", "a, b", `{"sub":"b"}`, true},
		{"sub", "a, b", `{"sub":"a, b"}`, false},
		{"groups", "admins", `{"groups":["users","admins"]}`, true},
		{"groups", "admins", `{"groups":["users",["admins"]]}`, false},
		{"groups", "admins", `{"groups":[]}`, false},
		{"groups", "admins", `{"groups":{"admins":true}}`, false},
		{"groups", "admins", `{"groups":"users admins"}`, false},
		{"tenant", "42", `{"tenant":42}`, true},
		{"tenant", "42", `{"tenant":[7,42]}`, true},
		{"tenant", "42", `{"tenant":"42"}`, true},
		{"tenant", "42", `{"tenant":42.0}`, false},
		{"tenant", "42", `{"tenant":4.2e1}`, false},
		{"tenant", "-1", `{"tenant":-1}`, false},
		{"email_verified", "true", `{"email_verified":true}`, true},
		{"email_verified", "true", `{"email_verified":false}`, false},
		{"email_verified", "true", `{"email_verified":"true"}`, true},
		{"/kubernetes.io/namespace", "shop", `{"kubernetes.io":{"namespace":"shop"}}`, true},
		{"/kubernetes.io/namespace", "shop", `{"kubernetes.io":{"namespace":"other"}}`, false},
		{"/kubernetes.io/namespace", "shop", `{"kubernetes.io":"shop"}`, false},
	} {
		condition, err := claims.NewCondition(c.path, strings.Split(c.values, ", "))
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		members, err := strictjson.Object([]byte(c.document), strictjson.Limits{Depth: 8, Members: 8})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, holds := condition.Satisfied(members); holds != c.holds {
			t.Errorf("%s: %s in %s: %v", c.path, c.values, c.document, holds)
		}
	}
}

func TestBadConditions(t *testing.T) {
	for _, c := range []struct {
		path   string
		values []string
	}{{"", []string{"a"}}, {"/a/", []string{"a"}}, {"a", nil}, {"a", []string{"b", ""}}, {"a", []string{strings.Repeat("x", 256)}}} {
		if _, err := claims.NewCondition(c.path, c.values); err == nil {
			t.Errorf("%q: %q: accepted", c.path, c.values)
		}
	}
}

// TestPatternsAreLinear has a text on which a backtracking matcher would try
// more than 2^100 combinations.
func TestPatternsAreLinear(t *testing.T) {
	condition, err := claims.NewCondition("a", []string{strings.Repeat("x*", 100) + "y"})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, _, holds := condition.Satisfied(map[string]any{"a": strings.Repeat("x", 60_000)}); holds {
		t.Error("it matches")
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestScopeNames: strict is for the claim scope, and the other for roles, groups
// and the like.
func TestScopeNames(t *testing.T) {
	for text, want := range map[string]struct{ strict, relaxed string }{
		`"read write"`:                        {"[read write]", "[read write]"},
		`["read","write"]`:                    {"[read write]", "[read write]"},
		`["read","Site Manager"]`:             {"", "[read]"},
		`["read","BJÖRK"]`:                    {"", "[read]"},
		`["read","CORP\\admins"]`:             {"", "[read]"},
		`["read","a\"b","","x\ty","a\u0000"]`: {"", "[read]"},
		`"read BJÖRK"`:                        {"", "[read]"},
		`"ä"`:                                 {"", "[]"},
		`[]`:                                  {"[]", "[]"},
		`""`:                                  {"[]", "[]"},
		`["read",5]`:                          {"", ""},
		`["read",["write"]]`:                  {"", ""},
		`null`:                                {"", ""},
		`{"read":true}`:                       {"", ""},
		`5`:                                   {"", ""},
	} {
		members, err := strictjson.Object([]byte(`{"a":`+text+`}`), strictjson.Limits{Depth: 8, Members: 8})
		if err != nil {
			t.Fatal(err)
		}
		for strict, want := range map[bool]string{true: want.strict, false: want.relaxed} {
			names, ok := claims.ScopeNames(members["a"], strict)
			if ok != (want != "") || ok && "["+strings.Join(names, " ")+"]" != want {
				t.Errorf("%s, strict %v: %q, %v", text, strict, names, ok)
			}
		}
	}
}

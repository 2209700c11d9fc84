package main

import (
	"errors"
	"os/user"
	"reflect"
	"slices"
	"strings"
	"testing"

	"keyward/internal/markdown"
	"keyward/manage/access"
	"keyward/store/audit"
)

// TestManagingPage compares docs/managing.md with the scopes, the actions and the
// members of an entry.
func TestManagingPage(t *testing.T) {
	var actions, scopes, members []string
	for _, s := range markdown.Read(t, "../../docs/managing.md") {
		for _, table := range s.Tables {
			for _, row := range table.Rows {
				switch {
				case table.Has("actions"):
					actions = append(actions, markdown.Code(table.Column(row, "actions"))...)
				case table.Has("scope"):
					scopes = append(scopes, markdown.Code(table.Column(row, "scope"))...)
				case table.Has("member"):
					members = append(members, markdown.Code(table.Column(row, "member"))...)
				}
			}
		}
	}
	var wantActions, wantMembers []string
	for _, action := range audit.Actions() {
		wantActions = append(wantActions, string(action))
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[audit.Entry]()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		wantMembers = append(wantMembers, name)
	}
	wantScopes := []string{access.ScopeAdmin, access.ScopeRead, access.ScopeKeys, access.ScopeUsers, access.ScopeSelf}
	for what, c := range map[string]struct{ got, want []string }{
		"actions": {actions, wantActions}, "scopes": {scopes, wantScopes}, "members": {members, wantMembers},
	} {
		if slices.Sort(c.got); !slices.Equal(c.got, slices.Sorted(slices.Values(c.want))) {
			t.Errorf("docs/managing.md has the %s %q, want %q", what, c.got, c.want)
		}
	}
}

// TestOperator: the actor of a command has a name, also where the system has none.
func TestOperator(t *testing.T) {
	none := errors.New("none")
	named := operator(func() (*user.User, error) { return &user.User{Username: "ada"}, nil }, func() (string, error) { return "server", nil })
	if named.Name() != "cli:ada@server" {
		t.Error(named.Name())
	}
	nameless := operator(func() (*user.User, error) { return nil, none }, func() (string, error) { return "", none })
	if !strings.HasPrefix(nameless.Name(), "cli:uid-") || !strings.HasSuffix(nameless.Name(), "@unknown") {
		t.Error(nameless.Name())
	}
}

package main

import (
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

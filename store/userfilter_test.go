package store

import "testing"

// TestUserFilter: people and programs, and those that can do nothing, whatever the reason.
func TestUserFilter(t *testing.T) {
	yes, no := true, false
	for _, test := range []struct {
		what string
		r    UserRecord
		f    UserFilter
		want bool
	}{
		{"any", UserRecord{Name: "a"}, UserFilter{}, true},
		{"a person among people", UserRecord{Name: "a"}, UserFilter{Service: &no}, true},
		{"a person among programs", UserRecord{Name: "a"}, UserFilter{Service: &yes}, false},
		{"a program among programs", UserRecord{Name: "a", Service: true}, UserFilter{Service: &yes}, true},
		{"a program among people", UserRecord{Name: "a", Service: true}, UserFilter{Service: &no}, false},
		{"an active user", UserRecord{Name: "a"}, UserFilter{Off: &no}, true},
		{"a disabled user", UserRecord{Name: "a", Disabled: true}, UserFilter{Off: &yes}, true},
		{"a record of a newer version", UserRecord{Name: "a", Unsupported: true}, UserFilter{Off: &yes}, true},
		{"the name of a key", UserRecord{Name: "k_1"}, UserFilter{Off: &yes}, true},
		{"a disabled user among the active", UserRecord{Name: "a", Disabled: true}, UserFilter{Off: &no}, false},
		{"another name", UserRecord{Name: "a"}, UserFilter{Text: "b"}, false},
	} {
		if got := test.f.Match(&test.r); got != test.want {
			t.Errorf("%s: %t", test.what, got)
		}
	}
}

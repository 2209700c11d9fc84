package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"keyward/store/confusable"
)

// newNames are names, and whether something new may have them.
var newNames = map[string]bool{
	"alice": true, "a b": true, "ünï": true, "café": true, "漢字": true, "иван": true, "राम": true, "😀": true,
	"DOMAIN\\user": true, `"quoted"`: true, strings.Repeat("x", 255): true,

	" alice": false, "alice ": false, "a  b": false, " ": false,
	"\ufeffalice": false, "ali\u200bce": false, "ali\u200dce": false, "ali\u202ece": false, "alice\U000e0041": false,
	"a\u00a0b": false, "a\u3000b": false, "a\u2800b": false, "alice\ufe0f": false, "alice\u3164": false, "a\u00adb": false,
	"a\nb": false, "a\x7fb": false, "a\u009bb": false, "a\u2028b": false, "\ue000": false, "\u0378": false,
	"cafe\u0301": false, "\u0301a": false, "\u212bngstrom": false, // Å as the sign of the unit
	"\xff": false, strings.Repeat("x", 256): false,
}

func TestNewNames(t *testing.T) {
	for name, valid := range newNames {
		for what, err := range map[string]error{
			"user":    CheckUserName(name),
			"name":    (&KeyParams{Name: name}).Check(),
			"project": (&KeyParams{Name: "x", Project: name}).Check(),
			"key's":   (&KeyParams{Name: "x", User: name}).Check(),
		} {
			if (err == nil) != valid || err != nil && !errors.Is(err, ErrInvalid) {
				t.Errorf("%s %+q: %v", what, name, err)
			}
		}
	}
	for _, name := range []string{"repo:octo-org/octo-repo:ref:refs/heads/main", "system:serviceaccount:shop:web", ":"} {
		if err := CheckUserName(name); err != nil {
			t.Errorf("a user %q: %v", name, err)
		}
	}
	for _, name := range []string{"", "k_8ENbdXlcXqgH", "k_", "c_x", "k_a:b", "cli:root@host"} {
		if err := CheckUserName(name); !errors.Is(err, ErrInvalid) {
			t.Errorf("a user %q: %v", name, err)
		}
	}
}

func FuzzNewNames(f *testing.F) {
	for name := range newNames {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if CheckUserName(name) != nil {
			return
		}
		if confusable.Shown(name) != name && name[0] != '"' {
			t.Fatalf("%+q can be made and is shown as %s", name, confusable.Shown(name))
		}
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		r := UserRecord{Name: name, Created: at, At: at}
		line, err := r.Line()
		if err != nil {
			t.Fatalf("%+q: %v", name, err)
		}
		var d UserDecoder
		if back, err := d.Decode(line); err != nil || back.Name != name {
			t.Fatalf("%+q: %v", name, err)
		}
	})
}

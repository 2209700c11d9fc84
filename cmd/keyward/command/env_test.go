package command

import (
	"strings"
	"testing"
)

func TestWithoutArguments(t *testing.T) {
	key := "kw_abcdefghijklmnopqrstuvwxyz0123456789abcd"
	for _, arg := range []string{key, "--name=" + key} {
		if got := withoutArguments("unexpected argument "+arg, []string{"key", arg}); strings.Contains(got, key) {
			t.Errorf("%s: %s", arg, got)
		}
	}
	if got := withoutArguments("unexpected argument creat", []string{"creat"}); got != "unexpected argument creat" {
		t.Error(got)
	}
}

func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "two\nlines": "two\nlines", "café 'x'": "café 'x'", "\x1b[2J": `\x1b[2J`, "a\tb\rc": `a\tb\rc`, "a\u009bb": `a\u009bb`, "a\u202eb\n": `a\u202eb` + "\n", "a\xffb": `a\ufffdb`,
	} {
		var out strings.Builder
		(&Env{Stderr: &out}).Note("%s", text)
		if out.String() != "keyward: "+want+"\n" {
			t.Errorf("%q: %q", text, out.String())
		}
	}
}

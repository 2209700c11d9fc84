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

package manage

import (
	"strings"
	"testing"

	"keyward/manage/fault"
	"keyward/store"
)

// TestReason: a reason is one line, without what makes it look like another text, and
// one that is refused changes nothing.
func TestReason(t *testing.T) {
	f := newFixture(t)
	for reason, code := range map[string]fault.Code{
		"leaked in a log": "", "Schlüssel verloren": "", strings.Repeat("x", 255): "",
		strings.Repeat("x", 256): fault.Invalid, "a\nb": fault.Invalid, "a\x1b[2Jb": fault.Invalid, "a\u202eb": fault.Invalid, "a\u200bb": fault.Invalid,
	} {
		key := f.key(store.KeyParams{})
		_, err := f.PauseKey(f.ctx(), f.admin, KeyRef{ID: key.ID, Reason: reason})
		f.wantCode(reason, err, code)
		if now, err := f.Keys.Get(f.ctx(), key.ID); err != nil || (now.Paused != nil) != (code == "") {
			t.Errorf("%q: %+v, %v", reason, now.Paused, err)
		}
		_, err = f.Revoke(f.ctx(), f.admin, TokenRevocation{TokenID: "a token", Reason: reason})
		f.wantCode("a token: "+reason, err, code)
	}
}

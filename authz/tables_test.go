package authz

import (
	"testing"

	"keyward/chars"
)

// TestTables: each constant has its row, and no two rows share a name.
func TestTables(t *testing.T) {
	for i, row := range AuthMethods() {
		if want := AuthMethodNone + 1 + AuthMethod(i); row.Method != want || row.Name == "" || row.Name == "none" || want.String() != row.Name {
			t.Errorf("authMethods[%d] is %+v", want, row)
		}
	}
	for i, row := range CredentialSchemes() {
		want := SchemeNone + 1 + CredentialScheme(i)
		if row.Scheme != want || (row.AuthScheme == "") != (row.parse == nil) || chars.LowerASCII(row.AuthScheme) != row.AuthScheme {
			t.Errorf("credentialSchemes[%d] is %+v", want, row)
		}
	}
	for i, row := range Transports() {
		if row.Transport != Transport(i) || row.Name == "" || row.Operation == "" || row.Transport.String() != row.Name {
			t.Errorf("transports[%d] is %+v", i, row)
		}
	}
	names := map[string]bool{}
	once := func(name string) {
		if names[name] {
			t.Errorf("two rows are called %q", name)
		}
		names[name] = true
	}
	for _, row := range AuthMethods() {
		once("kind " + row.Name)
	}
	for _, row := range CredentialSchemes() {
		if row.AuthScheme == "" {
			continue
		}
		once("scheme " + row.AuthScheme)
	}
	for _, row := range Transports() {
		once("transport " + row.Name)
	}
	if AuthMethodCount.String() != "" || AuthMethodNone.String() != "" {
		t.Error("an invalid kind has a name")
	}
	if 1<<CredentialSchemeCount > 1<<8 {
		t.Error("SchemeSet has too few bits")
	}
}

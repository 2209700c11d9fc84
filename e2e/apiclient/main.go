// Command apiclient uses the management API through a client that oapi-codegen makes
// of the OpenAPI document: it creates a key, has the caller use it, and revokes it.
// The test makes client.gen.go; no other program needs this module.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
)

//go:generate go tool oapi-codegen -generate types,client -package main -o client.gen.go ../../docs/openapi.json

func main() {
	if err := run(context.Background(), os.Args[1], os.Getenv("KEYWARD_KEY")); err != nil {
		fmt.Fprintln(os.Stderr, "apiclient:", err)
		os.Exit(1)
	}
}

// run works on the API at the address with an administrator's key.
func run(ctx context.Context, address, key string) error {
	admin, err := clientOf(address, key)
	if err != nil {
		return err
	}
	user := "generated"
	made, err := admin.CreateUserWithResponse(ctx, nil, NewUser{Name: user, Scopes: &[]string{"posts:read"}})
	if err != nil || made.JSON201 == nil {
		return failed("create-user", err, made)
	}
	created, err := admin.CreateKeyWithResponse(ctx, &CreateKeyParams{}, NewKeyOf{Name: "ci", User: &user})
	if err != nil || created.JSON201 == nil || created.JSON201.Key == nil {
		return failed("create-key", err, created)
	}
	id, secret := created.JSON201.Id, *created.JSON201.Key
	if err := whoAmI(ctx, address, secret, http.StatusOK, user); err != nil {
		return err
	}
	rotated, err := admin.RotateKeyWithResponse(ctx, id, &RotateKeyParams{IfMatch: &created.JSON201.Etag}, RotateKeyJSONRequestBody{})
	if err != nil || rotated.JSON200 == nil || rotated.JSON200.Key == nil {
		return failed("rotate-key", err, rotated)
	}
	if err := whoAmI(ctx, address, secret, http.StatusUnauthorized, ""); err != nil {
		return err
	}
	secret = *rotated.JSON200.Key
	revoked, err := admin.RevokeKeyWithResponse(ctx, id, &RevokeKeyParams{}, RevokeKeyJSONRequestBody{})
	if err != nil || revoked.JSON200 == nil || revoked.JSON200.State != "revoked" || revoked.JSON200.Key != nil {
		return failed("revoke-key", err, revoked)
	}
	return whoAmI(ctx, address, secret, http.StatusUnauthorized, "")
}

func clientOf(address, key string) (*ClientWithResponses, error) {
	return NewClientWithResponses(address, WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+key)
		return nil
	}))
}

// whoAmI uses the key, and compares what it gets.
func whoAmI(ctx context.Context, address, key string, status int, user string) error {
	c, err := clientOf(address, key)
	if err != nil {
		return err
	}
	got, err := c.GetMeWithResponse(ctx)
	switch {
	case err != nil || got.StatusCode() != status:
		return failed("get-me", err, got)
	case status == http.StatusOK && (got.JSON200 == nil || got.JSON200.User == nil || *got.JSON200.User != user):
		return failed("get-me", nil, got)
	case status != http.StatusOK && (got.ApplicationproblemJSON401 == nil || got.ApplicationproblemJSON401.Type == ""):
		return failed("get-me", nil, got)
	}
	return nil
}

// failed says what was answered in place of what was expected, by the status alone:
// a body may have a secret.
func failed(operation string, err error, got interface{ StatusCode() int }) error {
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	return fmt.Errorf("%s: an unexpected answer with status %d", operation, got.StatusCode())
}

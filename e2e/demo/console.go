package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// operator is the administrator who logs in to the console.
const operator = "operator"

// makeOperator makes the user over the management API, as an administrator's program does,
// and returns a password that has to be changed at the first login.
func makeOperator(ctx context.Context, console, adminKey string) (password string, err error) {
	password = rand.Text()
	user, err := json.Marshal(map[string]any{
		"name": operator, "scopes": []string{"keyward:admin"}, "password": password, "must_change": true,
	})
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+console+"/api/v1/users", bytes.NewReader(user))
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+adminKey)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusCreated {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		return "", fmt.Errorf("POST /api/v1/users: %s: %s", response.Status, text)
	}
	return password, nil
}

// printConsole prints how to log in to the console.
func printConsole(console, password string) {
	fmt.Printf("\n# the console, in a browser: keys and users, what they did, and why a request was denied\nopen http://%s   user: %s   one-time password: %s\n", console, operator, password)
}

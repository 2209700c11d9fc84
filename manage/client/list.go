package client

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// pageSize is the most that one page of a list has.
const pageSize = 1000

// list is one page.
type list[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

// listAll returns all pages, with the newest first.
func listAll[T any](ctx context.Context, c *Client, path string, query url.Values) ([]T, error) {
	query.Set("limit", strconv.Itoa(pageSize))
	all := []T{}
	for {
		var page list[T]
		if err := c.call(ctx, request{method: http.MethodGet, path: path, query: query}, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.NextCursor == nil {
			return all, nil
		}
		if len(page.Items) == 0 || *page.NextCursor == query.Get("cursor") {
			return nil, c.unexpected() // it would go on forever
		}
		query.Set("cursor", *page.NextCursor)
	}
}

// oldestFirst is listAll in the order of creation.
func oldestFirst[T any](ctx context.Context, c *Client, path string, query url.Values) ([]T, error) {
	all, err := listAll[T](ctx, c, path, query)
	slices.Reverse(all)
	return all, err
}

// set sets the parameters that are not empty: name, value, name, value, and so on.
func set(pairs ...string) url.Values {
	query := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
	return query
}

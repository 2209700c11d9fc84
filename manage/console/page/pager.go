package page

// Pager is the queries of the other pages of a list; "" is none.
type Pager struct{ First, Next string }

// Pager returns the queries by which the list goes on at the cursor, with the filters
// that this page has.
func (r *Request) Pager(next string) Pager {
	var p Pager
	q := r.HTTP.URL.Query()
	q.Del("done")
	later := q.Get("cursor") != ""
	q.Del("cursor")
	if later {
		p.First = "?" + q.Encode()
	}
	if next != "" {
		q.Set("cursor", next)
		p.Next = "?" + q.Encode()
	}
	return p
}

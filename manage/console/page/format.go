package page

import (
	"fmt"
	"html/template"
	"strconv"
	"time"

	"keyward/store/confusable"
)

// funcs are what templates format with.
func (s *Site) funcs() template.FuncMap {
	now := func() time.Time { return s.Now().UTC() }
	return template.FuncMap{
		"minute": func(t time.Time) template.HTML { return timeElement(t, now(), "2006-01-02 15:04") },
		"second": func(t time.Time) template.HTML { return timeElement(t, now(), "2006-01-02 15:04:05") },
		"day":    func(t time.Time) template.HTML { return timeElement(t, now(), "2006-01-02") },
		"ago":    func(t time.Time) string { return Relative(t, now()) },
		"count":  Count,
		"plural": Plural,
		"shown":  confusable.Shown,
		"field":  newField,
	}
}

// timeElement is a time in UTC, with how long ago it was for those who point at it. It
// has digits and fixed words alone.
func timeElement(t, now time.Time, layout string) template.HTML {
	if t.IsZero() {
		return "never"
	}
	t = t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, t.Format(time.RFC3339), Relative(t, now), t.Format(layout)))
}

// Relative is how far a time is from now, in words: 2 minutes ago, in 3 days.
func Relative(t, now time.Time) string {
	d := now.Sub(t)
	if d < 0 {
		return "in " + Span(-d)
	}
	return Span(d) + " ago"
}

// Span is a duration in words, of the largest unit that fits.
func Span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return "less than a minute"
	case d < time.Hour:
		return Plural(int(d/time.Minute), "minute")
	case d < 2*day:
		return Plural(int(d/time.Hour), "hour")
	case d < 60*day:
		return Plural(int(d/day), "day")
	default:
		return Plural(int(d/(30*day)), "month")
	}
}

// Plural is a number with its noun.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Count(uint64(max(n, 0))) + " " + noun + "s"
}

// Count is a number with its thousands apart.
func Count(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

package policy

import (
	"fmt"

	"keyward/authz/urlpath"
)

// templateRoute has the routes of a path with a segment for the subject. An
// exact path comes before the prefix of the same text.
type templateRoute struct {
	template *urlpath.Template
	text     string // the pattern, which distinguishes it from other templates
	methods  *methodSet
}

// addTemplate adds the rule, whose pattern is the template's text.
func (t *pathTable) addTemplate(pattern urlpath.Pattern, template *urlpath.Template, rule *Rule) error {
	text := pattern.String()
	for _, other := range t.templates {
		if other.text == text {
			return other.methods.add(rule)
		}
		if template.Overlaps(other.template) {
			return fmt.Errorf("cannot be told apart from route %s: some paths match both; begin them with different segments", other.methods.first)
		}
	}
	added := templateRoute{template, text, newMethodSet(rule)}
	if pattern.Exact() {
		t.templates = append([]templateRoute{added}, t.templates...)
	} else {
		t.templates = append(t.templates, added)
	}
	return added.methods.add(rule)
}

// findTemplate returns the methods of the template that matches more of the
// path than literal, the methods found without templates, which match end
// bytes. It returns literal if there is none.
func (t *pathTable) findTemplate(path urlpath.Path, literal *methodSet, end int) *methodSet {
	found := literal
	for i := range t.templates {
		if to, ok := t.templates[i].template.Match(path); ok && to > end {
			found, end = t.templates[i].methods, to
		}
	}
	return found
}

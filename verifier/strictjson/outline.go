package strictjson

// Nested stands in an outline for a value that is an object or an array.
type Nested struct{}

// Outline parses data as Object does, but steps over the values that are
// objects or arrays: Nested stands for them. That costs a small part of what
// Object does, so it is for data that may not be worth reading at all. What is
// nested was not checked, but for its depth: the data is good only if Object
// takes it as well.
func Outline(data []byte, limits Limits) (map[string]any, error) {
	return parse(data, limits, true)
}

// skip steps over an object or an array, whose first byte is next, by its
// brackets and strings alone.
func (r *reader) skip() error {
	opened, quoted := 0, false
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; {
		case quoted && c == '\\':
			r.at++ // whatever is escaped ends nothing
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if opened++; opened > r.depth {
				return errDepth
			}
		case c == '}' || c == ']':
			if opened--; opened == 0 {
				r.at++
				return nil
			}
		}
	}
	r.at = len(r.text)
	return errSyntax
}

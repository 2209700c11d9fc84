package strictjson

// Nested stands for an object or an array in the result of Outline.
type Nested struct{}

// Outline parses data as Object does, but skips the values that are objects or
// arrays and returns Nested for them. It costs a fraction of Object, for data
// that may not be worth parsing at all. Nested values are not checked, except
// for their depth: the data is valid only if Object accepts it as well.
func Outline(data []byte, limits Limits) (map[string]any, error) {
	return parse(data, limits, true)
}

// skip skips an object or an array, whose first byte is next. It looks only at
// brackets and strings.
func (p *parser) skip() error {
	opened, quoted := 0, false
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case quoted && c == '\\':
			p.at++ // an escaped character ends nothing
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if opened++; opened > p.depth {
				return errDepth
			}
		case c == '}' || c == ']':
			if opened--; opened == 0 {
				p.at++
				return nil
			}
		}
	}
	p.at = len(p.text)
	return errSyntax
}

package words

import "strings"

// exampleURL is where the API is in commands if the configuration does not say it.
const exampleURL = "https://api.example.com"

// Try returns the commands that try a key: its secret, or the name of a variable that
// has it. path is one that the key may use, "" if it may use any.
func (w *Words) Try(key, url, path string) string {
	if url == "" {
		url = exampleURL
	}
	if path = strings.TrimPrefix(path, "="); path == "" {
		path = "/"
	}
	return strings.NewReplacer("URLPATH", url+path, "API_KEY", "API_KEY", "KEY", key, "URL", url).Replace(w.try)
}

// Use returns the commands that use a key which is in a variable of the environment.
func (w *Words) Use(url string) string {
	command := w.try
	if first, rest, ok := strings.Cut(command, "\n"); ok && strings.HasPrefix(first, "export ") {
		command = rest
	}
	variable := *w
	variable.try = command
	return variable.Try("$API_KEY", url, "")
}

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

package keyward_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// TestLinks follows each relative link of the pages: the file exists in this
// repository, and a page has a heading for each anchor.
func TestLinks(t *testing.T) {
	pages := markdown(t)
	if len(pages) < 15 {
		t.Fatalf("found only the pages %q", pages)
	}
	followed := 0
	for _, page := range pages {
		for _, link := range links(read(t, page)) {
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			followed++
			if err := followLink(page, link); err != nil {
				t.Errorf("%s links to %s: %v", page, link, err)
			}
		}
	}
	if followed < 100 {
		t.Errorf("followed only %d links", followed)
	}
}

// followLink returns what is wrong with a relative link of a page.
func followLink(page, link string) error {
	file, anchor, hasAnchor := strings.Cut(link, "#")
	target := page
	if file != "" {
		target = filepath.Join(filepath.Dir(page), filepath.FromSlash(file))
	}
	if !filepath.IsLocal(target) {
		return fmt.Errorf("outside of the repository")
	}
	if _, err := os.Stat(target); err != nil {
		return fmt.Errorf("no such file")
	}
	if !hasAnchor {
		return nil
	}
	content, err := os.ReadFile(target)
	if err != nil {
		return err
	}
	if !slices.Contains(anchors(string(content)), anchor) {
		return fmt.Errorf("no such heading")
	}
	return nil
}

// markdown returns the pages of this repository.
func markdown(t *testing.T) []string {
	return slices.DeleteFunc(repositoryFiles(t), func(name string) bool {
		return !strings.HasSuffix(name, ".md") || strings.Contains("/"+name, "/testdata/")
	})
}

// repositoryFiles returns the files of this repository, slash-separated, without
// those that are built or belong to tools.
func repositoryFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		base := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && (strings.HasPrefix(base, ".") && base != ".github" && base != ".ci" || base == "bin"):
			return filepath.SkipDir
		case !entry.IsDir():
			files = append(files, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

var (
	inlineLink    = regexp.MustCompile(`\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)`)
	referenceLink = regexp.MustCompile(`(?m)^\[[^\]]+\]:\s+(\S+)`)
	codeSpan      = regexp.MustCompile("`[^`\n]*`")
	linkText      = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
)

// links returns the targets of a page's links, without those in code.
func links(page string) []string {
	text := codeSpan.ReplaceAllString(strings.Join(prose(page), "\n"), "")
	var found []string
	for _, pattern := range []*regexp.Regexp{inlineLink, referenceLink} {
		for _, match := range pattern.FindAllStringSubmatch(text, -1) {
			found = append(found, match[1])
		}
	}
	return found
}

// anchors returns the anchors that GitHub gives a page's headings: letters and
// digits in lower case, hyphens for spaces, a number after a repeated one.
func anchors(page string) []string {
	var all []string
	count := map[string]int{}
	for _, line := range prose(page) {
		level := len(line) - len(strings.TrimLeft(line, "#"))
		if level == 0 || level > 6 || !strings.HasPrefix(line[level:], " ") {
			continue
		}
		anchor := anchorOf(linkText.ReplaceAllString(strings.TrimSpace(line[level:]), "$1"))
		if n := count[anchor]; n > 0 {
			all = append(all, fmt.Sprintf("%s-%d", anchor, n))
		} else {
			all = append(all, anchor)
		}
		count[anchor]++
	}
	return all
}

func anchorOf(heading string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == ' ':
			return '-'
		case unicode.IsLetter(c), unicode.IsDigit(c), c == '-', c == '_':
			return unicode.ToLower(c)
		}
		return -1
	}, heading)
}

// prose returns the lines of a page that are not in a fenced block.
func prose(page string) []string {
	var lines []string
	fenced := false
	for line := range strings.Lines(page) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		} else if !fenced {
			lines = append(lines, strings.TrimRight(line, "\n"))
		}
	}
	return lines
}

// TestLinksAreFollowed: the search finds and refuses what it must.
func TestLinksAreFollowed(t *testing.T) {
	const page = "# A `b` (c), [d](e)\n## Twice\n## Twice\n```\n# code\n[no](no.md)\n```\n" +
		"[one](one.md#two) `[no](no.md)` [three](<four.md> \"title\")\n[five]: six.md\n"
	if got, want := links(page), []string{"e", "one.md#two", "four.md", "six.md"}; !slices.Equal(got, want) {
		t.Errorf("links %q, want %q", got, want)
	}
	if got, want := anchors(page), []string{"a-b-c-d", "twice", "twice-1"}; !slices.Equal(got, want) {
		t.Errorf("anchors %q, want %q", got, want)
	}
	for _, good := range []string{"LICENSE", "docs/", "docs/commands.md", "#keyward"} {
		if err := followLink("README.md", good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"docs/none.md", "#none", "docs/commands.md#none", "../outside.md", "docs/#none"} {
		if followLink("README.md", bad) == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

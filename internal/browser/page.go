package browser

import (
	"strings"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Open opens the address and returns the status of the response.
func (tab *Tab) Open(url string) int64 {
	tab.t.Helper()
	tab.forget()
	return tab.navigate(chromedp.Navigate(url))
}

// Reload loads the page again, and Back goes to the one before it.
func (tab *Tab) Reload() int64 { tab.t.Helper(); return tab.navigate(chromedp.Reload()) }

// Back is the browser's button.
func (tab *Tab) Back() int64 { tab.t.Helper(); return tab.navigate(chromedp.NavigateBack()) }

// Follow clicks the first element that the selector (CSS) finds, and waits for the page to
// which that leads. It returns the status of the response.
func (tab *Tab) Follow(selector string) int64 {
	tab.t.Helper()
	return tab.navigate(chromedp.Click(chromedp.CSS(selector)))
}

// FollowText clicks the first link or button with that text or label.
func (tab *Tab) FollowText(text string) int64 {
	tab.t.Helper()
	return tab.navigate(chromedp.Click(chromedp.Search(withText(text))))
}

// Click clicks what leads to no other page.
func (tab *Tab) Click(selector string) {
	tab.t.Helper()
	tab.Do(chromedp.Click(chromedp.CSS(selector)))
}

// ClickText is Click by the text or the label of a link, a button or a summary.
func (tab *Tab) ClickText(text string) {
	tab.t.Helper()
	tab.Do(chromedp.Click(chromedp.Search(withText(text))))
}

// withText is the XPath of what can be clicked and has the text or the label.
func withText(text string) string {
	quoted := `"` + strings.ReplaceAll(text, `"`, "") + `"`
	return `(//a|//button|//summary|//label)[normalize-space(.)=` + quoted + ` or @aria-label=` + quoted + `]`
}

// Fill replaces the value of a field.
func (tab *Tab) Fill(selector, value string) {
	tab.t.Helper()
	tab.Do(chromedp.Clear(chromedp.CSS(selector)), chromedp.SendKeys(chromedp.CSS(selector), value))
}

// Choose selects the option of a select that has the value.
func (tab *Tab) Choose(selector, value string) {
	tab.t.Helper()
	tab.Do(chromedp.SetValue(chromedp.CSS(selector), value))
}

// Press presses keys: [kb.Tab], [kb.Enter] and the like.
func (tab *Tab) Press(keys string) {
	tab.t.Helper()
	tab.Do(chromedp.KeyEvent(keys))
}

// PressToFollow presses keys that lead to another page.
func (tab *Tab) PressToFollow(keys string) int64 {
	tab.t.Helper()
	return tab.navigate(chromedp.KeyEvent(keys))
}

// TabTo presses the key Tab until what has the focus has the text, the label or the name,
// as a person does without a mouse. It fails after as many as limit.
func (tab *Tab) TabTo(text string, limit int) {
	tab.t.Helper()
	for range limit {
		tab.Press(kb.Tab)
		if focused := tab.focused(); focused == text {
			return
		}
	}
	tab.t.Fatalf("after %d tabs %q has no focus, at %s", limit, text, tab.where())
}

// focused returns how the focused element is called.
func (tab *Tab) focused() string {
	tab.t.Helper()
	return Evaluate[string](tab, `(() => { const e = document.activeElement; return e.getAttribute("aria-label") || e.name || e.textContent.trim().replace(/\s+/g, " "); })()`)
}

// Text returns the text of the first element that the selector finds.
func (tab *Tab) Text(selector string) string {
	tab.t.Helper()
	return strings.TrimSpace(run(tab, chromedp.Text(chromedp.CSS(selector))))
}

// Value returns the value of a field.
func (tab *Tab) Value(selector string) string {
	tab.t.Helper()
	return run(tab, chromedp.Value(chromedp.CSS(selector)))
}

// Has reports whether the selector finds an element.
func (tab *Tab) Has(selector string) bool {
	tab.t.Helper()
	return len(run(tab, chromedp.Nodes(chromedp.CSSAll(selector), chromedp.AtLeast(0)))) > 0
}

// Source returns the page as HTML.
func (tab *Tab) Source() string {
	tab.t.Helper()
	return run(tab, chromedp.OuterHTML(chromedp.CSS("html")))
}

// URL returns the address that the tab shows.
func (tab *Tab) URL() string { tab.t.Helper(); return run(tab, chromedp.Location()) }

// Title returns the page's title.
func (tab *Tab) Title() string { tab.t.Helper(); return run(tab, chromedp.Title()) }

// Evaluate evaluates an expression in the page, also where its own scripts are off, and
// returns what it is, or what the promise becomes that it is.
func Evaluate[T any](tab *Tab, expression string) T {
	tab.t.Helper()
	return run(tab, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Screenshot returns the entire page as PNG.
func (tab *Tab) Screenshot() []byte {
	tab.t.Helper()
	return run(tab, chromedp.FullScreenshot(100))
}

package browser

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Open opens the address and returns the status of the response.
func (tab *Tab) Open(url string) int64 {
	tab.t.Helper()
	tab.forget()
	return tab.navigate(chromedp.Navigate(url))
}

// Reload loads the page again.
func (tab *Tab) Reload() int64 { tab.t.Helper(); return tab.navigate(chromedp.Reload()) }

// Back and Forward are the browser's buttons. What they show may be a page that the browser
// kept, or that it cannot load again.
func (tab *Tab) Back() { tab.t.Helper(); tab.step(-1) }

// Forward is described at Back.
func (tab *Tab) Forward() { tab.t.Helper(); tab.step(1) }

// step goes that far in the history. A page that the browser kept has no event of its load.
func (tab *Tab) step(by int64) {
	tab.t.Helper()
	history := run(tab, call(page.GetNavigationHistory, cdp.Empty{}))
	to := history.CurrentIndex + by
	if to < 0 || to >= int64(len(history.Entries)) {
		tab.t.Fatalf("the history has no page %d", to)
	}
	run(tab, call(page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: history.Entries[to].ID}))
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		// Between two pages both may fail.
		now, err := chromedp.Run(ctx, call(page.GetNavigationHistory, cdp.Empty{}))
		if err != nil || now.CurrentIndex != to {
			continue
		}
		if state, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.readyState")); err == nil && state == "complete" {
			return
		}
	}
	tab.t.Fatalf("the page is not shown, at %s", tab.where())
}

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

// Arrive waits until the tab shows a page whose address begins so and that has what the
// selector finds. It is for pages that lead to another by themselves: what waits for the
// next page alone may find the one before.
func (tab *Tab) Arrive(address, selector string) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	there := fmt.Sprintf("document.readyState === \"complete\" && location.href.startsWith(%q) && document.querySelector(%q) !== null", address, selector)
	for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		// Between two pages it fails.
		if is, err := chromedp.Run(ctx, chromedp.Evaluate[bool](there)); err == nil && is {
			return
		}
	}
	tab.t.Fatalf("the tab does not arrive at %s with %s, but at %s", address, selector, tab.where())
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
	tab.Do(chromedp.WaitVisible(chromedp.CSS(selector)))
	Evaluate[any](tab, fmt.Sprintf(`document.querySelector(%q).value = ""; null`, selector))
	tab.Do(chromedp.SendKeys(chromedp.CSS(selector), value))
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

// Text returns the text of the first element that the selector finds; "" if there is none.
func (tab *Tab) Text(selector string) string {
	tab.t.Helper()
	return strings.TrimSpace(Evaluate[string](tab, fmt.Sprintf(`(document.querySelector(%q) || {innerText: ""}).innerText`, selector)))
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
	return Evaluate[string](tab, "document.documentElement.outerHTML")
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

// History returns the addresses and the titles that Back and Forward lead to.
func (tab *Tab) History() (all []string) {
	tab.t.Helper()
	history := run(tab, call(page.GetNavigationHistory, cdp.Empty{}))
	for _, entry := range history.Entries {
		all = append(all, entry.URL, entry.UserTypedURL, entry.Title)
	}
	return all
}

// Cookie returns the value of a cookie that the page's host has set; "" for none.
func (tab *Tab) Cookie(name string) string {
	tab.t.Helper()
	for _, cookie := range run(tab, call(network.GetCookies, network.GetCookiesParams{})).Cookies {
		if cookie.Name == name {
			return cookie.Value
		}
	}
	return ""
}

// SetCookie gives the browser a cookie of the address, as a response could.
func (tab *Tab) SetCookie(url, name, value string) {
	tab.t.Helper()
	yes := true
	tab.Do(command(network.SetCookie, network.SetCookieParams{
		URL: url, Name: name, Value: value, Path: "/", Secure: &yes, HTTPOnly: &yes, SameSite: network.CookieSameSiteStrict,
	}))
}

package operatorpages

import (
	"strings"

	"keyward/manage/console/page"
)

// maxSettings bounds what is shown of a file, in bytes, so that the page has its weight.
const maxSettings = 32 << 10

// settingsPage is what the page of the configuration gets.
type settingsPage struct {
	page.Configuration
	More bool // than is shown
}

// showSettings shows the configuration in force. It cannot be changed here: the file is the
// place, and what deploys it.
func (p pages) showSettings(r *page.Request) error {
	data := settingsPage{Configuration: r.Site.Configuration()}
	if data.More = len(data.Text) > maxSettings; data.More {
		data.Text = strings.ToValidUTF8(data.Text[:maxSettings], "")
	}
	return r.Render(p.Templates, "settings.html", page.Head{Title: "Configuration"}, data)
}

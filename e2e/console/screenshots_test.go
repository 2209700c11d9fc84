package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/e2e/stack"
	"keyward/internal/browser"
)

// maxScreenshot is what a picture of the docs may weigh, in bytes.
const maxScreenshot = 100_000

// TestScreenshots takes the pictures of docs/img, as `make screenshots` does.
func TestScreenshots(t *testing.T) {
	s, cfg := prepareSite(t, t.TempDir(), setup{style: "generic", prefix: "acme_", more: `  title: Acme API
  scopes: [{name: orders:read, description: Read orders}, {name: orders:write, description: Create and change orders}]
routes: [{path: /orders, scopes: [orders:read]}, {path: /stock, scopes: [stock:read]}]
`})
	keys := s.company()
	cfg.Proxy = envoy(t, s.dir, cfg.Ports)
	running, err := stack.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(running.Stop)
	decision := s.request(keys.secret, "/stock/items")
	root := s.tab(chromium(t), browser.Window{})
	root.signIn("root")
	dir := os.Getenv(screenshots)
	if dir == "" {
		dir = t.TempDir()
	}
	take := func(name, path string, w browser.Window) {
		t.Helper()
		root.open(path)
		root.Resize(w.Width, w.Dark)
		picture := paletted(t, root.Screenshot())
		if len(picture) > maxScreenshot {
			t.Errorf("%s has %d bytes, at most %d are wanted", name, len(picture), maxScreenshot)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600); err != nil {
			t.Fatal(err)
		}
		root.Resize(0, false)
	}
	wide := browser.Window{Width: 1280}
	take("overview", "/overview", wide)
	take("overview-dark", "/overview", browser.Window{Width: 1280, Dark: true})
	take("keys", "/keys", wide)
	take("keys-narrow", "/keys", browser.Window{Width: 390})
	take("key", "/keys/"+keys.id, wide)
	take("new-key", "/keys/new", wide)
	take("denial", "/decisions?id="+decision, wide)
}

// paletted returns a PNG with its 256 most frequent colours, in which the others become the
// nearest: a page has few, and those of the edges of letters.
func paletted(t *testing.T, picture []byte) []byte {
	t.Helper()
	decoded, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	area := decoded.Bounds()
	frequency := map[color.Color]int{}
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			frequency[decoded.At(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(frequency), func(a, b color.Color) int { return frequency[b] - frequency[a] })
	small := image.NewPaletted(area, colours[:min(len(colours), 256)])
	index := map[color.Color]uint8{}
	for c := range frequency {
		index[c] = uint8(small.Palette.Index(c)) //nolint:gosec // of 256
	}
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			small.SetColorIndex(x, y, index[decoded.At(x, y)])
		}
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// company makes users and keys of a company, with use of the last 30 days, before its Keyward
// starts.
func (s *site) company() (busiest struct{ id, secret string }) {
	s.t.Helper()
	s.user("root", "--scope", "keyward:admin")
	s.user("dora", "--scope", "orders:read", "--scope", "orders:write", "--scope", "stock:read")
	s.run("", "user", "set", "warehouse", "--scope", "stock:read", "--scope", "orders:read")
	s.run("", "user", "set", "partner-globex", "--scope", "orders:read")
	day := time.Now().UTC().Truncate(24 * time.Hour)
	usage := []string{fmt.Sprintf(`{"keyward":"usage","version":1,"since":%q}`, day.AddDate(0, -3, 0).Format(time.RFC3339))}
	total := make([][4]int64, 30)
	random := rand.New(rand.NewPCG(1, 2)) // the same pictures each time
	for i, key := range []struct {
		name, user string
		age, daily int // days, and requests a day
		args       []string
	}{
		{"nightly-export", "dora", 80, 900, []string{"--scope", "orders:read", "--expires", "5d"}},
		{"ci-deploy", "dora", 61, 300, []string{"--expires", "30d"}},
		{"scanner-floor-2", "warehouse", 44, 5200, []string{"--path", "/stock"}},
		{"scanner-floor-1", "warehouse", 44, 4100, []string{"--path", "/stock"}},
		{"globex-sync", "partner-globex", 33, 2500, []string{"--path", "/orders", "--expires", "90d", "--rate", "50/s"}},
		{"load-test", "dora", 21, 0, nil},
		{"mobile-backend", "dora", 12, 14000, []string{"--scope", "orders:read", "--scope", "orders:write", "--path", "/orders", "--expires", "180d"}},
	} {
		secret := s.run("", append([]string{"key", "create", "--name", key.name, "--user", key.user}, key.args...)...)
		id := s.idOf(key.name)
		s.age(id, key.age)
		if key.daily == 0 {
			continue
		}
		busiest.id, busiest.secret = id, secret
		var days [][4]int64
		for d := min(29, key.age); d >= 0; d-- {
			at := day.AddDate(0, 0, -d)
			n := float64(key.daily) * (0.8 + 0.4*random.Float64())
			if at.Weekday() == time.Saturday || at.Weekday() == time.Sunday {
				n /= 4
			}
			denied := int64(n) / int64(40+20*i)
			days = append(days, [4]int64{at.Unix() / 86400, int64(n), denied, 0})
			sum := &total[29-d]
			sum[0], sum[1], sum[2] = at.Unix()/86400, sum[1]+int64(n), sum[2]+denied
		}
		last := time.Now().Add(-time.Duration(random.IntN(3000)) * time.Second).UnixMicro()
		usage = append(usage,
			fmt.Sprintf(`{"id":%q,"first":%d,"last":%d,"address":"10.1.4.%d","results":{"ok":%d,"insufficient_scope":%d},"outcomes":[[%d,"GET","/orders/7301",200,"ok"],[%d,"POST","/orders",403,"insufficient_scope"],[%d,"GET","/orders",200,"ok"]]}`,
				id, day.AddDate(0, 0, -min(29, key.age)).UnixMicro(), last, 20+i, key.daily*25, key.daily/3, last-90e6, last-31e6, last),
			fmt.Sprintf(`{"id":%q,"days":%s,"previous":0}`, id, jsonOf(s, days)))
	}
	s.run("", "key", "revoke", s.idOf("load-test"), "--reason", "The test is over")
	s.write("usage.jsonl", strings.Join(append(usage, fmt.Sprintf(`{"id":"*","days":%s,"previous":0}`, jsonOf(s, total))), "\n")+"\n")
	return busiest
}

func jsonOf(s *site, v any) string {
	s.t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// idOf returns the id of the key with the name.
func (s *site) idOf(name string) string {
	s.t.Helper()
	for line := range strings.Lines(s.run("", "key", "list")) {
		if fields := strings.Fields(line); strings.Contains(line, name) {
			return fields[0]
		}
	}
	s.t.Fatalf("key %s is not in the list", name)
	return ""
}

// age makes a key older than it is, in its file.
func (s *site) age(id string, days int) {
	s.t.Helper()
	file := filepath.Join(s.dir, "keys.jsonl")
	text, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for i, line := range lines {
		if !strings.Contains(line, id) {
			continue
		}
		before, after, _ := strings.Cut(line, `"created":"`)
		lines[i] = before + `"created":"` + time.Now().AddDate(0, 0, -days).UTC().Format(time.RFC3339) + after[strings.Index(after, `"`):]
	}
	s.write("keys.jsonl", strings.Join(lines, ""))
}

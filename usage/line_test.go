package usage

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"keyward/authz"
)

const goodLine = `{"id":"k_a","first":1,"last":2,"address":"192.0.2.1","results":{"ok":12,"revoked_key":1},"outcomes":[[1,"GET","/a",200,"ok"],[2,"BREW","/\u00e9",401,"revoked_key"]]}`

const goodDays = `{"id":"k_a","days":[[20420,12,1,0],[20421,3,0,2]],"previous":1764331200000000}`

func TestLine(t *testing.T) {
	var got aggregate
	id, err := parseLine([]byte(goodLine), &got)
	want := aggregate{
		first: 1, last: 2, address: "192.0.2.1", results: []count{{"ok", 12}, {"revoked_key", 1}},
		outcomes: []outcome{{1, "GET", "/a", 200, "ok"}, {2, "BREW", "/é", 401, "revoked_key"}},
	}
	if err != nil || id != "k_a" || !reflect.DeepEqual(got, want) {
		t.Errorf("%s %+v %v", id, got, err)
	}
}

func TestLinesRefused(t *testing.T) {
	for name, change := range map[string][2]string{
		"no id":               {`"id":"k_a"`, `"id":""`},
		"white space":         {`"first":1`, `"first": 1`},
		"negative":            {`"first":1`, `"first":-1`},
		"no number":           {`"first":1`, `"first":`},
		"leading zero":        {`"first":1`, `"first":01`},
		"after the year 9999": {`"last":2`, `"last":253402300800000000`},
		"too large":           {`"ok":12`, `"ok":18446744073709551616`},
		"status":              {`,200,`, `,1000,`},
		"another member":      {`"last":2`, `"last":2,"x":1`},
		"other order":         {`"first":1,"last":2`, `"last":2,"first":1`},
		"open string":         {`"192.0.2.1"`, `"192.0.2.1`},
		"control character":   {`192.0.2.1`, "192\x00"},
		"bad escape":          {`192.0.2.1`, `\x`},
		"ends in backslash":   {`]]}`, `]]}"\`},
		"more behind":         {`]]}`, `]]} `},
		"trailing comma":      {`"ok"],[2`, `"ok"],,[2`},
		"many outcomes":       {`[1,"GET","/a",200,"ok"]`, `[1,"GET","/a",200,"ok"]` + strings.Repeat(`,[1,"GET","/a",200,"ok"]`, 20)},
		"many results":        {`"ok":12`, `"ok":12` + strings.Repeat(`,"ok":12`, 300)},
	} {
		line := strings.Replace(goodLine, change[0], change[1], 1)
		var got aggregate
		if id, err := parseLine([]byte(line), &got); err == nil || line == goodLine || id != "" {
			t.Errorf("%s: %s", name, line)
		}
	}
}

func TestDaysLine(t *testing.T) {
	var got aggregate
	id, err := parseLine([]byte(goodDays), &got)
	want := daily{days: []day{{20420, 12, 1, 0}, {20421, 3, 0, 2}}, previousLast: 1764331200000000}
	if err != nil || id != "k_a" || !reflect.DeepEqual(got.daily, want) {
		t.Errorf("%s %+v %v", id, got, err)
	}
	if again := appendDaysLine(nil, id, &got.daily); string(again) != goodDays+"\n" {
		t.Errorf("written again: %s", again)
	}
}

func TestDaysLinesRefused(t *testing.T) {
	many := "[1,0,0,0]"
	for i := range maxDays {
		many += fmt.Sprintf(",[%d,0,0,0]", i+2)
	}
	for name, change := range map[string][2]string{
		"no day":              {"[20420,12,1,0],[20421,3,0,2]", ""},
		"three numbers":       {"12,1,0]", "12,1]"},
		"five numbers":        {"12,1,0]", "12,1,0,0]"},
		"not in order":        {"20421", "20419"},
		"a day twice":         {"20421", "20420"},
		"too many days":       {"[20420,12,1,0],[20421,3,0,2]", many},
		"after the year 9999": {"20421", "2932897"},
		"no previous":         {`,"previous":1764331200000000`, ""},
		"another member":      {`"previous":`, `"x":1,"previous":`},
		"trailing comma":      {"2]]", "2],]"},
		"more behind":         {"000}", "000}}"},
		"no id":               {`"id":"k_a"`, `"id":""`},
	} {
		line := strings.Replace(goodDays, change[0], change[1], 1)
		var got aggregate
		if id, err := parseLine([]byte(line), &got); err == nil || line == goodDays || id != "" {
			t.Errorf("%s: %s", name, line)
		}
	}
}

// TestOlderReaders: what the first release of this file's version writes is read,
// and what it reads is still written in that form. It skips a line whose id is not
// followed by the time of the first use, as it skips every line that it cannot read.
func TestOlderReaders(t *testing.T) {
	file := tempFile(t)
	const header = `{"keyward":"usage","version":1,"since":"2026-01-02T03:04:05Z"}` + "\n"
	if err := os.WriteFile(file, []byte(header+goodLine+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := read(file, "k_a")
	if err != nil || u.Total != 13 || len(u.Days) != maxDays || u.Days[0] != (Day{Date: "2026-01-02"}) || u.Previous != (PreviousSecret{}) {
		t.Errorf("%+v %v", u, err)
	}
	tracker := quiet(file, nil)
	use(tracker, "k_a", "/", authz.OK)
	flush(t, tracker)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := newClock().now().UnixMicro()
	want := fmt.Sprintf(header+goodLine+"\n"+`{"id":"k_a","first":%d,"last":%d,"address":"192.0.2.1","results":{"ok":1},"outcomes":[[%d,"GET","/",200,"ok"]]}`+"\n"+
		`{"id":"k_a","days":[[20455,1,0,0]],"previous":0}`+"\n"+`{"id":"*","days":[[20455,1,0,0]],"previous":0}`+"\n", at, at, at)
	if string(text) != want {
		t.Errorf("the file is\n%s\nwant\n%s", text, want)
	}
}

// TestAdd: lines of several writers, in any order.
func TestAdd(t *testing.T) {
	early := aggregate{first: 1, last: 5, address: "a", results: []count{{"ok", 2}}, outcomes: []outcome{{at: 1}, {at: 5}}}
	late := aggregate{first: 3, last: 9, address: "b", results: []count{{"ok", 1}, {"expired_key", 1}}, outcomes: []outcome{{at: 3}, {at: 9}}}
	for _, order := range [][]*aggregate{{&early, &late}, {&late, &early}} {
		var sum aggregate
		for _, one := range order {
			sum.add(one)
		}
		u := sum.usage(time.Unix(0, 0))
		if sum.first != 1 || sum.last != 9 || sum.address != "b" || u.Total != 4 || u.Results["ok"] != 3 {
			t.Errorf("%+v", sum)
		}
		if want := []outcome{{at: 1}, {at: 3}, {at: 5}, {at: 9}}; !reflect.DeepEqual(sum.outcomes, want) {
			t.Errorf("%+v", sum.outcomes)
		}
	}
}

// FuzzLine: no line makes the reader panic, and what it reads round-trips.
func FuzzLine(f *testing.F) {
	f.Add([]byte(goodLine))
	f.Add([]byte(goodDays))
	f.Add([]byte(`{"id":"\ud800\"","first":0,"last":0,"address":"","results":{},"outcomes":[]}`))
	f.Add([]byte("{\"id\":\"\xff\",\"first\":0,\"last\":0,\"address\":\"\\\\\",\"results\":{},\"outcomes\":[]}"))
	f.Fuzz(func(t *testing.T, line []byte) {
		var first, second aggregate
		id, err := parseLine(line, &first)
		if err != nil {
			return
		}
		_ = first.usage(time.Unix(0, 0))
		again := appendLine(nil, id, &first)
		if len(first.days) > 0 {
			again = appendDaysLine(nil, id, &first.daily)
		}
		other, err := parseLine(again[:len(again)-1], &second)
		if err != nil || other != id || len(again) <= maxLine && !equal(&first, &second) {
			t.Fatalf("%q\n%q\n%v", line, again, err)
		}
	})
}

func equal(a, b *aggregate) bool {
	return string(appendLine(nil, "", a)) == string(appendLine(nil, "", b)) &&
		string(appendDaysLine(nil, "", &a.daily)) == string(appendDaysLine(nil, "", &b.daily))
}

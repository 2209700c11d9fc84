package usage

import (
	"reflect"
	"strings"
	"testing"
)

const goodLine = `{"id":"k_a","first":1,"last":2,"address":"192.0.2.1","results":{"ok":12,"revoked_key":1},"outcomes":[[1,"GET","/a",200,"ok"],[2,"BREW","/\u00e9",401,"revoked_key"]]}`

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

// TestAdd: lines of several writers, in any order.
func TestAdd(t *testing.T) {
	early := aggregate{first: 1, last: 5, address: "a", results: []count{{"ok", 2}}, outcomes: []outcome{{at: 1}, {at: 5}}}
	late := aggregate{first: 3, last: 9, address: "b", results: []count{{"ok", 1}, {"expired_key", 1}}, outcomes: []outcome{{at: 3}, {at: 9}}}
	for _, order := range [][]*aggregate{{&early, &late}, {&late, &early}} {
		var sum aggregate
		for _, one := range order {
			sum.add(one)
		}
		u := sum.usage()
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
	f.Add([]byte(`{"id":"\ud800\"","first":0,"last":0,"address":"","results":{},"outcomes":[]}`))
	f.Add([]byte("{\"id\":\"\xff\",\"first\":0,\"last\":0,\"address\":\"\\\\\",\"results\":{},\"outcomes\":[]}"))
	f.Fuzz(func(t *testing.T, line []byte) {
		var first, second aggregate
		id, err := parseLine(line, &first)
		if err != nil {
			return
		}
		_ = first.usage()
		again := appendLine(nil, id, &first)
		other, err := parseLine(again[:len(again)-1], &second)
		if err != nil || other != id || len(again) <= maxLine && !equal(&first, &second) {
			t.Fatalf("%q\n%q\n%v", line, again, err)
		}
	})
}

func equal(a, b *aggregate) bool {
	if len(a.results)+len(a.outcomes)+len(b.results)+len(b.outcomes) == 0 {
		return a.first == b.first && a.last == b.last && a.address == b.address
	}
	return string(appendLine(nil, "", a)) == string(appendLine(nil, "", b))
}

package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"testing"
)

func TestChartIsXML(t *testing.T) {
	decoder := xml.NewDecoder(bytes.NewReader(drawChart("a < b & c", []Bar{{"baseline", 20, 1}, {"keys (a&b)", 10, 0.5}})))
	bars := -1 // the background is a rectangle too
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if element, ok := token.(xml.StartElement); ok && element.Name.Local == "rect" {
			bars++
		}
	}
	if bars != 2 {
		t.Errorf("%d bars, want 2", bars)
	}
}

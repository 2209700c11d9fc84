package report

import (
	"bytes"
	"fmt"
	"html"
)

// Bar is one row of the chart. The first is the baseline's.
type Bar struct {
	Name  string
	Value float64
	Ratio float64 // to the baseline's value
}

const (
	chartWidth  = 820
	labelsWidth = 330 // left of the bars
	valuesWidth = 150 // right of the longest bar
	barStep     = 28
	barHeight   = 18
	chartTop    = 48
)

// The chart has its own background, so that it is readable on any page, light
// or dark.
const chartStyle = `<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.heading { font-weight: 600 }
.background { fill: #ffffff }
.baseline { fill: #8c959f }
.keyward { fill: #2f6fab }
.reference { stroke: #cf222e; stroke-dasharray: 4 3 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.background { fill: #0d1117 }
.baseline { fill: #6e7681 }
.keyward { fill: #58a6ff }
.reference { stroke: #ff7b72 }
}
</style>
`

// drawChart returns an SVG with horizontal bars from zero, and a line through
// all of them at the first one's value.
func drawChart(title string, bars []Bar) []byte {
	longest := 0.0
	for _, b := range bars {
		longest = max(longest, b.Value)
	}
	scale := (chartWidth - labelsWidth - valuesWidth) / longest
	height := chartTop + len(bars)*barStep + 12
	var svg bytes.Buffer
	fmt.Fprintf(&svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"%[1]d\" height=\"%[2]d\" viewBox=\"0 0 %[1]d %[2]d\">\n", chartWidth, height)
	fmt.Fprintf(&svg, "<title>%s</title>\n%s", html.EscapeString(title), chartStyle)
	fmt.Fprintf(&svg, "<rect class=\"background\" width=\"%d\" height=\"%d\" rx=\"6\"/>\n", chartWidth, height)
	fmt.Fprintf(&svg, "<text class=\"heading\" x=\"16\" y=\"28\">%s</text>\n", html.EscapeString(title))
	for i, b := range bars {
		class := "keyward"
		if i == 0 {
			class = "baseline"
		}
		y := chartTop + i*barStep
		fmt.Fprintf(&svg, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", labelsWidth-10, y+14, html.EscapeString(b.Name))
		fmt.Fprintf(&svg, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\"/>\n", class, labelsWidth, y, b.Value*scale, barHeight)
		fmt.Fprintf(&svg, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%.1f (%.2f times)</text>\n", chartWidth-16, y+14, b.Value, b.Ratio)
	}
	at := labelsWidth + bars[0].Value*scale
	fmt.Fprintf(&svg, "<line class=\"reference\" x1=\"%[1]g\" x2=\"%[1]g\" y1=\"%[2]d\" y2=\"%[3]d\"/>\n</svg>\n", float64(int(at*10))/10, chartTop-6, height-8)
	return svg.Bytes()
}

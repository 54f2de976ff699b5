package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A plot compares systems: it has a line for each system in each group, with a mark at the median
// and a bar from the minimum to the maximum.
type plot struct {
	title  string
	axis   string  // what the axis shows, with its unit
	left   string  // what the labels of the groups are
	log    bool    // the axis is logarithmic
	aim    float64 // where a dashed line stands; 0 for none
	series []string
	groups []plotGroup
}

// A plotGroup has a figure for each series, nil where there is none.
type plotGroup struct {
	label  string
	values []*Figure
}

// rows returns the rows of a cell whose systems are the series.
func (p *plot) rows(r Results, cell string) (rows []Row) {
	for _, system := range p.series {
		rows = append(rows, r.Row(cell, system))
	}
	return rows
}

// add appends a group with this figure of each system, unless none of them has it.
func (p *plot) add(label, figure string, rows ...Row) {
	group, some := plotGroup{label: label}, false
	for _, row := range rows {
		f, ok := row.Figures[figure]
		if !ok {
			group.values = append(group.values, nil)
			continue
		}
		group.values = append(group.values, &f)
		some = true
	}
	if some {
		p.groups = append(p.groups, group)
	}
}

// Sizes in pixels.
const (
	plotWidth   = 760
	plotMargin  = 16
	valueWidth  = 56 // for the medians, at the right
	titleHeight = 48
	legendLine  = 20
	lineHeight  = 15 // of one system in a group
	groupGap    = 9
	axisHeight  = 44
	markRadius  = 4.0
	tickSpacing = 60 // at least this lies between two ticks
	letterWidth = 7  // of most letters, of which no exact widths are known
)

// style has the colours for light and dark surroundings. A picture that is embedded in a page sees
// the colour scheme of the system, which is not always that of the page. So the plot brings its own
// background, and can be read either way.
const style = `<style>
.b{fill:#fff;stroke:#d0d7de}
text{fill:#1f2328;font:12px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif}
.t{font-size:15px;font-weight:600}
.m{fill:#59636e}
.g{stroke:#d0d7de;opacity:.7}
.z{fill:#818b98;opacity:.08}
.a{stroke:#cf222e;stroke-dasharray:4 3}
.al{fill:#cf222e}
.s0{fill:#0969da;stroke:#0969da}
.s1{fill:#bc4c00;stroke:#bc4c00}
.s2{fill:#6e7781;stroke:#6e7781}
.s3{fill:#1a7f37;stroke:#1a7f37}
.s4{fill:#8250df;stroke:#8250df}
@media(prefers-color-scheme:dark){
.b{fill:#0d1117;stroke:#3d444d}
text{fill:#f0f6fc}
.m{fill:#9198a1}
.g{stroke:#3d444d}
.a{stroke:#ff7b72}
.al{fill:#ff7b72}
.s0{fill:#58a6ff;stroke:#58a6ff}
.s1{fill:#f0883e;stroke:#f0883e}
.s2{fill:#9198a1;stroke:#9198a1}
.s3{fill:#3fb950;stroke:#3fb950}
.s4{fill:#bc8cff;stroke:#bc8cff}
}
</style>
`

// svg draws the plot. The same plot always gives the same text.
func (p plot) svg() string {
	s := p.scale()
	legend, legendHeight := p.legend()
	top := titleHeight + legendHeight
	var body strings.Builder
	y := top
	for i, group := range p.groups {
		height := len(p.series)*lineHeight + groupGap
		if i%2 == 0 {
			fmt.Fprintf(&body, "<rect class=\"z\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n",
				plotMargin, y, plotWidth-2*plotMargin, height)
		}
		p.drawGroup(&body, s, group, y)
		y += height
	}
	height := y + axisHeight
	var b strings.Builder
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "+
		"width=\"%d\" height=\"%d\" role=\"img\">\n", plotWidth, height, plotWidth, height)
	fmt.Fprintf(&b, "<title>%s</title>\n%s", escape(p.title), style)
	fmt.Fprintf(&b, "<rect class=\"b\" x=\".5\" y=\".5\" width=\"%d\" height=\"%d\" rx=\"6\"/>\n",
		plotWidth-1, height-1)
	writeText(&b, "t", plotMargin, 30, "start", p.title)
	b.WriteString(legend)
	p.drawAxis(&b, s, top, y)
	b.WriteString(body.String())
	b.WriteString("</svg>\n")
	return b.String()
}

// drawGroup draws the lines of a group whose top is at y.
func (p plot) drawGroup(b *strings.Builder, s scale, group plotGroup, y int) {
	height := len(p.series)*lineHeight + groupGap
	writeText(b, "", plotMargin+8, y+height/2+4, "start", group.label)
	for i, f := range group.values {
		if f == nil {
			continue
		}
		middle := float64(y) + groupGap/2 + lineHeight*(float64(i)+0.5)
		fmt.Fprintf(b, "<g class=\"s%d\">", i)
		if f.Max > f.Min {
			fmt.Fprintf(b, "<path d=\"M%s %sH%s\" stroke-width=\"3\" opacity=\".45\"/>",
				number(s.x(f.Min)), number(middle), number(s.x(f.Max)))
		}
		b.WriteString(mark(i, s.x(f.Median), middle))
		b.WriteString("</g>\n")
		writeText(b, "m", plotWidth-plotMargin-6, int(middle)+4, "end", short(f.Median))
	}
}

// mark draws the sign of a series, so that they can be told apart without colours.
func mark(series int, x, y float64) string {
	const r = markRadius
	at := func(dx, dy float64) string { return number(x+dx) + " " + number(y+dy) }
	switch series {
	case 1:
		return fmt.Sprintf("<path d=\"M%sL%sL%sL%sZ\" stroke=\"none\"/>",
			at(0, -r-1), at(r+1, 0), at(0, r+1), at(-r-1, 0))
	case 2:
		return fmt.Sprintf("<path d=\"M%sL%sL%sL%sZ\" stroke=\"none\"/>",
			at(-r+.5, -r+.5), at(r-.5, -r+.5), at(r-.5, r-.5), at(-r+.5, r-.5))
	case 3:
		return fmt.Sprintf("<path d=\"M%sL%sL%sZ\" stroke=\"none\"/>",
			at(0, -r-.5), at(r+.5, r-.5), at(-r-.5, r-.5))
	case 4:
		return fmt.Sprintf("<path d=\"M%sL%sL%sZ\" stroke=\"none\"/>",
			at(0, r+.5), at(r+.5, -r+.5), at(-r-.5, -r+.5))
	}
	return fmt.Sprintf("<circle cx=\"%s\" cy=\"%s\" r=\"%s\" stroke=\"none\"/>",
		number(x), number(y), number(r))
}

// legend draws the names of the series, in as many lines as they need. A plot of one series needs
// none.
func (p plot) legend() (text string, height int) {
	if len(p.series) < 2 {
		return "", 0
	}
	const beside = 34 // the mark, and the room between two names
	var b strings.Builder
	x, y := plotMargin+6, titleHeight+2
	for i, name := range p.series {
		width := letterWidth*len(name) + beside
		if x+width > plotWidth-plotMargin && i > 0 {
			x, y = plotMargin+6, y+legendLine
		}
		fmt.Fprintf(&b, "<g class=\"s%d\">%s</g>\n", i, mark(i, float64(x), float64(y)))
		writeText(&b, "", x+11, y+4, "start", name)
		x += width
	}
	return b.String(), y + legendLine - titleHeight
}

// drawAxis draws the ticks with their lines from top to bottom, the aim, and what the axis shows.
func (p plot) drawAxis(b *strings.Builder, s scale, top, bottom int) {
	for _, tick := range s.ticks() {
		x := s.x(tick)
		fmt.Fprintf(b, "<path class=\"g\" d=\"M%s %dV%d\"/>\n", number(x), top, bottom)
		writeText(b, "m", int(math.Round(x)), bottom+16, "middle", short(tick))
	}
	if p.aim != 0 {
		x := s.x(p.aim)
		fmt.Fprintf(b, "<path class=\"a\" d=\"M%s %dV%d\"/>\n", number(x), top, bottom)
		writeText(b, "al", int(math.Round(x)), top-4, "middle", "aim "+short(p.aim))
	}
	writeText(b, "m", plotMargin+8, bottom+16, "start", p.left)
	writeText(b, "m", s.left, bottom+34, "start", p.axis)
}

func writeText(b *strings.Builder, class string, x, y int, anchor, text string) {
	attributes := ""
	if class != "" {
		attributes += fmt.Sprintf(" class=\"%s\"", class)
	}
	if anchor != "start" {
		attributes += fmt.Sprintf(" text-anchor=\"%s\"", anchor)
	}
	fmt.Fprintf(b, "<text%s x=\"%d\" y=\"%d\">%s</text>\n", attributes, x, y, escape(text))
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

func escape(text string) string { return escaper.Replace(text) }

// number returns a coordinate to a tenth of a pixel.
func number(v float64) string {
	return strconv.FormatFloat(math.Round(10*v)/10, 'f', -1, 64)
}

// short returns a figure with three digits, and thousands and millions as k and M.
func short(v float64) string {
	unit := ""
	switch size := math.Abs(v); {
	case size >= 999_500:
		v, unit = v/1e6, "M"
	case size >= 9_995:
		v, unit = v/1e3, "k"
	}
	digits := 2
	switch size := math.Abs(v); {
	case size >= 100:
		digits = 0
	case size >= 10:
		digits = 1
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text + unit
}

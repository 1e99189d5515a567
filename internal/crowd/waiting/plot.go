package waiting

import (
	"bytes"
	"fmt"
	"math"
)

// Point is one number of people and what it cost.
type Point struct {
	Fans   int
	Looks  float64 // a second, at the CDN
	Origin float64 // requests a second that reached the origin
}

// The picture, in pixels: its size and the frame of the axes.
const (
	plotWidth, plotHeight      = 640, 360
	plotLeft, plotRight        = 70, 610
	plotTop, plotBottom        = 50, 300
	plotColourCDN, plotColourO = "#b45309", "#1d4ed8"
)

// Plot draws how looks at the CDN and requests at the origin grow with the number of people, both axes logarithmic, as SVG.
// Points are in ascending order of people, at least two.
func Plot(points []Point) []byte {
	x0, x1 := math.Log10(float64(points[0].Fans)), math.Log10(float64(points[len(points)-1].Fans))
	top := 1.0
	for _, p := range points {
		top = max(top, math.Ceil(math.Log10(max(p.Looks, p.Origin, 1))))
	}
	x := func(fans int) float64 {
		return plotLeft + (math.Log10(float64(fans))-x0)/max(x1-x0, 1e-9)*(plotRight-plotLeft)
	}
	y := func(rate float64) float64 {
		return plotBottom - math.Log10(max(rate, 1))/top*(plotBottom-plotTop)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" role="img">
<title>Requests a second by people waiting</title>
<rect width="100%%" height="100%%" fill="#fff"/>
<text x="%d" y="24" font-size="15" font-weight="bold">Requests a second, by people waiting (both axes logarithmic)</text>
`, plotWidth, plotHeight, plotLeft)
	for power := range int(top) + 1 {
		rate := math.Pow10(power)
		fmt.Fprintf(&b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			plotLeft, y(rate), plotRight, y(rate), plotLeft-8, y(rate)+4, thousands(rate))
	}
	for _, p := range points {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x(p.Fans), plotBottom+22, thousands(float64(p.Fans)))
	}
	series := func(name, colour string, rate func(Point) float64, below float64) {
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="2.5" points="`, colour)
		for _, p := range points {
			fmt.Fprintf(&b, "%.1f,%.1f ", x(p.Fans), y(rate(p)))
		}
		b.WriteString("\"/>\n")
		for _, p := range points {
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="4" fill="%s"/><text x="%.1f" y="%.1f" text-anchor="middle" fill="%s">%s</text>`+"\n",
				x(p.Fans), y(rate(p)), colour, x(p.Fans), y(rate(p))+below, colour, number(rate(p)))
		}
		middle := points[len(points)/2]
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle" fill="%s" font-weight="bold">%s</text>`+"\n",
			x(middle.Fans), y(rate(middle))+below*2.4, colour, name)
	}
	series("answered by the CDN", plotColourCDN, func(p Point) float64 { return p.Looks }, -12)
	series("that reached the origin", plotColourO, func(p Point) float64 { return p.Origin }, -12)
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">people waiting</text>`+"\n</svg>\n", (plotLeft+plotRight)/2, plotBottom+46)
	return b.Bytes()
}

func number(rate float64) string {
	if rate < 100 {
		return fmt.Sprintf("%.1f", rate)
	}
	return thousands(math.Round(rate))
}

// thousands writes a whole number with a separator that no reader takes for a decimal point.
func thousands(n float64) string {
	text := fmt.Sprintf("%.0f", n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + " " + text[i:]
	}
	return text
}

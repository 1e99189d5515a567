package bots

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The picture, in pixels.
const (
	plotWidth, plotHeight = 720, 380
	plotLeft, plotRight   = 60, 700
	plotTop, plotBottom   = 60, 300
	barWidth              = 34
)

// bar is one run in the picture.
type bar struct {
	profile, order string
	win            float64
}

// bars reads what is drawn of a table of results. Of a run at several scales the last row counts, which is the largest.
func bars(rows []string) (list []bar, err error) {
	if len(rows) < 2 {
		return nil, errors.New("a table without results")
	}
	heading := strings.Split(rows[0], "\t")
	at := map[string]int{}
	for i, name := range heading {
		at[name] = i
	}
	for _, row := range rows[1:] {
		f := strings.Split(row, "\t")
		if len(f) != len(heading) {
			return nil, fmt.Errorf("a row of %d columns, expected %d", len(f), len(heading))
		}
		b := bar{profile: f[at["profile"]], order: f[at["order"]]}
		win := f[at["expected"]]
		if win == share(0) { // no draw: what happened is all there is
			win = f[at["human_win"]]
		}
		if b.win, err = strconv.ParseFloat(win, 64); err != nil {
			return nil, err
		}
		list = slices.DeleteFunc(list, func(o bar) bool { return o.profile == b.profile && o.order == b.order })
		list = append(list, b)
	}
	return list, nil
}

// Plot draws the share of the tickets that people got, by attacker and order, as SVG.
func Plot(rows []string) ([]byte, error) {
	list, err := bars(rows)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, b := range list {
		if !slices.Contains(names, b.profile) {
			names = append(names, b.profile)
		}
	}
	slices.Sort(names)
	step := float64(plotRight-plotLeft) / float64(len(names))
	y := func(share float64) float64 { return plotBottom - share*(plotBottom-plotTop) }
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" role="img">
<title>Share of the tickets that people got</title>
<rect width="100%%" height="100%%" fill="#fff"/>
<text x="%d" y="24" font-size="15" font-weight="bold">Share of the tickets that people got, by attacker</text>
<rect x="%d" y="34" width="12" height="12" fill="#1d4ed8"/><text x="%d" y="45">lots are drawn among the early crowd (over all draws)</text>
<rect x="%d" y="34" width="12" height="12" fill="#b45309"/><text x="%d" y="45">first come, first served</text>
`, plotWidth, plotHeight, plotLeft, plotLeft, plotLeft+18, plotLeft+400, plotLeft+418)
	for _, percent := range []int{0, 25, 50, 75, 95, 100} {
		line := "#ddd"
		if percent == 95 {
			line = "#15803d"
		}
		fmt.Fprintf(&out, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="%s"/>`+"\n", plotLeft, y(float64(percent)/100), plotRight, y(float64(percent)/100), line)
		if percent != 100 {
			fmt.Fprintf(&out, `<text x="%d" y="%.1f" text-anchor="end">%d %%</text>`+"\n", plotLeft-8, y(float64(percent)/100)+4, percent)
		}
	}
	what := map[string]string{}
	for _, p := range Profiles() {
		what[p.Name] = p.What
	}
	for i, name := range names {
		middle := plotLeft + (float64(i)+0.5)*step
		for _, b := range list {
			if b.profile != name {
				continue
			}
			x, colour := middle-barWidth-2, "#1d4ed8"
			if b.order == "fcfs" {
				x, colour = middle+2, "#b45309"
			}
			at, ink := y(b.win)+14, "#fff" // the number stands in its bar, or on it
			if b.win < 0.15 {
				at, ink = y(b.win)-4, colour
			}
			fmt.Fprintf(&out, `<rect x="%.1f" y="%.1f" width="%d" height="%.1f" fill="%s"/><text x="%.1f" y="%.1f" text-anchor="middle" font-size="11" fill="%s">%.1f</text>`+"\n",
				x, y(b.win), barWidth, y(0)-y(b.win), colour, x+barWidth/2, at, ink, 100*b.win)
		}
		fmt.Fprintf(&out, `<text x="%.1f" y="%d" text-anchor="middle" font-weight="bold">%s</text>`+"\n", middle, plotBottom+20, name)
		for n, line := range wrap(what[name], 17) {
			fmt.Fprintf(&out, `<text x="%.1f" y="%d" text-anchor="middle" font-size="11">%s</text>`+"\n", middle, plotBottom+36+14*n, line)
		}
	}
	out.WriteString("</svg>\n")
	return out.Bytes(), nil
}

// wrap breaks a text into lines of about so many letters.
func wrap(text string, most int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > most {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}

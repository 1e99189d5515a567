package page

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Least contrast (WCAG 2.2): of text on what is behind it, and of parts that only have to be seen.
const (
	contrastText = 4.5
	contrastPart = 3
)

// colour is red, green and blue, 0 to 1, in sRGB.
type colour [3]float64

var (
	black = colour{0, 0, 0}
	white = colour{1, 1, 1}
)

// parseColour reads #rgb or #rrggbb.
func parseColour(text string) (colour, error) {
	digits, ok := strings.CutPrefix(text, "#")
	if len(digits) == 3 {
		digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	if !ok || len(digits) != 6 || err != nil {
		return colour{}, fmt.Errorf("expected a colour like #3a3ad6, got %.20q", text)
	}
	return colour{float64(n>>16) / 255, float64(n>>8&255) / 255, float64(n&255) / 255}, nil
}

// String is #rrggbb.
func (c colour) String() string {
	var b [3]int
	for i, v := range c {
		b[i] = int(math.Round(v * 255))
	}
	return fmt.Sprintf("#%02x%02x%02x", b[0], b[1], b[2])
}

// luminance is the relative luminance of WCAG 2.2.
func (c colour) luminance() float64 {
	linear := func(v float64) float64 {
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}

// contrast is the ratio of WCAG 2.2, 1 to 21.
func contrast(a, b colour) float64 {
	x, y := a.luminance(), b.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// mix is a with part of b, 0 to 1.
func mix(a, b colour, part float64) colour {
	for i := range a {
		a[i] += (b[i] - a[i]) * part
	}
	return a
}

// on is black or white, whichever is better to read on c; the better one always has enough contrast for text.
func on(c colour) colour {
	if contrast(c, black) > contrast(c, white) {
		return black
	}
	return white
}

// readable is c moved towards black or white until it stands out from each of behind as far as asked. Where no colour
// does, it is the one for the first.
func readable(c colour, least float64, behind ...colour) colour {
	enough := func(c colour) bool {
		for _, b := range behind {
			// What is rounded to two digits a channel must be enough too.
			if rounded, err := parseColour(c.String()); err != nil || contrast(rounded, b) < least {
				return false
			}
		}
		return true
	}
	to := on(behind[0])
	for part := 0.0; part < 1; part += 0.02 {
		if next := mix(c, to, part); enough(next) {
			return next
		}
	}
	return to
}

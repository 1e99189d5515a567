package page

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

func brandOf(t *testing.T, yaml string) *Brand {
	t.Helper()
	b, err := LoadBrands(fstest.MapFS{"default.yaml": {Data: []byte(yaml)}, "logo.svg": {Data: []byte("<svg/>")}})
	if err != nil {
		t.Fatal(err)
	}
	return b[0]
}

func TestBrand_TitleTextAndLogoInTheFansLanguage(t *testing.T) {
	p := newPage(t)
	brands, err := LoadBrands(fstest.MapFS{
		"7.yaml": {Data: []byte("title: {en: Summer, vi: Mùa Hè}\ntext: {en: \"Doors at 19:00.\\n\\nNo <b>bags</b>.\", vi: Mở cửa lúc 19:00.}\n" +
			"logo: logo.svg\nlogoAlt: The Sun Company\nlight: {accent: \"#ffcc00\"}")},
		"default.yaml": {Data: []byte("title: Everywhere")},
		"logo.svg":     {Data: []byte("<svg/>")},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Dress(brands)
	out := html(t, p, View{Room: 7, Name: "Room", Phase: Arriving}, "en")
	for _, want := range []string{">Summer<", "<p>Doors at 19:00.</p><p>No &lt;b&gt;bags&lt;/b&gt;.</p>", `alt="The Sun Company"`, "· Summer</title>"} {
		if !strings.Contains(out, want) {
			t.Errorf("the page does not say %s", want)
		}
	}
	if out := html(t, p, View{Room: 7, Name: "Room"}, "vi"); !strings.Contains(out, ">Mùa Hè<") || !strings.Contains(out, "Mở cửa lúc 19:00.") {
		t.Error("not in Vietnamese")
	}
	if out := html(t, p, View{Room: 8, Name: "Room"}, "en"); !strings.Contains(out, ">Everywhere<") || strings.Contains(out, "logo") {
		t.Error("the default brand is not for other rooms")
	}
	for _, path := range regexp.MustCompile(`"`+AssetPath+`([^"]+)"`).FindAllStringSubmatch(out, -1) {
		if _, ok := p.Asset(path[1]); !ok {
			t.Errorf("%s is not served", path[1])
		}
	}
	style := regexp.MustCompile(AssetPath + `(room-\w+\.css)`).FindStringSubmatch(out)[1]
	p.Dress(nil)
	if _, ok := p.Asset(style); !ok {
		t.Error("a page rendered before the change has lost its style")
	}
}

func TestBrand_WhateverTheColoursThePageCanBeRead(t *testing.T) {
	value := regexp.MustCompile(`--(\w+):(#\w{6})`)
	for _, background := range []string{"#000000", "#777777", "#808080", "#ffffff", "#ffff00", "#0000ff", "#b00020"} {
		for _, ink := range []string{"#000", "#fff", "#777", "#f00", "#00ff00"} {
			css := brandOf(t, fmt.Sprintf("light: {accent: %q, background: %q, surface: %q, text: %q}\ndark: {surface: %q, accent: %q}",
				ink, background, background, ink, background, background)).style
			scheme, rest, _ := strings.Cut(css, "@media")
			for _, part := range []string{scheme, rest} {
				v := make(map[string]colour)
				for _, m := range value.FindAllStringSubmatch(part, -1) {
					c, err := parseColour(m[2])
					if err != nil {
						t.Fatal(err)
					}
					v[m[1]] = c
				}
				for _, pair := range []struct {
					front, back string
					least       float64
				}{{"ink", "card", 4.5}, {"soft", "card", 4.5}, {"foot", "paper", 4.5}, {"on", "accent", 4.5}, {"accent", "card", 3}} {
					if got := contrast(v[pair.front], v[pair.back]); got < pair.least {
						t.Errorf("%s on %s, background %s, text %s: %.2f in %s", pair.front, pair.back, background, ink, got, part)
					}
				}
			}
		}
	}
}

func TestBrand_ReadableColoursStayAsTheyAre(t *testing.T) {
	css := brandOf(t, `light: {accent: "#b00020", surface: "#fffaf0", text: "#222222"}`).style
	for _, want := range []string{"--accent:#b00020;", "--card:#fffaf0;", "--ink:#222222;"} {
		if !strings.Contains(css, want) {
			t.Errorf("%s is not in %s", want, css)
		}
	}
}

func TestBrand_BadFilesSayWhatWasExpected(t *testing.T) {
	for name, x := range map[string]struct{ file, yaml, want string }{
		"colour":        {"default.yaml", `light: {accent: "red}body{display:none"}`, "light.accent: expected a colour like #3a3ad6"},
		"unknown key":   {"default.yaml", "colour: red", "field colour not found"},
		"name":          {"07.yaml", "title: x", "expected a name like default.yaml or 7.yaml"},
		"logo outside":  {"7.yaml", "logo: ../secret.png", "expected a file beside this one"},
		"logo of sorts": {"7.yaml", "logo: logo.html", "ends in .svg, .png, .webp or .jpg"},
		"no logo":       {"7.yaml", "logo: gone.svg", "logo: open gone.svg"},
		"large logo":    {"7.yaml", "logo: large.png", "expected at most 32768 bytes"},
		"long title":    {"7.yaml", "title: " + strings.Repeat("x", 101), "expected at most 100 characters, got 101"},
		"list":          {"7.yaml", "title: [a, b]", "expected a text, or texts by language"},
		"language":      {"7.yaml", "title: {\"<b>\": x}", "expected tags of languages"},
	} {
		_, err := LoadBrands(fstest.MapFS{x.file: {Data: []byte(x.yaml)}, "large.png": {Data: make([]byte, MaxLogo+1)}})
		if err == nil || !strings.Contains(err.Error(), x.want) || !strings.HasPrefix(err.Error(), x.file) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzBrand(f *testing.F) {
	f.Add([]byte("title: {en: a}\nlight: {accent: \"#fff\"}"))
	f.Add([]byte("dark: {surface: \"#123456\", text: \"#abc\"}\ntext: x"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := parseBrand(raw, func(string) ([]byte, error) { return nil, nil })
		if err == nil && !regexp.MustCompile(`^(:root\{(--\w+:#[0-9a-f]{6};)+\}@media\(prefers-color-scheme:dark\)\{:root\{(--\w+:#[0-9a-f]{6};)+\}\})?$`).MatchString(b.style) {
			t.Errorf("style %q", b.style)
		}
	})
}

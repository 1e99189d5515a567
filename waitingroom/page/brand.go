package page

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Limits of what an organiser may put on the page.
const (
	MaxBrands    = 1_000    // files of a folder
	MaxBrandFile = 64 << 10 // bytes of a file
	MaxLogo      = 32 << 10 // bytes; it is not needed for the first paint, but fans wait for it on slow lines
	maxTitle     = 100      // characters
	maxText      = 2_000    // characters of a room's text, per language
)

// defaultBrand names the file for all rooms that have none of their own.
const defaultBrand = "default"

// Brand is how the page of a room looks and what the organiser says there. It is data: nothing in it is run, and it
// loosens nothing of the page's policy.
type Brand struct {
	title   localised
	text    localised
	logo    *Asset
	logoAlt localised
	style   string // CSS behind the page's own
}

// Brands are those of a folder, by room; 0 is for all others.
type Brands map[int64]*Brand

// For is a room's brand; nil for the page's own looks.
func (b Brands) For(room int64) *Brand {
	if brand, ok := b[room]; ok {
		return brand
	}
	return b[0]
}

// brandFile is a file default.yaml or ROOM.yaml.
type brandFile struct {
	Title   localised `yaml:"title"`
	Text    localised `yaml:"text"`
	Logo    string    `yaml:"logo"`
	LogoAlt localised `yaml:"logoAlt"`
	Light   palette   `yaml:"light"`
	Dark    palette   `yaml:"dark"`
}

// palette is the colours of a scheme; what is empty stays the page's own.
type palette struct {
	Accent     string `yaml:"accent"`
	Background string `yaml:"background"`
	Surface    string `yaml:"surface"`
	Text       string `yaml:"text"`
}

// localised is a text for everybody, or one for each language, by its tag.
type localised map[string]string

// everybody is the key of a text without a language.
const everybody = ""

// UnmarshalYAML reads a string or a map.
func (l *localised) UnmarshalYAML(n *yaml.Node) error {
	var one string
	if n.Kind == yaml.ScalarNode {
		if err := n.Decode(&one); err != nil {
			return err
		}
		*l = localised{everybody: one}
		return nil
	}
	var byLanguage map[string]string
	if err := n.Decode(&byLanguage); err != nil {
		return fmt.Errorf("line %d: expected a text, or texts by language", n.Line)
	}
	*l = byLanguage
	return nil
}

// in is the text in a language; without one, the text for everybody, else that in the fallback language, else any.
func (l localised) in(lang string) string {
	for _, key := range []string{lang, everybody, fallbackLanguage} {
		if text := l[key]; text != "" {
			return text
		}
	}
	keys := make([]string, 0, len(l))
	for key := range l {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	if len(keys) == 0 {
		return ""
	}
	return l[keys[0]]
}

func (l localised) check(key string, most int) error {
	for lang, text := range l {
		if n := utf8.RuneCountInString(text); n > most {
			return fmt.Errorf("%s: expected at most %d characters, got %d", key, most, n)
		}
		if !regexp.MustCompile(`^([a-z]{2,3}(-[A-Za-z0-9]{2,8})*)?$`).MatchString(lang) {
			return fmt.Errorf("%s: expected tags of languages like \"en\", got %.20q", key, lang)
		}
	}
	return nil
}

// LoadBrands reads a folder: default.yaml and ROOM.yaml, and the logos that they name. The error says file, key and
// what was expected.
func LoadBrands(folder fs.FS) (Brands, error) {
	names, err := fs.Glob(folder, "*.yaml")
	if err != nil {
		return nil, err
	}
	if len(names) > MaxBrands {
		return nil, fmt.Errorf("expected at most %d files, got %d", MaxBrands, len(names))
	}
	brands := make(Brands, len(names))
	var errs []error
	for _, name := range names {
		room, err := brandRoom(name)
		if err == nil {
			brands[room], err = loadBrand(folder, name)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return brands, errors.Join(errs...)
}

// brandRoom is the room that a file is for.
func brandRoom(name string) (int64, error) {
	base := strings.TrimSuffix(name, path.Ext(name))
	if base == defaultBrand {
		return 0, nil
	}
	room, err := strconv.ParseInt(base, 10, 64)
	if err != nil || room <= 0 || strconv.FormatInt(room, 10) != base {
		return 0, errors.New("expected a name like default.yaml or 7.yaml, the room's number")
	}
	return room, nil
}

func loadBrand(folder fs.FS, name string) (*Brand, error) {
	raw, err := readSmall(folder, name, MaxBrandFile)
	if err != nil {
		return nil, err
	}
	return parseBrand(raw, func(logo string) ([]byte, error) { return readSmall(folder, logo, MaxLogo) })
}

// ParseBrand reads a brand from its file, which may be JSON as well, and a logo, whose name says its type; an empty name means
// no logo. The error says key and what was expected.
func ParseBrand(raw []byte, logoName string, logo []byte) (*Brand, error) {
	if len(raw) > MaxBrandFile {
		return nil, fmt.Errorf("brand: expected at most %d bytes, got %d", MaxBrandFile, len(raw))
	}
	b, err := parseBrand(raw, func(string) ([]byte, error) { return nil, errors.New("expected none here: it comes by itself") })
	if err != nil || logoName == "" {
		return b, err
	}
	kind, ok := logoTypes[strings.ToLower(path.Ext(logoName))]
	if !ok {
		return nil, fmt.Errorf("logo: expected a file that ends in .svg, .png, .webp or .jpg, got %.60q", logoName)
	}
	if len(logo) == 0 || len(logo) > MaxLogo {
		return nil, fmt.Errorf("logo: expected 1 to %d bytes, got %d", MaxLogo, len(logo))
	}
	// Nobody's own name of a file belongs into an address.
	b.logo = newAsset("logo"+strings.ToLower(path.Ext(logoName)), kind, logo)
	return b, nil
}

// parseBrand reads a brand's file; logo reads the file that it names.
func parseBrand(raw []byte, logo func(name string) ([]byte, error)) (*Brand, error) {
	var f brandFile
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	decoder.KnownFields(true)
	if err := decoder.Decode(&f); err != nil {
		return nil, err
	}
	err := errors.Join(f.Title.check("title", maxTitle), f.Text.check("text", maxText), f.LogoAlt.check("logoAlt", maxTitle))
	if err != nil {
		return nil, err
	}
	b := &Brand{title: f.Title, text: f.Text, logoAlt: f.LogoAlt}
	if b.style, err = f.css(); err != nil {
		return nil, err
	}
	if f.Logo != "" {
		kind, ok := logoTypes[path.Ext(f.Logo)]
		if !ok || f.Logo != path.Base(f.Logo) {
			return nil, fmt.Errorf("logo: expected a file beside this one that ends in .svg, .png, .webp or .jpg, got %.60q", f.Logo)
		}
		body, err := logo(f.Logo)
		if err != nil {
			return nil, fmt.Errorf("logo: %w", err)
		}
		b.logo = newAsset(f.Logo, kind, body)
	}
	return b, nil
}

var logoTypes = map[string]string{".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp", ".jpg": "image/jpeg"}

func readSmall(folder fs.FS, name string, most int64) ([]byte, error) {
	info, err := fs.Stat(folder, name)
	if err != nil {
		return nil, err
	}
	if info.Size() > most {
		return nil, fmt.Errorf("%s: expected at most %d bytes, got %d", name, most, info.Size())
	}
	return fs.ReadFile(folder, name)
}

// Colours of the page without a brand, for both schemes; room.css has the same.
var (
	ownLight = palette{Accent: "#3a3ad6", Background: "#f4f4f7", Surface: "#ffffff", Text: "#17171c"}
	ownDark  = palette{Accent: "#9a9aff", Background: "#111116", Surface: "#1b1b22", Text: "#f1f1f5"}
)

// css turns the palettes into custom properties. Colours that could not be read are moved until they can. A dark scheme
// that says nothing of an accent takes that of the light one.
func (f *brandFile) css() (string, error) {
	if f.Light == (palette{}) && f.Dark == (palette{}) {
		return "", nil
	}
	dark := f.Dark
	if dark.Accent == "" {
		dark.Accent = f.Light.Accent
	}
	light, err := f.Light.properties("light", ownLight)
	if err != nil {
		return "", err
	}
	night, err := dark.properties("dark", ownDark)
	if err != nil {
		return "", err
	}
	return ":root{" + light + "}@media(prefers-color-scheme:dark){:root{" + night + "}}", nil
}

func (p palette) properties(scheme string, own palette) (string, error) {
	var errs []error
	read := func(key, text, fallback string) colour {
		if text == "" {
			text = fallback
		}
		c, err := parseColour(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s.%s: %w", scheme, key, err))
		}
		return c
	}
	paper, card := read("background", p.Background, own.Background), read("surface", p.Surface, own.Surface)
	accent, ink := read("accent", p.Accent, own.Accent), read("text", p.Text, own.Text)
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	ink = readable(ink, contrastText, card)
	soft := readable(mix(ink, card, 0.3), contrastText, card)
	accent = readable(accent, contrastPart, card)
	foot := readable(mix(ink, paper, 0.3), contrastText, paper)
	var css strings.Builder
	for _, v := range []struct {
		name  string
		value colour
	}{
		{"paper", paper}, {"card", card}, {"ink", ink}, {"soft", soft}, {"accent", accent}, {"on", on(accent)},
		{"line", mix(card, ink, 0.16)}, {"foot", foot},
	} {
		fmt.Fprintf(&css, "--%s:%s;", v.name, v.value)
	}
	return css.String(), nil
}

package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
)

// AssetPath is where assets are served: below it, under names that change with their content.
const AssetPath = "/rooms/assets/"

// Asset is a file of the page. Its content never changes under its name. It is safe for any number of goroutines.
type Asset struct {
	Name string // below AssetPath
	Type string // media type
	Body []byte

	br, gzip func() []byte
}

// newAsset names a file by its content.
func newAsset(name, kind string, body []byte) *Asset {
	sum := sha256.Sum256(body)
	ext := path.Ext(name)
	return &Asset{
		Name: strings.TrimSuffix(name, ext) + "-" + hex.EncodeToString(sum[:6]) + ext, Type: kind, Body: body,
		// As small as can be: it is done once, when somebody first asks, and kept by caches for a year.
		br:   sync.OnceValue(func() []byte { return packBrotli(body, brotli.BestCompression) }),
		gzip: sync.OnceValue(func() []byte { return packGzip(body, gzip.BestCompression) }),
	}
}

// Path is where the asset is served; empty for none.
func (a *Asset) Path() string {
	if a == nil {
		return ""
	}
	return AssetPath + a.Name
}

// Brotli is the body compressed with Brotli.
func (a *Asset) Brotli() []byte { return a.br() }

// Gzip is the body compressed with gzip.
func (a *Asset) Gzip() []byte { return a.gzip() }

func packBrotli(body []byte, quality int) []byte {
	var out bytes.Buffer
	w := brotli.NewWriterLevel(&out, quality)
	_, _ = w.Write(body) // a bytes.Buffer takes everything
	_ = w.Close()
	return out.Bytes()
}

func packGzip(body []byte, level int) []byte {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, level)
	if err != nil {
		return nil // a level that does not exist
	}
	_, _ = w.Write(body)
	_ = w.Close()
	return out.Bytes()
}

package botguard

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"fairgate/botguard/limit"
	"fairgate/botguard/puzzle"
	"fairgate/botguard/risk"
	"fairgate/internal/conf"
)

const (
	// MinSecret is the shortest Config.Secret, in bytes.
	MinSecret = 32
	// MaxPrefixes bounds each list of networks.
	MaxPrefixes = 100_000
	// DefaultDifficulty is the base price of a sub-puzzle in hashes: a low phone of 0.15 million hashes a second has all
	// four in 2.4 s on average, and in less than 5 s in 95 of 100 cases.
	DefaultDifficulty = 90_000
	// DefaultHeader carries the client's address.
	DefaultHeader = "X-Forwarded-For"
)

// Config is the guard's configuration. Zero values mean the defaults; only Secret has none.
type Config struct {
	Secret   conf.Secret    `yaml:"secret" help:"key of the network hashes and appeal codes, the same on every server, at least 32 characters; needed"`
	Trusted  []netip.Prefix `yaml:"trustedProxies" help:"networks of our own proxies; only they may say who the client is"`
	Header   string         `yaml:"addressHeader" default:"X-Forwarded-For" help:"header in which trusted proxies list addresses, client first"`
	Carriers []netip.Prefix `yaml:"carriers" help:"networks of carriers whose addresses many people share"`
	Hosting  []netip.Prefix `yaml:"hosting" help:"networks of data centres, where few fans live"`
	ASNTable string         `yaml:"asnTable" help:"file in the MaxMind DB format that tells autonomous systems (such as GeoLite2 ASN); prices then follow the places of a whole system too. Read at start"`
	Puzzle   PuzzleConfig   `yaml:"puzzle"`
	Limits   limit.Config   `yaml:"limits"`
	Risk     risk.Document  `yaml:"risk" help:"rules that replace the built-in ones"`
}

// PuzzleConfig is the price of a place.
type PuzzleConfig struct {
	Algorithm      string `yaml:"algorithm" default:"hashwx" help:"hashwx, or sha256: runs without WebAssembly too, and is far cheaper on graphics cards"`
	SubPuzzles     int    `yaml:"subPuzzles" default:"4" help:"how many sub-puzzles make a puzzle; more means less luck"`
	K              int    `yaml:"k" default:"32768" help:"nonces per hash function (hashwx)"`
	Difficulty     int    `yaml:"difficulty" default:"90000" help:"expected hashes for one sub-puzzle at base price"`
	MaxFactor      int    `yaml:"maxFactor" default:"8" help:"highest price, as a multiple of the base price"`
	CarrierFactor  int    `yaml:"carrierMaxFactor" default:"2" help:"highest price for a listed carrier's address"`
	ExpectedNarrow int    `yaml:"expectedNarrow" default:"4" help:"people expected per IPv4 address or IPv6 /56; each so many places add a base price"`
	ExpectedWide   int    `yaml:"expectedWide" default:"16" help:"people expected per IPv4 /24 or IPv6 /48"`
	ExpectedShared int    `yaml:"expectedCarrier" default:"200" help:"people expected per listed carrier address"`
	ExpectedBroad  int    `yaml:"expectedBroad" default:"4000" help:"people expected per IPv6 /32; list the ranges of large carriers, where many more are at home, under carriers"`
	ExpectedOrigin int    `yaml:"expectedOrigin" default:"20000" help:"people expected per autonomous system, if asnTable is set"`

	Presence int           `yaml:"presence" default:"8" help:"entering costs this part of one sub-puzzle, bound to a document of the last minute, so that a place cannot be parked and collected later by others; -1 asks for no work"`
	Life     time.Duration `yaml:"pendingLife" default:"2m" help:"how long a challenge that was not answered makes further ones dearer: its life"`
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (c Config) withDefaults() Config {
	orDefault(&c.Header, DefaultHeader)
	c.Puzzle = c.Puzzle.withDefaults()
	return c
}

func (p PuzzleConfig) withDefaults() PuzzleConfig {
	orDefault(&p.Algorithm, "hashwx")
	orDefault(&p.SubPuzzles, 4)
	orDefault(&p.K, 32768)
	orDefault(&p.Difficulty, DefaultDifficulty)
	orDefault(&p.MaxFactor, 8)
	orDefault(&p.CarrierFactor, 2)
	orDefault(&p.ExpectedNarrow, 4)
	orDefault(&p.ExpectedWide, 16)
	orDefault(&p.ExpectedShared, 200)
	orDefault(&p.ExpectedBroad, 4_000)
	orDefault(&p.ExpectedOrigin, 20_000)
	orDefault(&p.Life, 2*time.Minute)
	orDefault(&p.Presence, 8)
	return p
}

// Validate checks the guard's own keys; the sections have a Validate each, and New calls them all. A missing secret is
// New's to refuse.
func (c Config) Validate() error {
	var errs []error
	if s := len(c.Secret.Reveal()); s > 0 && s < MinSecret {
		errs = append(errs, fmt.Errorf("secret: expected at least %d characters", MinSecret))
	}
	for name, list := range map[string][]netip.Prefix{
		"trustedProxies": c.Trusted, "carriers": c.Carriers, "hosting": c.Hosting,
	} {
		if len(list) > MaxPrefixes {
			errs = append(errs, fmt.Errorf("%s: expected at most %d networks, got %d", name, MaxPrefixes, len(list)))
		}
		for _, p := range list {
			if !p.IsValid() {
				errs = append(errs, fmt.Errorf("%s: expected networks such as 192.0.2.0/24, got %q", name, p))
				break
			}
		}
	}
	return errors.Join(errs...)
}

// Validate checks ranges; 0 means the default.
func (p PuzzleConfig) Validate() error {
	p = p.withDefaults()
	for _, v := range []struct {
		key         string
		value       int
		least, most int
	}{
		{"subPuzzles", p.SubPuzzles, 1, puzzle.MaxSubPuzzles},
		{"k", p.K, 1, puzzle.MaxFunctionNonces},
		{"difficulty", p.Difficulty, puzzle.MinDifficulty, puzzle.MaxDifficulty},
		{"maxFactor", p.MaxFactor, 1, 1000},
		{"carrierMaxFactor", p.CarrierFactor, 1, 1000},
		{"expectedNarrow", p.ExpectedNarrow, 1, 1_000_000},
		{"expectedWide", p.ExpectedWide, 1, 1_000_000},
		{"expectedCarrier", p.ExpectedShared, 1, 1_000_000},
		{"expectedBroad", p.ExpectedBroad, 1, 100_000_000},
		{"expectedOrigin", p.ExpectedOrigin, 1, 100_000_000},
	} {
		if v.value < v.least || v.value > v.most {
			return fmt.Errorf("%s: expected %d to %d, got %d", v.key, v.least, v.most, v.value)
		}
	}
	if p.Presence < -1 || p.Presence > 1000 {
		return fmt.Errorf("presence: expected 1 to 1000, or -1 for none, got %d", p.Presence)
	}
	if p.Life < time.Second || p.Life > time.Hour {
		return fmt.Errorf("pendingLife: expected 1s to 1h, got %v", p.Life)
	}
	return nil
}

// base returns the algorithms and the base price.
func (p PuzzleConfig) base(set puzzle.Set) (puzzle.Set, puzzle.Params, error) {
	if _, err := set.Get(puzzle.SHA256ID); err != nil {
		if set, err = puzzle.NewSet(puzzle.SHA256{}, puzzle.NewHashWX()); err != nil {
			return set, puzzle.Params{}, err
		}
	}
	a, err := set.Named(p.Algorithm)
	if err != nil {
		return set, puzzle.Params{}, fmt.Errorf("puzzle.algorithm: expected hashwx or sha256: %w", err)
	}
	base := puzzle.Params{
		Algorithm: a.ID(), SubPuzzles: uint8(p.SubPuzzles), K: uint32(p.K), Difficulty: uint32(p.Difficulty),
	}
	return set, base, a.Check(base)
}

func (c Config) rules() (*risk.Rules, error) {
	if c.Risk.Version == 0 && len(c.Risk.Rules) == 0 && len(c.Risk.Steps) == 0 {
		return risk.Default()
	}
	return c.Risk.Compile()
}

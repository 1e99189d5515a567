package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"fairgate/internal/conf"
	"fairgate/internal/receipt"
	"fairgate/waitingroom/token"
)

// keysCommand makes signing keys.
type keysCommand struct {
	New    newKeyCommand     `cmd:"" help:"Print a new key for keys.places, keys.passes, keys.invites or keys.receipts."`
	Rotate rotateKeysCommand `cmd:"" help:"Print a ring of the configuration with a new key, which takes over a while from now; what the old ones signed stays good."`
	Public publicKeysCommand `cmd:"" help:"Print the public keys of receipts as a JWK set, for those who check receipts without asking the shop."`
}

type newKeyCommand struct {
	ID    uint32        `help:"Number of the key, different from every other in its ring." default:"1"`
	Ahead time.Duration `help:"How far ahead it begins to sign, so that every edge has read it before." default:"0s"`
}

// Run prints one line for the configuration. It is a secret.
func (c newKeyCommand) Run(out io.Writer) error {
	text, err := newKey(c.ID, c.Ahead)
	if err == nil {
		_, err = fmt.Fprintln(out, text)
	}
	return err
}

// newKey makes a key that begins to sign ahead from now. The first key of a ring begins at once.
func newKey(id uint32, ahead time.Duration) (string, error) {
	k := token.Key{ID: id}
	if ahead > 0 {
		k.NotBefore = time.Now().Add(ahead).Truncate(time.Second).UnixMicro()
	}
	if _, err := rand.Read(k.Secret[:]); err != nil {
		return "", err
	}
	return k.Text(), nil
}

// rotateKeysCommand makes the next key of a ring.
type rotateKeysCommand struct {
	configFlags
	Ring  string        `arg:"" enum:"places,passes,invites,receipts" help:"Which: places, passes, invites or receipts."`
	Ahead time.Duration `help:"How far ahead the new key begins to sign. Every process must have been given the new ring by then." default:"1h"`
	File  string        `help:"Read the ring from this file and replace it there, instead of printing it: the file that the configuration names behind file:." type:"existingfile"`
}

// overlap is a ring's text, and how long what a key signed stays good after its successor began; 0 means for ever.
func (c KeysConfig) overlap(ring string) (keys conf.Secret, keep time.Duration) {
	switch ring {
	case "places":
		return c.Places, token.Life * time.Microsecond
	case "passes":
		return c.Passes, longestPass
	case "invites":
		return c.Invites, longestInvite
	}
	return c.Receipts, 0
}

const (
	longestPass   = 7 * 24 * time.Hour   // that a room may define
	longestInvite = 401 * 24 * time.Hour // that the dashboard mints, and a day
)

// Run prints the whole ring, one key a line: a secret. With --file it replaces the file and prints what it did.
func (c rotateKeysCommand) Run(out io.Writer) error {
	if c.Ahead < time.Minute {
		return errors.New("--ahead: expected at least 1m: every process must have the new ring before it is used")
	}
	var cfg Config
	var err error
	if c.File == "" {
		if cfg, err = c.load(); err != nil {
			return err
		}
	}
	text, keep := cfg.Keys.overlap(c.Ring)
	if c.File != "" {
		b, err := os.ReadFile(c.File)
		if err != nil {
			return err
		}
		text = conf.Secret(b)
	}
	ring, err := rotated(text, time.Now(), c.Ahead, keep)
	if err != nil {
		return fmt.Errorf("keys.%s: %w", c.Ring, err)
	}
	if c.File == "" {
		_, err = io.WriteString(out, ring)
		return err
	}
	if err := replaceFile(c.File, []byte(ring)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s has a new key, which signs from %s. Restart every role that reads it before then, one by one.\n",
		c.File, time.Now().Add(c.Ahead).UTC().Format(time.RFC3339))
	return err
}

// rotated is the text of a ring with a new key.
func rotated(text conf.Secret, now time.Time, ahead, keep time.Duration) (string, error) {
	keys, err := token.ParseKeys(text.Reveal())
	if err != nil {
		return "", err
	}
	var secret [token.SecretSize]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return "", err
	}
	begin := now.Add(ahead).Truncate(time.Second)
	if keys, err = token.Rotate(keys, now.UnixMicro(), begin.UnixMicro(), keep.Microseconds(), secret); err != nil {
		return "", err
	}
	var b strings.Builder
	for _, k := range keys {
		fmt.Fprintln(&b, k.Text())
	}
	return b.String(), nil
}

// publicKeysCommand prints what booking serves at booking.ReceiptKeysPath.
type publicKeysCommand struct {
	configFlags
}

// Run prints one line of JSON. It is no secret.
func (c publicKeysCommand) Run(out io.Writer) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	signer, err := cfg.Keys.receipts()
	if err == nil {
		_, err = fmt.Fprintf(out, "%s\n", signer.JWKS())
	}
	return err
}

// receipts are the keys of receipts. When a key ends is not looked at: what it signed it signs again, the same, as long as
// it is in the configuration.
func (c KeysConfig) receipts() (*receipt.Signer, error) {
	parsed, err := token.ParseKeys(c.Receipts.Reveal())
	if err != nil {
		return nil, fmt.Errorf("keys.receipts: %w", err)
	}
	keys := make([]receipt.Key, len(parsed))
	for i, k := range parsed {
		keys[i] = receipt.Key{ID: k.ID, From: k.NotBefore, Seed: k.Secret}
	}
	signer, err := receipt.NewSigner(keys)
	if err != nil {
		return nil, fmt.Errorf("keys.receipts: %w", err)
	}
	return signer, nil
}

package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"fairgate/internal/receipt"
	"fairgate/waitingroom/token"
)

// keysCommand makes signing keys.
type keysCommand struct {
	New    newKeyCommand     `cmd:"" help:"Print a new key for keys.places, keys.passes or keys.receipts."`
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

package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"fairgate/waitingroom/token"
)

// keysCommand makes signing keys.
type keysCommand struct {
	New newKeyCommand `cmd:"" help:"Print a new key for keys.places or keys.passes."`
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

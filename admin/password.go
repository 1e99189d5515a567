package admin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"fairgate/internal/store"
)

// Limits of what a user logs in with.
const (
	MinPassword = 10
	MaxPassword = 200
	maxEmail    = 254
)

// Cost of one Argon2id hash (RFC 9106): what a login may take of memory and time. A stored hash carries the cost that it
// was made with.
const (
	hashMemory = 19 << 10 // KiB
	hashTime   = 2
	hashLanes  = 1
	hashSalt   = 16
	hashSize   = 32
)

// hasher makes and checks password hashes, a few at a time: each takes 19 MiB.
type hasher struct {
	random io.Reader
	slots  chan struct{}
	nobody string // the hash that an unknown user's password is compared with, so that it takes as long
}

const hashSlots = 2

func newHasher(random io.Reader) (*hasher, error) {
	h := &hasher{random: random, slots: make(chan struct{}, hashSlots)}
	var err error
	h.nobody, err = hashPassword(random, rand.Text())
	return h, err
}

// check compares a password with a hash; "" is nobody's. It waits for its turn until ctx ends.
func (h *hasher) check(ctx context.Context, hash, password string) (bool, error) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if hash == "" {
		_, err := samePassword(h.nobody, password)
		return false, err
	}
	return samePassword(hash, password)
}

// hashPassword writes the PHC string form: $argon2id$v=19$m=…,t=…,p=…$salt$hash.
func hashPassword(random io.Reader, password string) (string, error) {
	salt := make([]byte, hashSalt)
	if _, err := io.ReadFull(random, salt); err != nil {
		return "", fmt.Errorf("making a salt: %w", err)
	}
	sum := argon2.IDKey([]byte(password), salt, hashTime, hashMemory, hashLanes, hashSize)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashTime, hashLanes, b64(salt), b64(sum)), nil
}

var errHash = errors.New("not an Argon2id hash")

// samePassword compares in constant time. Costs beyond eight times ours are refused: a damaged row must not take the
// process' memory.
func samePassword(hash, password string) (bool, error) {
	var version, memory, time, lanes uint32
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, errHash
	}
	if n, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &time, &lanes); n != 4 || err != nil {
		return false, errHash
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	want, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || err2 != nil || version != argon2.Version || memory > 8*hashMemory || time < 1 || time > 8*hashTime ||
		lanes < 1 || lanes > 16 || len(want) < 16 || len(want) > 64 {
		return false, errHash
	}
	sum := argon2.IDKey([]byte(password), salt, time, memory, uint8(lanes), uint32(len(want)))
	return subtle.ConstantTimeCompare(sum, want) == 1, nil
}

// normalEmail is the form in which addresses are kept and compared.
func normalEmail(s string) (string, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || len(s) > maxEmail {
		return "", errors.New("email: expected an address such as you@venue.example")
	}
	return s, nil
}

// AddUser adds a user of the dashboard to the default organiser, or sets the password and role of the one with this
// e-mail address and ends their sessions. role is store.RoleOrganiser or store.RoleOperator. When nothing is different
// nothing happens. Errors name the argument and never repeat the password.
func AddUser(ctx context.Context, db *store.DB, email, password, role string) error {
	email, err := normalEmail(email)
	if err != nil {
		return err
	}
	if n := utf8.RuneCountInString(password); n < MinPassword || len(password) > MaxPassword {
		return fmt.Errorf("password: expected %d to %d characters", MinPassword, MaxPassword)
	}
	if role != store.RoleOrganiser && role != store.RoleOperator {
		return fmt.Errorf("role: expected %s or %s", store.RoleOrganiser, store.RoleOperator)
	}
	u, err := db.AdminUserByEmail(ctx, email)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err == nil && u.Role == role {
		if same, err := samePassword(u.PasswordHash, password); err == nil && same {
			return nil
		}
	}
	hash, err := hashPassword(rand.Reader, password)
	if err != nil {
		return err
	}
	return db.SetAdminUser(ctx, email, hash, role)
}

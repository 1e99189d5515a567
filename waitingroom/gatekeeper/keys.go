package gatekeeper

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Limits of the reading of keys.
const (
	maxKeys      = 64
	maxKeyName   = 64       // bytes
	maxKeySet    = 64 << 10 // bytes
	fetchTimeout = 5 * time.Second
	// pauseRead is the least time between two readings: a pass with an unknown key asks for one, so passes that are made up
	// can cause no more than that.
	pauseRead = 10 * time.Second
	// pauseFailed is that after a reading that failed.
	pauseFailed = time.Second
)

// keySet is the waiting room's public keys as last read. A key that is known is used at once; keys that are old are read
// again beside it. A key that is not known may be new: it is waited for, within limits. It is safe for concurrent use.
type keySet struct {
	url     string
	client  *http.Client
	now     func() time.Time
	log     *slog.Logger
	refresh time.Duration
	stale   time.Duration

	ctx    context.Context // of the set, for readings
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	keys    map[string]ed25519.PublicKey
	read    time.Time     // when keys came, zero for never
	again   time.Time     // not before may be read again
	reading chan struct{} // closed when the reading under way ends, nil for none
	closed  bool
}

func newKeySet(c Config, d Deps) *keySet {
	client := http.Client{}
	if d.Client != nil {
		client = *d.Client
	}
	client.Timeout = fetchTimeout
	// Keys come from where they were said to be, and from nowhere else.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s := &keySet{url: c.Keys, client: &client, now: d.Now, log: d.Log, refresh: c.Refresh, stale: c.Stale}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

func (s *keySet) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.wg.Wait()
}

// find is the key of a name: ErrRefused if there is none, ErrKeys if that is not known.
func (s *keySet) find(ctx context.Context, name string) (ed25519.PublicKey, error) {
	key, wait, err := s.look(name)
	if wait == nil {
		return key, err
	}
	select {
	case <-wait:
	case <-ctx.Done():
		return nil, ErrKeys
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known(name)
}

// look finds a key, or else says what to wait for.
func (s *keySet) look(name string) (key ed25519.PublicKey, wait chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, err = s.known(name)
	if err == nil && s.now().Sub(s.read) < s.refresh {
		return key, nil, nil
	}
	if s.reading == nil && !s.closed && !s.now().Before(s.again) {
		done := make(chan struct{})
		s.reading = done
		s.wg.Go(func() { s.fetch(done) })
	}
	if err == nil {
		return key, nil, nil
	}
	return nil, s.reading, err
}

// known is the key of a name among those read; the lock is held.
func (s *keySet) known(name string) (ed25519.PublicKey, error) {
	if s.read.IsZero() || s.now().Sub(s.read) >= s.stale {
		return nil, ErrKeys
	}
	if key, ok := s.keys[name]; ok {
		return key, nil
	}
	return nil, ErrRefused
}

// fetch reads the keys once. What was known before is kept if that fails.
func (s *keySet) fetch(done chan struct{}) {
	keys, err := s.download()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = nil
	defer close(done)
	now := s.now()
	if err != nil {
		s.again = now.Add(pauseFailed)
		s.log.Warn("the waiting room's keys were not read", "url", s.url, "error", err)
		return
	}
	s.keys, s.read, s.again = keys, now, now.Add(min(pauseRead, s.refresh))
}

func (s *keySet) download() (map[string]ed25519.PublicKey, error) {
	ctx, cancel := context.WithTimeout(s.ctx, fetchTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered with status %d", answer.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxKeySet+1))
	if err != nil {
		return nil, err
	}
	return parseKeys(body)
}

// parseKeys reads the Ed25519 keys of a JWKS (RFC 7517, RFC 8037). Keys of other kinds are passed over: a set may hold
// them. A set with none of ours is refused, and so is one that names a key twice.
func parseKeys(document []byte) (map[string]ed25519.PublicKey, error) {
	if len(document) > maxKeySet {
		return nil, fmt.Errorf("expected a JWKS of at most %d bytes", maxKeySet)
	}
	var set struct {
		Keys []struct {
			Type  string `json:"kty"`
			Curve string `json:"crv"`
			Use   string `json:"use"`
			Alg   string `json:"alg"`
			ID    string `json:"kid"`
			X     string `json:"x"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(document, &set); err != nil {
		return nil, errors.New("expected a JWKS")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("expected at most %d keys, got %d", maxKeys, len(set.Keys))
	}
	keys := make(map[string]ed25519.PublicKey, len(set.Keys))
	for i, k := range set.Keys {
		if k.Type != "OKP" || k.Curve != "Ed25519" || k.Use != "" && k.Use != "sig" || k.Alg != "" && k.Alg != "EdDSA" && k.Alg != "Ed25519" {
			continue
		}
		x, err := base64.RawURLEncoding.Strict().DecodeString(k.X)
		if err != nil || len(x) != ed25519.PublicKeySize || k.ID == "" || len(k.ID) > maxKeyName {
			return nil, fmt.Errorf("key %d: expected a kid and an x of %d bytes", i, ed25519.PublicKeySize)
		}
		if _, twice := keys[k.ID]; twice {
			return nil, fmt.Errorf("key %d: its kid is that of another", i)
		}
		keys[k.ID] = x
	}
	if len(keys) == 0 {
		return nil, errors.New("expected at least one Ed25519 key")
	}
	return keys, nil
}

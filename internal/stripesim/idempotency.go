package stripesim

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
)

// fingerprint identifies what a key was first used for. Encode sorts by name, so the order of parameters is no part
// of it.
func fingerprint(method, path string, p *params) string {
	sum := sha256.Sum256([]byte(method + "\n" + path + "\n" + p.values.Encode()))
	return hex.EncodeToString(sum[:16])
}

// claim takes a request's idempotency key until release is called. It returns the saved answer if the key has one, and
// an error if it is in use, or stands for another request. Without a key there is nothing to claim.
func (s *Sim) claim(r *request) (saved *answer, release func(), err error) {
	if r.key == "" {
		return nil, func() {}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inFlight[r.key] {
		return nil, nil, early(http.StatusConflict, "idempotency_error", "idempotency_key_in_use",
			"Another request with this Idempotency-Key is still in progress.")
	}
	s.state.forget(s.clock())
	if a := s.state.answers[r.key]; a != nil {
		if a.Print != r.print {
			return nil, nil, early(http.StatusBadRequest, "idempotency_error", "",
				"This Idempotency-Key was first used with a different endpoint or different parameters.")
		}
		return &answer{
			status: a.Status, body: []byte(a.Body), replayed: true, original: a.Request, position: s.journal.position(),
		}, nil, nil
	}
	if len(s.state.answers) >= s.cfg.MaxKeys {
		return nil, nil, early(http.StatusServiceUnavailable, "api_error", "",
			"The simulator keeps no more idempotency keys: raise MaxKeys above %d.", s.cfg.MaxKeys)
	}
	s.inFlight[r.key] = true
	return nil, func() {
		s.mu.Lock()
		delete(s.inFlight, r.key)
		s.mu.Unlock()
	}, nil
}

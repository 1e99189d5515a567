package payment

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"fairgate/internal/conf"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// minMethodKey is the fewest characters of a key of one's own.
const minMethodKey = 32

// methodKey is the key of the hashes of payment methods. Whoever has it can try a card's fingerprint against the log, so it is
// none of the log's readers'; the provider's secret key, from which it comes if there is no key of its own, could look the
// cards up anyway.
func methodKey(own conf.Secret, stripe *Stripe) ([]byte, error) {
	secret := own.Reveal()
	if secret == "" && stripe != nil {
		secret = stripe.cfg.SecretKey.Reveal()
	}
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "fairgate payment methods", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("payment: deriving the key of payment methods: %w", err)
	}
	return key, nil
}

// method is how an event's log knows a card: half of an HMAC-SHA-256 over the event's id (8 bytes, big-endian) and the card's
// fingerprint at the provider. The same card is another one at every event.
func (s *Service) method(event int64, card conf.Secret) (id wire.ID) {
	if card == "" {
		return id
	}
	mac := hmac.New(sha256.New, s.methods)
	_, _ = mac.Write(binary.BigEndian.AppendUint64(nil, uint64(event))) // a hash never fails
	_, _ = mac.Write([]byte(card.Reveal()))
	copy(id[:], mac.Sum(nil))
	return id
}

// methodOf is what an intent was paid by, zero where the event does not limit that or the provider does not say. The log of an
// event without a limit holds nothing about cards at all.
func (s *Service) methodOf(ctx context.Context, p store.Payment, i Intent) (wire.ID, error) {
	if p.PerCard == 0 {
		return wire.ID{}, nil
	}
	card, err := s.stripe.Card(ctx, i.ID, ClassResolve)
	if err != nil {
		s.keep(p, err) // the fan has paid
		return wire.ID{}, fmt.Errorf("looking at what an intent was paid by: %w", err)
	}
	return s.method(p.Event, card), nil
}

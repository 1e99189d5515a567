package eventlog

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
)

const (
	saslPlain    = "plain"
	saslScram256 = "scram-sha-256"
	saslScram512 = "scram-sha-512"

	// maxScramIterations keeps a hostile broker from burning our processor.
	maxScramIterations = 1_000_000
)

func saslFor(c Config) sasl.Mechanism {
	if c.SASLUser == "" {
		return nil
	}
	switch c.SASLMechanism {
	case saslPlain:
		return plain.Mechanism{Username: c.SASLUser, Password: c.SASLPassword}
	case saslScram256:
		return scram{name: "SCRAM-SHA-256", hash: sha256.New, user: c.SASLUser, password: c.SASLPassword}
	}
	return scram{name: "SCRAM-SHA-512", hash: sha512.New, user: c.SASLUser, password: c.SASLPassword}
}

// scram is SCRAM without channel binding (RFC 5802). Passwords are taken as
// they are: printable ASCII needs no preparation.
type scram struct {
	name, user, password string
	hash                 func() hash.Hash
}

func (s scram) Name() string { return s.name }

// Start implements sasl.Mechanism.
func (s scram) Start(context.Context) (sasl.StateMachine, []byte, error) {
	user := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(s.user)
	c := &scramConversation{scram: s, nonce: rand.Text()}
	c.firstBare = "n=" + user + ",r=" + c.nonce
	return c, []byte("n,," + c.firstBare), nil
}

type scramConversation struct {
	scram
	nonce     string
	firstBare string
	serverSig []byte // set once the proof is sent
}

// Next implements sasl.StateMachine.
func (c *scramConversation) Next(_ context.Context, challenge []byte) (bool, []byte, error) {
	fields := scramFields(string(challenge))
	if e := fields["e"]; e != "" {
		return false, nil, fmt.Errorf("broker refused the login: %s", e)
	}
	if c.serverSig != nil {
		sig, err := base64.StdEncoding.DecodeString(fields["v"])
		if err != nil || !hmac.Equal(sig, c.serverSig) {
			return false, nil, errors.New("broker could not prove that it knows the password")
		}
		return true, nil, nil
	}
	proof, err := c.prove(fields, string(challenge))
	return false, proof, err
}

func (c *scramConversation) prove(fields map[string]string, challenge string) ([]byte, error) {
	salt, err := base64.StdEncoding.DecodeString(fields["s"])
	iterations, errIter := strconv.Atoi(fields["i"])
	if err != nil || errIter != nil || iterations < 1 || iterations > maxScramIterations ||
		!strings.HasPrefix(fields["r"], c.nonce) {
		return nil, errors.New("malformed login challenge from broker")
	}
	salted, err := pbkdf2.Key(c.hash, c.password, salt, iterations, c.hash().Size())
	if err != nil {
		return nil, fmt.Errorf("deriving login key: %w", err)
	}
	final := "c=biws,r=" + fields["r"]
	message := []byte(c.firstBare + "," + challenge + "," + final)
	clientKey := c.mac(salted, []byte("Client Key"))
	stored := c.hash()
	stored.Write(clientKey)
	signature := c.mac(stored.Sum(nil), message)
	proof := bytes.Clone(clientKey)
	for i := range proof {
		proof[i] ^= signature[i]
	}
	c.serverSig = c.mac(c.mac(salted, []byte("Server Key")), message)
	return []byte(final + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

func (c *scramConversation) mac(key, message []byte) []byte {
	m := hmac.New(c.hash, key)
	m.Write(message)
	return m.Sum(nil)
}

func scramFields(s string) map[string]string {
	fields := make(map[string]string)
	for part := range strings.SplitSeq(s, ",") {
		if k, v, ok := strings.Cut(part, "="); ok {
			fields[k] = v
		}
	}
	return fields
}

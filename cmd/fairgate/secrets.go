package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// secrets are what the demo makes at its first start and keeps in its folder, readable by its user alone. Nothing else
// in Fairgate has a secret that nobody set.
type secrets struct {
	Places      string `yaml:"places"`
	Passes      string `yaml:"passes"`
	Receipts    string `yaml:"receipts"`
	Invites     string `yaml:"invites"`
	Network     string `yaml:"network"`
	Guest       string `yaml:"guest"`
	StripeKey   string `yaml:"stripeKey"`
	Publishable string `yaml:"publishable"`
	Webhook     string `yaml:"webhook"`
	Password    string `yaml:"password"` // of the dashboard's user
}

// loadSecrets reads the folder's secrets, or makes them. A crash before the rename leaves none, and the next start makes
// others: nothing was signed with the lost ones.
func loadSecrets(dir string) (secrets, error) {
	path := filepath.Join(dir, "secrets.yaml")
	var s secrets
	b, err := os.ReadFile(path)
	if err == nil {
		if err := yaml.Unmarshal(b, &s); err != nil {
			return s, fmt.Errorf("%s is damaged: move it away, and the demo makes new secrets", path)
		}
		return s, s.complete(path)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return s, err
	}
	if s, err = newSecrets(); err != nil {
		return s, err
	}
	return s, s.save(path)
}

// complete adds what a folder from before there were receipts or invite codes lacks.
func (s *secrets) complete(path string) error {
	missing := false
	for _, key := range []*string{&s.Receipts, &s.Invites} {
		if *key != "" {
			continue
		}
		missing = true
		var err error
		if *key, err = newKey(1, 0); err != nil {
			return err
		}
	}
	if !missing {
		return nil
	}
	return s.save(path)
}

func (s secrets) save(path string) error {
	b, err := yaml.Marshal(s)
	if err != nil {
		return err
	}
	return replaceFile(path, b)
}

func newSecrets() (s secrets, err error) {
	if s.Places, err = newKey(1, 0); err != nil {
		return s, err
	}
	if s.Passes, err = newKey(1, 0); err != nil {
		return s, err
	}
	if s.Receipts, err = newKey(1, 0); err != nil {
		return s, err
	}
	if s.Invites, err = newKey(1, 0); err != nil {
		return s, err
	}
	for _, v := range []struct {
		to     *string
		prefix string
		bytes  int
	}{
		{&s.Network, "", 32}, {&s.Guest, "", 32}, {&s.StripeKey, "sk_test_", 16}, {&s.Publishable, "pk_test_", 16},
		{&s.Webhook, "whsec_", 24}, {&s.Password, "", 6},
	} {
		b := make([]byte, v.bytes)
		if _, err := rand.Read(b); err != nil {
			return s, err
		}
		*v.to = v.prefix + hex.EncodeToString(b)
	}
	return s, nil
}

// demoConfig is the file in the demo's folder with which other commands find a running demo.
const demoConfig = "fairgate.yaml"

// saveConfig writes the configuration that `fairgate verify`, `replay` and `load` need beside a running demo: the same
// addresses and secrets, readable by its user alone. It is written anew at every start, since ports change.
func (s secrets) saveConfig(path string, cfg *Config) error {
	type section = map[string]any
	b, err := yaml.Marshal(section{
		"clock": section{"singleHost": cfg.Clock.SingleHost},
		"kafka": section{
			"brokers": cfg.Kafka.Brokers, "replication": cfg.Kafka.Replication, "minInSync": cfg.Kafka.MinInSync,
			"topicPrefix": cfg.Kafka.TopicPrefix,
		},
		"postgres": section{"write": cfg.Postgres.Write.Reveal()},
		"redis":    section{"url": cfg.Redis.URL.Reveal()},
		"keys":     section{"places": s.Places, "passes": s.Passes, "receipts": s.Receipts, "invites": s.Invites},
		"stripe":   section{"secretKey": s.StripeKey, "publishableKey": s.Publishable, "url": cfg.Stripe.URL},
		"botguard": section{"secret": s.Network},
		"booking":  section{"guestKey": s.Guest},
		"payment":  section{"shopURL": cfg.Payment.ShopURL, "hostedPage": cfg.Payment.HostedPage},
		"workers":  section{"webhook": section{"secret": s.Webhook}},
	})
	if err != nil {
		return err
	}
	return replaceFile(path, append([]byte("# Written by fairgate demo: for fairgate verify and replay beside it.\n"), b...))
}

// replaceFile writes a file of secrets: the old one or the new one is there at any moment, never half of one.
func replaceFile(path string, b []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

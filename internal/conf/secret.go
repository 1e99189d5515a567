package conf

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// redacted is what a secret prints as.
const redacted = "secret"

// Secret is a password, a key or a token. It prints as "secret" wherever it is formatted, marshalled or logged, and as
// nothing if it is empty; only Reveal gives it away. In a configuration, file:/path stands for the content of that
// file, without the line break at its end.
//
// fmt cannot ask an unexported field how to print itself: keep secrets in exported fields.
type Secret string

// Reveal returns the secret itself. It must not go into a log or an error.
func (s Secret) Reveal() string { return string(s) }

// String returns "secret", or nothing if there is none.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format prints String, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText writes String, for JSON, YAML and whatever else asks.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML writes String.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// LogValue logs String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// setSecret takes a secret over or reads it from the file it names. Errors hold the path and never the content.
func setSecret(text string) (Secret, error) {
	path, isFile := strings.CutPrefix(text, "file:")
	if !isFile {
		return Secret(text), nil
	}
	content, err := readLimited(path, maxSecret)
	if err != nil {
		return "", fmt.Errorf("expected a readable file after file: %w", err)
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if secret == "" {
		return "", fmt.Errorf("expected a secret in %s, which is empty", path)
	}
	return Secret(secret), nil
}

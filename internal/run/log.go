package run

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// LogConfig is how a role logs. The zero value logs as text from level info.
type LogConfig struct {
	Format string `yaml:"format" default:"text" help:"text or json"`
	Level  string `yaml:"level" default:"info" help:"debug, info, warn or error"`
}

// NewLogger returns a logger that writes one line per record to w, as format "text" or "json" (empty means text), from
// level "debug", "info", "warn" or "error" (empty means info) on. Times are UTC. The error names what was expected.
func NewLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var least slog.Level
	switch strings.ToLower(level) {
	case "debug":
		least = slog.LevelDebug
	case "", "info":
	case "warn":
		least = slog.LevelWarn
	case "error":
		least = slog.LevelError
	default:
		return nil, fmt.Errorf("level: expected debug, info, warn or error, got %q", level)
	}
	options := &slog.HandlerOptions{Level: least, ReplaceAttr: utc}
	switch strings.ToLower(format) {
	case "", "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	default:
		return nil, fmt.Errorf("format: expected text or json, got %q", format)
	}
}

// Validate refuses an unknown format or level.
func (c LogConfig) Validate() error {
	_, err := NewLogger(io.Discard, c.Format, c.Level)
	return err
}

// utc keeps records of hosts in different zones comparable.
func utc(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindTime {
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	}
	return a
}

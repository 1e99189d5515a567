package run

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// DefaultWindow is how long a shutdown may take when GroupConfig.Window is zero. Orchestrators kill after 30 s.
const DefaultWindow = 25 * time.Second

// hardStop is the part of the window after which work in progress is cut short, in percent.
const hardStop = 80

// Part is one thing that runs as long as the role does.
type Part struct {
	// Name says what it is, in logs and errors: "stock engine", "http".
	Name string
	// Run works until ctx ends (the soft stop: take nothing new, finish, return). Work in progress goes on under
	// Hard(ctx). An error, or a return before ctx ends, stops the whole group.
	Run func(ctx context.Context) error
	// Started, if not nil, is closed by Run once other parts may rely on this one.
	Started <-chan struct{}
	// MayEnd allows Run to return nil before the stop: a one-off task beside the others.
	MayEnd bool
}

// GroupConfig is the shutdown of a role. The zero value works.
type GroupConfig struct {
	Window time.Duration `yaml:"window" default:"25s" help:"how long a shutdown may take; work is cut short at 80 % of it"`
	Notice time.Duration `yaml:"notice" default:"0s" help:"how long to go on serving after readiness fails, within the window"`
}

// Validate refuses a negative window and a notice that leaves no time for stopping.
func (c GroupConfig) Validate() error {
	window := c.Window
	if window == 0 {
		window = DefaultWindow
	}
	if window < 0 {
		return fmt.Errorf("window: expected a positive duration, got %v", c.Window)
	}
	if c.Notice < 0 || c.Notice > window/2 {
		return fmt.Errorf("notice: expected at most half of the window (%v), got %v", window/2, c.Notice)
	}
	return nil
}

// GroupDeps is what a Group uses. Ready may be nil.
type GroupDeps struct {
	Log   *slog.Logger
	Ready *Ready
}

// Group runs parts together. Add, then Run once; it is not for concurrent use.
type Group struct {
	config GroupConfig
	deps   GroupDeps
	parts  []Part
}

// NewGroup returns a group without parts.
func NewGroup(c GroupConfig, d GroupDeps) *Group {
	if c.Window == 0 {
		c.Window = DefaultWindow
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return &Group{config: c, deps: d}
}

// Add appends parts, in the order in which they start; listeners last.
func (g *Group) Add(parts ...Part) { g.parts = append(g.parts, parts...) }

// Run runs all parts until ctx ends, which is a nil return, or until one of them ends unexpectedly, which is an error
// naming it. See the package's documentation for the order of things.
func (g *Group) Run(ctx context.Context) error {
	s := newSession(ctx, g.parts)
	defer s.release()
	s.start(ctx, g.deps.Log)
	asked := s.wait(ctx)
	began := time.Now()
	if g.deps.Ready != nil {
		g.deps.Ready.Stop()
	}
	g.deps.Log.Info("stopping", "asked", asked, "window", g.config.Window, "notice", g.config.Notice)
	if asked && g.config.Notice > 0 {
		s.serveOn(g.config.Notice)
	}
	return s.stop(began, g.config.Window, g.deps.Log)
}

// hardKey is where a part's context holds its hard stop.
type hardKey struct{}

// Hard returns the context under which a part finishes its work: it outlives ctx, the part's soft stop, until 80 % of
// the shutdown window. Outside a Group it is ctx itself.
func Hard(ctx context.Context) context.Context {
	if hard, ok := ctx.Value(hardKey{}).(context.Context); ok {
		return hard
	}
	return ctx
}

// HardWithin returns the context under which to finish work once ctx, a soft stop, has ended: Hard(ctx) in a Group, and
// outside of one at most the given time. The caller cancels it when done.
func HardWithin(ctx context.Context, atMost time.Duration) (context.Context, context.CancelFunc) {
	if hard, ok := ctx.Value(hardKey{}).(context.Context); ok {
		return context.WithCancel(hard)
	}
	return context.WithTimeout(context.WithoutCancel(ctx), atMost)
}

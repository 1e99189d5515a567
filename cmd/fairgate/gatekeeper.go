package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"fairgate/internal/run"
	"fairgate/waitingroom/gatekeeper"
)

// gatekeeperCommand answers a proxy's questions about admission passes, on the machine of a site that Fairgate does not
// own. It needs no configuration file and nothing of Fairgate but the public keys.
type gatekeeperCommand struct {
	Room        int64         `help:"Number of the waiting room whose passes are good here." required:""`
	WaitingRoom string        `help:"Where browsers reach Fairgate: scheme://host; empty where the site serves /rooms/ itself."`
	Keys        string        `help:"URL of the JWKS, if it is not /.well-known/jwks.json of the waiting room."`
	Listen      string        `help:"Where the proxy asks (host:port). Do not open it to the world." default:"127.0.0.1:9099"`
	Refresh     time.Duration `help:"Age at which the keys are read again." default:"5m"`
	Stale       time.Duration `help:"Age to which keys are believed while they cannot be read." default:"24h"`
	Skew        time.Duration `help:"How far ahead of this clock a pass may have been issued." default:"5s"`
	Insecure    bool          `help:"The site is reached by plain HTTP: its cookie is not marked Secure."`
}

// Run serves until a signal.
func (c gatekeeperCommand) Run(ctx context.Context, out io.Writer) error {
	log, err := run.NewLogger(os.Stderr, "text", "info")
	if err != nil {
		return err
	}
	g, err := gatekeeper.New(gatekeeper.Config{
		Room: c.Room, WaitingRoom: c.WaitingRoom, Keys: c.Keys, Refresh: c.Refresh, Stale: c.Stale, Skew: c.Skew, Insecure: c.Insecure,
	}, gatekeeper.Deps{Log: log})
	if err != nil {
		return err
	}
	defer g.Close()
	ln, err := run.Listen(c.Listen, "--listen")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "answering for room %d at http://%s/check\n", c.Room, ln.Addr())
	return ignoreEnd(ctx, serveHTTP(ctx, ln, gatekeeperRoutes(g)))
}

func gatekeeperRoutes(g *gatekeeper.Gatekeeper) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/check", g.Check())
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := g.Ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	return mux
}

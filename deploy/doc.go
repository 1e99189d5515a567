// Package deploy is what runs Fairgate past one process: image, compose file, Prometheus configuration and alerts, and
// nginx as gateway, as CDN and before sites of others. It holds no code, only the tests that load every one of these files.
package deploy

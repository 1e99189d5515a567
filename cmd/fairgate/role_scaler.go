package main

import (
	"os"
	"time"

	"fairgate/scaler"
)

// addScaler starts the scaler with the driver that only says what it would do.
func (a *assembly) addScaler() error {
	s, err := scaler.New(a.cfg.Scaler, scaler.Deps{Driver: scaler.NewDryRun(os.Stdout, time.Now), Log: a.log, Metrics: a.registry})
	if err != nil {
		return err
	}
	a.part("scaler", s.Run)
	a.ready.Add("scaler", s.Ready)
	return nil
}

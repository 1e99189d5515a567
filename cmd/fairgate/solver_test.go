package main

import (
	"testing"

	"fairgate/botguard/puzzle/browser"
	"fairgate/waitingroom/page"
)

// Components never import each other, so what the solver needs is written in both.
func TestSolver_IsServedWithThePolicyItNeeds(t *testing.T) {
	if page.SolverPolicy != browser.Policy {
		t.Errorf("the page serves the solver with %q, it needs %q", page.SolverPolicy, browser.Policy)
	}
}

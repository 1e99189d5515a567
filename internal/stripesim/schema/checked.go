package schema

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// checkTime bounds the check of everything that was recorded.
const checkTime = 2 * time.Minute

// Tests are a binary's tests; testing.M is one.
type Tests interface{ Run() int }

// Checked runs a binary's tests, and then holds every call that they recorded against stripe-mock: whatever a test sends
// to the simulator, Stripe's schema must take. Without stripe-mock it says so, and fails where CI=true.
func Checked(tests Tests, r *Recorder) Tests { return checked{tests, r} }

type checked struct {
	tests    Tests
	recorder *Recorder
}

func (c checked) Run() int {
	code := c.tests.Run()
	exchanges := c.recorder.Exchanges()
	if code != 0 || len(exchanges) == 0 {
		return code
	}
	mock, err := Start()
	if errors.Is(err, ErrNoMock) && os.Getenv("CI") != "true" {
		fmt.Fprintln(os.Stderr, "not compared with Stripe's schema:", err)
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: comparing with Stripe's schema:", err)
		return 1
	}
	defer mock.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	for _, e := range exchanges {
		if err := mock.Check(ctx, e); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL: not as Stripe does:", err)
			code = 1
		}
	}
	return code
}

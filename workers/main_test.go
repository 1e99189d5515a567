package workers_test

import (
	"testing"

	"go.uber.org/goleak"

	"fairgate/internal/embedded/testpg"
	"fairgate/internal/payment/paytest"
)

func TestMain(m *testing.M) {
	// fasthttp's pool notices within ten seconds that it was stopped.
	date := goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1") // lives as long as the process
	pool := goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2")
	goleak.VerifyTestMain(paytest.Checked(m), append(testpg.IgnoreLeaks(), pool, date)...)
}

package cases

import (
	"os"
	"testing"

	"fairgate/internal/payment/paytest"
)

func TestMain(m *testing.M) { os.Exit(paytest.Checked(m).Run()) }

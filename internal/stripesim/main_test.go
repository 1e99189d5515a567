package stripesim

import (
	"os"
	"testing"

	"fairgate/internal/stripesim/schema"
)

// recorded is what the tests sent; afterwards it is held against Stripe's own schema.
var recorded = schema.NewRecorder()

func TestMain(m *testing.M) { os.Exit(schema.Checked(m, recorded).Run()) }

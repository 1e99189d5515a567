package processor

import (
	"testing"

	"fairgate/internal/wire"
)

func TestWriter_CountsNumbersThatDoNotAddUp(t *testing.T) {
	w := writer{}
	w.numbers(1, wire.Stock{Type: 1, Capacity: 10, Held: 2, Sold: 3, Free: 5}, wire.Stock{Type: 2})
	if w.broken != 0 {
		t.Errorf("%d sound numbers were counted", w.broken)
	}
	w.numbers(1, wire.Stock{Type: 1, Capacity: 10, Held: 3, Sold: 3, Free: 5})
	w.numbers(1, wire.Stock{Type: 1, Capacity: 1, Held: 1<<32 - 1, Sold: 2})
	if w.broken != 2 {
		t.Errorf("%d of 2 were counted", w.broken)
	}
}

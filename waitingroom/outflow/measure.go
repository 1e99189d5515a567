package outflow

import "math/bits"

// meter is a rate over a fading window: an amount and the span of time it was gathered in, both fading alike, so that
// their quotient is right from the first second and not only once the window is full.
type meter struct{ sum, span int64 }

// add fades the meter over window and takes in the amount of the last dt microseconds.
func (m *meter) add(amount, dt, window int64) {
	m.sum = min(fade(m.sum, dt, window)+amount, maxMicros)
	m.span = fade(m.span, dt, window) + dt
}

// perMinute is the amount per minute, in the amount's own unit.
func (m *meter) perMinute() int64 {
	if m.span == 0 {
		return 0
	}
	return min(mulDiv(m.sum, minuteSeconds*second, m.span), maxMicros)
}

// mean is the time-weighted mean of an amount that was multiplied by its dt.
func (m *meter) mean() int64 {
	if m.span == 0 {
		return 0
	}
	return m.sum / m.span
}

// fade takes from v the part that dt is of window; nothing is left once dt reaches it.
func fade(v, dt, window int64) int64 {
	if dt >= window {
		return 0
	}
	return v - mulDiv(v, dt, window)
}

// mulDiv is a·b/c rounded down, for a, b ≥ 0 and c > 0, without overflow in between; a quotient too great for an int64
// is the greatest int64.
func mulDiv(a, b, c int64) int64 {
	const most = 1<<63 - 1
	high, low := bits.Mul64(uint64(a), uint64(b))
	if high >= uint64(c) {
		return most
	}
	q, _ := bits.Div64(high, low, uint64(c))
	return int64(min(q, most))
}

// root is the integer square root of n ≥ 0, rounded down.
func root(n int64) int64 {
	if n < 2 {
		return max(n, 0)
	}
	x := int64(1) << ((bits.Len64(uint64(n)) + 1) / 2)
	for {
		y := (x + n/x) / 2
		if y >= x {
			return x
		}
		x = y
	}
}

func clamp(v, low, high int64) int64 { return min(max(v, low), high) }

package limit

import (
	"strconv"
	"time"
)

// Decision is the answer to one call: that of the rule that refused, else of the rule with the least left.
type Decision struct {
	Allowed    bool
	Shared     bool          // tier two decided
	Rule       string        // name of the rule; empty when there was none
	Limit      int64         // calls that a full bucket or window allows
	Window     time.Duration // time in which Limit calls become available again
	Remaining  int64         // calls left at once
	Reset      time.Duration // until all of Limit is available again
	RetryAfter time.Duration // until a call would be allowed; 0 when this one was

	policy string // Headers' first value where it was made before
}

// tighter returns whichever leaves less.
func (d Decision) tighter(o Decision) Decision {
	if d.Remaining < 0 || o.Remaining < d.Remaining {
		return o
	}
	return d
}

// Header names of the IETF draft "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers).
const (
	HeaderPolicy    = "RateLimit-Policy"
	HeaderRateLimit = "RateLimit"
)

// Headers returns the values of HeaderPolicy and HeaderRateLimit; empty when no rule applied. Seconds are rounded up.
func (d Decision) Headers() (policy, limit string) {
	if d.Rule == "" {
		return "", ""
	}
	if policy = d.policy; policy == "" {
		policy = policyOf(d.Rule, d.Limit, d.Window)
	}
	var text [maxName + 48]byte
	b := append(append(append(text[:0], '"'), d.Rule...), `";r=`...)
	b = append(strconv.AppendInt(b, d.Remaining, 10), ";t="...)
	return policy, string(strconv.AppendInt(b, wholeSeconds(d.Reset), 10))
}

func policyOf(rule string, limit int64, window time.Duration) string {
	return `"` + rule + `";q=` + strconv.FormatInt(limit, 10) + ";w=" + Seconds(window)
}

// Seconds writes a duration as whole seconds, rounded up: the form of Retry-After.
func Seconds(d time.Duration) string { return strconv.FormatInt(wholeSeconds(d), 10) }

func wholeSeconds(d time.Duration) int64 { return int64((max(d, 0) + time.Second - 1) / time.Second) }

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
	policy = `"` + d.Rule + `";q=` + strconv.FormatInt(d.Limit, 10) + ";w=" + Seconds(d.Window)
	limit = `"` + d.Rule + `";r=` + strconv.FormatInt(d.Remaining, 10) + ";t=" + Seconds(d.Reset)
	return policy, limit
}

// Seconds writes a duration as whole seconds, rounded up: the form of Retry-After.
func Seconds(d time.Duration) string {
	return strconv.FormatInt(int64((max(d, 0)+time.Second-1)/time.Second), 10)
}

package sale

// Ruling is what the bot guard's rules made of requests that were alike, and why. It names nobody.
type Ruling struct {
	Room       int64 // that they went to
	Action     string
	Outcome    string // allow, price, lane or refuse
	Factor     int    // of the price
	Score      int
	Reasons    []string // a rule each, and the sum
	AppealCode string   // of a refusal; empty where too many were refused to keep each
	Times      int64
	First      Micros
	Last       Micros
}

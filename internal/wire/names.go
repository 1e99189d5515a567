package wire

import "encoding/hex"

// Topics of the log. A deployment may put a prefix before them (configuration), never another name.
const (
	TopicQueue          = "queue"
	TopicOrders         = "orders"
	TopicQueueOutcomes  = "queue-outcomes"
	TopicOutcomes       = "outcomes"
	TopicQueueDocuments = "queue-documents"
)

// Prefixes of Redis keys. No fact lives in Redis: every key has a time to live and can be lost at any moment.
const (
	RedisLimit  = "fg:limit:"  // second-tier rate limits, then rule and keyed address
	RedisEvents = "fg:events:" // event search pages, then a hash of the query
	RedisBudget = "fg:budget:" // payment provider budgets, then account and endpoint
)

// Hex writes an id as 32 lower-case hex digits: the form of token, pass and command ids outside the log.
func Hex(id ID) string { return hex.EncodeToString(id[:]) }

// ParseHex reads the form that Hex writes.
func ParseHex(s string) (ID, error) {
	var id ID
	if len(s) != 32 {
		return id, ErrValue
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, ErrValue
	}
	return id, nil
}

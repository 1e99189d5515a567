package web

import "strconv"

// Int64OrString is an id in a request: a JSON number or a decimal string (JavaScript loses digits of large numbers).
// It is written as a number.
type Int64OrString int64

// MarshalJSON writes a number.
func (n Int64OrString) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, int64(n), 10), nil
}

// UnmarshalJSON reads 42 or "42"; signs other than one minus, leading zeros, fractions and exponents are refused with
// an ExpectedError. null leaves the value alone.
func (n *Int64OrString) UnmarshalJSON(data []byte) error {
	text := string(data)
	if text == "null" {
		return nil
	}
	if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		text = text[1 : len(text)-1]
	}
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(value, 10) != text {
		return ExpectedError("a whole number or a decimal string")
	}
	*n = Int64OrString(value)
	return nil
}

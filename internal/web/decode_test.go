package web

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// amount is a type with its own text.
type amount string

func (a *amount) UnmarshalText(text []byte) error {
	if !strings.Contains(string(text), ".") {
		return ExpectedError("a decimal amount such as 12.50")
	}
	*a = amount(text)
	return nil
}

// order has a member of every shape.
type order struct {
	UserID   string        `json:"userId"`
	EventID  Int64OrString `json:"eventId"`
	Amount   *amount       `json:"amount"`
	Waitlist bool          `json:"waitlist"`
	Until    time.Time     `json:"until"`
	Items    []line        `json:"items"`
	hidden   string        //lint:ignore U1000 an unexported field must be left alone
}

type line struct {
	TicketType Int64OrString `json:"ticketType"`
	Quantity   int32         `json:"quantity"`
}

// post decodes a body as the given media type.
func post(media, body string) (order, error) {
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetMethod("POST")
	ctx.Request.Header.SetContentType(media)
	ctx.Request.SetBodyString(body)
	var o order
	err := Decode(&ctx, &o)
	return o, err
}

func TestDecodeJSON_NamesTheKeyAndWhatWasExpected(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20)
	for body, want := range map[string]struct{ key, expected string }{
		``:                                    {"body", "a JSON object"},
		`[]`:                                  {"body", "an object"},
		`"x"`:                                 {"body", "an object"},
		`{"userId":1}`:                        {"userId", "a string"},
		`{"userid":"a"}`:                      {"userid", "one of amount, eventId, items, until, userId, waitlist"},
		`{"hidden":"a"}`:                      {"hidden", "one of amount, eventId, items, until, userId, waitlist"},
		`{"userId":"a","userId":"b"}`:         {"userId", "each key once"},
		`{"eventId":true}`:                    {"eventId", "a whole number or a decimal string"},
		`{"eventId":1.5}`:                     {"eventId", "a whole number or a decimal string"},
		`{"eventId":"01"}`:                    {"eventId", "a whole number or a decimal string"},
		`{"eventId":9223372036854775808}`:     {"eventId", "a whole number or a decimal string"},
		`{"amount":"12"}`:                     {"amount", "a decimal amount such as 12.50"},
		`{"amount":12}`:                       {"amount", "a string"},
		`{"waitlist":"yes"}`:                  {"waitlist", "true or false"},
		`{"until":"tomorrow"}`:                {"until", "a time such as 2026-01-31T20:00:00Z"},
		`{"items":{}}`:                        {"items", "a list"},
		`{"items":[{},{"quantity":"2"}]}`:     {"items[1].quantity", "a whole number of at most 32 bits"},
		`{"items":[{"quantity":4294967296}]}`: {"items[0].quantity", "a whole number of at most 32 bits"},
		`{"items":[{"colour":1}]}`:            {"items[0].colour", "one of quantity, ticketType"},
		`{"userId":"a"} {}`:                   {"body", "valid JSON in UTF-8 (error at byte 15)"},
		`{"userId":"a"`:                       {"body", "valid JSON in UTF-8 (error at byte 13)"},
		"{\"userId\":\"\xff\"}":               {"userId", "valid JSON in UTF-8 (error at byte 11)"},
		`{'userId':1}`:                        {"body", "valid JSON in UTF-8 (error at byte 1)"},
		deep:                                  {"body", "at most 16 levels of nesting"},
		strings.Repeat("[", 60000):            {"body", "at most 16 levels of nesting"},
	} {
		_, err := post("application/json", body)
		p, ok := errors.AsType[*Problem](err)
		if !ok || p.Status != 400 || p.Key != want.key || p.Expected != want.expected {
			t.Errorf("%.60s: %+v, want key %q expected %q", body, err, want.key, want.expected)
		}
	}
}

func TestDecodeJSON_ReadsWhatIsRight(t *testing.T) {
	want := order{UserID: `a[{"`, EventID: 42, Items: []line{{TicketType: 7, Quantity: 2}}}
	for _, body := range []string{
		`{"userId":"a[{\"","eventId":42,"items":[{"ticketType":"7","quantity":2}]}`,
		` {"userId":"a[{\"","eventId":"42","amount":null,"items":[{"ticketType":7,"quantity":2}]} `,
	} {
		for _, media := range []string{"application/json", "Application/JSON; charset=utf-8"} {
			if got, err := post(media, body); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s %s: %+v, %v", media, body, got, err)
			}
		}
	}
}

func TestDecode_OtherMediaTypesAreRefused(t *testing.T) {
	for _, media := range []string{"", "text/plain", "multipart/form-data; boundary=x", "application/xml", ";;"} {
		_, err := post(media, `{"userId":"a"}`)
		if p, ok := errors.AsType[*Problem](err); !ok || p.Status != http.StatusUnsupportedMediaType {
			t.Errorf("%q: %v", media, err)
		}
	}
}

func TestDecode_OversizedIs413EvenWithoutAServer(t *testing.T) {
	for _, media := range []string{typeJSON, typeForm} {
		_, err := post(media, strings.Repeat(" ", MaxBody+1))
		if p, ok := errors.AsType[*Problem](err); !ok || p.Status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %v", media, err)
		}
	}
}

func TestDecodeJSON_LongKeysAreCutWhenSaidBack(t *testing.T) {
	_, err := post(typeJSON, `{"`+strings.Repeat("ộ", 10000)+`":1}`)
	p, ok := errors.AsType[*Problem](err)
	if !ok || len(p.Key) > maxKeyShown+len("…") || len(p.Detail) > 300 {
		t.Errorf("%+v", err)
	}
}

func TestDecodeForm_FillsTheSameStruct(t *testing.T) {
	got, err := post(typeForm, "userId=H%C3%A0+N%E1%BB%99i&eventId=42&waitlist=on&amount=12.50&until="+
		"&items[0].ticketType=7&items[0].quantity=2&items%5B1%5D.ticketType=8&items[1].quantity=")
	money := amount("12.50")
	want := order{UserID: "Hà Nội", EventID: 42, Waitlist: true, Amount: &money,
		Items: []line{{TicketType: 7, Quantity: 2}, {TicketType: 8}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err = post(typeForm, ""); err != nil || !reflect.DeepEqual(got, order{}) {
		t.Errorf("an empty form: %+v, %v", got, err)
	}
}

func TestDecodeForm_IsAsStrictAsJSON(t *testing.T) {
	for body, want := range map[string]struct{ key, expected string }{
		"colour=red":                    {"colour", "one of amount, eventId, items, until, userId, waitlist"},
		"userId=a&userId=b":             {"userId", "each key once"},
		"eventId=x":                     {"eventId", "a whole number or a decimal string"},
		"waitlist=maybe":                {"waitlist", "true or false"},
		"items[0].quantity=two":         {"items[0].quantity", "a whole number of at most 32 bits"},
		"items[1].quantity=2":           {"items", "elements numbered from 0 without gaps"},
		"items=2":                       {"items", "a list"},
		"userId=a&userId.x=b":           {"userId.x", "a key such as items[0].quantity"},
		"items[0.quantity=2":            {"items[0.quantity", "a key such as items[0].quantity"},
		"userId=%ff":                    {"userId", "UTF-8"},
		"userId=%zz":                    {"body", "a percent-encoded form"},
		strings.Repeat("a=1&", 200):     {"body", "at most 128 fields"},
		strings.Repeat("a.", 50) + "=1": {"", "a key such as items[0].quantity"},
	} {
		_, err := post(typeForm, body)
		p, ok := errors.AsType[*Problem](err)
		if !ok || p.Status != 400 || (want.key != "" && p.Key != want.key) || p.Expected != want.expected {
			if want.key == "userId.x" && ok && p.Key == "userId" { // which of the two comes first is the map's choice
				continue
			}
			t.Errorf("%.40s: %v, want key %q expected %q", body, err, want.key, want.expected)
		}
	}
}

func FuzzDecode_NeverAnythingButAProblem(f *testing.F) {
	for _, seed := range []string{
		`{"userId":"a","eventId":42,"items":[{"ticketType":"7","quantity":2}]}`, "userId=a&items[0].quantity=2",
		`{"a":{"b":[`, "items[].x=1", "a]b[=1", "=", ".", "items[0]=", "[0]=1", "until=x", "{}", "null", "=\xfa", "a=\xfa",
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, body string, form bool) {
		media := typeJSON
		if form {
			media = typeForm
		}
		_, err := post(media, body)
		if err == nil {
			return
		}
		p, ok := errors.AsType[*Problem](err)
		if !ok || p.Status < 400 || p.Status > 499 || p.Key == "" || p.Expected == "" {
			t.Errorf("%q: %+v", body, err)
		}
	})
}

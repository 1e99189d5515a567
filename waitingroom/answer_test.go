package waitingroom

import (
	"testing"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

func TestPlaceAnswer_IsSpelledAsTheLibraryDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := wire.ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		p := placeAnswer{
			Token: token.Text(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "token")), Place: wire.Hex(id),
			OrderKey: wire.OrderKey{Class: rapid.Byte().Draw(t, "class"), Key: rapid.Uint64().Draw(t, "key"), Token: id}.String(),
			Lane:     wire.Lane(rapid.Byte().Draw(t, "lane")).String(), Recorded: rapid.Bool().Draw(t, "recorded"),
			Ahead: rapid.Uint32().Draw(t, "ahead"), Drawn: rapid.Bool().Draw(t, "drawn"), Queue: queuePath(rapid.Int64().Draw(t, "room")),
		}
		want, err := json.Marshal(p)
		if got := p.append(nil); err != nil || string(got) != string(want) {
			t.Fatalf("%s\nwant %s, %v", got, want, err)
		}
	})
}

func FuzzPlainJoin(f *testing.F) {
	for _, body := range []string{
		`{"challenge":"AbC-_9","solution":"AAAA"}`, `{"challenge":"","solution":""}`, `{"challenge":"a\u0041","solution":"b"}`,
		`{"challenge":"a","solution":"b","solution":"c"}`, `{"challenge":"a"}`, `{"challenge":"a","solution":"b"} `, `{"challenge":"a","solution":"b"}}`,
		`{"challenge":"a","solution":"x","solution":"b"}`, `{"challenge":"a","solution":"","solution":""}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ok := plainJoin(body)
		if !ok {
			return
		}
		var want joinRequest
		if err := json.Unmarshal(body, &want, json.RejectUnknownMembers(true)); err != nil || got != want {
			t.Fatalf("%q is %+v, the library reads %+v, %v", body, got, want, err)
		}
	})
}

package verifytest

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"testing"

	"fairgate/internal/verify/model"
	"fairgate/internal/wire"
)

// said is an outcome before it is numbered.
type said struct {
	object int64
	ref    wire.ID
	body   wire.Body
}

// line is one record and what was said of it.
type line struct {
	value []byte
	at    int64
	said  []said
}

// tape keeps a log that was made by a world.
type tape struct {
	lines []line
	body  func(wire.Kind) wire.Body
	model func() *model.Partition
}

func (p *tape) keep(value []byte, outcomes [][]byte) {
	l := line{value: value}
	for _, b := range outcomes {
		o, err := wire.ParseOutcome(b)
		if err != nil {
			panic(err)
		}
		l.at = o.At
		body := p.body(o.Kind)
		o.Body = append([]byte(nil), o.Body...)
		if err := o.DecodeInto(body); err != nil {
			panic(err)
		}
		l.said = append(l.said, said{o.Object, o.Ref, body})
	}
	p.lines = append(p.lines, l)
}

// bytes numbers and hashes what was said of one record.
func (l *line) bytes(out *wire.Outcomes, offset int64) [][]byte {
	r, err := wire.ParseRecord(l.value)
	if err != nil {
		r = wire.Record{}
	}
	out.Reset()
	out.Begin(offset, l.at, r)
	for _, s := range l.said {
		out.AddFor(s.object, s.ref, s.body)
	}
	out.End()
	all := make([][]byte, out.Len())
	for i := range all {
		all[i] = append([]byte(nil), out.At(i)...)
	}
	return all
}

// replay checks the log up to and including a record whose outcomes change may have changed, and returns what was found
// there. Before it nothing may be found.
func (p *tape) replay(t *testing.T, at int, change func(all [][]byte, before uint64) [][]byte) []model.Finding {
	t.Helper()
	var out wire.Outcomes
	m := p.model()
	for i := range at + 1 {
		before := out.Hash
		all := p.lines[i].bytes(&out, int64(i))
		if i == at && change != nil {
			all = change(all, before)
		}
		found := m.Check(int64(i), p.lines[i].value, all)
		if i == at {
			return found
		}
		if len(found) > 0 {
			t.Fatalf("record %d: %v", i, found)
		}
	}
	return nil
}

// leaves calls f with every field of a body that holds a value, by its path; f may change it.
func leaves(path string, v reflect.Value, f func(path string, v reflect.Value)) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			leaves(path+"."+v.Type().Field(i).Name, v.Field(i), f)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			f(path, v)
			return
		}
		f(path+"#", v)
		for i := range v.Len() {
			leaves(fmt.Sprintf("%s[%d]", path, i), v.Index(i), f)
		}
	default:
		f(path, v)
	}
}

// flip changes a value to another that its layout can hold; it returns the old one.
func flip(v reflect.Value) (old reflect.Value) {
	old = reflect.New(v.Type()).Elem()
	old.Set(v)
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(v.Uint() ^ 1)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(v.Int() ^ 1)
	case reflect.Array:
		v.Index(v.Len() - 1).SetUint(v.Index(v.Len()-1).Uint() ^ 1)
	case reflect.Slice:
		if v.Len() > 0 {
			v.Set(v.Slice(0, v.Len()-1))
		} else {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
	default:
		panic(v.Kind().String())
	}
	return old
}

// tapes are a log of each kind that has every kind of outcome in it.
func tapes(t *testing.T) map[string]*tape {
	t.Helper()
	orders := &tape{body: wire.NewOrderOutcome, model: func() *model.Partition { return model.NewOrders(0, model.Limits{}) }}
	o := newOrdersWorld(t, unlimited(rolled(3)), map[string]int{})
	o.keep = orders.keep
	o.define()
	for range 3_000 {
		o.step()
	}
	queue := &tape{body: wire.NewQueueOutcome, model: func() *model.Partition { return model.NewQueue(0) }}
	q := newQueueWorld(t, rolled(5), map[string]int{})
	q.keep = queue.keep
	q.begin()
	for range 3_000 {
		q.step()
	}
	return map[string]*tape{"orders": orders, "queue": queue}
}

// unlimited gives the machine its usual limits.
func unlimited(draw func(string, int, int) int) func(string, int, int) int {
	return func(name string, from, to int) int {
		if name == "limits" {
			return to
		}
		return draw(name, from, to)
	}
}

// samples are the first and the last outcome of every kind: record and index.
func (p *tape) samples() map[string][2]int {
	found := map[string][2]int{}
	for i, l := range p.lines {
		for j, s := range l.said {
			name := reflect.TypeOf(s.body).Elem().Name()
			if _, ok := found[name+" first"]; !ok {
				found[name+" first"] = [2]int{i, j}
			}
			if i < 1_500 {
				found[name+" later"] = [2]int{i, j}
			}
		}
	}
	return found
}

func TestModel_EveryChangedFieldOfEveryOutcomeIsFound(t *testing.T) {
	for log, p := range tapes(t) {
		kinds := map[wire.Kind]bool{}
		for name, at := range p.samples() {
			body := p.lines[at[0]].said[at[1]].body
			kinds[body.Kind()] = true
			leaves("", reflect.ValueOf(body).Elem(), func(path string, v reflect.Value) {
				old := flip(v)
				if len(p.replay(t, at[0], nil)) == 0 {
					t.Errorf("%s, %s, record %d: a changed%s (%v instead of %v) was not found", log, name, at[0], path, v, old)
				}
				v.Set(old)
			})
		}
		for k := range 256 {
			if b := p.body(wire.Kind(k)); b != nil && !kinds[wire.Kind(k)] {
				t.Errorf("%s: no %T was made; the table has a hole", log, b)
			}
		}
	}
}

func TestModel_EveryChangedHeaderIsFound(t *testing.T) {
	fields := map[string][2]int{"kind": {1, 2}, "index": {2, 4}, "partition": {4, 8}, "offset": {8, 16}, "seq": {16, 24}, "hash": {24, 32},
		"object": {32, 40}, "ref": {40, 56}, "command": {56, 72}, "at": {72, 80}, "last": {92, 93}}
	for log, p := range tapes(t) {
		for name, at := range p.samples() {
			for field, span := range fields {
				found := p.replay(t, at[0], func(all [][]byte, before uint64) [][]byte {
					all[at[1]][span[0]] ^= 1
					if field != "hash" {
						rehash(all, before)
					}
					return all
				})
				if len(found) == 0 {
					t.Errorf("%s, %s, record %d: a changed %s was not found", log, name, at[0], field)
				}
			}
		}
	}
}

// rehash makes the running hashes right again, as somebody would who forges outcomes.
func rehash(all [][]byte, before uint64) {
	for _, b := range all {
		before = wire.NextHash(before, b)
		binary.LittleEndian.PutUint64(b[24:], before)
	}
}

func TestModel_MissingRepeatedAndReorderedOutcomesAreFound(t *testing.T) {
	for log, p := range tapes(t) {
		for name, at := range p.samples() {
			l := &p.lines[at[0]]
			was := l.said
			without := append(append([]said(nil), was[:at[1]]...), was[at[1]+1:]...)
			try := func(what string, now []said) {
				l.said = now
				if len(now) > 0 && len(p.replay(t, at[0], nil)) == 0 {
					t.Errorf("%s, %s, record %d: %s was not found", log, name, at[0], what)
				}
				l.said = was
			}
			// How far a lane is invited is the control law's affair; that somebody was not shows when they ask.
			if _, free := was[at[1]].body.(*wire.InvitedUpTo); !free {
				try("a missing outcome", without)
			}
			try("a repeated outcome", append(append([]said(nil), was...), was[at[1]]))
			if log == "orders" && len(was) > 1 {
				other := append([]said(nil), was...)
				other[0], other[len(was)-1] = other[len(was)-1], other[0]
				try("a changed order", other)
			}
			if len(p.replay(t, at[0], func([][]byte, uint64) [][]byte { return nil })) == 0 {
				t.Errorf("%s, %s, record %d: a record without outcomes was not found", log, name, at[0])
			}
		}
	}
}

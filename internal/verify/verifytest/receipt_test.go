package verifytest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fairgate/internal/receipt"
	"fairgate/internal/store"
	"fairgate/internal/verify"
	"fairgate/internal/wire"
)

// shopKeys sign the receipts of these tests.
func shopKeys(t *testing.T) (*receipt.Signer, receipt.Keys) {
	t.Helper()
	s, err := receipt.NewSigner([]receipt.Key{{ID: 4, Seed: [32]byte{4}}})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := receipt.ParseJWKS(s.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	return s, keys
}

// outcomeOf finds the first outcome about a booking.
func (m *made) outcomeOf(t *testing.T, booking wire.ID) wire.Outcome {
	t.Helper()
	for _, raw := range m.outcomes {
		if o, err := wire.ParseOutcome(raw); err == nil && o.Ref == booking {
			return o
		}
	}
	t.Fatal("no such booking")
	return wire.Outcome{}
}

// document is what a gateway and the projection would give out for a booking.
func (m *made) document(t *testing.T, k *kafka, booking wire.ID) receipt.Document {
	t.Helper()
	o := m.outcomeOf(t, booking)
	id, err := k.log.TopicID(t.Context(), k.prefix+wire.TopicOrders)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := shopKeys(t)
	signed, err := s.Sign(wire.Receipt{
		Topic: []byte(k.prefix + wire.TopicOrders), TopicID: id, Offset: o.Offset, Record: sha256.Sum256(m.records[o.Offset]), Booking: booking,
		Event: o.Object, Outcome: o.Kind, Seq: o.Seq, At: o.At,
	})
	if err != nil {
		t.Fatal(err)
	}
	d := receipt.Document{Receipt: signed}
	var chain wire.Hash
	for offset, value := range m.records {
		chain = wire.NextChain(chain, int64(offset), value)
		if r, err := wire.ParseRecord(value); err == nil && r.Kind == wire.KindTick && int64(offset) > o.Offset {
			d.Closed, d.Chain = true, &receipt.Head{Offset: int64(offset), Chain: chain}
			break
		}
	}
	return d
}

// sign signs other facts with the shop's own key: what a shop that lies could do.
func sign(t *testing.T, d receipt.Document, change func(*wire.Receipt)) receipt.Document {
	t.Helper()
	change(&d.Receipt.Receipt)
	s, _ := shopKeys(t)
	var err error
	if d.Receipt, err = s.Sign(d.Receipt.Receipt); err != nil {
		t.Fatal(err)
	}
	return d
}

// aSale is the scripted one in its topics.
func aSale(t *testing.T) (*kafka, *made) {
	t.Helper()
	k, m := newKafka(t), &made{}
	scripted(t, m)
	k.append(wire.TopicOrders, m.records)
	k.append(wire.TopicOutcomes, m.outcomes)
	return k, m
}

func (k *kafka) check(d receipt.Document, from verify.Source, whole bool) (verify.ReceiptResult, error) {
	_, keys := shopKeys(k.t)
	return verify.CheckReceipt(k.t.Context(), verify.ReceiptConfig{Document: d, Keys: keys, Prefix: k.prefix, Whole: whole}, from)
}

func TestReceipt_TrueOnesHoldFromBrokersAndFromADump(t *testing.T) {
	k, m := aSale(t)
	dir := filepath.Join(t.TempDir(), "dump")
	if _, err := verify.Dump(t.Context(), verify.Config{OrdersPartitions: 1, QueuePartitions: 1, Prefix: k.prefix}, verify.Brokers(k.log), dir, nil); err != nil {
		t.Fatal(err)
	}
	folder, err := verify.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 2, 3, 4, 5} {
		d := m.document(t, k, id('b', n))
		for _, from := range []verify.Source{verify.Brokers(k.log), folder} {
			for _, whole := range []bool{false, true} {
				r, err := k.check(d, from, whole)
				if err != nil || r.Wrong != "" || len(r.Passed) < 5 || !strings.Contains(r.Story, "held for user-") {
					t.Errorf("booking %d, whole=%t: %+v %v", n, whole, r, err)
				}
			}
		}
		d.Chain = nil
		if r, err := k.check(d, folder, false); err != nil || r.Wrong != "" {
			t.Errorf("booking %d without a head: %+v %v", n, r, err)
		}
	}
	// A later head closes over it too.
	late := m.document(t, k, id('b', 1))
	late.Chain = m.document(t, k, id('b', 5)).Chain
	if r, err := k.check(late, folder, false); err != nil || r.Wrong != "" {
		t.Errorf("%+v %v", r, err)
	}
}

func TestReceipt_LiesAreNamed(t *testing.T) {
	k, m := aSale(t)
	good := m.document(t, k, id('b', 1))
	for name, c := range map[string]struct {
		document receipt.Document
		says     string
	}{
		"record hash":  {sign(t, good, func(r *wire.Receipt) { r.Record[0] ^= 1 }), "record differs"},
		"offset":       {sign(t, good, func(r *wire.Receipt) { r.Offset++ }), "record differs"},
		"booking":      {sign(t, good, func(r *wire.Receipt) { r.Booking[3] ^= 1 }), "record differs"},
		"event":        {sign(t, good, func(r *wire.Receipt) { r.Event++ }), "record differs"},
		"beyond":       {sign(t, good, func(r *wire.Receipt) { r.Offset = 1 << 40 }), "record missing"},
		"kind":         {sign(t, good, func(r *wire.Receipt) { r.Outcome = wire.KindWaitlisted }), "outcome differs"},
		"number":       {sign(t, good, func(r *wire.Receipt) { r.Seq++ }), "outcome differs"},
		"no number":    {sign(t, good, func(r *wire.Receipt) { r.Seq = 1 << 40 }), "outcome missing"},
		"time":         {sign(t, good, func(r *wire.Receipt) { r.At++ }), "outcome differs"},
		"topic":        {sign(t, good, func(r *wire.Receipt) { r.Topic = []byte("other") }), "is of the log"},
		"recreated":    {sign(t, good, func(r *wire.Receipt) { r.TopicID[0] ^= 1 }), "topic recreated"},
		"head":         {withHead(good, func(h *receipt.Head) { h.Chain[31] ^= 1 }), "chain differs"},
		"early head":   {withHead(good, func(h *receipt.Head) { h.Offset = 1 }), "chain differs"},
		"head beyond":  {withHead(good, func(h *receipt.Head) { h.Offset = 1 << 40 }), "record missing"},
		"signature":    {unsigned(good, func(s *receipt.Signed) { s.Signature[9] ^= 4 }), "signature bad"},
		"unsigned key": {unsigned(good, func(s *receipt.Signed) { s.KeyID++ }), "signature bad"},
	} {
		if r, err := k.check(c.document, verify.Brokers(k.log), false); err != nil || !strings.Contains(r.Wrong, c.says) {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
}

func withHead(d receipt.Document, change func(*receipt.Head)) receipt.Document {
	h := *d.Chain
	change(&h)
	d.Chain = &h
	return d
}

func unsigned(d receipt.Document, change func(*receipt.Signed)) receipt.Document {
	change(&d.Receipt)
	return d
}

// TestReceipt_ARewrittenLogIsFoundOut: the shop changes a record before the fan's and derives everything anew. Only the
// head that the fan kept tells.
func TestReceipt_ARewrittenLogIsFoundOut(t *testing.T) {
	k, m := aSale(t)
	old := m.document(t, k, id('b', 2))
	other, n := newKafka(t), &made{}
	w := newOrdersWorld(t, unlimited(rolled(1)), map[string]int{})
	w.keep = n.keep
	for offset, value := range m.records {
		if m.outcomeOf(t, id('b', 1)).Offset == int64(offset) {
			r, _ := wire.ParseRecord(value)
			hold := new(wire.Hold)
			if err := r.DecodeInto(hold); err != nil {
				t.Fatal(err)
			}
			hold.Subject, hold.UserKey = subject(8), key(8)
			value = wire.AppendRecord(nil, r, hold)
		}
		w.put(value)
	}
	other.append(wire.TopicOrders, n.records)
	other.append(wire.TopicOutcomes, n.outcomes)
	if report := other.verify(verify.Config{OrdersPartitions: 1}, verify.Deps{}); !report.OK() {
		t.Fatalf("the rewritten log is not consistent: %+v", report)
	}
	kept := n.document(t, other, id('b', 2)) // of the rewritten log, but with the head that was given out before
	kept.Chain = old.Chain
	if r, err := other.check(kept, verify.Brokers(other.log), false); err != nil || !strings.Contains(r.Wrong, "rewritten after") {
		t.Errorf("%+v %v", r, err)
	}
}

func TestDump_DamageIsFoundAndForgeriesStayForgeries(t *testing.T) {
	k, _ := aSale(t)
	cfg := verify.Config{OrdersPartitions: 1, QueuePartitions: 1, Prefix: k.prefix}
	dump := func() string {
		dir := filepath.Join(t.TempDir(), "dump")
		if _, err := verify.Dump(t.Context(), cfg, verify.Brokers(k.log), dir, []byte(`{"keys":[]}`)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	run := func(dir string) (verify.Report, error) {
		folder, err := verify.OpenFolder(dir)
		if err != nil {
			return verify.Report{}, err
		}
		return verify.Run(t.Context(), cfg, verify.Deps{Source: folder})
	}
	dir := dump()
	if report, err := run(dir); err != nil || !report.OK() || report.Counts["outcomes.Held"] != 5 {
		t.Fatalf("%+v %v", report, err)
	}
	path := filepath.Join(dir, "orders-0.log")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-3] ^= 1
	for name, b := range map[string][]byte{
		"cut": whole[:len(whole)-5], "longer": append(bytes.Clone(whole), 0), "another kind": append([]byte("x"), whole[1:]...),
		"a huge record": append([]byte(wire.DumpHeader), 0xff, 0xff, 0xff, 0xff), "empty": {}, "flipped": flipped,
	} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := run(dir); !errors.Is(err, verify.ErrDump) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Whoever changes the file and its hash is found out by the logs themselves.
	if err := os.WriteFile(path, flipped, 0o600); err != nil {
		t.Fatal(err)
	}
	remanifest(t, dir, flipped)
	if report, err := run(dir); err != nil || report.OK() {
		t.Errorf("a forged dump: %+v %v", report, err)
	}
	if err := os.Remove(filepath.Join(dir, verify.ManifestFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := run(dir); !errors.Is(err, verify.ErrDump) {
		t.Errorf("without a manifest: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, verify.ManifestFile), []byte(`{"version":1,"files":[{"name":"../../etc/passwd"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := run(dir); !errors.Is(err, verify.ErrDump) {
		t.Errorf("a file elsewhere: %v", err)
	}
}

func remanifest(t *testing.T, dir string, orders []byte) {
	t.Helper()
	path := filepath.Join(dir, verify.ManifestFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var m verify.Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	for i := range m.Files {
		if m.Files[i].Name == "orders-0.log" {
			sum := sha256.Sum256(orders)
			m.Files[i].SHA256 = hex.EncodeToString(sum[:])
		}
	}
	b, _ = json.Marshal(m)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestVerify_TheFirstViolationSaysWhomItHurts(t *testing.T) {
	k, m := newKafka(t), &made{}
	scripted(t, m)
	o := m.outcomeOf(t, id('b', 2))
	// A leader that gave the second fan's tickets a price of its own.
	var forged wire.Outcomes
	at := 0
	for i, raw := range m.outcomes {
		if p, _ := wire.ParseOutcome(raw); p.Seq == o.Seq {
			at = i
		}
	}
	before, _ := wire.ParseOutcome(m.outcomes[at-1])
	forged.Seq, forged.Hash = before.Seq, before.Hash
	r, _ := wire.ParseRecord(m.records[o.Offset])
	forged.Begin(o.Offset, o.At, r)
	held := new(wire.Held)
	if err := o.DecodeInto(held); err != nil {
		t.Fatal(err)
	}
	held.Total++
	forged.Add(held)
	forged.End()
	k.append(wire.TopicOrders, m.records)
	k.append(wire.TopicOutcomes, append(append([][]byte{}, m.outcomes[:at]...), forged.At(0)))
	report := k.verify(verify.Config{OrdersPartitions: 1}, verify.Deps{})
	var text strings.Builder
	_ = report.WriteText(&text)
	for _, want := range []string{
		"violation of invariant 2", "Total is 2383, expected 2382", "event 1", "fan user-2", "user-2 asks for 2 tickets of type 1", "held for user-2", "23.83 EUR",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, &text)
		}
	}
}

func TestVerify_ChainHeadsInPostgresAreThoseOfTheLog(t *testing.T) {
	k, o, db := newKafka(t), someOrders(t, 600), database(t, 60)
	k.append(wire.TopicOrders, o.records)
	k.append(wire.TopicOutcomes, o.outcomes)
	k.project(db, uint64(len(o.outcomes)))
	wrong := func() (found []string) {
		for _, v := range k.verify(verify.Config{OrdersPartitions: 1, MaxViolations: 1000}, verify.Deps{DB: db.Write}).Violations {
			if v.Invariant == 5 {
				found = append(found, v.Where+": "+v.Explain)
			}
		}
		return found
	}
	if found := wrong(); len(found) > 0 {
		t.Fatal(found)
	}
	for _, forged := range []struct{ do, undo string }{
		{`UPDATE chain_heads SET chain = set_byte(chain, 3, get_byte(chain, 3) # 1)`, `UPDATE chain_heads SET chain = set_byte(chain, 3, get_byte(chain, 3) # 1)`},
		{`UPDATE chain_heads SET log_time = log_time + 1`, `UPDATE chain_heads SET log_time = log_time - 1`},
		{`INSERT INTO chain_heads SELECT 0, max(tick_offset) + 1000000, '', 0, 0 FROM chain_heads`, `DELETE FROM chain_heads WHERE log_time = 0`},
		{`UPDATE bookings SET first_outcome = CASE first_outcome WHEN 'held' THEN 'waitlisted' ELSE 'held' END`,
			`UPDATE bookings SET first_outcome = CASE first_outcome WHEN 'held' THEN 'waitlisted' ELSE 'held' END`},
		{`DELETE FROM chain_heads WHERE tick_offset = (SELECT max(tick_offset) FROM chain_heads)`, ``},
	} {
		exec(t, db, forged.do)
		if found := wrong(); len(found) == 0 {
			t.Errorf("%s was not found", forged.do)
		}
		if forged.undo != "" {
			exec(t, db, forged.undo)
		}
	}
}

func TestVerify_FromASnapshotChecksWhatFollows(t *testing.T) {
	k, o, db := newKafka(t), someOrders(t, 900), database(t, 1)
	k.append(wire.TopicOrders, o.records)
	topic, err := k.log.TopicID(t.Context(), k.prefix+wire.TopicOrders)
	if err != nil {
		t.Fatal(err)
	}
	at := len(o.records) / 2
	s := store.Snapshot{Name: k.prefix + "orders/0", TopicID: topic, NextOffset: int64(at), NextSeq: uint64(o.starts[at]) + 1}
	before, err := wire.ParseOutcome(o.outcomes[o.starts[at]-1])
	if err != nil {
		t.Fatal(err)
	}
	s.Hash = before.Hash
	for offset, value := range o.records[:at] {
		s.Chain = wire.NextChain(s.Chain, int64(offset), value)
	}
	save := func(s store.Snapshot) {
		saved, err := db.SaveSnapshot(t.Context(), s, []byte("state"))
		if err == nil {
			err = db.CountSnapshot(t.Context(), saved)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cfg := verify.Config{OrdersPartitions: 1, FromSnapshot: true}
	if _, err := verify.Run(t.Context(), verify.Config{OrdersPartitions: 1, FromSnapshot: true, Prefix: k.prefix}, verify.Deps{Events: k.log, DB: db.Write}); err == nil {
		t.Error("verified from no snapshot")
	}
	save(s)
	k.append(wire.TopicOutcomes, o.outcomes[:o.starts[at]+100])
	k.append(wire.TopicOutcomes, o.outcomes[o.starts[at]-50:])
	report := k.verify(cfg, verify.Deps{DB: db.Write})
	if !report.OK() || report.Counts["orders.skipped"] != int64(at) || report.Counts["orders.records"] != int64(len(o.records)-at) {
		t.Fatalf("%+v", report)
	}
	for name, change := range map[string]func(*store.Snapshot){
		"chain": func(s *store.Snapshot) { s.Chain[0] ^= 1 }, "hash": func(s *store.Snapshot) { s.Hash ^= 1 },
		"topic": func(s *store.Snapshot) { s.TopicID[0] ^= 1 },
	} {
		exec(t, db, `DELETE FROM snapshots`)
		bad := s
		change(&bad)
		save(bad)
		report, err := verify.Run(t.Context(), verify.Config{OrdersPartitions: 1, FromSnapshot: true, Prefix: k.prefix}, verify.Deps{Events: k.log, DB: db.Write})
		if report.OK() {
			t.Errorf("%s: %+v %v", name, report, err)
		}
	}
	// One lost outcome after the snapshot.
	lost := newKafka(t)
	lost.append(wire.TopicOrders, o.records)
	gone := o.starts[at+20]
	lost.append(wire.TopicOutcomes, append(append([][]byte{}, o.outcomes[:gone]...), o.outcomes[gone+1:]...))
	s.Name = lost.prefix + "orders/0"
	if s.TopicID, err = lost.log.TopicID(t.Context(), lost.prefix+wire.TopicOrders); err != nil {
		t.Fatal(err)
	}
	save(s)
	if report := lost.verify(cfg, verify.Deps{DB: db.Write}); report.OK() {
		t.Errorf("a lost outcome was not found: %+v", report)
	}
}

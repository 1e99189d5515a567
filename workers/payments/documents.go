package payments

import (
	"context"

	"fairgate/internal/payment"
	"fairgate/internal/store"
)

// issueReceipt gives the fan a receipt for money that was taken, with the booking's frozen lines.
func issueReceipt(ctx context.Context, m *store.Money, p store.Payment, charge string, amount int64) error {
	lines, err := m.LinesOf(ctx, p.Booking)
	if err != nil {
		return err
	}
	d := document(p, store.Receipt, payment.FactCapture+charge, amount)
	d.Lines = lines
	for _, l := range lines {
		d.Fees += l.Fee * int64(l.Quantity)
		d.Tax += l.Tax
	}
	if amount != p.Amount { // not what the lines say
		d.Fees, d.Tax, d.Lines = 0, 0, []store.DocumentLine{{Name: "Payment", Quantity: 1, Price: amount, Included: true, Total: amount}}
	}
	return m.Issue(ctx, d)
}

// issueCreditNote gives the fan a credit note for money that went back: its part of the receipt's fees and tax, rounded to
// the minor unit.
func issueCreditNote(ctx context.Context, m *store.Money, p store.Payment, r store.Refund, refund string, amount int64) error {
	fees, tax, err := m.Shares(ctx, p.Booking)
	if err != nil {
		return err
	}
	d := document(p, store.CreditNote, payment.FactRefund+refund, amount)
	if p.Amount > 0 {
		d.Tax = part(tax, amount, p.Amount)
		if r.Retained == 0 {
			d.Fees = part(fees, amount, p.Amount)
		}
	}
	d.Lines = []store.DocumentLine{{Name: "Refund", Quantity: 1, Price: amount - d.Tax, Tax: d.Tax, Included: true, Total: amount}}
	return m.Issue(ctx, d)
}

// issueReversal takes the credit note of a refund back that failed after the provider had accepted it. Without a credit note
// there is nothing to take back.
func issueReversal(ctx context.Context, m *store.Money, p store.Payment, refund string) error {
	note, ok, err := m.DocumentOf(ctx, payment.FactRefund+refund)
	if err != nil || !ok {
		return err
	}
	d := document(p, store.Reversal, payment.FactRefundFailed+refund, note.Total)
	d.Fees, d.Tax, d.Lines = note.Fees, note.Tax, note.Lines
	for i := range d.Lines {
		d.Lines[i].Name = "Refund that failed"
	}
	return m.Issue(ctx, d)
}

func document(p store.Payment, kind, fact string, amount int64) store.Document {
	return store.Document{
		Merchant: p.Merchant, Kind: kind, Fact: fact, Event: p.Event, Booking: p.Booking, User: p.User, Currency: p.Currency, Total: amount,
	}
}

// part is of × amount / whole, rounded half up. Amounts that a card can be charged do not overflow it.
func part(of, amount, whole int64) int64 { return (of*amount + whole/2) / whole }

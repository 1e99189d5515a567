package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"fairgate/internal/receipt"
	"fairgate/internal/verify"
)

// maxKeySet and keysWithin bound the fetching of public keys.
const (
	maxKeySet  = 1 << 20
	keysWithin = 10 * time.Second
)

// receipt checks one receipt and prints what was found, step by step.
func (c verifyCommand) receipt(ctx context.Context, l *logs, in io.Reader, out io.Writer) error {
	raw, err := readReceipt(c.Receipt, in)
	if err != nil {
		return err
	}
	keys, err := c.receiptKeys(ctx, l)
	if err != nil {
		return err
	}
	d, err := receipt.Read(raw)
	if err != nil {
		return exitError{fmt.Errorf("signature bad: %w", err), exitWrong}
	}
	result, err := verify.CheckReceipt(ctx, verify.ReceiptConfig{Document: d, Keys: keys, Prefix: l.cfg.Prefix, Whole: c.Whole}, l.source)
	if c.JSON {
		err = errors.Join(err, printJSON(out, result))
	} else {
		err = errors.Join(err, printReceipt(out, result, err == nil))
	}
	if errors.Is(err, verify.ErrUnreachable) {
		err = fmt.Errorf("log not reachable: %w", err)
	}
	if err == nil && result.Wrong != "" {
		err = exitError{errors.New("the receipt does not hold"), exitWrong}
	}
	return err
}

// printReceipt writes what a check found; done says that it came to its end.
func printReceipt(out io.Writer, r verify.ReceiptResult, done bool) error {
	var b strings.Builder
	for _, line := range r.Passed {
		fmt.Fprintf(&b, "   ok  %s\n", line)
	}
	switch {
	case r.Wrong != "":
		fmt.Fprintf(&b, "WRONG  %s\n", r.Wrong)
	case done:
		fmt.Fprintf(&b, "the receipt holds\n\nwhat the log says of the booking:\n%s", r.Story)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// readReceipt reads a receipt from a file, from standard input, or takes the text itself.
func readReceipt(what string, in io.Reader) ([]byte, error) {
	if what != "-" {
		f, err := os.Open(what)
		if err != nil && !strings.HasPrefix(what, "{") && strings.ContainsAny(what, "./") {
			return nil, fmt.Errorf("--receipt: %w", err) // the text has no such characters
		}
		if err != nil {
			return []byte(what), nil
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, receipt.MaxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("reading the receipt: %w", err)
	}
	return b, nil
}

// receiptKeys are the public keys to check with: those that were named, else the configuration's or the dump's.
func (c verifyCommand) receiptKeys(ctx context.Context, l *logs) (receipt.Keys, error) {
	if c.Keys == "" {
		if l.folder == nil {
			signer, err := l.assembly.cfg.Keys.receipts()
			if err != nil {
				return nil, err
			}
			return receipt.ParseJWKS(signer.JWKS())
		}
		keys, err := l.folder.Keys()
		if err == nil && keys == nil {
			err = errors.New("the dump holds no keys: name them with --keys")
		}
		return keys, err
	}
	b, err := readKeySet(ctx, c.Keys)
	if err != nil {
		return nil, fmt.Errorf("--keys: %w", err)
	}
	return receipt.ParseJWKS(b)
}

func readKeySet(ctx context.Context, where string) ([]byte, error) {
	if !strings.HasPrefix(where, "https://") && !strings.HasPrefix(where, "http://") {
		f, err := os.Open(where)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, maxKeySet))
	}
	ctx, cancel := context.WithTimeout(ctx, keysWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", where, res.StatusCode)
	}
	return io.ReadAll(io.LimitReader(res.Body, maxKeySet))
}

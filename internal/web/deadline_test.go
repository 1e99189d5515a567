package web

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// counting counts the deadlines that a connection is told.
type counting struct {
	net.Conn
	told int
}

func (c *counting) SetReadDeadline(t time.Time) error {
	c.told++
	return c.Conn.SetReadDeadline(t)
}

// pair is both ends of a connection with room for what is written.
func pair(t *testing.T) (*counting, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	far, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return &counting{Conn: near}, far
}

func TestTimed_RequestsInARowSetOneDeadline(t *testing.T) {
	near, far := pair(t)
	c := &timed{Conn: near}
	one := make([]byte, 1)
	for range 100 {
		if _, err := far.Write(one); err != nil {
			t.Fatal(err)
		}
		for _, step := range []error{c.SetReadDeadline(time.Now().Add(time.Minute)), c.SetReadDeadline(time.Now().Add(time.Hour))} {
			if step != nil {
				t.Fatal(step)
			}
		}
		if _, err := c.Read(one); err != nil {
			t.Fatal(err)
		}
	}
	if near.told != 1 {
		t.Errorf("told %d deadlines", near.told)
	}
}

func TestTimed_ASilentPeerIsLeftInTime(t *testing.T) {
	near, _ := pair(t)
	c := &timed{Conn: near}
	one := make([]byte, 1)
	for _, span := range []time.Duration{time.Hour, 200 * time.Millisecond, 100 * time.Millisecond} { // tighter each time
		began := time.Now()
		if err := c.SetReadDeadline(began.Add(span)); err != nil {
			t.Fatal(err)
		}
		if span == time.Hour {
			continue // replaced before anything is read
		}
		_, err := c.Read(one)
		if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took < span*(earlier-1)/earlier {
			t.Errorf("%v after %v of %v", err, took, span)
		}
	}
}

func TestTimed_AReadUnderWayCanBeEnded(t *testing.T) {
	near, _ := pair(t)
	c := &timed{Conn: near}
	if err := c.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		ended <- err
	}()
	for c.read.armed.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := c.SetDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	if err := c.SetDeadline(time.Time{}); err != nil || c.read.armed.Load() != 0 {
		t.Error("a deadline that was taken away stays")
	}
}

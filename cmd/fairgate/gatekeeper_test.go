package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"fairgate/waitingroom"
	"fairgate/waitingroom/token"
)

func TestGatekeeper_AnswersAProxyByTheKeysAlone(t *testing.T) {
	passes, err := waitingroom.NewPasses([]token.Key{{ID: 1, Secret: [32]byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	room := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(passes.JWKS()) }))
	defer room.Close()
	ctx, cancel := context.WithCancel(t.Context())
	said, say := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		c := gatekeeperCommand{Room: 7, WaitingRoom: room.URL, Listen: "127.0.0.1:0", Insecure: true}
		ended <- c.Run(ctx, say)
	}()
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	check := strings.TrimSpace(line[strings.Index(line, "http://"):])
	ask := func(url string) *http.Response {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Original-URI", "/sale/")
		r.Header.Set("X-Original-Method", "GET")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer
	}
	if answer := ask(strings.TrimSuffix(check, "check") + "readyz"); answer.StatusCode != 200 {
		t.Errorf("ready: %d", answer.StatusCode)
	}
	if answer := ask(check); answer.StatusCode != 401 || answer.Header.Get("Fairgate-Location") != room.URL+"/rooms/7?return=%2Fsale%2F" {
		t.Errorf("asked: %d %v", answer.StatusCode, answer.Header)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

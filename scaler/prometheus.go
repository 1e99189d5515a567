package scaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxAnswer is the most bytes read of one answer from Prometheus.
const maxAnswer = 1 << 20

// errNoValue is an answer without a series: nothing matches the query.
var errNoValue = errors.New("query has no value")

// source asks one Prometheus server instant queries over its HTTP API, version 1.
type source struct {
	client *http.Client
	base   string // URL without a trailing slash
}

// answer is the part of the API's JSON that an instant query needs.
type answer struct {
	Status string `json:"status"`
	Error  string `json:"error"`
	Data   struct {
		Type   string          `json:"resultType"`
		Result json.RawMessage `json:"result"`
	} `json:"data"`
}

// query returns the one value of an instant query.
func (s source) query(ctx context.Context, promQL string) (Observation, error) {
	body := strings.NewReader(url.Values{"query": {promQL}}.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+"/api/v1/query", body)
	if err != nil {
		return Observation{}, fmt.Errorf("ask prometheus: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := s.client.Do(req)
	if err != nil {
		return Observation{}, fmt.Errorf("ask prometheus: %w", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return Observation{}, fmt.Errorf("read prometheus: %w", err)
	}
	if len(raw) > maxAnswer {
		return Observation{}, fmt.Errorf("read prometheus: answer exceeds %d bytes", maxAnswer)
	}
	o, err := decodeAnswer(raw)
	if err != nil {
		return Observation{}, fmt.Errorf("prometheus answered %d: %w", resp.StatusCode, err)
	}
	return o, nil
}

// decodeAnswer takes the single value out of an instant query's answer: a scalar, or a vector of one series.
func decodeAnswer(raw []byte) (Observation, error) {
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return Observation{}, fmt.Errorf("decode: %w", err)
	}
	if a.Status != "success" {
		return Observation{}, fmt.Errorf("status %q: %.200s", a.Status, a.Error)
	}
	switch a.Data.Type {
	case "scalar":
		return decodePoint(a.Data.Result)
	case "vector":
		var series []struct {
			Value json.RawMessage `json:"value"`
		}
		if err := json.Unmarshal(a.Data.Result, &series); err != nil {
			return Observation{}, fmt.Errorf("decode vector: %w", err)
		}
		switch len(series) {
		case 0:
			return Observation{}, errNoValue
		case 1:
			return decodePoint(series[0].Value)
		}
		return Observation{}, fmt.Errorf("expected one series, got %d: aggregate the query", len(series))
	}
	return Observation{}, fmt.Errorf("expected a scalar or vector, got %q", a.Data.Type)
}

// decodePoint reads [unix seconds, "value"].
func decodePoint(raw json.RawMessage) (Observation, error) {
	var pair []json.RawMessage
	if err := json.Unmarshal(raw, &pair); err != nil || len(pair) != 2 {
		return Observation{}, errors.New("expected [time, value]")
	}
	var at float64
	var text string
	if err := errors.Join(json.Unmarshal(pair[0], &at), json.Unmarshal(pair[1], &text)); err != nil {
		return Observation{}, fmt.Errorf("decode point: %w", err)
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return Observation{}, errors.New("expected a number as value")
	}
	if math.Abs(at) > 1e11 {
		return Observation{}, errors.New("expected unix seconds as time")
	}
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return Observation{}, errNoValue
	}
	return Observation{Value: value, At: time.UnixMilli(int64(at * 1_000)).UTC(), Known: true}, nil
}

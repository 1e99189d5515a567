package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"fairgate/internal/conf"
	"fairgate/internal/verify"
)

// everyMetric puts all roles together without starting anything, so that each has registered what it exports.
func everyMetric(t *testing.T) *prometheus.Registry {
	t.Helper()
	path := exampleConfig(t, "/etc/fairgate/scaler.yaml", "../../deploy/scaler.yaml")
	var cfg Config
	if err := conf.Load(&cfg, conf.Source{File: path}); err != nil {
		t.Fatal(err)
	}
	a, err := assemble(t.Context(), cfg, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	r := a.router("waitingroom", false)
	for _, add := range []func() error{
		func() error { return a.addWaitingroom(r, nil) }, func() error { return a.addBooking(r) },
		func() error { return a.addWorkers(r) }, func() error { _, err := a.addProcessor(); return err },
		a.addAdmin, a.addScaler, func() error { return a.addAudit(a.verifyConfig(), verify.Brokers(a.events)) },
	} {
		if err := add(); err != nil {
			t.Fatal(err)
		}
	}
	a.listen("waitingroom", cfg.HTTP, "http.address", r)
	return a.registry
}

// exported says whether something is registered under a name: another collector of that name is then refused.
func exported(r *prometheus.Registry, name string) bool {
	probe := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: "A probe."}, []string{"probe"})
	if r.Register(probe) != nil {
		return true
	}
	r.Unregister(probe)
	return false
}

var (
	metricName = regexp.MustCompile(`\bfairgate_[a-z_]+\b`)
	grouping   = regexp.MustCompile(`by \(([a-z, ]+)\) \(+(?:[a-z]+\()?(fairgate_[a-z_]+)`)
)

// series is the name under which a metric is registered: histograms have further ones.
func series(name string) string {
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return name
}

func TestMetrics_WhatAlertsRunbookAndScalerReadIsExported(t *testing.T) {
	registry := everyMetric(t)
	if exported(registry, "fairgate_no_such_thing") {
		t.Fatal("the probe finds what is not there")
	}
	for _, file := range []string{"../../deploy/alerts.yml", "../../docs/runbook.md", "../../deploy/scaler.yaml"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := metricName.FindAllString(string(b), -1)
		if len(names) == 0 {
			t.Errorf("%s names no metric", file)
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			if !exported(registry, series(name)) {
				t.Errorf("%s: nothing exports %s", file, name)
			}
		}
	}
}

func TestMetrics_AlertsGroupByLabelsThatExist(t *testing.T) {
	families, err := everyMetric(t).Gather()
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string][]string{}
	for _, f := range families {
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels[f.GetName()] = append(labels[f.GetName()], l.GetName())
		}
	}
	b, err := os.ReadFile("../../deploy/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, m := range grouping.FindAllStringSubmatch(string(b), -1) {
		have, known := labels[m[2]]
		if !known {
			continue // a family that has no series before something happens
		}
		checked++
		for label := range strings.SplitSeq(m[1], ", ") {
			// Prometheus adds these two to every target.
			if label != "role" && label != "instance" && !slices.Contains(have, label) {
				t.Errorf("an alert groups %s by %s, it has %v", m[2], label, have)
			}
		}
	}
	if checked < 5 {
		t.Errorf("only %d groupings were checked", checked)
	}
}

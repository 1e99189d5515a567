package store

import (
	"testing"
	"time"
)

// look is one look of a candidate: ours and Postgres' clock in milliseconds, and what it saw.
type look struct {
	ours, theirs int
	row          leaseRow
	locked       bool
	handicap     int // ms
	want         choice
}

func held(by byte, renewed int) leaseRow {
	return leaseRow{epoch: 1, holder: []byte{by}, pid: int32(by), renewed: time.UnixMilli(int64(renewed))}
}

func manned(r leaseRow) leaseRow { r.manned = true; return r }

func given(reserved bool) leaseRow { return leaseRow{epoch: 1, reserved: reserved} }

func TestElection_WhatACandidateSawDecides(t *testing.T) {
	for name, looks := range map[string][]look{
		"given back, it is taken": {{row: given(false), want: keepWaiting}, {row: given(false), locked: true, want: takeLease}},
		"given back to another, it is left to him": {
			{row: given(true), locked: true, want: stepAside}, {ours: 60, theirs: 60, row: given(false), locked: true, want: takeLease}},
		"the holder's lock was seen and then freed": {
			{row: manned(held(1, 0)), want: keepWaiting}, {ours: 1, theirs: 1, row: held(1, 0), locked: true, want: takeLease}},
		"a free lock alone proves nothing": {
			{row: held(1, 0), locked: true, want: stepAside}, {ours: 50, theirs: 50, row: held(1, 40), locked: true, want: stepAside}},
		"another candidate's lock proves nothing": {
			{row: held(1, 0), want: keepWaiting}, {ours: 50, theirs: 50, row: held(1, 0), locked: true, want: stepAside}},
		"the lock of the holder before proves nothing": {
			{row: manned(held(1, 0)), want: keepWaiting}, {ours: 50, theirs: 50, row: held(2, 40), locked: true, want: stepAside}},
		"renewals do not hide that the lock was held": {
			{row: manned(held(1, 0)), want: keepWaiting}, {ours: 300, theirs: 300, row: manned(held(1, 300)), want: keepWaiting},
			{ours: 301, theirs: 301, row: held(1, 300), locked: true, want: takeLease}},
		"unrenewed for a TTL": {
			{row: manned(held(1, 0)), want: keepWaiting}, {ours: 999, theirs: 999, row: manned(held(1, 0)), want: keepWaiting},
			{ours: 1000, theirs: 1000, row: manned(held(1, 0)), want: takeLease}},
		"long unrenewed when first seen: the database may have been away": {
			{theirs: 60_000, row: held(1, 0), locked: true, want: stepAside}},
		"Postgres' clock jumped": {
			{row: manned(held(1, 0)), want: keepWaiting}, {ours: 200, theirs: 9_000, row: manned(held(1, 0)), want: keepWaiting}},
		"the candidate was stopped and reads an old answer": {
			{row: manned(held(1, 0)), want: keepWaiting}, {ours: 9_000, theirs: 200, row: manned(held(1, 0)), want: keepWaiting}},
		"a handicap is waited for once": {
			{row: manned(held(1, 0)), handicap: 20, want: keepWaiting}, {ours: 1, theirs: 1, row: held(1, 0), locked: true, handicap: 20, want: yield},
			{ours: 21, theirs: 21, row: held(1, 0), locked: true, handicap: 20, want: takeLease}},
		"and again at the next chance": {
			{row: given(false), locked: true, handicap: 20, want: yield}, {ours: 20, theirs: 20, row: manned(held(2, 15)), handicap: 20, want: keepWaiting},
			{ours: 90, theirs: 90, row: held(2, 15), locked: true, handicap: 20, want: yield}},
		"an heir has no handicap": {{row: leaseRow{epoch: 1, favoured: true}, locked: true, handicap: 20, want: takeLease}},
		"a handicap lengthens the TTL": {
			{row: manned(held(1, 0)), handicap: 20, want: keepWaiting}, {ours: 1_010, theirs: 1_010, row: manned(held(1, 0)), handicap: 20, want: keepWaiting},
			{ours: 1_020, theirs: 1_020, row: manned(held(1, 0)), handicap: 20, want: takeLease}},
	} {
		e := election{ttl: time.Second}
		for i, l := range looks {
			l.row.at = time.UnixMilli(int64(l.theirs))
			got := e.see(l.row, l.locked, time.Duration(l.ours)*time.Millisecond, time.Duration(l.handicap)*time.Millisecond)
			if got != l.want {
				t.Errorf("%s: look %d gave %d, want %d", name, i, got, l.want)
			}
		}
	}
}

package store

import (
	"testing"
	"time"

	"fairgate/internal/wire"
)

// look is one look of a candidate: ours and Postgres' clock in milliseconds, and what it saw.
type look struct {
	ours, theirs int
	row          LeaseRow
	locked       bool
	handicap     int  // ms
	led          byte // whom the log shows leading
	want         Choice
}

func holder(by byte) []byte { id := wire.ID{by}; return id[:] }

func held(by byte, renewed int) LeaseRow {
	return LeaseRow{Epoch: 1, Holder: holder(by), PID: int32(by), Renewed: time.UnixMilli(int64(renewed))}
}

func manned(r LeaseRow) LeaseRow { r.Manned = true; return r }

func given(reserved time.Duration) LeaseRow { return LeaseRow{Epoch: 1, Reserved: reserved} }

func by(n byte, r LeaseRow) LeaseRow { r.Giver = holder(n); return r }

func TestElection_WhatACandidateSawDecides(t *testing.T) {
	for name, looks := range map[string][]look{
		"given back, it is taken": {{row: given(0), want: KeepWaiting}, {row: given(0), locked: true, want: TakeLease}},
		"given back to another, it is left to him": {
			{row: given(60 * time.Millisecond), locked: true, want: StepAside}, {ours: 60, theirs: 60, row: given(0), locked: true, want: TakeLease}},
		"though not for ever if Postgres' clock jumps back": {
			{row: given(time.Hour), locked: true, want: StepAside}, {ours: 1_000, theirs: -3_600_000, row: given(time.Hour), locked: true, want: TakeLease}},
		"the holder's lock was seen and then freed": {
			{row: manned(held(1, 0)), want: KeepWaiting}, {ours: 1, theirs: 1, row: held(1, 0), locked: true, want: TakeLease}},
		"a free lock alone proves nothing": {
			{row: held(1, 0), locked: true, want: StepAside}, {ours: 50, theirs: 50, row: held(1, 40), locked: true, want: StepAside}},
		"another candidate's lock proves nothing": {
			{row: held(1, 0), want: KeepWaiting}, {ours: 50, theirs: 50, row: held(1, 0), locked: true, want: StepAside}},
		"the lock of the holder before proves nothing": {
			{row: manned(held(1, 0)), want: KeepWaiting}, {ours: 50, theirs: 50, row: held(2, 40), locked: true, want: StepAside}},
		"renewals do not hide that the lock was held": {
			{row: manned(held(1, 0)), want: KeepWaiting}, {ours: 300, theirs: 300, row: manned(held(1, 300)), want: KeepWaiting},
			{ours: 301, theirs: 301, row: held(1, 300), locked: true, want: TakeLease}},
		"unrenewed for a TTL": {
			{row: manned(held(1, 0)), want: KeepWaiting}, {ours: 999, theirs: 999, row: manned(held(1, 0)), want: KeepWaiting},
			{ours: 1000, theirs: 1000, row: manned(held(1, 0)), want: TakeLease}},
		"long unrenewed when first seen: the database may have been away": {
			{theirs: 60_000, row: held(1, 0), locked: true, want: StepAside}},
		"Postgres' clock jumped": {
			{row: manned(held(1, 0)), want: KeepWaiting}, {ours: 200, theirs: 9_000, row: manned(held(1, 0)), want: KeepWaiting}},
		"the candidate was stopped and reads an old answer": {
			{row: manned(held(1, 0)), want: KeepWaiting}, {ours: 9_000, theirs: 200, row: manned(held(1, 0)), want: KeepWaiting}},
		"a handicap is waited for once": {
			{row: manned(held(1, 0)), handicap: 20, want: KeepWaiting}, {ours: 1, theirs: 1, row: held(1, 0), locked: true, handicap: 20, want: Yield},
			{ours: 21, theirs: 21, row: held(1, 0), locked: true, handicap: 20, want: TakeLease}},
		"and again at the next chance": {
			{row: given(0), locked: true, handicap: 20, want: Yield}, {ours: 20, theirs: 20, row: manned(held(2, 15)), handicap: 20, want: KeepWaiting},
			{ours: 90, theirs: 90, row: held(2, 15), locked: true, handicap: 20, want: Yield}},
		"an heir has no handicap": {{row: LeaseRow{Epoch: 1, Favoured: true}, locked: true, handicap: 20, want: TakeLease}},
		"a handicap lengthens the TTL": {
			{row: manned(held(1, 0)), handicap: 20, want: KeepWaiting}, {ours: 1_010, theirs: 1_010, row: manned(held(1, 0)), handicap: 20, want: KeepWaiting},
			{ours: 1_020, theirs: 1_020, row: manned(held(1, 0)), handicap: 20, want: TakeLease}},
		"a leader that lost its lease takes it back before others do": {
			{row: manned(held(1, 0)), led: 2, want: KeepWaiting}, {ours: 1, theirs: 1, row: held(1, 0), locked: true, led: 2, want: StepAside},
			{ours: 1_999, theirs: 1_999, row: held(1, 0), led: 2, want: KeepWaiting},
			{ours: 2_000, theirs: 2_000, row: held(1, 0), locked: true, led: 2, want: TakeLease}},
		"and once it is not seen any more nobody waits for it": {
			{row: manned(held(1, 0)), led: 2, want: KeepWaiting}, {ours: 800, theirs: 800, row: held(1, 0), locked: true, want: TakeLease}},
		"nor when it has the lease itself": {
			{row: manned(held(2, 0)), led: 2, want: KeepWaiting}, {ours: 1, theirs: 1, row: held(2, 0), locked: true, led: 2, want: TakeLease}},
		"nor when it gave the lease back": {{row: by(2, given(0)), locked: true, led: 2, want: TakeLease}},
		"another one gave back what was the leader's": {
			{row: by(1, given(0)), locked: true, led: 2, want: StepAside}, {ours: 2_000, theirs: 2_000, row: by(1, given(0)), locked: true, led: 2, want: TakeLease}},
		"the row was lost with the database's last seconds": {{row: given(0), locked: true, led: 2, want: StepAside}},
	} {
		e := NewElection(time.Second)
		for i, l := range looks {
			l.row.At = time.UnixMilli(int64(l.theirs))
			got := e.See(l.row, l.locked, time.Duration(l.ours)*time.Millisecond, time.Duration(l.handicap)*time.Millisecond, wire.ID{l.led})
			if got != l.want {
				t.Errorf("%s: look %d gave %d, want %d", name, i, got, l.want)
			}
		}
	}
}

package eventlog_test

import (
	"errors"
	"testing"

	"github.com/segmentio/kafka-go"

	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/eventlog"
)

func TestAppendBatch_GivesConsecutiveOffsets(t *testing.T) {
	l := testkafka.Log(t)
	topic := testkafka.Topic(t, l, "batch", 1)
	for i := range int64(3) {
		base, err := l.AppendBatch(within(t), topic, 0, numbered("v", 10))
		if err != nil || base != 10*i {
			t.Fatalf("base %d, %v", base, err)
		}
	}
	got := readAll(t, l, topic, 0, 30)
	if got[0] != "v0" || got[29] != "v9" {
		t.Fatal(got)
	}
}

func TestAppendBatch_TellsWhatMayHaveHappened(t *testing.T) {
	for code, want := range map[kafka.Error]error{
		kafka.NotEnoughReplicas:            eventlog.ErrNotAppended,
		kafka.TopicAuthorizationFailed:     eventlog.ErrNotAppended,
		kafka.MessageSizeTooLarge:          eventlog.ErrNotAppended,
		kafka.NotLeaderForPartition:        eventlog.ErrUnknown,
		kafka.RequestTimedOut:              eventlog.ErrUnknown,
		kafka.NotEnoughReplicasAfterAppend: eventlog.ErrUnknown,
		kafka.KafkaStorageError:            eventlog.ErrUnknown,
	} {
		r := newRig(t, nil)
		topic := testkafka.Topic(t, r.log, "fate", 1)
		calls := r.produces()
		r.answer(1, code)
		_, err := r.log.AppendBatch(within(t), topic, 0, numbered("v", 2))
		wantErr(t, err, want, code)
		if errors.Is(err, eventlog.ErrUnknown) == errors.Is(err, eventlog.ErrNotAppended) {
			t.Errorf("%v is both or neither", err)
		}
		if calls.Load() != 1 {
			t.Errorf("%v: %d calls", code, calls.Load())
		}
	}
}

func TestAppendBatch_LostAnswerIsUnknownAndLanded(t *testing.T) {
	r := newRig(t, nil)
	topic := testkafka.Topic(t, r.log, "lost", 1)
	r.lose.Store(1)
	_, err := r.log.AppendBatch(within(t), topic, 0, numbered("v", 2))
	wantErr(t, err, eventlog.ErrUnknown)
	readAll(t, r.log, topic, 0, 2)
}

func TestAppendBatch_SilentBrokerIsUnknown(t *testing.T) {
	r := newRig(t, nil)
	topic := testkafka.Topic(t, r.log, "silent", 1)
	r.hold(t)
	_, err := r.log.AppendBatch(within(t), topic, 0, numbered("v", 2))
	wantErr(t, err, eventlog.ErrUnknown)
}

func TestAppendBatch_SurelyNotSent(t *testing.T) {
	r := newRig(t, nil)
	topic := testkafka.Topic(t, r.log, "unsent", 1)
	for name, call := range map[string]func() error{
		"unknown topic": func() error {
			_, err := r.log.AppendBatch(within(t), "no-such-topic", 0, numbered("v", 1))
			return err
		},
		"unknown partition": func() error {
			_, err := r.log.AppendBatch(within(t), topic, 7, numbered("v", 1))
			return err
		},
		"nothing": func() error {
			_, err := r.log.AppendBatch(within(t), topic, 0, nil)
			return err
		},
		"too many": func() error {
			_, err := r.log.AppendBatch(within(t), topic, 0, numbered("v", eventlog.MaxBatchRecords+1))
			return err
		},
		"too large": func() error {
			_, err := r.log.AppendBatch(within(t), topic, 0, [][]byte{make([]byte, eventlog.MaxValueBytes), {1}})
			return err
		},
		"no broker": func() error {
			l := testkafka.Open(t, eventlog.Config{Brokers: []string{"127.0.0.1:1"}})
			_, err := l.AppendBatch(within(t), topic, 0, numbered("v", 1))
			return err
		},
	} {
		err := call()
		if !errors.Is(err, eventlog.ErrNotAppended) || errors.Is(err, eventlog.ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAppendBatch_LargestFits(t *testing.T) {
	l := testkafka.Log(t)
	topic := testkafka.Topic(t, l, "largest", 1)
	if _, err := l.AppendBatch(within(t), topic, 0, [][]byte{make([]byte, eventlog.MaxValueBytes)}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.AppendBatch(within(t), topic, 0, numbered("v", eventlog.MaxBatchRecords)); err != nil {
		t.Fatal(err)
	}
}

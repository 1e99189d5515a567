package embedded

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"
)

func TestKafka_KeepsRecordsOverARestart(t *testing.T) {
	dir, addr := t.TempDir(), ""
	for round := range int64(3) {
		k, err := StartKafka(dir, addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		if addr != "" && k.Addr() != addr {
			t.Fatalf("was asked for %s, listens on %s", addr, k.Addr())
		}
		addr = k.Addr()
		transport := &kafka.Transport{MetadataTTL: 100 * time.Millisecond}
		client := &kafka.Client{Addr: kafka.TCP(addr), Transport: transport}
		if round == 0 {
			_, err := client.CreateTopics(within(t), &kafka.CreateTopicsRequest{
				Topics: []kafka.TopicConfig{{Topic: "orders", NumPartitions: 1, ReplicationFactor: 1}}})
			if err != nil {
				t.Fatal(err)
			}
		}
		res, err := client.Produce(within(t), &kafka.ProduceRequest{Topic: "orders", RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("hold"))})})
		if err != nil || res.Error != nil || res.BaseOffset != round {
			t.Fatalf("round %d: %+v %v", round, res, err)
		}
		transport.CloseIdleConnections()
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKafka_FolderIsForOneProcess(t *testing.T) {
	dir := t.TempDir()
	k, err := StartKafka(dir, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if _, err := StartKafka(dir, "", nil); !errors.Is(err, ErrInUse) {
		t.Fatal(err)
	}
}

func TestEngines_SayWhichPortIsTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	taken := ln.Addr().String()
	_, kafkaErr := StartKafka("", taken, nil)
	_, redisErr := StartRedis(taken)
	for _, err := range []error{kafkaErr, redisErr} {
		if err == nil || !strings.Contains(err.Error(), taken) || !strings.Contains(err.Error(), "another address") {
			t.Error(err)
		}
	}
}

func TestRedis_KeysAge(t *testing.T) {
	r, err := StartRedis("")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	client := redis.NewClient(&redis.Options{Addr: r.Addr()})
	defer client.Close()
	ctx := context.Background()
	if err := client.Set(ctx, "k", "v", 300*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	if v, err := client.Get(ctx, "k").Result(); err != nil || v != "v" {
		t.Fatal(v, err)
	}
	for start := time.Now(); client.Get(ctx, "k").Err() == nil; time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > 5*time.Second {
			t.Fatal("the key does not age")
		}
	}
}

package verify

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"fairgate/internal/wire"
)

// Dump copies the logs and their outcomes, as far as they are now, into a folder that must not hold a dump yet. A crash
// leaves a folder without a manifest, which OpenFolder refuses and Dump writes anew. keys is a JWK set to put beside
// them, or nil.
func Dump(ctx context.Context, cfg Config, from Source, dir string, keys []byte) (Manifest, error) {
	m := Manifest{Version: wire.Version, Prefix: cfg.Prefix, OrdersPartitions: cfg.OrdersPartitions, QueuePartitions: cfg.QueuePartitions, Keys: keys}
	if err := cfg.Validate(); err != nil {
		return m, fmt.Errorf("dump: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return m, fmt.Errorf("dump: %w", err)
	}
	path := filepath.Join(dir, ManifestFile)
	if _, err := os.Stat(path); err == nil {
		return m, fmt.Errorf("dump: %s is there already: name another folder", path)
	}
	// Outcomes first: each of them then has its record.
	for _, topic := range []struct {
		name       string
		partitions int
	}{
		{wire.TopicOutcomes, cfg.OrdersPartitions}, {wire.TopicOrders, cfg.OrdersPartitions},
		{wire.TopicQueueOutcomes, cfg.QueuePartitions}, {wire.TopicQueue, cfg.QueuePartitions},
	} {
		for p := range int32(topic.partitions) {
			file, err := dumpOne(ctx, from, dir, topic.name, cfg.Prefix, p)
			if err != nil {
				return m, fmt.Errorf("dump: %w", err)
			}
			m.Files = append(m.Files, file)
		}
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(b, '\n'), 0o644)
	}
	if err != nil {
		return m, fmt.Errorf("dump: %w", err)
	}
	return m, nil
}

func dumpOne(ctx context.Context, from Source, dir, topic, prefix string, p int32) (DumpedFile, error) {
	d := DumpedFile{Name: fmt.Sprintf("%s-%d.log", topic, p), Topic: prefix + topic, Partition: p}
	id, err := from.TopicID(ctx, d.Topic)
	if err != nil {
		return d, err
	}
	d.TopicID = hex.EncodeToString(id[:])
	if d.First, d.Next, err = from.Bounds(ctx, d.Topic, p); err != nil {
		return d, err
	}
	f, err := os.Create(filepath.Join(dir, d.Name))
	if err != nil {
		return d, err
	}
	defer f.Close()
	digest := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(f, digest), 1<<20)
	if err := copyRecords(ctx, from, d, out); err != nil {
		return d, fmt.Errorf("copying %s/%d: %w", d.Topic, p, err)
	}
	if err := out.Flush(); err != nil {
		return d, err
	}
	d.SHA256 = hex.EncodeToString(digest.Sum(nil))
	return d, f.Sync()
}

func copyRecords(ctx context.Context, from Source, d DumpedFile, out *bufio.Writer) error {
	if _, err := out.WriteString(wire.DumpHeader); err != nil {
		return err
	}
	records := from.Open(d.Topic, d.Partition, d.First)
	defer records.Close()
	var frame []byte
	for next := d.First; next < d.Next; {
		batch, err := records.Fetch(ctx)
		if err != nil {
			return err
		}
		for _, r := range batch[:min(int64(len(batch)), d.Next-next)] {
			if len(r.Value) > wire.MaxDumped {
				return fmt.Errorf("record %d has %d bytes, more than %d", r.Offset, len(r.Value), wire.MaxDumped)
			}
			frame = wire.AppendDumped(frame[:0], r.Value)
			if _, err := out.Write(frame); err != nil {
				return err
			}
			next++
		}
	}
	return nil
}

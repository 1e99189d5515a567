package main

import (
	"context"
	"fmt"

	"fairgate/internal/engine"
	"fairgate/internal/sale"
	"fairgate/internal/wire"
	"fairgate/processor"
	"fairgate/processor/stock"
	"fairgate/waitingroom"
	"fairgate/waitingroom/queue"
)

// machines is the role that runs both machines: one replica per partition of each log, and what follows `orders`.
type machines struct {
	queues []queueReplica
	orders []*engine.Runner
}

// queueReplica answers questions about places from the queue machine of one partition.
type queueReplica struct{ *engine.Runner }

// addProcessor adds the replicas, the projectors and the bridges of every partition.
func (a *assembly) addProcessor() (*machines, error) {
	metrics, err := processor.NewMetrics(a.registry)
	if err != nil {
		return nil, err
	}
	deps := processor.Deps{Store: a.db, Events: a.events, Crowds: processor.NewCrowds(), Log: a.log, Metrics: metrics}
	for p := range int32(a.cfg.Kafka.QueuePartitions) {
		a.part(fmt.Sprintf("crowds %d", p), func(ctx context.Context) error {
			return deps.Crowds.Follow(ctx, a.events, a.topic(wire.TopicQueueDocuments), p)
		})
	}
	spreader := engine.NewSpreader(engine.SpreaderDeps{Presence: a.db, Log: a.log, Metrics: a.registry})
	m := &machines{}
	for _, p := range partitions(a.cfg.Processor.QueuePartitions, a.cfg.Kafka.QueuePartitions) {
		r := a.replica(spreader, wire.TopicQueue, wire.TopicQueueOutcomes, wire.TopicQueueDocuments, p,
			func() engine.Machine { return queue.New(queue.Limits{}) })
		m.queues = append(m.queues, queueReplica{r})
	}
	for _, p := range partitions(a.cfg.Processor.OrdersPartitions, a.cfg.Kafka.OrdersPartitions) {
		r := a.replica(spreader, wire.TopicOrders, wire.TopicOutcomes, "", p,
			func() engine.Machine { return stock.New(stock.Limits{}) })
		m.orders = append(m.orders, r)
		projector, err := processor.NewProjector(processor.ProjectorConfig{
			Topic: a.topic(wire.TopicOutcomes), Partition: p, Batch: a.cfg.Processor.Batch,
		}, deps)
		if err != nil {
			return nil, err
		}
		a.part(fmt.Sprintf("projector %d", p), projector.Run)
		bridge, err := processor.NewBridge(processor.BridgeConfig{
			Topic: a.topic(wire.TopicOutcomes), QueueTopic: a.topic(wire.TopicQueue), Partition: p,
			PerSecond: int64(a.cfg.Stripe.Budget.EndpointPerSecond),
		}, deps)
		if err != nil {
			return nil, err
		}
		a.part(fmt.Sprintf("bridge %d", p), bridge.Run)
	}
	// Last, so that it stops first: what it hands over is still led meanwhile.
	a.part("spreading", spreader.Run)
	return m, nil
}

// partitions are those of a log that this processor runs: the chosen ones, or all.
func partitions(chosen []int32, all int) []int32 {
	if len(chosen) > 0 {
		return chosen
	}
	for p := range int32(all) {
		chosen = append(chosen, p)
	}
	return chosen
}

// replica adds one replica of one partition; it is up before whatever asks for its outcomes.
func (a *assembly) replica(s *engine.Spreader, log, outcomes, documents string, partition int32, machine func() engine.Machine) *engine.Runner {
	name := fmt.Sprintf("%s/%d", log, partition)
	cfg := engine.Config{
		Name: a.topic(name), Input: a.topic(log), Outcomes: a.topic(outcomes), Partition: partition, Tuning: a.cfg.Processor.Engine,
	}
	if documents != "" {
		cfg.Documents = a.topic(documents)
	}
	r := engine.New(cfg, engine.Deps{
		Events: a.events, Leases: engine.SpreadLeases(a.db, a.cfg.Processor.Engine.LeaseTTL, s.ID(), s.Handicap), Snapshots: a.db,
		RoomTime: a.clock.Now, Machine: machine, Log: a.log, Metrics: a.registry,
	})
	a.part("engine "+name, r.Run)
	a.ready.Add("engine "+name, r.Ready)
	s.Add(r)
	return r
}

// place asks the machine between two records.
func (q queueReplica) place(ctx context.Context, room int64, token wire.ID) (waitingroom.Standing, error) {
	var at queue.Position
	var known bool
	err := q.View(ctx, func(m engine.Machine, _ sale.LogClock) {
		at, known = m.(*queue.Machine).Place(room, token)
	})
	if err != nil {
		return waitingroom.Standing{}, err
	}
	if !known {
		return waitingroom.Standing{}, waitingroom.ErrNoPlace
	}
	return waitingroom.Standing{
		Key: at.Key, Lane: at.Lane, Ahead: at.Ahead, Invited: at.State != queue.Waiting, State: at.State.String(),
	}, nil
}

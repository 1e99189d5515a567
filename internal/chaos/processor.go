package chaos

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Processor is a process of the role `processor`, looked at through its operators' address.
type Processor struct {
	*Process
	Name string
	ops  string
	http *http.Client
}

// NewProcessor prepares a processor: binary is fairgate's, config the file of all of them; ops is its own address, and
// args are further ones.
func NewProcessor(name, binary, config, ops, logPath string, ended func(*Processor, *os.ProcessState), args ...string) (*Processor, error) {
	p := &Processor{Name: name, ops: ops, http: &http.Client{Timeout: 500 * time.Millisecond}}
	var err error
	p.Process, err = NewProcess(logPath, func() *exec.Cmd {
		return exec.Command(binary, append([]string{"processor", "--config", config, "--set", "ops.address=" + ops}, args...)...)
	}, func(state *os.ProcessState) { ended(p, state) })
	return p, err
}

// Ready says whether it wants traffic: its engines have caught up once.
func (p *Processor) Ready(ctx context.Context) bool {
	res, err := p.get(ctx, "/readyz")
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// Leads are the partitions that it leads, as "topic/partition"; none if it does not answer.
func (p *Processor) Leads(ctx context.Context) map[string]bool {
	leads := map[string]bool{}
	p.metrics(ctx, "fairgate_engine_role", func(topic, partition string, value float64) {
		if value == 2 {
			leads[topic+"/"+partition] = true
		}
	})
	return leads
}

// Metric is one of its engines' metrics; 0 if it does not answer or there is none.
func (p *Processor) Metric(ctx context.Context, name, topic string, partition int) (is float64) {
	p.metrics(ctx, name, func(t, n string, value float64) {
		if t == topic && n == strconv.Itoa(partition) {
			is = value
		}
	})
	return is
}

// metrics calls each with every metric of a name that has these two labels and no other.
func (p *Processor) metrics(ctx context.Context, name string, each func(topic, partition string, value float64)) {
	res, err := p.get(ctx, "/metrics")
	if err != nil {
		return
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		var topic, partition string
		var value float64
		rest, ok := strings.CutPrefix(lines.Text(), name+`{partition="`)
		if !ok {
			continue
		}
		partition, rest, _ = strings.Cut(rest, `",topic="`)
		topic, rest, _ = strings.Cut(rest, `"} `)
		if value, err = strconv.ParseFloat(rest, 64); err == nil {
			each(topic, partition, value)
		}
	}
}

func (p *Processor) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.ops+path, nil)
	if err != nil {
		return nil, err
	}
	return p.http.Do(req)
}

// Close kills it.
func (p *Processor) Close() error {
	p.http.CloseIdleConnections()
	return p.Process.Close()
}

package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"fairgate/scaler"
)

var roles = []string{"waitingroom", "booking", "processor", "workers", "admin", "scaler"}

// read decodes a YAML file; strict refuses keys that the destination does not have.
func read(t *testing.T, path string, into any, strict bool) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := yaml.NewDecoder(f)
	d.KnownFields(strict)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

type service struct {
	Image       string            `yaml:"image"`
	Command     []string          `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	Ports       []string          `yaml:"ports"`
	Volumes     []string          `yaml:"volumes"`
	Networks    []string          `yaml:"networks"`
	Secrets     []string          `yaml:"secrets"`
	Restart     string            `yaml:"restart"`
	ReadOnly    bool              `yaml:"read_only"`
	Privileged  bool              `yaml:"privileged"`
	DependsOn   map[string]struct {
		Condition string `yaml:"condition"`
	} `yaml:"depends_on"`
	Healthcheck any `yaml:"healthcheck"`
	Deploy      struct {
		Replicas int `yaml:"replicas"`
	} `yaml:"deploy"`
}

type composition struct {
	Services map[string]service `yaml:"services"`
	Networks map[string]any     `yaml:"networks"`
	Volumes  map[string]any     `yaml:"volumes"`
	Secrets  map[string]struct {
		File string `yaml:"file"`
	} `yaml:"secrets"`
}

func compose(t *testing.T) composition {
	t.Helper()
	var c composition
	read(t, "compose.yaml", &c, false)
	return c
}

func TestCompose_HasEveryRoleAndEngine(t *testing.T) {
	c := compose(t)
	for _, role := range append(slices.Clone(roles), "migrate", "audit") {
		s, ok := c.Services[role]
		command := strings.Replace(role, "audit", "verify", 1)
		if !ok || len(s.Command) == 0 || s.Command[0] != command {
			t.Errorf("%s: expected a service that runs the role, got %v", role, s.Command)
		}
		if !s.ReadOnly || s.Privileged {
			t.Errorf("%s: expected a read-only, unprivileged container", role)
		}
		if role != "migrate" && s.DependsOn["migrate"].Condition != "service_completed_successfully" {
			t.Errorf("%s: expected to wait for migrate", role)
		}
		if !slices.Contains(s.Volumes, "./fairgate.yaml:/etc/fairgate/fairgate.yaml:ro") {
			t.Errorf("%s: expected the configuration to be mounted", role)
		}
		if s.Environment["FAIRGATE_CONFIG"] != "/etc/fairgate/fairgate.yaml" {
			t.Errorf("%s: expected FAIRGATE_CONFIG to name the configuration", role)
		}
	}
	for _, engine := range []string{"kafka1", "kafka2", "kafka3", "redis", "postgres", "standby", "prometheus", "gateway"} {
		if _, ok := c.Services[engine]; !ok {
			t.Errorf("%s: expected a service", engine)
		}
	}
}

func TestCompose_ProcessorsAreASetThatCanSpreadAndTakeOver(t *testing.T) {
	p := compose(t).Services["processor"]
	if p.Deploy.Replicas < 2 {
		t.Errorf("%d processors: nobody would take over", p.Deploy.Replicas)
	}
	if len(p.Ports) > 0 {
		t.Errorf("replicas cannot share the ports %v", p.Ports)
	}
}

func TestCompose_ReferencesExist(t *testing.T) {
	c := compose(t)
	for name, s := range c.Services {
		for other, d := range s.DependsOn {
			target, ok := c.Services[other]
			if !ok {
				t.Errorf("%s waits for %s, which does not exist", name, other)
			}
			if d.Condition == "service_healthy" && target.Healthcheck == nil {
				t.Errorf("%s waits for %s to be healthy, which it never says", name, other)
			}
		}
		for _, n := range s.Networks {
			if _, ok := c.Networks[n]; !ok {
				t.Errorf("%s: unknown network %s", name, n)
			}
		}
		for _, v := range s.Volumes {
			checkVolume(t, c, name, v)
		}
	}
}

func checkVolume(t *testing.T, c composition, service, volume string) {
	t.Helper()
	source, _, _ := strings.Cut(volume, ":")
	if !strings.HasPrefix(source, "./") {
		if _, ok := c.Volumes[source]; !ok {
			t.Errorf("%s: unknown volume %s", service, source)
		}
		return
	}
	// The configuration is made by the operator from the example.
	if _, err := os.Stat(source); err != nil && source != "./fairgate.yaml" {
		t.Errorf("%s: %v", service, err)
	}
}

func TestCompose_IsPinnedPrivateAndWithoutSecrets(t *testing.T) {
	required := regexp.MustCompile(`^\$\{[A-Z_]+:\?.+\}$`)
	for name, s := range compose(t).Services {
		if image, tag, _ := strings.Cut(s.Image, ":"); image == "" || tag == "" || tag == "latest" {
			t.Errorf("%s: expected an image with a version, got %q", name, s.Image)
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to the world", name, p)
			}
		}
		for key, value := range s.Environment {
			if strings.Contains(key, "PASSWORD") && !required.MatchString(value) {
				t.Errorf("%s: %s must be asked for, without a default", name, key)
			}
		}
	}
}

func TestCompose_SecretsAreThoseOfTheExample(t *testing.T) {
	named := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^ +\w+: file:/run/secrets/([a-z-]+)$`).FindAllStringSubmatch(text(t, "fairgate.example.yaml"), -1) {
		named[m[1]] = true
	}
	c := compose(t)
	if len(named) == 0 || len(c.Secrets) != len(named) {
		t.Errorf("compose has secrets %v, the example names %v", c.Secrets, named)
	}
	for name := range named {
		if c.Secrets[name].File != "./secrets/"+name {
			t.Errorf("secret %s: expected ./secrets/%s, got %q", name, name, c.Secrets[name].File)
		}
		for _, role := range append(slices.Clone(roles), "migrate", "audit") {
			if !slices.Contains(c.Services[role].Secrets, name) {
				t.Errorf("%s is not given the secret %s", role, name)
			}
		}
	}
}

func TestGateway_KnowsEveryPublicRole(t *testing.T) {
	file := text(t, "gateway.conf")
	for _, role := range []string{"waitingroom", "booking", "workers"} {
		if !strings.Contains(file, " http://"+role+":8080;") {
			t.Errorf("no way leads to %s", role)
		}
	}
}

func TestCompose_KafkaIsAQuorumOfThreeThatLosesNothing(t *testing.T) {
	c := compose(t)
	for id := 1; id <= 3; id++ {
		e := c.Services[fmt.Sprintf("kafka%d", id)].Environment
		for key, want := range map[string]string{
			"KAFKA_NODE_ID":                        fmt.Sprint(id),
			"KAFKA_ADVERTISED_LISTENERS":           fmt.Sprintf("PLAINTEXT://kafka%d:9092", id),
			"KAFKA_CONTROLLER_QUORUM_VOTERS":       "1@kafka1:9093,2@kafka2:9093,3@kafka3:9093",
			"KAFKA_DEFAULT_REPLICATION_FACTOR":     "3",
			"KAFKA_MIN_INSYNC_REPLICAS":            "2",
			"KAFKA_UNCLEAN_LEADER_ELECTION_ENABLE": "false",
			"KAFKA_AUTO_CREATE_TOPICS_ENABLE":      "false",
			"KAFKA_BROKER_SESSION_TIMEOUT_MS":      "1500",
			"KAFKA_REPLICA_FETCH_BACKOFF_MS":       "100",
		} {
			if e[key] != want {
				t.Errorf("kafka%d: %s is %q, want %q", id, key, e[key], want)
			}
		}
		if len(e["CLUSTER_ID"]) != 22 {
			t.Errorf("kafka%d: CLUSTER_ID %q is not 22 characters", id, e["CLUSTER_ID"])
		}
	}
}

func TestCompose_EdgesCollectGarbageSeldomAndWithinALimit(t *testing.T) {
	e := compose(t).Services["waitingroom"].Environment
	if e["GOGC"] != "400" || e["GOMEMLIMIT"] != "1GiB" || e["FAIRGATE_CONFIG"] == "" {
		t.Errorf("%v", e)
	}
}

func TestPrometheus_ScrapesEveryRoleAndLoadsItsRules(t *testing.T) {
	var c struct {
		RuleFiles []string `yaml:"rule_files"`
		Scrape    []struct {
			Job string `yaml:"job_name"`
			DNS []struct {
				Names []string `yaml:"names"`
				Type  string   `yaml:"type"`
				Port  int      `yaml:"port"`
			} `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	read(t, "prometheus.yml", &c, false)
	var found []string
	for _, s := range c.Scrape {
		for _, d := range s.DNS {
			if s.Job != "fairgate" || d.Type != "A" || d.Port != 9100 {
				t.Errorf("unexpected job %+v", s)
			}
			found = append(found, d.Names...)
		}
	}
	if want := append(slices.Clone(roles), "audit"); !slices.Equal(found, want) {
		t.Errorf("scrapes %v, want %v", found, want)
	}
	for _, f := range c.RuleFiles {
		if _, err := os.Stat(f); err != nil {
			t.Error(err)
		}
	}
}

type alert struct {
	Alert  string `yaml:"alert"`
	Expr   string `yaml:"expr"`
	For    string `yaml:"for"`
	Labels struct {
		Severity string `yaml:"severity"`
	} `yaml:"labels"`
	Annotations struct {
		Summary string `yaml:"summary"`
		Runbook string `yaml:"runbook"`
	} `yaml:"annotations"`
}

func alerts(t *testing.T) (all []alert) {
	t.Helper()
	var c struct {
		Groups []struct {
			Name  string  `yaml:"name"`
			Rules []alert `yaml:"rules"`
		} `yaml:"groups"`
	}
	read(t, "alerts.yml", &c, true)
	for _, g := range c.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("no alerts")
	}
	return all
}

func TestAlerts_EachHasItsLineInTheRunbookAndBack(t *testing.T) {
	anchors := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^## (Fairgate\w+)$`).FindAllStringSubmatch(text(t, "../docs/runbook.md"), -1) {
		anchors[strings.ToLower(m[1])] = true
	}
	for _, a := range alerts(t) {
		file, anchor, _ := strings.Cut(a.Annotations.Runbook, "#")
		if file != "docs/runbook.md" || anchor != strings.ToLower(a.Alert) || !anchors[anchor] {
			t.Errorf("%s: runbook %q leads nowhere", a.Alert, a.Annotations.Runbook)
		}
		delete(anchors, anchor)
		if a.Annotations.Summary == "" || a.For == "" || (a.Labels.Severity != "page" && a.Labels.Severity != "ticket") {
			t.Errorf("%s: expected summary, for, and severity page or ticket", a.Alert)
		}
	}
	for a := range anchors {
		t.Errorf("runbook section %s has no alert", a)
	}
}

func TestAlerts_ReadOnlyMetricsTheRunbookNames(t *testing.T) {
	book := text(t, "../docs/runbook.md")
	name := regexp.MustCompile(`fairgate_[a-z_]+`)
	for _, a := range alerts(t) {
		for _, m := range name.FindAllString(a.Expr, -1) {
			m = strings.TrimSuffix(strings.TrimSuffix(m, "_bucket"), "_count")
			if !strings.Contains(book, "| `"+m+"` |") {
				t.Errorf("%s: the runbook's table lacks %s", a.Alert, m)
			}
		}
	}
}

func TestScalerRules_AreValidAndForRoles(t *testing.T) {
	rules, err := scaler.ParseRules([]byte(text(t, "scaler.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		if !slices.Contains(roles, r.Role) {
			t.Errorf("rule for %q, which is no role", r.Role)
		}
	}
}

func TestDockerfile_IsPinnedStaticAndNotRoot(t *testing.T) {
	file := text(t, "Dockerfile")
	for _, want := range []string{"CGO_ENABLED=0", "FROM scratch", "USER 65532:65532", "ca-certificates.crt", "timetzdata"} {
		if !strings.Contains(file, want) {
			t.Errorf("expected %q", want)
		}
	}
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(text(t, "../go.mod"))
	if goVersion == nil || !strings.Contains(file, "FROM golang:"+goVersion[1]) {
		t.Errorf("expected the builder to be Go %v as in go.mod", goVersion)
	}
}

func TestScripts_Parse(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	for _, script := range []string{"postgres/primary.sh", "postgres/standby.sh", "secrets.sh"} {
		if out, err := exec.Command(bash, "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %s", script, out)
		}
	}
}

package conf

import (
	"bytes"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Reference renders the keys of dst, a pointer to a struct, as Markdown: a heading and a table per section, with key,
// environment variable, default and meaning. It is generated once and compared by a test.
func Reference(dst any) string {
	root, err := rootOf(dst)
	if err != nil {
		return ""
	}
	var out strings.Builder
	var loose []row
	for _, f := range fieldsOf(root, "") {
		if !f.isSection() {
			loose = append(loose, rowsOf(f, true)...)
		}
	}
	writeTable(&out, loose)
	for _, f := range fieldsOf(root, "") {
		if !f.isSection() {
			continue
		}
		out.WriteString("\n## " + f.key + "\n\n")
		if f.help != "" {
			out.WriteString(f.help + "\n\n")
		}
		var rows []row
		for _, inner := range fieldsOf(f.value, f.key) {
			rows = append(rows, rowsOf(inner, true)...)
		}
		writeTable(&out, rows)
	}
	return strings.TrimLeft(out.String(), "\n")
}

// row is a line of the reference.
type row struct{ key, environment, fallback, help string }

// rowsOf describes a field and what is inside it; single says that it is not in a list, so that one text can set it.
func rowsOf(f field, single bool) []row {
	t := f.value.Type()
	var inner []field
	switch {
	case isSection(t):
		inner = fieldsOf(f.value, f.key)
	case t.Kind() == reflect.Slice && isSection(t.Elem()):
		inner, single = fieldsOf(reflect.New(t.Elem()).Elem(), f.key+"[]"), false
	case t.Kind() == reflect.Map && isSection(t.Elem()):
		inner, single = fieldsOf(reflect.New(t.Elem()).Elem(), f.key+".*"), false
	}
	if inner == nil {
		r := row{key: f.key, fallback: f.fallback, help: f.help}
		if single && isText(t) {
			r.environment = f.environment()
		}
		return []row{r}
	}
	var rows []row
	for _, i := range inner {
		rows = append(rows, rowsOf(i, single)...)
	}
	return rows
}

// writeTable writes rows as a Markdown table, nothing if there are none.
func writeTable(out *strings.Builder, rows []row) {
	if len(rows) == 0 {
		return
	}
	out.WriteString("| key | environment | default | meaning |\n|---|---|---|---|\n")
	for _, r := range rows {
		for _, cell := range []string{code(r.key), code(r.environment), code(r.fallback), escaped(r.help)} {
			out.WriteString("| " + cell + " ")
		}
		out.WriteString("|\n")
	}
}

// code is a cell in code type.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + escaped(text) + "`"
}

// escaped is text that cannot end a cell.
func escaped(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "|", `\|`), "\n", " ")
}

// Dump renders the effective configuration of dst, a pointer to a struct, as YAML that Load reads back. Secrets are
// redacted.
func Dump(dst any) string {
	root, err := rootOf(dst)
	if err != nil {
		return ""
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(nodeOf(root)); err != nil {
		return ""
	}
	return out.String()
}

// nodeOf turns a value into YAML.
func nodeOf(v reflect.Value) *yaml.Node {
	t := v.Type()
	switch {
	case isSection(t):
		node := &yaml.Node{Kind: yaml.MappingNode}
		for _, f := range fieldsOf(v, "") {
			node.Content = append(node.Content, scalarNode(f.name, "!!str"), nodeOf(f.value))
		}
		return node
	case isScalar(t):
		return scalarNode(textOf(v), tagOf(t))
	case t.Kind() == reflect.Slice:
		node := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			node.Content = append(node.Content, nodeOf(v.Index(i)))
		}
		return node
	default:
		node := &yaml.Node{Kind: yaml.MappingNode}
		found := make(map[string]reflect.Value)
		for _, name := range v.MapKeys() {
			found[name.String()] = v.MapIndex(name)
		}
		for _, name := range mapKeys(found) {
			node.Content = append(node.Content, scalarNode(name, "!!str"), nodeOf(found[name]))
		}
		return node
	}
}

// scalarNode is a leaf; the encoder quotes a string that would read as something else.
func scalarNode(text, tag string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Value: text, Tag: tag}
}

// tagOf is the YAML type of a leaf.
func tagOf(t reflect.Type) string {
	switch {
	case ownsText(t), t.String() == "time.Duration", t.Kind() == reflect.String:
		return "!!str"
	case t.Kind() == reflect.Bool:
		return "!!bool"
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		return "!!float"
	default:
		return "!!int"
	}
}

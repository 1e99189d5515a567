package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"

	"go.yaml.in/yaml/v3"
)

// loadFile sets fields from the YAML document, if there is one.
func loadFile(root reflect.Value, src Source) error {
	document, name := src.YAML, "configuration"
	if src.File != "" {
		content, err := readLimited(src.File, maxFile)
		if err != nil {
			return fmt.Errorf("configuration file: %w", err)
		}
		document, name = content, src.File
	}
	if len(document) > maxFile {
		return fmt.Errorf("%s: expected at most %d bytes", name, maxFile)
	}
	node, err := parse(document)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if node == nil {
		return nil
	}
	r := reader{file: name}
	r.section(root, node, "")
	return errors.Join(r.errs...)
}

// parse returns the top of the only document, nil if there is none or it is empty.
func parse(document []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(document))
	var top yaml.Node
	if err := decoder.Decode(&top); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("expected YAML: %w", err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("expected one YAML document")
	}
	if len(top.Content) != 1 || isNull(top.Content[0]) {
		return nil, nil
	}
	return top.Content[0], nil
}

// reader walks a document and the struct it fills side by side and collects what does not fit.
type reader struct {
	file string
	errs []error
}

// wrong adds an error with its place.
func (r *reader) wrong(key string, at *yaml.Node, format string, args ...any) {
	if key == "" {
		key = "configuration"
	}
	text := fmt.Errorf(format, args...)
	r.errs = append(r.errs, fmt.Errorf("%s: %w (%s line %d)", key, text, r.file, at.Line))
}

// section fills a struct from a mapping.
func (r *reader) section(v reflect.Value, node *yaml.Node, key string) {
	if isNull(node) {
		return
	}
	if node.Kind != yaml.MappingNode {
		r.wrong(key, node, "expected a section of keys")
		return
	}
	known := make(map[string]field)
	for _, f := range fieldsOf(v, key) {
		known[f.name] = f
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, child := node.Content[i].Value, node.Content[i+1]
		f, ok := known[name]
		switch {
		case node.Content[i].Kind != yaml.ScalarNode || !ok:
			r.wrong(join(key, name), node.Content[i], "no such key%s", meant(name, mapKeys(known)))
		case seen[name]:
			r.wrong(f.key, child, "expected once")
		default:
			seen[name] = true
			r.value(f.value, child, f.key)
		}
	}
}

// value fills one field of any kind; null leaves it as it is.
func (r *reader) value(v reflect.Value, node *yaml.Node, key string) {
	t := v.Type()
	switch {
	case node.Kind == yaml.AliasNode:
		r.wrong(key, node, "expected a value of its own, not an alias")
	case isNull(node):
	case isSection(t):
		r.section(v, node, key)
	case isScalar(t):
		r.scalar(v, node, key)
	case t.Kind() == reflect.Slice && node.Kind == yaml.ScalarNode && isText(t):
		r.scalar(v, node, key)
	case t.Kind() == reflect.Slice:
		r.list(v, node, key)
	case t.Kind() == reflect.Map:
		r.named(v, node, key)
	}
}

// scalar fills a leaf from its text.
func (r *reader) scalar(v reflect.Value, node *yaml.Node, key string) {
	if node.Kind != yaml.ScalarNode {
		r.wrong(key, node, "expected %s", inWords(v.Type()))
		return
	}
	if err := setText(v, node.Value); err != nil {
		r.wrong(key, node, "%w", err)
	}
}

// list fills a slice; its elements get their defaults first.
func (r *reader) list(v reflect.Value, node *yaml.Node, key string) {
	if node.Kind != yaml.SequenceNode {
		r.wrong(key, node, "expected a list")
		return
	}
	list := reflect.MakeSlice(v.Type(), 0, len(node.Content))
	for i, child := range node.Content {
		list = reflect.Append(list, r.element(v.Type().Elem(), child, fmt.Sprintf("%s[%d]", key, i)))
	}
	v.Set(list)
}

// named fills a map by name; its values get their defaults first.
func (r *reader) named(v reflect.Value, node *yaml.Node, key string) {
	if node.Kind != yaml.MappingNode {
		r.wrong(key, node, "expected a section of names")
		return
	}
	found := reflect.MakeMap(v.Type())
	for i := 0; i+1 < len(node.Content); i += 2 {
		name := node.Content[i]
		if name.Kind != yaml.ScalarNode || found.MapIndex(reflect.ValueOf(name.Value).Convert(v.Type().Key())).IsValid() {
			r.wrong(key, name, "expected each name once")
			continue
		}
		value := r.element(v.Type().Elem(), node.Content[i+1], join(key, name.Value))
		found.SetMapIndex(reflect.ValueOf(name.Value).Convert(v.Type().Key()), value)
	}
	v.Set(found)
}

// element reads one element of a list or map.
func (r *reader) element(t reflect.Type, node *yaml.Node, key string) reflect.Value {
	v := reflect.New(t).Elem()
	if isSection(t) {
		if err := setDefaults(v, key); err != nil {
			r.wrong(key, node, "defaults: %w", err)
		}
	}
	r.value(v, node, key)
	return v
}

// isNull reports whether a node says nothing.
func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }

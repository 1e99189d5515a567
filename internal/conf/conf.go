// Package conf reads a role's configuration into documented structs and says exactly what is wrong with it. It may
// read the one file it is given and the files that secrets name; it imports nothing of ours.
//
// A configuration is a struct of sections, nested as deep as it likes. Every field has the tags
//
//	Address string `yaml:"address" default:"127.0.0.1:8080" help:"where to listen (host:port)"`
//
// and with them a key (booking.address), an environment variable (FAIRGATE_BOOKING_ADDRESS) and a line in the
// reference. A field without a yaml tag gets its name in camelCase; yaml:"-" hides it; an embedded struct without a
// tag adds its fields to those around it.
//
// Fields may be strings, booleans, numbers, time.Duration ("5m"), [Secret], anything with UnmarshalText (netip.Prefix,
// netip.AddrPort, …), lists of these ("a, b" in text), and, in the file only, slices of structs and maps by name.
package conf

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
)

// Limits of what is read.
const (
	maxFile   = 1 << 20  // bytes of a configuration file
	maxSecret = 64 << 10 // bytes of a file that a secret names
)

// prefix begins the name of every environment variable that is ours.
const prefix = "FAIRGATE_"

// Source says where values come from; each is stronger than the one before it. Beneath them all are the default tags.
type Source struct {
	File      string            // path of a YAML file; empty means none
	YAML      []byte            // the document itself, instead of File
	Environ   []string          // NAME=value, as os.Environ() returns them
	Allowed   []string          // FAIRGATE_ names that are no keys; one that ends in * stands for all that begin so
	Overrides map[string]string // key → value, from the command line
}

// Load fills dst, a pointer to a struct, then calls Validate() error on every nested struct that has it, deepest
// first. A field that already has a value keeps it in place of its default.
//
// The error joins everything that is wrong, one line each: the key, what was expected, what was found (never if it is
// a secret) and where. Unknown keys are refused, in the file, in the environment under FAIRGATE_ and in Overrides
// alike, with the nearest known one. Validate is called only when all values could be read.
//
// Errors of Validate get the section's key before them: a section whose Validate returns "address: expected host:port"
// is reported as "booking.address: expected host:port".
func Load(dst any, src Source) error {
	root, err := rootOf(dst)
	if err != nil {
		return err
	}
	if err := setDefaults(root, ""); err != nil {
		return fmt.Errorf("defaults: %w", err)
	}
	if err := loadFile(root, src); err != nil {
		return err
	}
	leaves := leavesOf(root)
	if err := errors.Join(fromEnvironment(leaves, src), fromOverrides(leaves, src.Overrides)); err != nil {
		return err
	}
	return validate(root, "")
}

// rootOf checks that dst is what every function here needs.
func rootOf(dst any) (reflect.Value, error) {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return reflect.Value{}, fmt.Errorf("conf: expected a pointer to a struct, got %T", dst)
	}
	return v.Elem(), nil
}

// setDefaults gives every zero field its default.
func setDefaults(section reflect.Value, key string) error {
	for _, f := range fieldsOf(section, key) {
		switch {
		case f.isSection():
			if err := setDefaults(f.value, f.key); err != nil {
				return err
			}
		case !supported(f.value.Type()):
			return fmt.Errorf("%s: a %s cannot be configured", f.key, f.value.Type())
		case f.fallback != "" && f.value.IsZero():
			if err := setText(f.value, f.fallback); err != nil {
				return fmt.Errorf("%s: %w", f.key, err)
			}
		}
	}
	return nil
}

// fromEnvironment sets fields from FAIRGATE_ variables.
func fromEnvironment(leaves []field, src Source) error {
	byName := make(map[string]field, len(leaves))
	for _, leaf := range leaves {
		byName[leaf.environment()] = leaf
	}
	var errs []error
	for _, entry := range slices.Sorted(slices.Values(src.Environ)) {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		leaf, known := byName[name]
		switch {
		case known:
			if err := setText(leaf.value, value); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w (from %s)", leaf.key, err, name))
			}
		case !allowed(name, src.Allowed):
			errs = append(errs, fmt.Errorf("%s: no such environment variable%s", name, meant(name, mapKeys(byName))))
		}
	}
	return errors.Join(errs...)
}

// allowed reports whether a name is on the list of those that are no keys.
func allowed(name string, list []string) bool {
	for _, entry := range list {
		if begin, open := strings.CutSuffix(entry, "*"); entry == name || (open && strings.HasPrefix(name, begin)) {
			return true
		}
	}
	return false
}

// fromOverrides sets fields from the command line.
func fromOverrides(leaves []field, overrides map[string]string) error {
	byKey := make(map[string]field, len(leaves))
	for _, leaf := range leaves {
		byKey[leaf.key] = leaf
	}
	var errs []error
	for _, key := range mapKeys(overrides) {
		leaf, known := byKey[key]
		if !known {
			errs = append(errs, fmt.Errorf("%s: no such key%s", shown(key), meant(key, mapKeys(byKey))))
			continue
		}
		if err := setText(leaf.value, overrides[key]); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w (from the command line)", key, err))
		}
	}
	return errors.Join(errs...)
}

// readLimited reads a file of at most limit bytes.
func readLimited(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit || info.IsDir() {
		return nil, fmt.Errorf("%s: expected a file of at most %d bytes", path, limit)
	}
	return os.ReadFile(path)
}

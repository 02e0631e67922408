package settings

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written as 512MiB or as a plain number.
type Size int64

// Cores are thousandths of a core, written as 1.5.
type Cores int32

// OnStop is Leave or Wait.
type OnStop string

// Values of OnStop.
const (
	Leave OnStop = "leave"
	Wait  OnStop = "wait"
)

var units = []struct {
	name  string
	bytes float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}, {"", 1}}

// mostBytes is the largest Size: 1024 TiB.
const mostBytes = 1 << 50

func parseSize(text string) (Size, error) {
	for _, u := range units {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err == nil && n >= 0 && n*u.bytes <= mostBytes {
			return Size(n * u.bytes), nil
		}
		break
	}
	return 0, fmt.Errorf("expected a number of bytes up to 1024TiB, like 512MiB or 1048576, found %q", text)
}

// String writes it as parseSize reads it.
func (s Size) String() string {
	for _, u := range []int{3, 2, 1, 0} {
		if n := Size(units[u].bytes); s != 0 && s%n == 0 {
			return strconv.FormatInt(int64(s/n), 10) + units[u].name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// String writes it as a number of cores.
func (c Cores) String() string { return strconv.FormatFloat(float64(c)/1000, 'f', -1, 64) }

// setScalar sets a field that is one value.
func setScalar(field reflect.Value, text string) error {
	switch field.Interface().(type) {
	case string:
		field.SetString(text)
	case OnStop:
		if text != string(Leave) && text != string(Wait) {
			return fmt.Errorf("expected %s or %s, found %q", Leave, Wait, text)
		}
		field.SetString(text)
	case int:
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return fmt.Errorf("expected a whole number, found %q", text)
		}
		field.SetInt(n)
	case Size:
		n, err := parseSize(text)
		if err != nil {
			return err
		}
		field.SetInt(int64(n))
	case Cores:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || n < 0 || n > 1024 || n > 0 && n < 0.001 {
			return fmt.Errorf("expected a number of cores up to 1024, like 1.5, found %q", text)
		}
		field.SetInt(int64(n*1000 + 0.5))
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return fmt.Errorf("expected a duration like 90s, 30m or 8h, found %q", text)
		}
		field.SetInt(int64(d))
	default:
		panic("settings: no way to read a " + field.Type().String())
	}
	return nil
}

// setTexts sets a field from the environment or from flags: the texts of a list
// or map are its parts.
func setTexts(field reflect.Value, texts []string) error {
	switch field.Kind() {
	case reflect.Slice:
		field.Set(reflect.ValueOf(slices.Clone(texts)))
		return nil
	case reflect.Map:
		field.Set(reflect.MakeMap(field.Type()))
		for _, text := range texts {
			name, value, ok := strings.Cut(text, "=")
			if !ok || name == "" {
				return fmt.Errorf("expected %s, found %q", entryForm(field.Type()), text)
			}
			if err := setEntry(field, name, value); err != nil {
				return err
			}
		}
		return nil
	}
	return setScalar(field, texts[len(texts)-1])
}

// entryForm is how an entry of a map is written outside a file.
func entryForm(t reflect.Type) string {
	if t.Elem().Kind() == reflect.Int {
		return "name=slots with a whole number, like default=8"
	}
	return "name=value"
}

// setEntry adds one entry to a map.
func setEntry(field reflect.Value, name, text string) error {
	key := reflect.ValueOf(name)
	if field.MapIndex(key).IsValid() {
		return fmt.Errorf("%q stands there twice", name)
	}
	value := reflect.New(field.Type().Elem()).Elem()
	if err := setScalar(value, text); err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	field.SetMapIndex(key, value)
	return nil
}

// text writes a value as in a file. Empty: it has none.
func text(field reflect.Value) string {
	if field.IsZero() {
		return ""
	}
	switch v := field.Interface().(type) {
	case []string:
		return "[" + strings.Join(v, ", ") + "]"
	case map[string]string:
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, name+": "+v[name])
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case map[string]int:
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, name+": "+strconv.Itoa(v[name]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return fmt.Sprint(field.Interface())
}

package v1

import (
	"encoding/json"
	"reflect"
)

// MonthDay is a day of the month, 1 to 31, or LastDay. In JSON the last day is
// "last".
type MonthDay int

// LastDay is the last day of a month, whatever its number.
const LastDay MonthDay = 0

const lastDay = "last"

// MarshalJSON implements json.Marshaler.
func (d MonthDay) MarshalJSON() ([]byte, error) {
	if d == LastDay {
		return json.Marshal(lastDay)
	}
	return json.Marshal(int(d))
}

// UnmarshalJSON implements json.Unmarshaler. It takes any whole number but 0:
// which of them a month has is for the reader to say.
func (d *MonthDay) UnmarshalJSON(text []byte) error {
	var n int
	if json.Unmarshal(text, &n) == nil && n != 0 {
		*d = MonthDay(n)
		return nil
	}
	var word string
	if json.Unmarshal(text, &word) == nil && word == lastDay {
		*d = LastDay
		return nil
	}
	return &json.UnmarshalTypeError{Value: string(text), Type: reflect.TypeFor[MonthDay]()}
}

// DescendantSet says which descendants of an instance run again with it. In
// JSON it is "all" or a list of ids of instances.
type DescendantSet struct {
	All bool
	IDs []InstanceID
}

const allDescendants = "all"

// MarshalJSON implements json.Marshaler.
func (s DescendantSet) MarshalJSON() ([]byte, error) {
	if s.All {
		return json.Marshal(allDescendants)
	}
	return json.Marshal(append([]InstanceID{}, s.IDs...))
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *DescendantSet) UnmarshalJSON(text []byte) error {
	*s = DescendantSet{}
	var word string
	if json.Unmarshal(text, &word) == nil && word == allDescendants {
		s.All = true
		return nil
	}
	if json.Unmarshal(text, &s.IDs) == nil && s.IDs != nil {
		return nil
	}
	return &json.UnmarshalTypeError{Value: string(text), Type: reflect.TypeFor[DescendantSet]()}
}

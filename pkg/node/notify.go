package node

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// MaxSubscriptions is how many channels a node or a backfill may name.
const MaxSubscriptions = 20

// Occasions are the words of what people are told of (RULES R15.6), in order of
// wire.Occasion's numbers, from FAILURE.
var Occasions = []string{"failure", "success", "finished", "stuck"}

// ValidChannel says whether s may be the name of a channel: the form is that of
// a node id.
func ValidChannel(s string) bool { return ValidID(s) }

// OccasionsOf is what a subscription is about: without words of its own, the
// failures of a node, and those and the end of a backfill.
func OccasionsOf(s *wire.Subscription, backfill bool) []wire.Occasion {
	switch {
	case len(s.On) > 0:
		return s.On
	case backfill:
		return []wire.Occasion{wire.Occasion_FAILURE, wire.Occasion_FINISHED}
	}
	return []wire.Occasion{wire.Occasion_FAILURE}
}

// CheckSubscriptions checks a node's or a backfill's; field is where they stand.
// Whether their channels exist is not asked: channels come and go.
func CheckSubscriptions(field string, subscriptions []*wire.Subscription) (found []fault.Detail) {
	if len(subscriptions) > MaxSubscriptions {
		return []fault.Detail{detail(field, "%d channels: expected at most %d", len(subscriptions), MaxSubscriptions)}
	}
	seen := map[string]bool{}
	for i, s := range subscriptions {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch name := s.GetChannel(); {
		case !ValidChannel(name):
			found = append(found, detail(at+".channel", "%q is no name of a channel: expected a to z, 0 to 9 and _, then also . and -, 1 to 128 characters", clip(name)))
		case seen[name]:
			found = append(found, detail(at+".channel", "%q is named twice: expected each channel once, with all its occasions", name))
		default:
			seen[name] = true
		}
		for k, o := range s.GetOn() {
			at := fmt.Sprintf("%s.on[%d]", at, k)
			switch {
			case o < wire.Occasion_FAILURE || o > wire.Occasion_STUCK:
				found = append(found, detail(at, "%d is no occasion: expected %s", o, list(Occasions)))
			case slices.Contains(s.On[:k], o):
				found = append(found, detail(at, "%s is named twice: expected each occasion once", Occasions[o-wire.Occasion_FAILURE]))
			}
		}
	}
	return found
}

func (c *checker) notify() {
	c.details = append(c.details, CheckSubscriptions("notify", c.spec.Notify)...)
}

var subscriptionShape = shape{fields: []field{
	{"channel", textField(func(n *wire.Node) *string { return &last(n.Notify).Channel })},
	{"on", (*document).occasions},
}}

// notify are names of channels, or mappings where there is more to say.
func (d *document) notify(v value) {
	for _, item := range d.items(v, "channels") {
		d.at(item.path, item)
		s := &wire.Subscription{}
		d.node.Notify = append(d.node.Notify, s)
		if item.Kind == yaml.MappingNode {
			d.mapping(item, subscriptionShape)
		} else {
			s.Channel, _ = d.text(item)
		}
	}
}

func (d *document) occasions(v value) {
	for _, item := range d.items(v, "occasions") {
		d.at(item.path, item)
		if i, ok := d.word(item, Occasions); ok {
			s := last(d.node.Notify)
			s.On = append(s.On, wire.Occasion_FAILURE+wire.Occasion(i))
		}
	}
}

package cli

import v1 "backfleet/api/v1"

// oneState is the set of a state; none for an empty one.
func oneState(s v1.State) []v1.State {
	if s == "" {
		return nil
	}
	return []v1.State{s}
}

// oneOf is the set of a word; none for an empty one.
func oneOf(word string) []string {
	if word == "" {
		return nil
	}
	return []string{word}
}

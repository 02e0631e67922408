package cli

import (
	"github.com/spf13/cobra"

	v1 "backfleet/api/v1"
)

// nodeFlags are the flags of lists of what is run of nodes: which nodes.
type nodeFlags struct {
	ids, types, owners, workspaces, groups []string
	contains                               string
	mine                                   bool
}

// flags adds them; of says what the list is of.
func (f *nodeFlags) flags(c *cobra.Command, of string) {
	c.Flags().StringSliceVar(&f.ids, "node", nil, "only "+of+" these nodes, by `id`")
	c.Flags().StringVar(&f.contains, "node-contains", "", "only "+of+" nodes whose id or name contains this `text`")
	c.Flags().BoolVar(&f.mine, "my-nodes", false, "only "+of+" nodes that are yours")
	f.facets(c, of+" nodes")
}

// facets adds what is asked of nodes themselves as well.
func (f *nodeFlags) facets(c *cobra.Command, of string) {
	c.Flags().StringSliceVar(&f.types, "type", nil, "only "+of+" of these `type`s")
	c.Flags().StringSliceVar(&f.owners, "owner", nil, "only "+of+" of these owners, by `name`")
	c.Flags().StringSliceVar(&f.workspaces, "workspace", nil, "only "+of+" of these workspaces, by `id`")
	c.Flags().StringSliceVar(&f.groups, "resource-group", nil, "only "+of+" in these resource groups, by `name`")
}

// planFlags are the flags of lists of backfills, and of what is in them: who asked
// for them and when.
type planFlags struct {
	by       []string
	from, to string
	mine     bool
}

func (f *planFlags) flags(c *cobra.Command) {
	c.Flags().StringSliceVar(&f.by, "created-by", nil, "only those of these people, by `name`")
	c.Flags().StringVar(&f.from, "created-from", "", "only those asked for from this `moment` or date (UTC) on")
	c.Flags().StringVar(&f.to, "created-to", "", "only those asked for until this `moment` or date (UTC)")
	c.Flags().BoolVar(&f.mine, "mine", false, "only those that you asked for")
}

// dateFlags are the bounds of data timestamps.
func dateFlags(c *cobra.Command, from, to *string) {
	c.Flags().StringVar(from, "date-from", "", "data timestamps from `yyyy-mm-dd`")
	c.Flags().StringVar(to, "date-to", "", "data timestamps to `yyyy-mm-dd`")
}

// stateFlag is a set of states.
func stateFlag(c *cobra.Command, states *[]string) {
	c.Flags().StringSliceVar(states, "state", nil, "only those in these `state`s")
}

func readStates(words []string) (list []v1.State, err error) {
	for _, word := range words {
		one, err := readState(word)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

// wordsOf gives words their type; which of them there are is the server's to say.
func wordsOf[T ~string](words []string) (list []T) {
	for _, w := range words {
		list = append(list, T(w))
	}
	return list
}

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

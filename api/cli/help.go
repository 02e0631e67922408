package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Groups of commands in the help, in their order.
const (
	groupWork    = "work"
	groupFleet   = "fleet"
	groupPeople  = "people"
	groupServers = "servers"
)

var commandGroups = []*cobra.Group{
	{ID: groupWork, Title: "Work:"}, {ID: groupFleet, Title: "Fleet and settings:"},
	{ID: groupPeople, Title: "Who asks which cluster:"}, {ID: groupServers, Title: "Servers:"},
}

// in puts commands into a group of the help.
func in(group string, commands ...*cobra.Command) []*cobra.Command {
	for _, c := range commands {
		c.GroupID = group
	}
	return commands
}

// OwnFlags are the flags of a command that not every command has.
func OwnFlags(c *cobra.Command) *pflag.FlagSet {
	return flagsThat(c.LocalNonPersistentFlags(), func(f *pflag.Flag) bool { return !common(f) })
}

// CommonFlags are those that all commands have which ask a cluster, or answer in
// several forms.
func CommonFlags(c *cobra.Command) *pflag.FlagSet {
	all := flagsThat(c.Flags(), common)
	all.AddFlagSet(flagsThat(c.InheritedFlags(), func(*pflag.Flag) bool { return true }))
	return all
}

func common(f *pflag.Flag) bool {
	return f.Annotations[filled] != nil || f.Annotations[everywhere] != nil || f.Name == "help"
}

// everywhere marks flags that commands share and no context fills in.
const everywhere = "backfleet_everywhere"

func flagsThat(from *pflag.FlagSet, is func(*pflag.Flag) bool) *pflag.FlagSet {
	to := pflag.NewFlagSet("", pflag.ContinueOnError)
	from.VisitAll(func(f *pflag.Flag) {
		if is(f) {
			to.AddFlag(f)
		}
	})
	return to
}

// usage writes how a command is used: what is its own before what all have.
func usage(c *cobra.Command) error {
	w := c.OutOrStderr()
	fmt.Fprintf(w, "Usage:\n  %s\n", cmp.Or(usageLine(c), c.UseLine()))
	if len(c.Aliases) > 0 {
		fmt.Fprintf(w, "\nAliases:\n  %s\n", c.NameAndAliases())
	}
	if c.HasExample() {
		fmt.Fprintf(w, "\nExamples:\n%s\n", c.Example)
	}
	for _, g := range c.Groups() {
		commandList(w, c, g.Title, g.ID)
	}
	title := "Commands:"
	if len(c.Groups()) > 0 {
		title = "More:"
	}
	commandList(w, c, title, "")
	if own := OwnFlags(c); own.HasAvailableFlags() {
		fmt.Fprintf(w, "\nFlags:\n%s", own.FlagUsages())
	}
	if shared := CommonFlags(c); shared.HasAvailableFlags() && c.Runnable() && !c.HasSubCommands() {
		fmt.Fprintf(w, "\nCommon flags:\n%s", shared.FlagUsages())
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\n%s COMMAND --help says more.\n", c.CommandPath())
	}
	return nil
}

// usageLine is that of a group; empty: of a command that runs.
func usageLine(c *cobra.Command) string {
	if !c.HasSubCommands() {
		return ""
	}
	line := c.CommandPath() + " COMMAND"
	if c.Args != nil { // it also runs by itself
		line = c.UseLine() + "\n  " + line
	}
	return line
}

func commandList(w io.Writer, c *cobra.Command, title, group string) {
	first := true
	for _, below := range c.Commands() {
		if below.GroupID != group || !below.IsAvailableCommand() && below.Name() != "help" {
			continue
		}
		if first {
			fmt.Fprintf(w, "\n%s\n", title)
			first = false
		}
		fmt.Fprintf(w, "  %-*s %s\n", c.NamePadding(), below.Name(), below.Short)
	}
}

// Reference writes the whole tree as one page of Markdown.
func Reference(root *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s: all commands\n\nMade from the commands themselves by `make docs`; change those.\n\n%s\n\n", root.Name(), root.Long)
	shared := pflag.NewFlagSet("", pflag.ContinueOnError)
	walk(root, func(c *cobra.Command) { shared.AddFlagSet(CommonFlags(c)) })
	shared = flagsThat(shared, func(f *pflag.Flag) bool { return f.Name != "help" })
	for _, g := range root.Groups() {
		referenceList(&b, root, strings.TrimSuffix(g.Title, ":"), g.ID)
	}
	referenceList(&b, root, "More", "")
	fmt.Fprintf(&b, "## Common flags\n\nOf all commands that ask a cluster, where they mean something.\n\n```\n%s```\n", shared.FlagUsages())
	walk(root, func(c *cobra.Command) {
		if c.HasParent() {
			referenceOf(&b, c)
		}
	})
	return b.String()
}

func referenceList(b *strings.Builder, root *cobra.Command, title, group string) {
	fmt.Fprintf(b, "**%s**\n\n", title)
	for _, c := range root.Commands() {
		if c.GroupID == group && c.IsAvailableCommand() {
			fmt.Fprintf(b, "- [%s](#%s): %s\n", c.Name(), strings.ReplaceAll(c.CommandPath(), " ", "-"), c.Short)
		}
	}
	b.WriteString("\n")
}

func referenceOf(b *strings.Builder, c *cobra.Command) {
	level := strings.Repeat("#", min(4, 1+strings.Count(c.CommandPath(), " ")))
	fmt.Fprintf(b, "\n%s %s\n\n%s.\n", level, c.CommandPath(), strings.TrimSuffix(c.Short, "."))
	if c.Long != "" {
		fmt.Fprintf(b, "\n```text\n%s\n```\n", c.Long)
	}
	fmt.Fprintf(b, "\n```\n%s\n```\n", cmp.Or(usageLine(c), c.UseLine()))
	if len(c.Aliases) > 0 {
		fmt.Fprintf(b, "\nAlso: %s\n", strings.Join(c.Aliases, ", "))
	}
	if c.Example != "" && !c.HasSubCommands() {
		fmt.Fprintf(b, "\n```sh\n%s\n```\n", undent(c.Example))
	}
	if own := OwnFlags(c); own.HasAvailableFlags() {
		fmt.Fprintf(b, "\n```\n%s```\n", own.FlagUsages())
	}
}

// undent takes the two blanks away with which lines of examples begin.
func undent(text string) string {
	return strings.ReplaceAll(strings.TrimPrefix(text, "  "), "\n  ", "\n")
}

// walk visits a command and what is below it, but not what is for nobody to see.
func walk(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, below := range c.Commands() {
		if below.IsAvailableCommand() && below.Name() != "help" {
			walk(below, visit)
		}
	}
}

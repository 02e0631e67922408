package command

// SetBoot has the agent, and its keeper, believe in another start of the host.
func SetBoot(id string) { boot = func() string { return id } }

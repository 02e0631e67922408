package executor

import "backfleet/pkg/secret"

// SecretPrefix begins the names of the variables of an agent that data sources
// may name. So nobody who may change a data source gets at what else is there.
const SecretPrefix = secret.Prefix

// Secrets are where an agent finds the secrets of data sources.
type Secrets = secret.Places

// Package client talks to a cluster of coordinators over the HTTP API: it finds
// one that answers, repeats what may be repeated, reads its own writes, and
// gives errors the code that the coordinator gave them.
//
// A Client is made once and used by everybody; every call takes a context, which
// ends it. What it asks and is answered are the messages of package api/v1, made
// from the contract (api/openapi.yaml).
//
// # Repeating
//
// A call that no coordinator can take now is sent again, to one after the other,
// until its context or Options.Patience ends. Writes carry a key, so that what
// was sent twice is done once. A write that takes a key can be repeated by the
// caller too, by a process that has forgotten everything but the key.
//
// # Errors
//
// All that a coordinator refuses is a *fault.Error of package pkg/fault, with a stable
// code, the field at fault and the details of a request with many mistakes:
//
//	var refused *fault.Error
//	if errors.As(err, &refused) && refused.Code == fault.NotFound { … }
//
// or in short fault.Is(err, fault.NotFound). What ended by its context is the
// context's error.
//
// # Lists, streams
//
// Each list has a call for one page and a loop over all of it (Nodes, AllNodes). Watch
// gives a backfill whenever it has changed until nothing of it moves, Lines a
// log as it grows, Follow and Events the streams themselves; all go on at
// another coordinator where one breaks off.
package client

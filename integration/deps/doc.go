// Package deps holds the architecture to its word: who may import whom, what a
// binary may link, how large a file or a function may be, and what a package
// must not be called. It has tests only.
package deps

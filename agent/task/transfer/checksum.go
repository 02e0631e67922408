package transfer

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// checksum is the sum of the hashes of rows, modulo 2^128: the same for the same
// rows in any order, and another if one of them comes twice.
type checksum struct{ high, low uint64 }

func (c *checksum) add(o checksum) {
	var carry uint64
	c.low, carry = bits.Add64(c.low, o.low, 0)
	c.high, _ = bits.Add64(c.high, o.high, carry)
}

// String gives 32 hexadecimal digits.
func (c checksum) String() string { return fmt.Sprintf("%016x%016x", c.high, c.low) }

// sumOf is the checksum of one row, and the bytes of its values as text. Values
// count in the form of their kind, so a decimal has the same sum whether a
// file or a database wrote it.
func sumOf(values []any) (checksum, int64) {
	var room [256]byte
	b := room[:0]
	var value []byte
	size := 0
	for _, v := range values {
		if v == nil {
			b = append(b, 0)
			continue
		}
		value = appendText(value[:0], v)
		size += len(value)
		b = binary.AppendUvarint(b, uint64(len(value))+1)
		b = append(b, value...)
	}
	h := sha256.Sum256(b)
	return checksum{binary.BigEndian.Uint64(h[:]), binary.BigEndian.Uint64(h[8:])}, int64(size)
}

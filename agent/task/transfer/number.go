package transfer

import (
	"math/big"
	"strconv"
	"strings"
)

// maxExponent bounds what a short text can blow up to.
const maxExponent = 1000

// parseNumber reads a decimal number exactly: digits, a point, an exponent.
func parseNumber(s string) (number, bool) {
	negative := strings.HasPrefix(s, "-")
	if negative || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	exponent := 0
	if at := strings.IndexAny(s, "eE"); at >= 0 {
		n, err := strconv.Atoi(s[at+1:])
		if err != nil || n > maxExponent || n < -maxExponent {
			return "", false
		}
		s, exponent = s[:at], n
	}
	whole, fraction, _ := strings.Cut(s, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return "", false
	}
	return pointed(negative, digits, len(fraction)-exponent), true
}

// pointed is digits / 10^scale in its one form.
func pointed(negative bool, digits string, scale int) number {
	switch {
	case scale < 0:
		digits += strings.Repeat("0", -scale)
		scale = 0
	case scale > len(digits):
		digits = strings.Repeat("0", scale-len(digits)) + digits
	}
	whole := strings.TrimLeft(digits[:len(digits)-scale], "0")
	fraction := strings.TrimRight(digits[len(digits)-scale:], "0")
	if whole == "" {
		whole = "0"
	}
	n := whole
	if fraction != "" {
		n += "." + fraction
	}
	if negative && n != "0" {
		n = "-" + n
	}
	return number(n)
}

// unscaled is n × 10^scale; false if n has more decimals.
func (n number) unscaled(scale int) (*big.Int, bool) {
	whole, fraction, _ := strings.Cut(string(n), ".")
	if len(fraction) > scale {
		return nil, false
	}
	return new(big.Int).SetString(whole+fraction+strings.Repeat("0", scale-len(fraction)), 10)
}

// scaled is n / 10^scale.
func scaled(n *big.Int, scale int) number {
	return pointed(n.Sign() < 0, new(big.Int).Abs(n).String(), scale)
}

// twosComplement reads a big-endian number as Parquet stores decimals.
func twosComplement(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(b))*8))
	}
	return n
}

// appendTwosComplement is its inverse; n must fit.
func appendTwosComplement(b []byte, n *big.Int, size int) []byte {
	if n.Sign() < 0 {
		n = new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(size)*8))
	}
	at := len(b)
	b = append(b, make([]byte, size)...)
	n.FillBytes(b[at:])
	return b
}

package params

import (
	"math/big"
	"strconv"
)

// term is one offset: a sign and an exact number.
type term struct {
	pos      int // of the sign
	value    *big.Rat
	fraction bool // written with "/"
	slash    int  // position of the first "/"
}

// Bounds of the numbers in an offset. They hold the exact arithmetic, and so
// the time that a hostile expression takes, to a few machine words.
const (
	maxDigits = 9
	maxBits   = 62
)

// offsets reads any number of offsets.
func (p *parser) offsets() ([]term, *syntaxError) {
	var terms []term
	total := new(big.Rat)
	for p.atOffset() {
		t, err := p.offset()
		if err != nil {
			return nil, err
		}
		terms = append(terms, t)
		if total.Add(total, t.value); tooLong(total) {
			return nil, &syntaxError{t.pos, "the sum of the offsets has too many digits: expected a simpler offset"}
		}
	}
	return terms, nil
}

// offset reads one offset where atOffset holds.
func (p *parser) offset() (term, *syntaxError) {
	p.blanks()
	return p.signed(false)
}

// signed reads [sign] int { ("*" | "/") int }.
func (p *parser) signed(signOptional bool) (term, *syntaxError) {
	t := term{pos: p.pos}
	negative := p.accept("-")
	if !negative && !p.accept("+") && !signOptional {
		return t, p.errorf(p.pos, `expected "+" or "-"`)
	}
	p.blanks()
	n, err := p.integer()
	if err != nil {
		return t, err
	}
	if t.value = new(big.Rat).SetInt64(n); negative {
		t.value.Neg(t.value)
	}
	return t, p.factors(&t)
}

// factors reads the factors and divisors after the first number.
func (p *parser) factors(t *term) *syntaxError {
	for p.pos < p.end && (p.src[p.pos] == '*' || p.src[p.pos] == '/') {
		sign := p.pos
		p.pos++
		n, err := p.integer()
		if err != nil {
			return err
		}
		factor := new(big.Rat).SetInt64(n)
		if p.src[sign] == '/' {
			if n == 0 {
				return &syntaxError{sign + 1, "division by zero: expected a number above 0"}
			}
			if !t.fraction {
				t.fraction, t.slash = true, sign
			}
			factor.Inv(factor)
		}
		if t.value.Mul(t.value, factor); tooLong(t.value) {
			return &syntaxError{sign, "the offset has too many digits: expected a simpler one"}
		}
	}
	return nil
}

// integer reads a number of at most maxDigits digits.
func (p *parser) integer() (int64, *syntaxError) {
	start, n := p.pos, int64(0)
	for ; p.pos < p.end && p.pos-start < maxDigits && isDigit(p.src[p.pos]); p.pos++ {
		n = n*10 + int64(p.src[p.pos]-'0')
	}
	if p.pos == start {
		return 0, p.errorf(start, "expected a digit")
	}
	if p.pos < p.end && isDigit(p.src[p.pos]) {
		return 0, &syntaxError{start, "the number is too large: expected at most " + strconv.Itoa(maxDigits) + " digits"}
	}
	return n, nil
}

func everyTerm(term) bool { return true }

// sum adds up the terms that match, exactly.
func sum(terms []term, match func(term) bool) *big.Rat {
	total := new(big.Rat)
	for _, t := range terms {
		if match(t) {
			total.Add(total, t.value)
		}
	}
	return total
}

func tooLong(r *big.Rat) bool { return r.Num().BitLen() > maxBits || r.Denom().BitLen() > maxBits }

package jwks

import (
	"crypto/ed25519"
	"math/big"
	"slices"
)

// isEd25519Point tells whether the bytes are a point of edwards25519 that can
// be somebody's key: in its one encoding, on the curve, and not of small
// order. Under a point of small order anybody can make signatures that
// crypto/ed25519 finds good.
func isEd25519Point(encoded []byte) bool {
	if len(encoded) != ed25519.PublicKeySize {
		return false
	}
	// RFC 8032 section 5.1.2: y in little-endian order; the highest bit is the sign of x.
	bytes := slices.Clone(encoded)
	slices.Reverse(bytes)
	bytes[0] &= 0x7f
	y := new(big.Int).SetBytes(bytes)

	one := big.NewInt(1)
	p := new(big.Int).Sub(new(big.Int).Lsh(one, 255), big.NewInt(19))
	if y.Cmp(p) >= 0 {
		return false
	}
	// d = -121665/121666; x² = (y²-1)/(dy²+1).
	d := new(big.Int).ModInverse(big.NewInt(121666), p)
	d.Mul(d, big.NewInt(-121665)).Mod(d, p)
	yy := new(big.Int).Mul(y, y)
	u := new(big.Int).Sub(yy, one)
	v := yy.Mul(yy, d)
	v.Add(v, one).Mod(v, p)
	// v is never 0, and u/v is a square other than 0 exactly where uv is. Where it
	// is 0, so is x: the points of order one and two, either of which has two spellings.
	u.Mod(u, p)
	if big.Jacobi(new(big.Int).Mul(u, v), p) != 1 {
		return false
	}
	return !isSmallOrder(y, u, v, p)
}

// isSmallOrder tells of a point with x ≠ 0 whether eight times it is the
// neutral element. A point has order four where y is 0, and order eight
// where doubling it gives one of order four, that is where x² = -y²
// (2P has the ordinate (y²+x²)/(1-dx²y²)). In x² = u/v that is u + v·y² = 0.
func isSmallOrder(y, u, v, p *big.Int) bool {
	if y.Sign() == 0 {
		return true
	}
	sum := new(big.Int).Mul(y, y)
	sum.Mul(sum, v).Add(sum, u).Mod(sum, p)
	return sum.Sign() == 0
}

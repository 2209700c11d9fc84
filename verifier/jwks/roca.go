package jwks

import "math/big"

// rocaPrimes are those of the first 39 primes modulo which the powers of 65537
// are not all residues. They distinguish a weak key from others.
var rocaPrimes = [...]uint64{11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157}

// isROCA reports whether the modulus was made by the library of CVE-2017-15361,
// whose keys can be factored: its primes are powers of 65537 modulo many small
// primes, and so is their product. One other modulus in 2^27 is taken for such.
func isROCA(modulus *big.Int) bool {
	for _, p := range rocaPrimes {
		residue := new(big.Int).Mod(modulus, new(big.Int).SetUint64(p)).Uint64()
		power, isPower := uint64(1), false
		for range p {
			isPower = isPower || power == residue
			power = power * 65537 % p
		}
		if !isPower {
			return false
		}
	}
	return true
}

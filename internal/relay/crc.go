// SPDX-License-Identifier: Apache-2.0

package relay

// The CRC of a text depends on the CRC of its first part only through a linear map
// over GF(2), one step of which is applied per bit that follows. combineCRC raises
// that step to the power of the second part's length by squaring.

// crcPoly is the IEEE polynomial, bit-reversed, as hash/crc32 uses it.
const crcPoly = 0xedb88320

// bitMatrix is a linear map on 32 bits: one column per bit of the argument.
type bitMatrix [32]uint32

func (m *bitMatrix) apply(v uint32) uint32 {
	var out uint32
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 != 0 {
			out ^= m[i]
		}
	}
	return out
}

func (m *bitMatrix) square() *bitMatrix {
	var out bitMatrix
	for i := range m {
		out[i] = m.apply(m[i])
	}
	return &out
}

// combineCRC gives the CRC-32 of a followed by b from the CRCs of both and the
// length of b in bytes.
func combineCRC(a, b uint32, length int64) uint32 {
	step := &bitMatrix{crcPoly} // one zero bit shifted in
	for i := 1; i < len(step); i++ {
		step[i] = 1 << (i - 1)
	}
	step = step.square().square().square() // one byte
	for ; length > 0; length >>= 1 {
		if length&1 != 0 {
			a = step.apply(a)
		}
		step = step.square()
	}
	return a ^ b
}

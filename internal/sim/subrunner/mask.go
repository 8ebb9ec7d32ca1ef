// SPDX-License-Identifier: Apache-2.0

package subrunner

import (
	"bytes"
	"slices"
)

const masked = "[MASKED]"

// masker replaces secrets in a stream. It holds back only what may be the
// beginning of a secret, so that output appears as soon as it can.
type masker struct {
	secrets  [][]byte // longest first
	prefixes [][]byte // of tokens; what follows is hidden
	held     []byte
	hiding   bool // inside a token whose prefix was recognised
}

func newMasker(secrets, prefixes []string) *masker {
	m := &masker{}
	for _, s := range secrets {
		if s != "" {
			m.secrets = append(m.secrets, []byte(s))
		}
	}
	slices.SortStableFunc(m.secrets, func(a, b []byte) int { return len(b) - len(a) })
	for _, p := range prefixes {
		if p != "" {
			m.prefixes = append(m.prefixes, []byte(p))
		}
	}
	return m
}

// write takes output and gives what of it may be shown now.
func (m *masker) write(data []byte) []byte {
	m.held = append(m.held, data...)
	return m.drain(false)
}

// flush gives what was held back: it was no secret after all.
func (m *masker) flush() []byte {
	return m.drain(true)
}

func (m *masker) drain(last bool) []byte {
	var out []byte
	for len(m.held) > 0 {
		if m.hiding {
			n := tokenLen(m.held)
			m.held = m.held[n:]
			m.hiding = len(m.held) == 0
			continue
		}
		if !last && m.mayGrow() {
			break
		}
		if n := m.secretHere(); n > 0 {
			out = append(out, masked...)
			m.held = m.held[n:]
			continue
		}
		if p := m.prefixHere(); p != nil {
			out = append(append(out, p...), masked...)
			m.held = m.held[len(p):]
			m.hiding = true
			continue
		}
		n := m.plainLen()
		out = append(out, m.held[:n]...)
		m.held = m.held[n:]
	}
	m.held = slices.Clone(m.held)
	return out
}

// mayGrow tells whether the held bytes are the beginning of a longer phrase.
func (m *masker) mayGrow() bool {
	grows := func(phrase []byte) bool { return len(phrase) > len(m.held) && bytes.HasPrefix(phrase, m.held) }
	return slices.ContainsFunc(m.secrets, grows) || slices.ContainsFunc(m.prefixes, grows)
}

func (m *masker) secretHere() int {
	for _, s := range m.secrets {
		if bytes.HasPrefix(m.held, s) {
			return len(s)
		}
	}
	return 0
}

func (m *masker) prefixHere() []byte {
	for _, p := range m.prefixes {
		if bytes.HasPrefix(m.held, p) {
			return p
		}
	}
	return nil
}

// plainLen tells how many bytes cannot begin a phrase; at least one.
func (m *masker) plainLen() int {
	n := len(m.held)
	for _, list := range [][][]byte{m.secrets, m.prefixes} {
		for _, phrase := range list {
			if i := bytes.IndexByte(m.held[1:min(n, len(m.held))], phrase[0]); i >= 0 {
				n = min(n, i+1)
			}
		}
	}
	return n
}

// tokenLen tells how many bytes at the beginning can belong to a token.
func tokenLen(b []byte) int {
	for i, c := range b {
		word := c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '-' || c == '_' || c == '=' || c == '.'
		if !word {
			return i
		}
	}
	return len(b)
}

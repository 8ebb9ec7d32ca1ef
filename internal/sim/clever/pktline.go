// SPDX-License-Identifier: Apache-2.0

package clever

import (
	"errors"
	"fmt"
	"io"
	"strconv"
)

const (
	maxPkt      = 65516 // payload of one line
	maxSideband = 65515 // payload of one line of side-band-64k, without its band
)

// pktWriter writes git's pkt-lines and remembers the first error.
type pktWriter struct {
	w   io.Writer
	err error
}

func (p *pktWriter) write(b []byte) {
	if p.err == nil {
		_, p.err = p.w.Write(b)
	}
}

func (p *pktWriter) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	p.write(fmt.Appendf(nil, "%04x%s", len(text)+4, text))
}

func (p *pktWriter) flush() { p.write([]byte("0000")) }

// band writes data on one band of the side band, in as many lines as it takes.
func (p *pktWriter) band(n byte, data []byte) {
	for len(data) > 0 {
		part := data[:min(len(data), maxSideband)]
		data = data[len(part):]
		p.write(fmt.Appendf(nil, "%04x%c", len(part)+5, n))
		p.write(part)
	}
}

// bandWriter is one band as an io.Writer.
type bandWriter struct {
	p *pktWriter
	n byte
}

// Write implements io.Writer.
func (b bandWriter) Write(data []byte) (int, error) {
	b.p.band(b.n, data)
	return len(data), b.p.err
}

var errPkt = errors.New("malformed pkt-line")

// readPkt reads one line; nil without an error is a flush.
func readPkt(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(string(head[:]), 16, 16)
	switch {
	case err != nil, n > 0 && n < 4, n > maxPkt+4:
		return nil, fmt.Errorf("%w: length %q", errPkt, head[:])
	case n == 0:
		return nil, nil
	}
	line := make([]byte, n-4)
	if _, err := io.ReadFull(r, line); err != nil {
		return nil, fmt.Errorf("%w: %w", errPkt, err)
	}
	return line, nil
}

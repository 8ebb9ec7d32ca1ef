// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// coordinatorName is known to the names' server of the tests only.
const coordinatorName = "gitlab.test"

// serveNames answers every question for coordinatorName with an address, and all others
// with "no such name". It counts the questions.
func serveNames(conn net.PacketConn, ip net.IP, asked *atomic.Int64) {
	buffer := make([]byte, 512)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		asked.Add(1)
		if answer := nameAnswer(buffer[:n], ip); answer != nil {
			conn.WriteTo(answer, from)
		}
	}
}

// nameAnswer makes an answer of a question: its header with other flags, the question as
// it was, and an address if one is asked for.
func nameAnswer(question []byte, ip net.IP) []byte {
	const header = 12
	end := header + bytes.IndexByte(question[min(header, len(question)):], 0) + 5 // the name's end, type and class
	if len(question) < end || end < header+5 {
		return nil
	}
	answer := bytes.Clone(question[:end])
	answer[2], answer[3] = 0x81, 0x80 // an answer, recursion is available
	copy(answer[4:header], []byte{0, 1, 0, 0, 0, 0, 0, 0})
	var wanted []byte
	for label := range strings.SplitSeq(coordinatorName, ".") {
		wanted = append(append(wanted, byte(len(label))), label...)
	}
	switch kind := binary.BigEndian.Uint16(question[end-4:]); {
	case !bytes.EqualFold(question[header:end-5], wanted):
		answer[3] |= 3 // no such name
	case kind == 1:
		answer[7] = 1
		answer = append(answer, 0xc0, header, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		answer = append(answer, ip.To4()...)
	}
	return answer
}

// coordinatorByName: joining a network of one's own makes Docker rewrite the container's
// resolv.conf, for good. The coordinator is found by its name before, meanwhile and
// after: here the relay itself reports the end, when it has left the network.
func coordinatorByName(t *testing.T, w *place) {
	gateway := w.Gateway(t)
	var asked atomic.Int64
	go serveNames(w.ListenPackets(t, "53"), net.ParseIP(gateway), &asked)
	at := w.newStop(t)
	address, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	i := w.boot(t, trivial(at.line()), wish{
		url: "http://" + net.JoinHostPort(coordinatorName, address.Port()), host: map[string]any{"Dns": []string{gateway}},
	})
	at.wait(t, i)
	i.finds(t, i.id)
	before := asked.Load()
	if text, code := i.Exec(t, i.id, "sh", "-c", "kill -KILL $(pidof gitlab-runner)"); code != 0 {
		t.Fatalf("kill the sub-runner: %d: %s", code, text)
	}
	i.fails(t, "without reporting the job's result.")
	if asked.Load() == before {
		t.Error("the relay reported the end without looking for the coordinator's name")
	}
	// A Go program looks at resolv.conf every 5 seconds only, so the same again with one
	// that looks at once.
	visitor := w.Run(t, "", map[string]any{
		"Image": "job:1", "Cmd": []string{"sleep", "1000"}, "HostConfig": map[string]any{"Dns": []string{gateway}},
	})
	w.finds(t, visitor)
	var made struct {
		ID string `json:"Id"`
	}
	w.Must(t, http.MethodPost, "/networks/create", map[string]any{"Name": "zz-visited"}, &made)
	for _, verb := range []string{"connect", "disconnect"} {
		w.Must(t, http.MethodPost, "/networks/"+made.ID+"/"+verb, map[string]any{"Container": visitor, "Force": verb == "disconnect"}, nil)
		w.finds(t, visitor)
	}
	if text, _ := w.Exec(t, visitor, "cat", "/etc/resolv.conf"); !strings.Contains(text, "127.0.0.11") {
		t.Errorf("the engine has not rewritten resolv.conf, so this test shows nothing:\n%s", text)
	}
	w.Remove(t, visitor)
	w.Must(t, http.MethodDelete, "/networks/"+made.ID, nil, nil)
}

// finds: a program in a container finds the coordinator by its name.
func (w *place) finds(t *testing.T, container string) {
	t.Helper()
	if text, code := w.Exec(t, container, "nslookup", "-type=a", coordinatorName); code != 0 {
		conf, _ := w.Exec(t, container, "cat", "/etc/resolv.conf")
		t.Errorf("no %s: %d: %s\n%s", coordinatorName, code, text, conf)
	}
}

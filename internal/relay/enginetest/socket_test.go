// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"heptapod-paas-runner/internal/engine"
)

// cannotOpen is what a user reads when the engine can't be reached.
const cannotOpen = "The instance could not be made ready: cannot open the Docker socket /var/run/docker.sock: "

func noSocket(t *testing.T, w *place) {
	w.boot(t, trivial(), wish{noSocket: true}).fails(t, cannotOpen+"it is not there")
}

// deadSocket: nobody listens on it any more.
func deadSocket(t *testing.T, w *place) {
	path := filepath.Join(filepath.Dir(w.Socket), "dead.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	w.boot(t, trivial(), wish{host: map[string]any{"Binds": []string{path + ":/var/run/docker.sock"}}}).
		fails(t, cannotOpen+"no Docker Engine answers on it")
}

// With user namespaces the root of the relay's container is nobody to the socket.
func socketNotPermitted(t *testing.T, w *place) {
	w.boot(t, trivial(), wish{}).fails(t, cannotOpen+"this container may not use it")
}

// What a platform with user namespaces has to do: the socket's group is the remapped root.
func socketForRemappedRoot(t *testing.T, w *place) {
	if err := os.Chown(w.Socket, 0, engine.RemappedRoot); err != nil {
		t.Fatal(err)
	}
	wholeJob(t, w, "false", wish{})
	wholeJob(t, w, "true", wish{})
}

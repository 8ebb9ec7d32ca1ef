// SPDX-License-Identifier: Apache-2.0

// Command racer is a sub-runner that never gets tired of starting containers, for the tests
// of how an instance is destroyed. It makes what gitlab-runner makes, in its order and with
// its labels: networks and volumes that carry no label of ours, containers for a moment that
// carry none either, and those that do. It runs no job.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
)

// order is what the test wishes, in the place of a job.
type order struct {
	Image  string
	Labels map[string]string // of all that is made
	Ours   map[string]string // of containers, besides
	Lines  int               // at a time
}

func main() {
	var o order
	text, err := os.ReadFile(os.Args[len(os.Args)-1])
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", "/var/run/docker.sock")
	}}}
	var all sync.WaitGroup
	for line := range o.Lines {
		all.Go(func() {
			for n := 0; ; n++ {
				o.make(client, fmt.Sprintf("%s-%d-%d", o.Labels["com.gitlab.gitlab-runner.job.id"], line, n))
			}
		})
	}
	all.Wait()
}

type object = map[string]any

// make makes what a job begins with.
func (o order) make(client *http.Client, name string) {
	whole := object{}
	for _, labels := range []map[string]string{o.Labels, o.Ours} {
		for key, value := range labels {
			whole[key] = value
		}
	}
	call(client, "/networks/create", object{"Name": "net-" + name, "Labels": o.Labels})
	call(client, "/volumes/create", object{"Name": "vol-" + name, "Labels": o.Labels})
	o.start(client, object{"Image": o.Image, "Cmd": []string{"true"}, "Labels": o.Labels, "HostConfig": object{"Binds": []string{"vol-" + name + ":/v"}}})
	o.start(client, object{
		"Image": o.Image, "Cmd": []string{"sleep", "100000"}, "Labels": whole,
		"HostConfig": object{"Binds": []string{"vol-" + name + ":/v"}, "NetworkMode": "net-" + name},
	})
}

func (o order) start(client *http.Client, config object) {
	call(client, "/containers/"+call(client, "/containers/create", config)+"/start", nil)
}

// call gives the id of what was made; what fails, the next time may not.
func call(client *http.Client, path string, in object) string {
	text, err := json.Marshal(in)
	if err != nil {
		panic(err) // strings
	}
	//nolint:noctx // it ends by being killed
	answer, err := client.Post("http://engine"+path, "application/json", bytes.NewReader(text))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return ""
	}
	defer answer.Body.Close()
	var made struct {
		ID string `json:"Id"`
	}
	text, _ = io.ReadAll(answer.Body)
	if answer.StatusCode >= http.StatusBadRequest {
		fmt.Fprintln(os.Stderr, path, string(text))
	}
	_ = json.Unmarshal(text, &made) // of what has no id there is none
	return made.ID
}

// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/distribution/reference"

	"heptapod-paas-runner/internal/fleet"
)

// registryAuth gives the credential for the image's registry, as the engine wants it; ""
// when there is none. It is what `docker login` has stored: DOCKER_AUTH_CONFIG, else
// config.json. Programs that keep credentials elsewhere are not asked.
func (p *Provisioner) registryAuth() (string, error) {
	named, err := reference.ParseNormalizedNamed(p.cfg.Image)
	if err != nil {
		text := fmt.Sprintf("heptapod_runner_main_image %.80q is no image reference", p.cfg.Image)
		return "", &fleet.CallError{Class: fleet.Permanent, UserText: text, Err: fmt.Errorf("%s: %w", text, err)}
	}
	text, err := p.authConfig()
	if err != nil || len(text) == 0 {
		return "", err
	}
	return credentialFor(text, reference.Domain(named))
}

func (p *Provisioner) authConfig() ([]byte, error) {
	if text := p.getenv("DOCKER_AUTH_CONFIG"); text != "" {
		return []byte(text), nil
	}
	folder := p.getenv("DOCKER_CONFIG")
	if folder == "" {
		folder = filepath.Join(p.getenv("HOME"), ".docker")
	}
	text, err := os.ReadFile(filepath.Join(folder, "config.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &fleet.CallError{Class: fleet.Permanent, UserText: "the registry credentials can't be read", Err: err}
	}
	return text, nil
}

// credentialFor finds a registry's credential among those of a file of Docker's.
func credentialFor(text []byte, domain string) (string, error) {
	var file struct {
		Auths map[string]struct {
			Auth          string `json:"auth"`
			Username      string `json:"username"`
			Password      string `json:"password"`
			IdentityToken string `json:"identitytoken"`
		} `json:"auths"`
	}
	unreadable := &fleet.CallError{
		Class: fleet.Permanent, UserText: "the registry credentials can't be read",
		Err: errors.New("the registry credentials are not in the form of Docker's config.json"), // what is in them is not shown
	}
	if json.Unmarshal(text, &file) != nil {
		return "", unreadable
	}
	for name, entry := range file.Auths {
		if !sameRegistry(name, domain) {
			continue
		}
		user, password := entry.Username, entry.Password
		if entry.Auth != "" {
			raw, err := base64.StdEncoding.DecodeString(entry.Auth)
			var ok bool
			if user, password, ok = strings.Cut(string(raw), ":"); err != nil || !ok {
				return "", unreadable
			}
		}
		if user == "" && password == "" && entry.IdentityToken == "" {
			continue // it is kept elsewhere
		}
		wire, err := json.Marshal(map[string]string{
			"username": user, "password": password, "identitytoken": entry.IdentityToken, "serveraddress": name,
		})
		if err != nil {
			return "", unreadable
		}
		return base64.URLEncoding.EncodeToString(wire), nil
	}
	return "", nil
}

// sameRegistry compares a name of the file, which may be a URL, with an image's registry.
// Docker Hub has an entry under another name than its images.
func sameRegistry(name, domain string) bool {
	if address, err := url.Parse(name); err == nil && address.Host != "" {
		name = address.Host
	}
	host, _, _ := strings.Cut(name, "/")
	return cmp.Or(host, name) == domain || host == "index."+domain
}

// SPDX-License-Identifier: Apache-2.0

package clienttest

import (
	"testing"

	official "github.com/clevercloud/clevercloud-go/clevercloud"

	"heptapod-paas-runner/internal/sim/clever"
)

// goClient is Clever Cloud's Go client, which signs with HMAC-SHA1.
func goClient(p *platform, secret string) *official.APIClient {
	oauth := official.NewOAuthClient(clever.ConsumerKey, clever.ConsumerSecret)
	oauth.SetTokens(clever.OAuthToken, secret)
	cfg := official.NewConfiguration()
	cfg.BasePath = p.url + "/v2"
	return official.NewOAuthAPIClient(oauth, cfg)
}

// It is of 2021 and knows no variables in a creation.
func TestGoClient(t *testing.T) {
	t.Parallel()
	p := begin(t, false, clever.TaskRunning)
	ctx, org := t.Context(), clever.FirstOrganisation
	api := goClient(p, clever.OAuthSecret).OrganisationApi
	app, resp, err := api.AddApplicationByOrga(ctx, org, official.WannabeApplication{
		Name: "by-go", Zone: "par", Deploy: "git", InstanceType: "docker", InstanceVersion: "20260601", InstanceLifetime: "TASK",
		MinInstances: 1, MaxInstances: 1, MinFlavor: "XS", MaxFlavor: "S",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if app.Name != "by-go" || app.OwnerId != org || app.Instance.Lifetime != "TASK" || app.Instance.MaxFlavor.Name != "S" || app.Deployment.RepoState != "CREATED" {
		t.Errorf("created %s of %s, %s, %s, %s", app.Name, app.OwnerId, app.Instance.Lifetime, app.Instance.MaxFlavor.Name, app.Deployment.RepoState)
	}
	if _, _, err := api.EditApplicationEnvByOrgaAndAppIdAndEnvName(ctx, org, app.Id, "A", official.WannabeValue{Value: "1"}); err != nil {
		t.Error(err)
	}
	if got := p.only(t, "by-go").Env["A"]; got != "1" {
		t.Errorf("variable %q", got)
	}
	list, _, err := api.GetAllApplicationsByOrga(ctx, org, nil)
	if err != nil || len(list) != 1 || list[0].Id != app.Id {
		t.Errorf("list %v, %v", list, err)
	}
	g := newWork(t)
	g.commit(map[string]string{"Dockerfile": dockerfile})
	g.must("push", p.remote(app.Id, clever.OAuthToken, clever.OAuthSecret), "HEAD:master")
	waitFor(t, "the task ends", func() bool { return p.only(t, "by-go").State == "ended" })
	deployments, _, err := api.GetApplicationDeploymentsForOrga(ctx, org, app.Id, &official.GetApplicationDeploymentsForOrgaOpts{})
	if err != nil || len(deployments) != 1 || deployments[0].State != "OK" {
		t.Errorf("deployments %v, %v", deployments, err)
	}
	if done, _, err := api.DeleteApplicationByOrgaAndAppId(ctx, org, app.Id); err != nil || done.Id != 302 {
		t.Errorf("deletion %v, %v", done, err)
	}
	if _, resp, err := api.DeleteApplicationByOrgaAndAppId(ctx, org, app.Id); err == nil || resp.StatusCode != 404 {
		t.Errorf("second deletion: %v", err)
	}
	if _, resp, err := goClient(p, "wrong").OrganisationApi.GetAllApplicationsByOrga(ctx, org, nil); err == nil || resp.StatusCode != 401 {
		t.Errorf("with a wrong secret: %v", err)
	}
}

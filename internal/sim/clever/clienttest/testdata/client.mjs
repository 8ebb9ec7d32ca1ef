// SPDX-License-Identifier: Apache-2.0
//
// The life of an application through @clevercloud/client. Arguments: the folder of the
// packages, the base URL, an API token, the organisation, and what to do. One line of JSON
// on stdout says what was seen.
const [modules, baseUrl, apiToken, ownerId, act] = process.argv.slice(2);
const root = `file://${modules}/@clevercloud/client/src/clients/cc-api`;
const { CcApiClient } = await import(`${root}/cc-api-client.js`);
const client = new CcApiClient({ baseUrl, authMethod: { type: 'api-token', apiToken }, defaultRequestConfig: { timeout: 20_000 } });

// send runs the command that a file of the package exports.
async function send(group, name, params) {
  const exported = await import(`${root}/commands/${group}/${name}-command.js`);
  const Command = Object.entries(exported).find(([key]) => key.toLowerCase() === `${name.replaceAll('-', '')}command`)[1];
  return client.send(new Command(params));
}

// refusal is how a command is refused.
async function refusal(promise) {
  try {
    await promise;
    return 'none';
  } catch (e) {
    return `${e.statusCode} ${e.code}`;
  }
}

const acts = {
  async create() {
    const app = await send('application', 'create-application', {
      ownerId, name: 'by-client', instance: { slug: 'docker' }, instanceLifetime: 'TASK', minFlavor: 'XS', environment: [{ name: 'A', value: '1' }],
    });
    const environment = await send('environment', 'create-or-update-environment-variable', { applicationId: app.id, name: 'B', value: '2' });
    const all = await send('environment', 'get-environment', { applicationId: app.id, includeLinkedApplications: true, includeLinkedAddons: true });
    const listed = await send('application', 'list-application', { ownerId });
    const got = await send('application', 'get-application', { applicationId: app.id });
    const tags = await send('tag', 'create-tag', { ownerId, applicationId: app.id, tag: 'ci' });
    const zones = await send('zone', 'list-zone', { ownerId });
    return {
      id: app.id, httpUrl: app.deployment.httpUrl, repoState: got.deployment.repoState, flavor: app.instance.minFlavor.name, lifetime: got.instance.lifetime,
      environment, all: all.environment, linked: [all.linkedApplicationsEnvironment, all.linkedAddonsEnvironment], listed: listed.map((a) => a.name), tags, zones: zones.length,
    };
  },
  async deployed() {
    const [app] = await send('application', 'list-application', { ownerId });
    const deployments = await send('deployment', 'list-deployment', { applicationId: app.id });
    const organisation = await send('deployment', 'list-deployment', { ownerId });
    const one = await send('deployment', 'get-deployment', { applicationId: app.id, deploymentId: deployments[0].id });
    const instances = await send('instance', 'list-application-instance', { applicationId: app.id });
    const instance = await send('instance', 'get-application-instance', { applicationId: app.id, instanceId: instances[0].id });
    return {
      states: deployments.map((d) => d.state), organisation: organisation.length, one: one.state, action: one.origin?.action ?? one.action,
      instances: instances.map((i) => i.state), instance: instance.deploymentId === deployments[0].id, commit: app.commitId,
    };
  },
  async logs() {
    const [app] = await send('application', 'list-application', { ownerId });
    const { StreamApplicationRuntimeLogCommand } = await import(`${root}/commands/log/stream-application-runtime-log-command.js`);
    const stream = await client.stream(new StreamApplicationRuntimeLogCommand({ ownerId, applicationId: app.id, limit: 2 }));
    const lines = [];
    stream.onLog((log) => lines.push(log.message));
    const reason = await stream.start();
    return { lines, reason: reason.type };
  },
  async end() {
    const [app] = await send('application', 'list-application', { ownerId });
    const again = await send('application', 'deploy-application', { applicationId: app.id, commit: app.commitId });
    await send('application', 'undeploy-application', { applicationId: app.id });
    const hook = await send('notification', 'create-webhook-notification', { ownerId, name: 'w', urls: [{ format: 'raw', url: 'http://hook.test' }], events: ['GIT_PUSH'] });
    const hooks = await send('notification', 'list-webhook-notification', { ownerId });
    await send('notification', 'delete-webhook-notification', { ownerId, webhookNotificationId: hook.id });
    const addon = await send('addon', 'create-addon', { ownerId, name: 'cache', providerId: 'cellar-addon', zone: 'par', planId: (await send('product', 'get-product-addon', { id: 'cellar-addon' })).plans[0].id });
    const secrets = await send('environment', 'get-environment', { addonId: addon.id });
    await send('addon', 'delete-addon', { addonId: addon.id });
    const foreign = await refusal(send('application', 'list-application', { ownerId: 'orga_b' }));
    await send('application', 'delete-application', { ownerId, applicationId: app.id });
    const twice = await refusal(send('application', 'delete-application', { ownerId, applicationId: app.id }));
    const gone = await send('application', 'get-application', { ownerId, applicationId: app.id });
    return { again: again.deploymentId.startsWith('deployment_'), hooks: hooks.length, keys: secrets.environment.map((v) => v.name), foreign, twice, gone };
  },
  async refused() {
    return { refusal: await refusal(send('application', 'list-application', { ownerId })) };
  },
};

console.log(JSON.stringify(await acts[act]()));

// The unmodified npm client against a running daemon:
//
//     node run.mjs HOST:PORT API-KEY [SYSTEM MODULE STATUS FUNCTION ARGUMENT=VALUE...]
//
// With a system, a module's name, a status and a function, that function is called with each argument and the status
// is expected to become the value (both are JSON): `Display power power true=true false=false`. Prints what it checked;
// exits with 1 at the first thing that is not as a client expects.

import assert from 'node:assert/strict';
import websocket from 'websocket';

const [host, key, system, moduleName, statusKey, fn, ...calls] = process.argv.slice(2);
const origin = `http://${host}`;

// What the client takes for granted of a browser.
const storage = () => {
    const items = new Map();
    return {
        getItem: (name) => items.get(name) ?? null,
        setItem: (name, value) => items.set(name, String(value)),
        removeItem: (name) => items.delete(name),
        clear: () => items.clear(),
    };
};
const location = {
    protocol: 'http:', host, hostname: host.split(':')[0], origin, href: `${origin}/`, hash: '',
    search: `?x-api-key=${key}`, pathname: '/', assign() {}, reload() {},
};
Object.assign(globalThis, {
    window: globalThis, parent: globalThis, localStorage: storage(), sessionStorage: storage(), location,
    document: { cookie: '' }, WebSocket: websocket.w3cwebsocket,
    addEventListener() {}, removeEventListener() {},
});
if (!globalThis.navigator) globalThis.navigator = { userAgent: 'node', platform: 'node' };

const client = await import('@placeos/ts-client/dist/index.es.js');
// Observables, without a need for rxjs's helpers.
const first = (observable) =>
    new Promise((resolve, reject) => {
        const subscription = observable.subscribe({
            next: (value) => { resolve(value); queueMicrotask(() => subscription?.unsubscribe()); },
            error: reject,
        });
    });
const done = (what) => console.log(`ok ${what}`);
const within = (promise, what, ms = 20_000) =>
    Promise.race([promise, new Promise((_, no) => setTimeout(() => no(new Error(`${what}: no answer in ${ms} ms`)), ms))]);
const until = async (test, what, ms = 20_000) => {
    const end = Date.now() + ms;
    while (!test()) {
        if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`);
        await new Promise((go) => setTimeout(go, 20));
    }
};
const unique = `ts-client ${Date.now()}`;

async function main() {
    await within(client.setup({
        host, mode: 'node', scope: 'public', auth_uri: `${origin}/auth/oauth/authorize`,
        token_uri: `${origin}/auth/oauth/token`, redirect_uri: `${origin}/oauth-resp.html`, secure: false,
        token_header: true,
    }), 'setup');
    assert.equal(client.apiEndpoint(), `${origin}/api/engine/v2`, 'the authority names version 2');
    done('setup with an API key');

    const user = await first(client.currentUser());
    assert.equal(user.sys_admin, true);
    done('currentUser');

    // Systems: create, find, page, change with version, conflict.
    const made = await first(client.addSystem({ name: unique, description: 'made by a client', features: ['VC'] }));
    assert.equal(made.name, unique);
    assert.ok(made.id.startsWith('sys-'));
    const other = await first(client.addSystem({ name: `${unique} b` }));
    const page = await first(client.querySystems({ limit: 1, q: 'made' }));
    assert.equal(page.data.length, 1);
    assert.ok(page.total >= 1);
    const all = await first(client.querySystems({ limit: 1 }));
    assert.ok(all.total >= 2 && all.next, 'a page leads to the next');
    const next = await first(all.next());
    assert.equal(next.data.length, 1);
    assert.notEqual(next.data[0].id, all.data[0].id);
    done('querySystems, total and next page');

    const shown = await first(client.showSystem(made.id));
    assert.equal(shown.description, 'made by a client');
    // As an application does it: the instance with a change, all its other fields with it.
    const body = { ...JSON.parse(JSON.stringify(shown)), description: 'changed' };
    const changed = await first(client.updateSystem(made.id, body));
    assert.equal(changed.description, 'changed');
    assert.equal(changed.version, shown.version + 1);
    await assert.rejects(first(client.updateSystem(made.id, body)), (error) => error.status === 409);
    await assert.rejects(first(client.showSystem('sys-404')), (error) => error.status === 404);
    done('showSystem, updateSystem, conflict, missing');

    // Zones and their metadata.
    const zone = await first(client.addZone({ name: unique, tags: ['level'] }));
    assert.deepEqual((await first(client.listZoneTags())).includes('level'), true);
    await first(client.updateMetadata(zone.id, { name: 'map', description: '', details: { floor: 2 } }));
    const metadata = await first(client.showMetadata(zone.id, 'map'));
    assert.deepEqual(metadata.details, { floor: 2 });
    assert.equal((await first(client.listMetadata(zone.id))).length, 1);
    const zoned = await first(client.updateSystem(made.id, { ...JSON.parse(JSON.stringify(changed)), zones: [zone.id] }));
    assert.deepEqual([...zoned.zones], [zone.id]);
    assert.equal((await first(client.querySystems({ zone_id: zone.id }))).total, 1);
    assert.equal((await first(client.listSystemZones(made.id))).data[0].id, zone.id);
    done('zones, metadata');

    // Settings.
    const settings = await first(client.addSettings({
        parent_id: made.id, encryption_level: client.EncryptionLevel.Admin, settings_string: 'pin: 1234',
    }));
    assert.equal(settings.settings_string, 'pin: 1234');
    assert.equal((await first(client.querySettings({ parent_id: made.id }))).data[0].encryption_level, 2);
    await first(client.updateSettings(settings.id, { ...settings, settings_string: 'pin: 5678' }));
    assert.equal((await first(client.settingsHistory(settings.id))).length, 2);
    done('settings, history');

    // A repository, a driver, modules; start and stop.
    const repository = await first(client.addRepository({
        name: unique, folder_name: `ts-${Date.now()}`, uri: 'https://localhost:1/none.git', type: 'driver', repo_type: 'driver',
    }));
    const driver = await first(client.addDriver({
        name: unique, module_name: 'Thing', file_name: 'thing/Cargo.toml', commit: 'HEAD',
        repository_id: repository.id, role: client.PlaceDriverRole.Device,
    }));
    assert.equal(driver.role, client.PlaceDriverRole.Device);
    const module = await first(client.addModule({ driver_id: driver.id, ip: '127.0.0.1', port: 9 }));
    assert.equal(module.name, 'Thing');
    await first(client.addSystemModule(made.id, module.id));
    assert.equal((await first(client.queryModules({ control_system_id: made.id }))).data[0].id, module.id);
    await first(client.startModule(module.id));
    assert.equal((await first(client.showModule(module.id))).running, true);
    await first(client.stopSystem(made.id));
    assert.equal((await first(client.showModule(module.id))).running, false);
    assert.deepEqual(await first(client.moduleState(module.id)).then((state) => typeof state), 'object');
    await assert.rejects(first(client.executeOnSystem(made.id, 'power', 'Thing', 1, [true])));
    done('repository, driver, module; start, stop');

    assert.ok((await first(client.clusterVersions())).length >= 1, 'its URL lacks a slash');
    assert.ok((await first(client.queryClusters())).data.length === 1);
    done('cluster');

    // The WebSocket, which the first binding opens.
    const details = { sys: made.id, mod: 'Thing', index: 1, name: 'power' };
    await within(client.bind(details), 'bind');
    await until(() => client.is_connected(), 'the control WebSocket');
    await assert.rejects(within(client.execute({ ...details, args: [true] }), 'execute'),
        (error) => error.error_code === 7 && error.type === 'error');
    await within(client.debug({ ...details, mod: module.id, name: 'debug' }), 'debug');
    await within(client.ignore({ ...details, mod: module.id, name: 'debug' }), 'ignore');
    await within(client.unbind(details), 'unbind');
    done('bind, execute that is refused, debug, ignore, unbind');

    if (system) {
        const binding = client.getModule(system, moduleName).variable(statusKey);
        let seen;
        binding.listen().subscribe((value) => { seen = value; });
        binding.bind();
        for (const [index, call] of calls.entries()) {
            const [argument, value] = call.split('=').map((text) => JSON.parse(text));
            if (index % 2 === 0) {
                await within(client.getModule(system, moduleName).execute(fn, [argument]), `${fn}(${argument})`);
            } else {
                await first(client.executeOnSystem(system, fn, moduleName, 1, [argument]));
            }
            await until(() => seen === value, `${statusKey} to become ${value}, which is ${seen}`);
            const state = await first(client.systemModuleState(system, moduleName));
            assert.deepEqual(JSON.parse(state[statusKey]), value);
        }
        const functions = await first(client.functionList(system, moduleName));
        assert.ok(functions[fn].arity === 1 && functions[fn].order.length === 1);
        done(`${moduleName}.${fn} over WebSocket and REST, ${statusKey} followed`);
    }

    for (const id of [made.id, other.id]) await first(client.removeSystem(id));
    await first(client.removeZone(zone.id));
    await first(client.removeRepository(repository.id));
    await assert.rejects(first(client.showModule(module.id)), (error) => error.status === 404);
    done('removed');
}

main().then(
    () => process.exit(0),
    async (error) => {
        const body = error instanceof Response ? `${error.status} ${error.url} ${await error.text()}` : error;
        console.error('FAILED', body);
        process.exit(1);
    },
);

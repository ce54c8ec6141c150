export { type CutProxy, cutProxy } from './cut-proxy.ts';
export { removeDatabase, requireTestDatabase, withDatabase } from './database.ts';
export * from './fault-fs.ts';
export { freeOffset, freePorts } from './free-ports.ts';
export { atEnd, type Scope } from './scope.ts';
export { type Isolated, isolated, managementCall } from './servers.ts';
export { type AppName, type ExitStatus, type SpawnedApp, type SpawnOptions, spawnApp } from './spawn-app.ts';
export { CHECKOUT, TEST_SERVERS, type TestServer, type TestStack, testStack } from './stack.ts';
export { type UntilOptions, until } from './until.ts';

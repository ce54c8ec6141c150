// The import directions of the room map in README.md. There is no baseline: every rule holds everywhere.
// Tests and what only tests use: `x.test.ts`, `x.it.ts`, `x.fixture.ts`, `testing.ts`, `testing/`, `fixtures/`.
const testFile = '[.](test|it|fixture)[.]ts$|/(testing|fixtures)(/|[.]ts$)';
const shared = '(flow|topology|reading|expression|windows|ledger|config|observe|lifecycle|api)';

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'an-app-never-imports-another-app',
      severity: 'error',
      from: { path: '^apps/([^/]+)/' },
      to: { path: '^apps/', pathNot: '^apps/$1/' },
    },
    {
      name: 'libs-never-import-apps',
      severity: 'error',
      from: { path: '^libs/' },
      to: { path: '^(apps|test|load)/' },
    },
    {
      name: 'flow-imports-nothing-of-ours',
      severity: 'error',
      from: { path: '^libs/flow/' },
      to: { path: '^(libs|apps|infra|load|test)/', pathNot: '^libs/flow/' },
    },
    {
      name: 'expression-imports-nothing-of-ours',
      severity: 'error',
      from: { path: '^libs/expression/' },
      to: { path: '^(libs|apps|infra|load|test)/', pathNot: '^libs/expression/' },
    },
    {
      name: 'topology-and-reading-import-flow-only',
      severity: 'error',
      from: { path: '^libs/(topology|reading)/' },
      to: { path: '^libs/', pathNot: '^libs/(flow|topology|reading)/' },
    },
    {
      name: 'windows-is-pure',
      severity: 'error',
      from: { path: '^libs/windows/', pathNot: '[.]test[.]ts$' },
      to: {
        path: '^(libs|node:fs|node:net|node:http|fs|net|http)',
        pathNot: '^libs/(flow|topology|reading|expression|windows)/',
      },
    },
    {
      name: 'lag-is-pure',
      severity: 'error',
      from: { path: '^libs/lag/', pathNot: '[.]test[.]ts$' },
      to: { path: '^(libs|node:|fs|net|http)', pathNot: '^libs/(api|lag)/' },
    },
    {
      name: 'ledger-is-pure',
      severity: 'error',
      from: { path: '^libs/ledger/', pathNot: '[.]test[.]ts$' },
      to: { path: '^(libs|node:|fs|net|http)', pathNot: '^libs/ledger/' },
    },
    {
      name: 'alerts-is-pure',
      severity: 'error',
      from: { path: '^libs/alerts/', pathNot: '[.]test[.]ts$' },
      to: {
        path: '^(libs|node:fs|node:net|node:http|fs|net|http)',
        pathNot: '^libs/(flow|config|alerts)/',
      },
    },
    {
      name: 'connectors-never-import-each-other',
      severity: 'error',
      from: { path: '^libs/connect-([^/]+)/' },
      to: { path: '^libs/connect-', pathNot: '^libs/connect-$1/' },
    },
    {
      name: 'connectors-import-shared-rooms-only',
      severity: 'error',
      from: { path: '^libs/connect-', pathNot: testFile },
      to: { path: '^libs/', pathNot: `^libs/(${shared.slice(1, -1)}|connect-[^/]+)/` },
    },
    {
      name: 'a-client-library-stays-in-its-connector',
      severity: 'error',
      from: { path: '^(apps|libs)/', pathNot: `^libs/(connect-[^/]+|testkit)/|${testFile}` },
      to: { path: 'node_modules/(kafkajs|amqplib|pg|pg-copy-streams|minio|ioredis)/' },
    },
    {
      name: 'tests-are-imported-by-tests-only',
      severity: 'error',
      from: { pathNot: `${testFile}|^test/|^libs/testkit/` },
      to: { path: '[.](test|it)[.]ts$|^test/|^libs/testkit/' },
    },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true, pathNot: '^node:' } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^apps/dashboard/dist' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'default'],
      extensions: ['.ts', '.tsx', '.mjs', '.js', '.json'],
    },
  },
};

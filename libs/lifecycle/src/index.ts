export { type AppContext, type AppDefinition, runApp, type StopPhase } from './app.ts';
export * from './local-url.ts';

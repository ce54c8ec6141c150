export { composeEnvironment } from '../compose/environment.ts';
export type { Credentials } from './credentials.ts';
export { portOf, serverEnvironment } from './environment.ts';
export { oneShot } from './launch.ts';
export { isPortFree, type PortUse, portBusyMessage, requirePorts } from './ports.ts';
export { identify, isSameProcess, type ProcessId, portHolder, statOf } from './proc.ts';
export {
  type Provisioned,
  provision,
  provisionExtras,
  provisionTelegraf,
  provisionToxiproxy,
} from './provision.ts';
export type { OnProgress, Progress } from './run.ts';
export { SERVER_NAMES, type ServerName } from './servers/types.ts';
export { NativeStack, type NativeStackOptions, type ServerState, type ServerStatus } from './stack.ts';

import type { AppContext } from '@weir/lifecycle';
import { HopTime } from '@weir/observe';
import { openCredentials } from './auth/open-credentials.ts';
import { Express } from './door/express.ts';
import { openHttpDoor } from './door/http.ts';
import { openMqttDoor, readTls } from './door/mqtt.ts';
import { openBroker } from './door/open-broker.ts';
import { EdgeEvents } from './events.ts';
import { GateHouse } from './gate/index.ts';
import { Intake } from './intake/intake.ts';
import { gateLimits, openSpool } from './options.ts';
import { startOutside } from './outside.ts';
import { observeDoors } from './pressure.ts';
import type { Spool } from './spool/index.ts';
import { edgeStatus } from './status.ts';
import { decodePayload } from './steps/decode-payload.ts';

/**
 * The path of a reading: socket → gate (size, window, rate, well-formed) → express, or aedes → topic and rights → decode
 * and validate → spool → fsync → acknowledgement. Forwarders take it from the spool to Kafka and RabbitMQ. Commands come
 * from RabbitMQ to the socket of their device.
 */
export async function runEdge(context: AppContext, start = startOutside): Promise<Spool> {
  const { config, log, metrics } = context;
  const { edge } = config;
  const events = new EdgeEvents(log, metrics);
  const tls = readTls(edge.tls);
  const credentials = await openCredentials(config, events);
  const disk = new HopTime();
  const { clock, spool } = await openSpool(context, events, disk);

  const intake = new Intake({
    edgeId: edge.id,
    spool,
    clock,
    events,
    whenFull: edge.spool.whenFull,
    onFree: () => house.release(),
  });
  const house = new GateHouse(
    gateLimits(edge),
    events,
    (inflight) => intake.holds(inflight) || context.stopping.aborted,
  );
  const decode = decodePayload({
    maxFutureMs: edge.maxFuture,
    maxReadings: edge.maxReadingsPerMessage,
  });
  const mqtt = await openBroker({ config: edge, intake, events, decode, credentials });
  house.lane = new Express({
    intake,
    events,
    broker: mqtt.broker,
    maxFutureMs: edge.maxFuture,
    maxReadings: edge.maxReadingsPerMessage,
    topicBytes: house.limits.topicBytes,
  });
  const outside = await start(context, { spool, intake, broker: mqtt.broker, events, credentials });
  const status = edgeStatus({ edgeId: edge.id, spool, intake, house, events, forwarders: outside });
  const http = await openHttpDoor({ context, intake, events, decode, credentials, status });
  const listeners = await openMqttDoor(mqtt.broker, house, events, {
    host: config.ports.host,
    tcpPort: context.port('mqtt'),
    wsPort: context.port('mqttWs'),
    tlsPort: context.port('mqttTls'),
    tls,
  });
  events.observe(metrics, {
    connections: () => house.gates.size,
    held: () => house.waiting,
    arriving: () => listeners.waiting,
    inFlight: () => intake.inFlight,
    pendingBytes: () => spool.stats.pendingBytes,
    clockAhead: () => clock.latest() - clock.now(),
  });
  observeDoors(metrics, { edge, house, intake, spool, time: disk });

  context.readyWhen('credentials', () => credentials?.ready ?? true);
  context.readyWhen('spool', () => spool.state !== 'blocked' || 'the spool is full');
  context.onStop('accept', 'MQTT listeners', () => listeners.stopAccepting());
  context.onStop('accept', 'HTTP ingest', () => http.stopAccepting());
  context.onStop('accept', 'commands', () => outside.stopAccepting());
  context.onStop('settle', 'publishes in flight', () => intake.settle());
  context.onStop('flush', 'MQTT sessions', () => mqtt.close());
  context.onStop('flush', 'forwarders', () => outside.stop());
  context.onStop('close', 'spool', () => spool.close());
  context.onStop('close', 'clock', () => clock.close());
  context.onStop('close', 'credentials', () => credentials?.close());
  context.onStop('close', 'HTTP', () => http.close());
  context.onStop('close', 'gates', () => house.close());
  return spool;
}

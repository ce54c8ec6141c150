import { readFileSync } from 'node:fs';
import type { Config, Notifier } from '@weir/config';
import type { Publisher } from '@weir/connect-rabbitmq';
import { WeirError } from '@weir/flow';
import { EXCHANGES } from '@weir/topology';
import { alertmanager } from './destinations/alertmanager.ts';
import type { Destination } from './destinations/destination.ts';
import { alertsExchange } from './destinations/exchange.ts';
import { mqtt } from './destinations/mqtt.ts';
import { smtp } from './destinations/smtp.ts';
import { webhook } from './destinations/webhook.ts';
import { Lane } from './lane.ts';
import { isWanted } from './matching.ts';
import type { NotifyingLane } from './notifications.ts';

const EXCHANGE_TIMEOUT_MS = 30_000;
/** Whoever listens on the exchange is told however late. */
const NEVER_MS = Number.POSITIVE_INFINITY;

/** A secret from the file that holds it, or as it stands. */
function secretOf(notifier: string, value: string | undefined, file: string | undefined): string | undefined {
  if (file === undefined) return value;
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new WeirError(
      'WEIR_CONFIG_INVALID',
      'fatal',
      `the notifier ${notifier} names the file ${file}, which cannot be read: ${(error as Error).message}`,
      error,
    );
  }
}

function destinationOf(notifier: Notifier): Destination {
  const { id, timeout } = notifier;
  switch (notifier.kind) {
    case 'webhook': {
      const { url, headers, secret, secretFile } = notifier;
      return webhook({ id, url, headers, secret: secretOf(id, secret, secretFile) });
    }
    case 'alertmanager': {
      const { url, username, resend } = notifier;
      const password = secretOf(id, notifier.password, notifier.passwordFile);
      return alertmanager({ url, username, password, resendMs: resend });
    }
    case 'smtp': {
      const { host, port, tls, username, from, to } = notifier;
      const password = secretOf(id, notifier.password, notifier.passwordFile);
      return smtp({ host, port, tls, username, password, from, to, timeoutMs: timeout });
    }
    case 'mqtt': {
      const { url, username, topic, retain } = notifier;
      const password = secretOf(id, notifier.password, notifier.passwordFile);
      const clientId = username ?? `weir-${id}-${process.pid}`;
      return mqtt({ id, url, clientId, username, password, topic, retain, timeoutMs: timeout });
    }
  }
}

/** The exchange `weir.alerts`, which is told of every change, and the configured notifiers. */
export function openLanes({ notifiers }: Config['alerter'], publisher: Publisher): NotifyingLane[] {
  const exchange = new Lane({
    addressee: {
      id: EXCHANGES.alerts.name,
      wants: () => true,
      groupBy: [],
      groupWaitMs: 0,
      unfiltered: true,
    },
    destination: alertsExchange(publisher),
    timeoutMs: EXCHANGE_TIMEOUT_MS,
    giveUpAfterMs: NEVER_MS,
  });
  const configured = notifiers.map((notifier) => {
    const { id, match, repeat, timeout, giveUpAfter } = notifier;
    const grouped = 'groupBy' in notifier;
    const lane = new Lane({
      addressee: {
        id,
        wants: (alert) => isWanted(match, alert),
        groupBy: grouped ? notifier.groupBy : [],
        groupWaitMs: grouped ? notifier.groupWait : 0,
        unfiltered: false,
      },
      destination: destinationOf(notifier),
      timeoutMs: timeout,
      giveUpAfterMs: giveUpAfter,
    });
    return { lane, repeatMs: repeat };
  });
  return [{ lane: exchange, repeatMs: undefined }, ...configured];
}

import { errorMessage, WeirError } from '@weir/flow';

const ACCESS_REFUSED = 403;
const NOT_FOUND = 404;
const PRECONDITION_FAILED = 406;

const replyCode = (error: unknown): number | undefined => {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'number' ? code : undefined;
};

/** The address without its password, for messages. */
export function safeUrl(url: string): string {
  try {
    const parsed = new URL(url);
    return `${parsed.protocol}//${parsed.host}${parsed.pathname}`;
  } catch {
    return 'an address that is not a URL';
  }
}

/** An error of opening a connection. */
export function connectError(url: string, error: unknown): WeirError {
  const message = errorMessage(error);
  const doing = `connecting to RabbitMQ at ${safeUrl(url)}`;
  if (replyCode(error) === ACCESS_REFUSED || message.includes('ACCESS_REFUSED') || message.includes('403')) {
    return new WeirError(
      'WEIR_UNAUTHORIZED',
      'fatal',
      `${doing}: the broker refuses the user or its password. Check rabbitmq.url.`,
      error,
    );
  }
  if (message.includes('Expected ConnectionOpenOk')) {
    // The client library keeps the broker's reason to itself. A virtual host is also refused while the broker is
    // still starting it, so this is worth another try.
    return new WeirError(
      'WEIR_UNAUTHORIZED',
      'transient',
      `${doing}: the broker refuses the virtual host: it does not exist, is not up yet, or this user may not use it. Check the path of rabbitmq.url.`,
      error,
    );
  }
  return new WeirError('WEIR_CONNECT_FAILED', 'transient', `${doing}: ${message || 'no answer'}`, error);
}

/** The reason why a channel or connection that was in use has ended. */
export function lossError(doing: string, error: unknown): WeirError {
  const message = errorMessage(error ?? 'the connection ended');
  switch (replyCode(error)) {
    case NOT_FOUND:
      // Transient: it mends as soon as the topology is applied again, and a producer must not lose its spool over it.
      return new WeirError(
        'WEIR_STATE',
        'transient',
        `${doing}: an exchange or queue does not exist (${message}). Apply the topology with "weir up".`,
        error,
      );
    case ACCESS_REFUSED:
      return new WeirError(
        'WEIR_UNAUTHORIZED',
        'fatal',
        `${doing}: the broker user lacks a permission, or the queue is in exclusive use (${message}).`,
        error,
      );
    case PRECONDITION_FAILED:
      return new WeirError('WEIR_REJECTED', 'transient', `${doing}: ${message}`, error);
    default:
      return new WeirError('WEIR_CONNECTION_LOST', 'transient', `${doing}: ${message}`, error);
  }
}

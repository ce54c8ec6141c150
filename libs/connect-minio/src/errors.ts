import { errorMessage, WeirError } from '@weir/flow';

const UNAUTHORIZED = new Set([
  'AccessDenied',
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'AuthorizationHeaderMalformed',
]);
const SETTINGS = new Set(['InvalidBucketName', 'InvalidRequest', 'InvalidArgument', 'EntityTooLarge']);
const MISSING = new Set(['NoSuchKey', 'NoSuchBucket', 'NotFound', 'InvalidRange']);

/** `doing`, in the form "storing object x". What is not known is taken for an outage only when it is one of the network. */
export function mapError(doing: string, error: unknown): Error {
  if (error instanceof WeirError) return error;
  const message = `${doing}: ${errorMessage(error)}`;
  const code = (error as { code?: unknown } | null)?.code;
  if (error instanceof TypeError || error instanceof RangeError) return error;
  if (typeof code === 'string') {
    if (UNAUTHORIZED.has(code)) return new WeirError('WEIR_UNAUTHORIZED', 'fatal', message, error);
    if (MISSING.has(code)) return new WeirError('WEIR_STATE', 'data', message, error);
    if (SETTINGS.has(code)) return new WeirError('WEIR_REJECTED', 'fatal', message, error);
    if (code === 'ETIMEDOUT') return new WeirError('WEIR_TIMEOUT', 'transient', message, error);
    if (code === 'ECONNREFUSED' || code === 'ENOTFOUND' || code === 'EAI_AGAIN')
      return new WeirError('WEIR_CONNECT_FAILED', 'transient', message, error);
  }
  return new WeirError('WEIR_CONNECTION_LOST', 'transient', message, error);
}

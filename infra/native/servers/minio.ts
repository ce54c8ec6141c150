import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { minioAnswers } from '../probes.ts';
import { MINIO_ENVIRONMENT } from './tuning.ts';
import type { ServerDefinition } from './types.ts';

export const minioServer: ServerDefinition = {
  name: 'minio',
  title: 'MinIO',
  ports: ['minio', 'minioConsole'],
  stopSignal: 'SIGTERM',
  async prepare({ folder }) {
    mkdirSync(join(folder, 'data'), { recursive: true });
  },
  launch: ({ provisioned, credentials, folder, port }) => ({
    env: {
      PATH: '/usr/local/bin:/usr/bin:/bin',
      HOME: folder,
      // In the environment, not on the command line, where every user of the machine could read them.
      MINIO_ROOT_USER: credentials.minio.accessKey,
      MINIO_ROOT_PASSWORD: credentials.minio.secretKey,
      ...MINIO_ENVIRONMENT,
    },
    command: [
      provisioned.minio,
      'server',
      join(folder, 'data'),
      '--address',
      `127.0.0.1:${port('minio')}`,
      '--console-address',
      `127.0.0.1:${port('minioConsole')}`,
    ],
  }),
  answers: ({ env }) => minioAnswers(env.WEIR_MINIO__URL ?? ''),
};
